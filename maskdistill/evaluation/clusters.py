"""How well cluster ids agree with classes, mask by mask."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from maskdistill.evaluation.matching import hungarian


def table(clusters: np.ndarray, classes: np.ndarray, *, n_clusters: int, n_classes: int) -> np.ndarray:
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
    return float(sum(counts[cluster, which] for cluster, which in mapping.items()) / total) if total else float("nan")


def nmi(clusters: np.ndarray, classes: np.ndarray) -> float:
    """Normalised mutual information, arithmetic mean; on raw clusters; nan without samples."""
    return float(normalized_mutual_info_score(classes, clusters)) if len(classes) else float("nan")


def ari(clusters: np.ndarray, classes: np.ndarray) -> float:
    """Adjusted Rand index; on raw clusters; nan without samples."""
    return float(adjusted_rand_score(classes, clusters)) if len(classes) else float("nan")


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
    return np.where(iou[np.arange(len(iou)), best] >= at_least, np.asarray(classes, np.int64)[best], -1)
