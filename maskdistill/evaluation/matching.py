"""Clusters to classes: one to one (Hungarian), or each to its most frequent class (majority).

In:       counts (clusters, classes): how often each meets each
Out:      {cluster: class}; confusions and label maps of clusters renamed to classes
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

Rule = Literal["iou", "pixels", "majority"]  # of clusters of label maps to classes
RULES: dict[str, str] = {  # in the words of protocols
    "iou": "clusters to classes one to one by IoU",
    "pixels": "clusters to classes one to one by common pixels",
    "majority": "each cluster to its class of highest IoU",
}


def hungarian(
    counts: np.ndarray,
    by: Literal["count", "iou"] = "count",
    *,
    cluster_totals: np.ndarray | None = None,
    class_totals: np.ndarray | None = None,
) -> dict[int, int]:
    """Return the one-to-one matching of the largest sum of counts or of IoUs.

    Where there are more clusters than classes, or fewer, the surplus goes without a partner.

    Args:
        counts: (clusters, classes) of samples or pixels.
        cluster_totals, class_totals: for the unions; default: sums of the counts.
    Raises:
        ValueError: counts of another rank, another word for `by`.

    >>> hungarian(np.array([[5, 4], [6, 1], [0, 0]]))
    {0: 1, 1: 0}
    """
    rows, columns = linear_sum_assignment(-_weights(counts, by, cluster_totals, class_totals))
    return {int(row): int(column) for row, column in zip(rows, columns, strict=True)}


def majority(
    counts: np.ndarray,
    by: Literal["count", "iou"] = "count",
    *,
    cluster_totals: np.ndarray | None = None,
    class_totals: np.ndarray | None = None,
) -> dict[int, int]:
    """Return the best class of each cluster, of equal ones the lowest; several may share one.

    By count an empty cluster gets no class, by IoU class 0, as in the release. By count the release
    lets the class win that it meets first among the cluster's samples; the share of right samples
    is the same.

    Args:
        counts, cluster_totals, class_totals: as for `hungarian`.
    Raises:
        ValueError: counts of another rank, another word for `by`.

    >>> majority(np.array([[5, 4], [6, 1], [0, 0]]))
    {0: 0, 1: 0}
    """
    weights = _weights(counts, by, cluster_totals, class_totals)
    return {
        cluster: int(row.argmax())
        for cluster, row in enumerate(weights)
        if row.any() or (by == "iou" and len(row))
    }


def match_label_maps(
    confusion: np.ndarray, *, rule: Rule = "iou"
) -> tuple[dict[int, int], np.ndarray]:
    """Match the clusters of label maps with classes, background with background.

    Args:
        confusion: (classes, 1 + clusters + 1): column 0 background, 1 + cluster, the last any other
            value.
        rule: `iou` or `pixels`: one to one, the largest sum of IoUs or of common pixels;
            `majority`: each cluster to the class of highest IoU, several may share one (for more
            clusters than classes).
    Returns:
        {cluster: class}, and the confusion (classes, classes + 1) after renaming: clusters without
        a class are misses.
    Raises:
        ValueError: another rule.
    """
    n_classes = confusion.shape[0]
    counts = confusion[1:, 1:-1].T
    totals = {
        "cluster_totals": confusion[:, 1:-1].sum(axis=0),
        "class_totals": confusion[1:].sum(axis=1),
    }
    if rule == "majority":
        # By IoU a cluster that meets no class would get the first one: here it stays without, so
        # that its pixels are misses.
        matched = {
            each: best
            for each, best in majority(counts, "iou", **totals).items()
            if counts[each].any()
        }
    elif rule in ("iou", "pixels"):
        matched = hungarian(counts, "iou" if rule == "iou" else "count", **totals)
    else:
        raise ValueError(f"rule: wanted iou, pixels or majority, got {rule!r}")
    mapping = {cluster: which + 1 for cluster, which in matched.items()}
    return mapping, rename(confusion, mapping, n_classes)


def rename(confusion: np.ndarray, mapping: dict[int, int], n_classes: int) -> np.ndarray:
    """Return a confusion with its columns of clusters summed into those of classes.

    Args:
        confusion: (..., classes, 1 + clusters + 1): column 0 background, 1 + cluster, the last any
            other value. mapping: {cluster: class}; clusters without a class go to the last column.
    Returns:
        (..., classes, classes + 1) int64.
    """
    renamed = np.zeros((*confusion.shape[:-1], n_classes + 1), np.int64)
    renamed[..., 0] = confusion[..., 0]
    renamed[..., -1] = confusion[..., -1]
    for cluster in range(confusion.shape[-1] - 2):
        renamed[..., mapping.get(cluster, n_classes)] += confusion[..., 1 + cluster]
    return renamed


def rename_map(label_map: np.ndarray, mapping: Mapping[int, int]) -> np.ndarray:
    """Return a label map of clusters as one of classes; clusters without a class become 255.

    Args:
        label_map: (H, W) uint8: 0 background, 1 + cluster. mapping: {cluster: class}.

    >>> rename_map(np.array([[0, 1, 2]], np.uint8), {0: 7}).tolist()
    [[0, 7, 255]]
    """
    values = np.full(256, 255, np.uint8)
    values[0] = 0
    for cluster, which in mapping.items():
        if 1 + cluster < 255:  # 255 stays no class, whatever was matched
            values[1 + cluster] = which
    return values[label_map]


def _weights(
    counts: np.ndarray, by: str, cluster_totals: np.ndarray | None, class_totals: np.ndarray | None
) -> np.ndarray:
    counts = np.asarray(counts)
    if counts.ndim != 2:
        raise ValueError(f"counts: wanted (clusters, classes), found {counts.shape}")
    if by == "count":
        return counts.astype(np.float64)
    if by != "iou":
        raise ValueError(f"by: wanted count or iou, got {by!r}")
    of_clusters = counts.sum(axis=1) if cluster_totals is None else np.asarray(cluster_totals)
    of_classes = counts.sum(axis=0) if class_totals is None else np.asarray(class_totals)
    union = of_clusters[:, None] + of_classes[None] - counts
    return np.divide(counts, union, out=np.zeros(counts.shape), where=union > 0)
