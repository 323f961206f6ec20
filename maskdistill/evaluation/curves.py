"""Average precision (AP, AP50, AP75) and recall (AR100) of a set, for any samples of pictures.

In:       objects and masks of pictures, as records; masks are matched once
Out:      a statistic a number, by mask or box, of classes or of one
Differs:  nothing: equal to instances.average_precision to 1e-12 where each picture counts once
Library:  faster-coco-eval judges one set a call: 200 samples would match the masks 200 times
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from maskdistill.evaluation.bootstrap import Statistic
from maskdistill.evaluation.mask_matches import Curve, Matched, match
from maskdistill.evaluation.records import Records, boxes
from maskdistill.masks import boxes as box_ops
from maskdistill.masks import rle

LEVELS = np.linspace(0.5, 0.95, 10)  # IoU from which a mask is right; source: COCO's evaluation
NAMES = ("AP", "AP50", "AP75", "AR100")
MOST = 100  # masks a picture and class; source: COCO's evaluation, its largest maxDets


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
