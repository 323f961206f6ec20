"""Masks: run lengths, boxes, outlines, resizing; below all rooms, which may use it.

Contract: rle: encode, decode, areas, boxes, iou, from_polygons, from_uncompressed;
          run_lengths: checked, decoded (of others, before the library);
          boxes: boxes_from_masks, slices, masks_from_boxes, iou, areas, xywh;
          polygons: polygons_from_mask; resize: within, resized, shares, reduced
NumPy in and out; boxes are half-open xyxy, masks (n, H, W) or (H, W) bool, sizes (rows, columns).
"""
