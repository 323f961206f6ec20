"""Flips: what was found in a picture and in its mirror image, as one.

In:       Detections of a picture, and those of its mirror image
Out:      Detections of the picture: found twice, or once with half the score
Source:   flips at test time, as usual (Detectron2, GeneralizedRCNNWithTTA, averages masks); ours
          averages scores: one look alone ranks worse (docs/log/detector.md, 2026-12-01)
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from maskdistill.detector.predict import distinct
from maskdistill.masks import rle
from maskdistill.types import Detections

SAME = 0.5  # mask IoU from which two looks found one thing


def mirrored(found: Detections) -> Detections:
    """Return detections of a picture's mirror image as those of the picture.

    >>> empty = Detections((2, 3), [], np.zeros((0, 4), np.float32), np.zeros(0, np.float32),
    ...                    np.zeros(0, np.int64))
    >>> len(mirrored(empty))
    0
    """
    if not len(found):
        return found
    # One at a time: a hundred masks of a large picture need gigabytes.
    rles = [
        rle.encode(np.ascontiguousarray(rle.decode([each], size=found.size)[:, :, ::-1]))[0]
        for each in found.rles
    ]
    return replace(found, rles=rles, boxes_xyxy=rle.boxes(rles))


def merged(
    found: Detections, other: Detections, *, min_score: float, mask_nms: float, most: int
) -> Detections:
    """Return the detections of two looks at one picture, by falling score.

    By falling score, each of `found` takes the partner of `other` whose mask overlaps it most, by
    SAME at least, and that nobody took before. A pair is one detection: mask and cluster of the
    surer look, the mean of both scores. What one look alone found has half its score: the other
    look said 0.

    Args:
        other: of the same picture (`mirrored` turns those of the mirror image back).
        min_score: what scores less is left out, in [0, 1].
        mask_nms: IoU of masks above which the weaker one goes, whatever their clusters; 1 keeps
            all.
        most: detections that stay.
    Raises:
        ValueError: pictures of two sizes.
    """
    if found.size != other.size:
        raise ValueError(f"looks must be at one picture, got sizes {found.size}, {other.size}")
    rles, clusters = [*found.rles, *other.rles], np.concatenate([found.clusters, other.clusters])
    own = np.concatenate([found.scores, other.scores]).astype(np.float64)
    scores, n = own / 2, len(found)
    if n and len(other):
        overlap = rle.iou(found.rles, other.rles)
        for row in np.argsort(-found.scores, kind="stable").tolist():
            column = int(overlap[row].argmax())
            if overlap[row, column] < SAME:
                continue
            overlap[:, column] = -1
            kept, gone = (row, n + column) if own[row] >= own[n + column] else (n + column, row)
            scores[kept], scores[gone] = (own[row] + own[n + column]) / 2, -1
    held = np.flatnonzero(scores >= max(min_score, 0.0))
    chosen = held[distinct([rles[row] for row in held], scores[held], mask_nms)][:most]
    kept_rles = [rles[row] for row in chosen]
    return Detections(
        size=found.size,
        rles=kept_rles,
        boxes_xyxy=rle.boxes(kept_rles),
        scores=scores[chosen].astype(np.float32),
        clusters=clusters[chosen],
    )
