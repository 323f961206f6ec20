"""Clusters of masks against classes: accuracy, NMI, ARI; and which class a mask has.

In:   the cluster and the class of each mask
Out:  shares and agreements, nan without masks; as statistics over pictures by `Samples`
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from maskdistill.evaluation.bootstrap import Statistic
from maskdistill.evaluation.matching import hungarian

OF_ACCURACY = "clusters to classes one to one (Hungarian by count on this split)"
OF_ONE = "all in one cluster"
OF_RAW = "raw clusters"


def table(
    clusters: np.ndarray, classes: np.ndarray, *, n_clusters: int, n_classes: int
) -> np.ndarray:
    """Return (n_clusters, n_classes) int64: how often each cluster meets each class.

    >>> table(np.array([0, 0, 1]), np.array([2, 2, 0]), n_clusters=2, n_classes=3).tolist()
    [[0, 0, 2], [1, 0, 0]]
    """
    counts = np.zeros((n_clusters, n_classes), np.int64)
    np.add.at(counts, (np.asarray(clusters), np.asarray(classes)), 1)
    return counts


def accuracy(counts: np.ndarray, mapping: dict[int, int] | None = None) -> float:
    """Return the share of masks whose cluster is matched with their class; nan without masks.

    Args:
        counts: (clusters, classes).
        mapping: {cluster: class}; default: Hungarian by count.

    >>> accuracy(np.array([[3, 1], [0, 4]]))
    0.875
    """
    mapping = hungarian(counts) if mapping is None else mapping
    total = counts.sum()
    return (
        float(sum(counts[cluster, which] for cluster, which in mapping.items()) / total)
        if total
        else float("nan")
    )


def nmi(counts: np.ndarray) -> float:
    """Return the normalised mutual information (arithmetic mean of the entropies) of raw clusters.

    Args:
        counts: (clusters, classes), how often each meets each; nan without masks.
    Twin: tests/reference/clusters.py, scikit-learn's.
    """
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
    # Independent clusters and classes leave a rest of some 1e-16 that no entropy should divide.
    return max(0.0, mutual) / (sum(entropies) / 2) if mutual > 1e-15 else 0.0


def ari(counts: np.ndarray) -> float:
    """Return the adjusted Rand index of raw clusters: pairs of masks, less what chance gives.

    Args:
        counts: (clusters, classes), how often each meets each; nan without masks.
    Twin: tests/reference/clusters.py, scikit-learn's.
    """
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


def entropy(counts: np.ndarray) -> float:
    """Return how evenly things are spread over clusters: -sum_c p_c ln p_c / ln k, in [0, 1].

    0 where one cluster holds all, 1 where all hold the same; of k = 1 it is 0. No ground truth is
    in it.

    Args:
        counts: (k,) masks or pixels of each cluster, p_c their shares; nan where there are none.

    >>> entropy(np.array([3, 3])), entropy(np.array([5, 0, 0]))
    (1.0, 0.0)
    """
    total = counts.sum()
    if not total:
        return float("nan")
    shares = counts[counts > 0] / total
    # A sum of -0 is no share of anything.
    return float(-(shares * np.log(shares)).sum() / np.log(len(counts))) if len(shares) > 1 else 0.0


class Samples:
    """Masks of many pictures with cluster and class: agreement for any samples of the pictures.

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
        """Match the clusters of all masks.

        Args:
            pictures, clusters, classes: (masks,) each: the place of the mask's picture, its
                cluster, its class.
        """
        self.pictures, self.shape = np.asarray(pictures, np.int64), (n_clusters, n_classes)
        self.cells = np.asarray(clusters, np.int64) * n_classes + np.asarray(classes, np.int64)
        self.mapping = hungarian(
            table(clusters, classes, n_clusters=n_clusters, n_classes=n_classes)
        )

    def statistic(self, of: Literal["accuracy", "nmi", "ari"]) -> Statistic:
        """Return one of the three for samples (samples, pictures) of weights -> (samples,)."""
        measures: dict[str, Callable[[np.ndarray], float]] = {
            "accuracy": lambda counts: accuracy(counts, self.mapping),
            "nmi": nmi,
            "ari": ari,
        }
        measure = measures[of]
        return lambda samples: np.array([measure(self._table(weights)) for weights in samples])

    def largest_class(self, samples: np.ndarray) -> np.ndarray:
        """Return (samples,): what one single cluster would reach, matched over all pictures."""
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


def class_of_best(iou: np.ndarray, classes: np.ndarray, *, at_least: float = 0.0) -> np.ndarray:
    """Return (n,) int64: the class of the object that each mask overlaps most, -1 without one.

    Of several equal ones the first counts; with the default that is so even if all are 0, as in the
    release.

    Args:
        iou: (n, objects). classes: (objects,). at_least: IoU below which a mask has no class.
    """
    if iou.shape[1] == 0:
        return np.full(len(iou), -1, np.int64)
    best = iou.argmax(axis=1)
    return np.where(
        iou[np.arange(len(iou)), best] >= at_least, np.asarray(classes, np.int64)[best], -1
    )


def class_inside(labels: np.ndarray, *, at_least: float) -> int:
    """Return the class of a mask from its pixels: the most frequent one, -1 if it is too rare.

    Args:
        labels: (n,) integers: 0 (background) and 255 (ignored) are no classes, but count as pixels;
            of equally frequent classes the lowest is taken.
        at_least: share of the pixels that the class must have.
    """
    counts = np.bincount(labels[labels != 255], minlength=1)
    counts[0] = 0
    best = int(counts.argmax())
    return best if best and counts[best] >= at_least * len(labels) else -1
