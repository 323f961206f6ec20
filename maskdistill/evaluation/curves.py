"""Average precision (AP, AP50, AP75) and recall (AR100) of a set, for any samples of pictures.

Paper:    COCO's matching: masks by falling score, each takes the free object of largest IoU, from
          the threshold on
In:       objects and masks of pictures, as records; masks are matched once
Out:      a statistic a number, by mask or box, of classes or of one
Differs:  areas do not matter; equal to instances.average_precision to 1e-12 where each picture
          counts once
Library:  faster-coco-eval judges one set a call: 200 samples would match the masks 200 times
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from maskdistill.evaluation.bootstrap import Statistic
from maskdistill.evaluation.records import HIT, Records, boxes
from maskdistill.masks import boxes as box_ops
from maskdistill.masks import rle

LEVELS = np.linspace(0.5, 0.95, 10)  # IoU from which a mask is right; source: COCO's evaluation
NAMES = ("AP", "AP50", "AP75", "AR100")
MOST = 100  # masks a picture and class; source: COCO's evaluation, its largest maxDets
_RECALLS = np.linspace(0, 1, 101)  # at which precision is averaged; source: COCO's evaluation


class Curves:
    """Curves of precision and recall, one a class that has an object, and their means.

    A sample's mean is over the classes that it holds.
    """

    def __init__(
        self,
        truth: Records,
        results: Records,
        *,
        iou_type: Literal["segm", "bbox"] = "segm",
        class_agnostic: bool,
    ) -> None:
        """Match masks to objects.

        Args:
            truth, results, iou_type, class_agnostic: as instances.average_precision has them;
                samples weigh the pictures in the order of `truth`.
        Raises:
            ValueError: another iou_type.
        """
        if iou_type not in ("segm", "bbox"):
            raise ValueError(f"iou_type: wanted segm or bbox, got {iou_type!r}")
        self.n_pictures = len(truth)
        by_class: dict[int, list[Matched]] = {}
        for place, (number, rows) in enumerate(truth.items()):
            found = results.get(number, ())
            for which in {_class(row, class_agnostic) for row in [*rows, *found]}:
                objects = [row for row in rows if _class(row, class_agnostic) == which]
                masks = [row for row in found if _class(row, class_agnostic) == which]
                pictures = by_class.setdefault(which, [])
                pictures += [_NOTHING] * (place - len(pictures))
                pictures.append(_matched(masks, objects, iou_type))
        self.curves = [
            Curve([*pictures, *[_NOTHING] * (len(truth) - len(pictures))])
            for _, pictures in sorted(by_class.items())
            if any(each.n_objects for each in pictures)
        ]
        self._last: tuple[np.ndarray | None, dict[str, np.ndarray]] = (None, {})

    def statistic(self, name: str) -> Statistic:
        """Return one of NAMES as a statistic."""
        return lambda samples: self.numbers(samples)[name]

    def numbers(self, samples: np.ndarray) -> dict[str, np.ndarray]:
        """Return name -> (samples,) values, nan where a sample has no object.

        What was asked last is not counted again.

        Args:
            samples: (samples, pictures) integers: how often each picture counts.
        """
        if self._last[0] is not samples:
            self._last = (samples, self._numbers(samples))
        return self._last[1]

    def _numbers(self, samples: np.ndarray) -> dict[str, np.ndarray]:
        found = {name: np.full(len(samples), np.nan) for name in NAMES}
        for row, weights in enumerate(samples if self.curves else ()):
            # (classes, AP or recall, levels)
            values = np.array([curve.values(weights) for curve in self.curves])
            held = ~np.isnan(values[:, 0, 0])
            if held.any():
                precision, recall = values[held].mean(axis=0)
                each = (precision.mean(), precision[0], precision[5], recall.mean())
                for name, value in zip(NAMES, each, strict=True):
                    found[name][row] = value
        return found


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


_NOTHING = Matched(
    np.zeros(0), np.zeros((len(LEVELS), 0), bool), np.zeros((len(LEVELS), 0), bool), 0
)


def _class(row: Mapping[str, Any], class_agnostic: bool) -> int:
    return 1 if class_agnostic else int(row["category"])


def _matched(
    masks: Sequence[Mapping[str, Any]], objects: Sequence[Mapping[str, Any]], iou_type: str
) -> Matched:
    crowd = np.array([row["crowd"] for row in objects], bool)
    scores = np.array([row["score"] for row in masks], np.float64)
    if iou_type == "segm":
        overlap = rle.iou(
            [row["rle"] for row in masks], [row["rle"] for row in objects], crowd=crowd
        )
    else:
        overlap = box_ops.iou(boxes(masks), boxes(objects), crowd=crowd)
    return match(scores, overlap, crowd, at_least=LEVELS, most=MOST)
