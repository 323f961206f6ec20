"""One picture: its masks without a run, as the records that code for Segment Anything reads.

In:   a picture as an array or a file, resolved settings
Out:  a list of records; nothing is written
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from maskdistill.discovery.find import discover
from maskdistill.discovery.pool import discover_all, tried_of
from maskdistill.engine import networks
from maskdistill.engine.job import Job
from maskdistill.masks.boxes import boxes_from_masks, xywh
from maskdistill.pictures import as_rgb
from maskdistill.settings import RunSettings


def of_picture(picture: np.ndarray | str | Path, settings: RunSettings) -> list[dict[str, Any]]:
    """Return the masks of a picture as records, by falling score.

    Args:
        picture: (H, W, 3) uint8 RGB, or a file.
        settings: resolved (no `auto` left).
    Returns:
        A dict a mask: segmentation (H, W) bool, bbox [x, y, w, h], area, score, predicted_iou (the
        score again), point_coords [[x, y]]. A mask that holds no pixel is left out.
    Raises:
        PictureError, WeightsError: what cannot be read.
        ValueError, TypeError: `picture` is an array of another form, or something else.
    """
    rgb = as_rgb(picture, **settings.reading)
    network = networks.kept(Job.alone(settings), "propose", settings.propose.backbone)
    own, tried = settings.propose, tried_of(settings.propose)
    how = {"size": rgb.shape[:2], "backbone": network}
    if own.pool.is_on:
        pooled = discover_all(lambda: rgb, tried=tried, overlap=own.pool.overlap, **how)
        found = pooled.best(own.max_masks)
    else:
        found = discover(lambda: rgb, recipe=tried[0].recipe, **how)
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
