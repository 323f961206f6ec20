"""How well cluster ids agree with classes, mask by mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from maskdistill.evaluation.matching import hungarian


def table(
    clusters: np.ndarray, classes: np.ndarray, *, n_clusters: int, n_classes: int
) -> np.ndarray:
    """(n_clusters, n_classes) int64: how often each cluster meets each class."""
    counts = np.zeros((n_clusters, n_classes), np.int64)
    np.add.at(counts, (np.asarray(clusters), np.asarray(classes)), 1)
    return counts


def accuracy(counts: np.ndarray, mapping: dict[int, int] | None = None) -> float:
    """Share of samples whose cluster is matched with their class; nan without samples.

    Args:
        counts: (clusters, classes).
        mapping: {cluster: class}; default: Hungarian by count.
    """
    mapping = hungarian(counts) if mapping is None else mapping
    total = counts.sum()
    return (
        float(sum(counts[cluster, which] for cluster, which in mapping.items()) / total)
        if total
        else float("nan")
    )


def nmi(clusters: np.ndarray, classes: np.ndarray) -> float:
    """Normalised mutual information, arithmetic mean; on raw clusters; nan without samples."""
    return float(normalized_mutual_info_score(classes, clusters)) if len(classes) else float("nan")


def ari(clusters: np.ndarray, classes: np.ndarray) -> float:
    """Adjusted Rand index; on raw clusters; nan without samples."""
    return float(adjusted_rand_score(classes, clusters)) if len(classes) else float("nan")


class Samples:
    """Masks with cluster and class, of many pictures: agreement for any samples of the pictures.

    Attributes:
        mapping: {cluster: class}, Hungarian by count over all pictures.
    """

    def __init__(
        self,
        pictures: np.ndarray,
        clusters: np.ndarray,
        classes: np.ndarray,
        *,
        n_clusters: int,
        n_classes: int,
    ) -> None:
        """Args: (masks,) each: the place of the mask's picture, its cluster, its class."""
        self.pictures, self.shape = np.asarray(pictures, np.int64), (n_clusters, n_classes)
        self.cells = np.asarray(clusters, np.int64) * n_classes + np.asarray(classes, np.int64)
        self.mapping = hungarian(
            table(clusters, classes, n_clusters=n_clusters, n_classes=n_classes)
        )

    def statistic(
        self, of: Literal["accuracy", "nmi", "ari"]
    ) -> Callable[[np.ndarray], np.ndarray]:
        """One of the three for samples (samples, pictures) of weights -> (samples,)."""
        measure = {
            "accuracy": lambda counts: accuracy(counts, self.mapping),
            "nmi": nmi_of,
            "ari": ari_of,
        }[of]
        return lambda samples: np.array([measure(self._table(weights)) for weights in samples])

    def largest_class(self, samples: np.ndarray) -> np.ndarray:
        """(samples,): the share of the most frequent class over all pictures: what one single cluster would reach."""
        everything = self._table(np.ones(samples.shape[1], np.int64)).sum(axis=0)
        mapping = {0: int(everything.argmax())}
        return np.array(
            [
                accuracy(self._table(weights).sum(axis=0, keepdims=True), mapping)
                for weights in samples
            ]
        )

    def _table(self, weights: np.ndarray) -> np.ndarray:
        size = self.shape[0] * self.shape[1]
        return np.bincount(self.cells, weights[self.pictures], minlength=size).reshape(self.shape)


def nmi_of(counts: np.ndarray) -> float:
    """The same of a table (clusters, classes) of how often each meets each; nan without samples."""
    counts = counts[counts.any(axis=1)][:, counts.any(axis=0)].astype(np.float64)
    if not counts.size:
        return float("nan")
    if counts.shape == (1, 1):
        return 1.0
    shares = counts / counts.sum()
    of_clusters, of_classes = shares.sum(axis=1), shares.sum(axis=0)
    expected = np.outer(of_clusters, of_classes)
    met = shares > 0
    mutual = float((shares[met] * np.log(shares[met] / expected[met])).sum())
    entropies = [float(-(each * np.log(each)).sum()) for each in (of_clusters, of_classes)]
    return max(0.0, mutual) / (sum(entropies) / 2) if mutual > 1e-15 else 0.0


def ari_of(counts: np.ndarray) -> float:
    """The same of a table (clusters, classes) of how often each meets each; nan without samples."""
    counts = np.asarray(counts, np.float64)
    n = counts.sum()
    if not n:
        return float("nan")
    both = (counts**2).sum() - n  # ordered pairs of one cluster and one class
    one_cluster, one_class = ((counts.sum(axis=axis) ** 2).sum() - n for axis in (1, 0))
    neither = n * (n - 1) - one_cluster - one_class + both
    missed, false = one_class - both, one_cluster - both
    if missed == 0 and false == 0:
        return 1.0
    below = (both + missed) * (missed + neither) + (both + false) * (false + neither)
    return float(2 * (both * neither - missed * false) / below)


def class_inside(labels: np.ndarray, *, at_least: float) -> int:
    """Class of a mask from the labels (n,) of its pixels: the most frequent one, -1 if it has less than `at_least`.

    0 (background) and 255 (ignored) are no classes, but count as pixels; of equal ones the lowest.
    """
    counts = np.bincount(labels[labels != 255], minlength=1)
    counts[0] = 0
    best = int(counts.argmax())
    return best if best and counts[best] >= at_least * len(labels) else -1


def class_of_best(iou: np.ndarray, classes: np.ndarray, *, at_least: float = 0.0) -> np.ndarray:
    """(n,) int64: class of the object that each mask overlaps most, -1 where none reaches `at_least` or there is none.

    Of several equal ones the first counts; with the default that is so even if all are 0, as in the release.

    Args:
        iou: (n, objects). classes: (objects,).
    """
    if iou.shape[1] == 0:
        return np.full(len(iou), -1, np.int64)
    best = iou.argmax(axis=1)
    return np.where(
        iou[np.arange(len(iou)), best] >= at_least, np.asarray(classes, np.int64)[best], -1
    )
