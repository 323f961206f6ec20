"""Label maps of a whole set: mIoU, pixel accuracy, IoU of each class, for any samples of pictures.

In:   a confusion a picture, counted by semantic.confusion
Out:  statistics; clusters are matched on all pictures, not in each sample, so that an interval is
      that of the named result
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from maskdistill.evaluation import matching, semantic
from maskdistill.evaluation.bootstrap import Statistic
from maskdistill.evaluation.rows import Measure


class LabelMaps:
    """The confusions of a set's pictures.

    Attributes:
        mapping: {cluster: class}. total: (classes, classes + 1), of all pictures, clusters renamed.
    """

    def __init__(
        self,
        by_picture: Sequence[np.ndarray | sparse.csr_array],
        *,
        rule: matching.Rule | None = "iou",
    ) -> None:
        """Match the clusters of all pictures.

        Args:
            by_picture: confusions (classes, columns + 1), whole or sparse.
            rule: of match_label_maps; None: columns are classes already.
        """
        self.shape, self.rule = by_picture[0].shape, rule
        # Most pictures hold few of the classes: 5000 of COCO's would be 0.3 GB as arrays.
        self.counts = sparse.vstack(
            [sparse.csr_array(each.reshape((1, -1))) for each in by_picture], format="csc"
        )
        summed = np.asarray(self.counts.sum(axis=0)).reshape(self.shape)
        self.mapping: dict[int, int] = {}
        self.total = summed
        if rule is not None:
            self.mapping, self.total = matching.match_label_maps(summed, rule=rule)
        self._last: tuple[np.ndarray | None, np.ndarray] = (None, np.zeros(0))

    @property
    def held(self) -> np.ndarray:
        """Return (classes,) bool: whether the truth holds each class."""
        return self.total.sum(axis=1) > 0

    def confusions(self, samples: np.ndarray) -> np.ndarray:
        """Return (samples, classes, classes + 1) pixels; what was asked last is not counted again.

        Args:
            samples: (samples, pictures) integers: how often each picture counts.
        """
        if self._last[0] is not samples:
            summed = np.asarray((self.counts.T @ samples.T).T).reshape(-1, *self.shape)
            if self.rule is not None:
                summed = matching.rename(summed, self.mapping, self.shape[0])
            self._last = (samples, summed)
        return self._last[1]

    def mean_iou(self, *, protocol: str = "occurring") -> Statistic:
        """Return mIoU as semantic.mean_iou has it.

        A class that a sample does not hold is left out of its mean (`paper`: counts 0).
        """
        return lambda samples: np.array(
            [semantic.mean_iou(each, protocol=protocol) for each in self.confusions(samples)]
        )

    def pixel_accuracy(self) -> Statistic:
        """Return the share of the valid pixels that are right."""
        return lambda samples: np.array(
            [semantic.pixel_accuracy(each) for each in self.confusions(samples)]
        )

    def iou_of_class(self, which: int) -> Statistic:
        """Return the IoU of one class; nan where a sample's truth does not hold it."""

        def statistic(samples: np.ndarray) -> np.ndarray:
            counts = self.confusions(samples)
            right, held = counts[:, which, which], counts[:, which].sum(axis=1)
            union = held + counts[:, :, which].sum(axis=1) - right
            return np.divide(right, union, out=np.full(len(counts), np.nan), where=held > 0)

        return statistic


def whole(stage: str, of: LabelMaps, *, text: str, protocol: str) -> list[Measure]:
    """Return mIoU and pixel accuracy of a stage.

    Args:
        text: how label maps were made and clusters named. protocol: of semantic.mean_iou.
    """
    iou = f"{text}; classes: {protocol}"
    return [
        Measure(stage, "mIoU", iou, of.mean_iou(protocol=protocol)),
        Measure(stage, "pixel_accuracy", text, of.pixel_accuracy()),
    ]


def by_class(stage: str, of: LabelMaps, names: Sequence[str], *, text: str) -> list[Measure]:
    """Return the IoU of each class that the truth holds.

    Args:
        names: of the classes, background first.
    """
    return [
        Measure(stage, f"IoU/{name}", text, of.iou_of_class(number))
        for number, name in enumerate(names)
        if of.held[number]
    ]
