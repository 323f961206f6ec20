"""Exports: masks of a run in the formats of other tools. Contract: coco.write(file, images, lines, names)."""
