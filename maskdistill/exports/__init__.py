"""Exports: masks of a run in the formats of other tools, out of the lines that stages wrote.

Contract: coco.write(file, images, lines, names) streams a COCO dataset into an open text file;
          `inference/export` calls it
"""
