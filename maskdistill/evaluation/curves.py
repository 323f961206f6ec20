"""Average precision of a whole set for many samples of its pictures: AP, AP50, AP75, AR100, by mask or box.

Masks are matched once; equal to instances.average_precision to 1e-12 for the sample that holds each picture once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from maskdistill.evaluation.instances import Records
from maskdistill.evaluation.mask_matches import Curve, Matched, match
from maskdistill.masks import boxes as box_ops
from maskdistill.masks import rle

LEVELS = np.linspace(0.5, 0.95, 10)
NAMES = ("AP", "AP50", "AP75", "AR100")
MOST = 100  # masks a picture and class


class Curves:
    """One curve a class that has an object; a class that a sample does not hold is left out of its mean."""

    def __init__(
        self,
        truth: Records,
        results: Records,
        *,
        iou_type: Literal["segm", "bbox"] = "segm",
        class_agnostic: bool,
    ) -> None:
        """Args: as instances.average_precision has them; samples weigh the pictures in the order of `truth`.

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

    def numbers(self, samples: np.ndarray) -> dict[str, np.ndarray]:
        """Name -> (samples,) values, nan where a sample has no object; what was asked last is not counted again.

        Args:
            samples: (samples, pictures) integers: how often each picture counts.
        """
        if self._last[0] is not samples:
            self._last = (samples, self._numbers(samples))
        return self._last[1]

    def _numbers(self, samples: np.ndarray) -> dict[str, np.ndarray]:
        found = {name: np.full(len(samples), np.nan) for name in NAMES}
        for row, weights in enumerate(samples if self.curves else ()):
            values = np.array(
                [curve.values(weights) for curve in self.curves]
            )  # (classes, AP or recall, levels)
            held = ~np.isnan(values[:, 0, 0])
            if held.any():
                precision, recall = values[held].mean(axis=0)
                each = (precision.mean(), precision[0], precision[5], recall.mean())
                for name, value in zip(NAMES, each, strict=True):
                    found[name][row] = value
        return found


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
        of_masks, of_objects = (
            np.array([row["box"] for row in side], np.float64) for side in (masks, objects)
        )
        overlap = box_ops.iou(of_masks, of_objects, crowd=crowd)
    return match(scores, overlap, crowd, at_least=LEVELS, most=MOST)
