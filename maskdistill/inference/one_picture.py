"""Masks of one picture, without a run, as the records that code for Segment Anything reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from maskdistill.discovery.find import discover
from maskdistill.discovery.recipe import recipe_of
from maskdistill.engine import networks
from maskdistill.engine.job import Job
from maskdistill.masks.boxes import boxes_from_masks, xywh
from maskdistill.pictures import as_rgb
from maskdistill.settings import RunSettings


def of_picture(picture: np.ndarray | str | Path, settings: RunSettings) -> list[dict[str, Any]]:
    """The records of a picture (H, W, 3) uint8 or a file, by falling score; by resolved settings.

    Returns:
        segmentation (H, W) bool, bbox [x, y, w, h], area, score, predicted_iou (the score), point_coords. A mask that
        holds no pixel is left out.
    """
    rgb = as_rgb(picture, orientation=settings.orientation, max_megapixels=settings.max_megapixels)
    network = networks.kept(Job.alone(settings), "propose", settings.propose.backbone)
    recipe = recipe_of(settings.propose)
    found = discover(lambda: rgb, size=rgb.shape[:2], backbone=network, recipe=recipe)
    boxes = xywh(boxes_from_masks(found.masks))
    return [
        {
            "segmentation": found.masks[row],
            "bbox": [float(edge) for edge in boxes[row]],
            "area": int(found.masks[row].sum()),
            "score": float(found.scores[row]),
            "predicted_iou": float(found.scores[row]),
            "point_coords": found.seed_points_xy[row],
        }
        for row in found.best_first
    ]
