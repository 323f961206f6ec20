"""Exports: masks of a run in the formats of other tools, out of the files of the stages, for `stages/export.py`.

Contract: coco.write(file, images, lines, names) streams a COCO dataset into an open text file.
"""
