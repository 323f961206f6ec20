"""Masks of one picture, without a run, as the records that code for Segment Anything reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from maskdistill.discovery.find import find, in_pixels, seed_points_xy
from maskdistill.engine import networks
from maskdistill.engine.job import Job
from maskdistill.masks.boxes import boxes_from_masks, xywh
from maskdistill.pictures import as_rgb
from maskdistill.settings import RunSettings
from maskdistill.stages.propose import recipe_of


def of_picture(picture: np.ndarray | str | Path, settings: RunSettings) -> list[dict[str, Any]]:
    """The records of a picture (H, W, 3) uint8 or a file, by falling score; by resolved settings.

    Returns:
        segmentation (H, W) bool, bbox [x, y, w, h], area, score, predicted_iou (the score), point_coords. A mask that
        holds no pixel is left out.
    """
    rgb = as_rgb(picture, orientation=settings.orientation, max_megapixels=settings.max_megapixels)
    own = settings.propose
    network = networks.kept(Job.alone(settings), "propose", own.backbone)
    found, content = find(lambda: rgb, backbone=network, recipe=recipe_of(own))
    place: dict[str, Any] = {"patch": network.patch, "content": content, "size": rgb.shape[:2]}
    masks, scores = in_pixels(found, rgb=rgb, how=own.pixels, min_score=own.min_score, **place)
    points = seed_points_xy(found, min_score=own.min_score, **place)
    boxes = xywh(boxes_from_masks(masks))
    return [
        {
            "segmentation": masks[row],
            "bbox": [float(edge) for edge in boxes[row]],
            "area": int(masks[row].sum()),
            "score": float(scores[row]),
            "predicted_iou": float(scores[row]),
            "point_coords": points[row],
        }
        for row in np.argsort(-scores, kind="stable")
        if masks[row].any()
    ]
