"""Label maps of a whole set: counted a picture at a time, matched once over all, valued for any samples of pictures.

Clusters are matched on all pictures, not in each sample: the interval is that of the named result.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from maskdistill.evaluation import matching, semantic
from maskdistill.evaluation.bootstrap import Statistic


class LabelMaps:
    """The confusions of a set's pictures.

    Attributes:
        mapping: {cluster: class}. total: (classes, classes + 1), of all pictures, clusters renamed.
    """

    def __init__(
        self, by_picture: Sequence[np.ndarray], *, rule: matching.Rule | None = "iou"
    ) -> None:
        """Args: by_picture: confusions (classes, columns + 1). rule: of match_label_maps; None: columns are classes."""
        self.shape, self.rule = by_picture[0].shape, rule
        # Most pictures hold few of the classes: 5000 of COCO's would be 0.3 GB as arrays.
        self.counts = sparse.vstack(
            [sparse.csr_array(each.reshape(1, -1)) for each in by_picture], format="csc"
        )
        summed = np.asarray(self.counts.sum(axis=0)).reshape(self.shape)
        self.mapping: dict[int, int] = {}
        self.total = summed
        if rule is not None:
            self.mapping, self.total = matching.match_label_maps(summed, rule=rule)
        self._last: tuple[np.ndarray | None, np.ndarray] = (None, np.zeros(0))

    def confusions(self, samples: np.ndarray) -> np.ndarray:
        """(samples, classes, classes + 1); what was asked last is not counted again.

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
        """As semantic.mean_iou; a class that a sample does not hold is left out of its mean (`paper`: counts 0)."""
        return lambda samples: np.array(
            [semantic.mean_iou(each, protocol=protocol) for each in self.confusions(samples)]
        )

    def pixel_accuracy(self) -> Statistic:
        """Share of the valid pixels that are right."""
        return lambda samples: np.array(
            [semantic.pixel_accuracy(each) for each in self.confusions(samples)]
        )

    def iou_of_class(self, which: int) -> Statistic:
        """IoU of one class; nan where a sample's truth does not hold it."""

        def statistic(samples: np.ndarray) -> np.ndarray:
            counts = self.confusions(samples)
            right, held = counts[:, which, which], counts[:, which].sum(axis=1)
            union = held + counts[:, :, which].sum(axis=1) - right
            return np.divide(right, union, out=np.full(len(counts), np.nan), where=held > 0)

        return statistic


def ratio(part: np.ndarray, whole: np.ndarray) -> Statistic:
    """The sum of one number over the sum of another, each (pictures,); nan where the latter is 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)

    def statistic(samples: np.ndarray) -> np.ndarray:
        above, below = samples @ part, samples @ whole
        return np.divide(above, below, out=np.full(len(samples), np.nan), where=below > 0)

    return statistic


def mean_of_ratios(parts: np.ndarray, wholes: np.ndarray) -> Statistic:
    """The mean over classes of ratios of sums, each (pictures, classes); a class whose sum is 0 is left out."""

    def statistic(samples: np.ndarray) -> np.ndarray:
        above, below = samples @ parts, samples @ wholes
        held = below > 0
        each = np.divide(above, below, out=np.zeros(above.shape), where=held)
        n = held.sum(axis=1)
        return np.divide(each.sum(axis=1), n, out=np.full(len(samples), np.nan), where=n > 0)

    return statistic
