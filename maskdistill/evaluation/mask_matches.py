"""Masks matched to the objects of their picture; precision and recall of many pictures.

Paper:    COCO's matching: masks by falling score, each takes the free object of largest IoU, from
          the threshold on
In:       scores, IoU and crowds of one picture
Out:      AP and recall for any weights of the pictures, without matching again
Differs:  one class, areas do not matter; equal to instances.average_precision (AP, AP50, AP75,
          AR100) to 1e-12
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskdistill.evaluation.records import HIT

_RECALLS = np.linspace(0, 1, 101)  # at which precision is averaged; source: COCO's evaluation


@dataclass(frozen=True)
class Matched:
    """The masks of one picture by falling score, ties in their order.

    Attributes:
        scores: (masks,) float64.
        hits: (masks,) bool, or (thresholds, masks) where there were several: the mask takes an
            object.
        ignored: as hits: it takes no object but lies on a crowd, and counts neither way.
        n_objects: that are no crowds.
    """

    scores: np.ndarray
    hits: np.ndarray
    ignored: np.ndarray
    n_objects: int


def match(
    scores: np.ndarray,
    iou: np.ndarray,
    crowd: np.ndarray,
    *,
    at_least: float | np.ndarray = HIT,
    most: int = 0,
) -> Matched:
    """Match the masks of one picture to its objects.

    Args:
        scores: (masks,). iou: (masks, objects), against a crowd over the area of the mask. crowd:
            (objects,) bool.
        at_least: IoU from which a mask takes an object, or (thresholds,) of them, each matched for
            itself.
        most: only so many masks, the best; 0: all.
    """
    order = np.argsort(-scores, kind="stable")[: most or None]
    levels = np.atleast_1d(np.asarray(at_least, np.float64))
    # Crowds are never taken, and never free.
    taken = np.repeat(crowd[None].astype(bool), len(levels), axis=0)
    hits, ignored = np.zeros((2, len(levels), len(order)), bool)
    for row, mask in enumerate(order if len(crowd) else ()):
        free = np.where(taken, -1.0, iou[mask])
        # Of equals the last, as COCO's loop has it.
        best = free.shape[1] - 1 - free[:, ::-1].argmax(axis=1)
        hits[:, row] = free.max(axis=1) >= levels
        taken[hits[:, row], best[hits[:, row]]] = True
        if crowd.any():
            ignored[:, row] = ~hits[:, row] & (iou[mask][crowd].max() >= levels)
    if np.ndim(at_least) == 0:
        hits, ignored = hits[0], ignored[0]
    return Matched(scores[order].astype(np.float64), hits, ignored, int((~crowd).sum()))


class Curve:
    """Precision and recall of many pictures, for any weights of the pictures."""

    def __init__(self, pictures: Sequence[Matched]) -> None:
        """Put the masks of all pictures in one order, by falling score."""
        scores = np.concatenate([np.zeros(0), *(each.scores for each in pictures)])
        order = np.argsort(-scores, kind="stable")
        none = np.zeros((np.atleast_2d(pictures[0].hits).shape[0] if pictures else 1, 0), bool)
        self.hits = np.concatenate(
            [none, *(np.atleast_2d(each.hits) for each in pictures)], axis=1
        )[:, order]
        ignored = np.concatenate(
            [none, *(np.atleast_2d(each.ignored) for each in pictures)], axis=1
        )[:, order]
        self.counted = ~ignored
        self.picture = np.repeat(np.arange(len(pictures)), [len(each.scores) for each in pictures])[
            order
        ]
        self.n_objects = np.array([each.n_objects for each in pictures], np.int64)

    def values(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return AP and recall, (thresholds,) each, in [0, 1]; nan without objects.

        Args:
            weights: (pictures,) integers, how often each picture counts: the same as repeating it.
        """
        precision, recall = np.zeros((2, len(self.hits)))
        n_objects = int(weights @ self.n_objects)
        if not n_objects:
            return precision + np.nan, recall + np.nan
        times = weights[self.picture]
        for level, (hits, counted) in enumerate(zip(self.hits, self.counted, strict=True)):
            # Precision falls between hits: only there can it be the best.
            at = np.flatnonzero(hits & (times > 0))
            if not len(at):
                continue
            found = np.cumsum(times[at])
            shown = np.cumsum(times * counted)[at]
            best = np.maximum.accumulate((found / shown)[::-1])[::-1]  # at this recall or above
            place = np.searchsorted(found / n_objects, _RECALLS, side="left")
            precision[level] = np.where(
                place < len(at), best[np.minimum(place, len(at) - 1)], 0.0
            ).mean()
            recall[level] = found[-1] / n_objects
        return precision, recall
