"""Masks: run lengths, boxes, outlines; what every room may use. Contract: rle, boxes, polygons, resize."""
