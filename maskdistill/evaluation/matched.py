"""Which masks of a picture meet an object, and AP at that one IoU: pictures can be drawn anew without matching again.

Paper:    COCO's matching: masks by falling score, each takes the free object of largest IoU, from the threshold on
Differs:  one class, no limit of masks a picture, areas do not matter; equal to instances.average_precision's AP50
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskdistill.evaluation.corloc import HIT

_RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Matched:
    """One picture's masks by falling score, ties in their order.

    Attributes:
        scores: (masks,) float64.
        hits: (masks,) bool: the mask takes an object.
        ignored: (masks,) bool: it takes no object but lies on a crowd, and counts neither way.
        n_objects: that are no crowds.
    """

    scores: np.ndarray
    hits: np.ndarray
    ignored: np.ndarray
    n_objects: int


def match(scores: np.ndarray, iou: np.ndarray, crowd: np.ndarray, *, at_least: float = HIT) -> Matched:
    """Masks of one picture matched to its objects.

    Args:
        scores: (masks,). iou: (masks, objects), against a crowd over the area of the mask. crowd: (objects,) bool.
    """
    order = np.argsort(-scores, kind="stable")
    taken = np.zeros(len(crowd), bool)
    hits, ignored = np.zeros(len(order), bool), np.zeros(len(order), bool)
    for row, mask in enumerate(order):
        free = np.where(crowd | taken, -1.0, iou[mask])
        if len(free) and free.max() >= at_least:
            hits[row] = True
            taken[len(free) - 1 - int(np.argmax(free[::-1]))] = True  # of equals the last, as COCO's loop has it
        else:
            ignored[row] = bool((iou[mask][crowd] >= at_least).any())
    return Matched(scores[order].astype(np.float64), hits, ignored, int((~crowd).sum()))


def average_precision(pictures: Sequence[Matched]) -> float:
    """COCO's AP at the IoU of the matching, in [0, 1]; nan without objects."""
    n_objects = sum(each.n_objects for each in pictures)
    if not n_objects:
        return float("nan")
    counted = [~each.ignored for each in pictures]
    scores = np.concatenate([each.scores[kept] for each, kept in zip(pictures, counted, strict=True)])
    hits = np.concatenate([each.hits[kept] for each, kept in zip(pictures, counted, strict=True)])
    hits = hits[np.argsort(-scores, kind="stable")]
    if not len(hits):
        return 0.0
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]  # the best at this recall or above
    at = np.searchsorted(found / n_objects, _RECALLS, side="left")
    return float(np.where(at < len(hits), precision[np.minimum(at, len(hits) - 1)], 0.0).mean())


def area_under_curve(scores: np.ndarray, hits: np.ndarray) -> float:
    """Of the score against the hits: how often a hit scores above a miss, ties count half; nan without either."""
    positives, negatives = np.sort(scores[hits]), np.sort(scores[~hits])
    if not len(positives) or not len(negatives):
        return float("nan")
    below = np.searchsorted(negatives, positives, side="left")
    up_to = np.searchsorted(negatives, positives, side="right")
    return float((below + up_to).mean() / 2 / len(negatives))
