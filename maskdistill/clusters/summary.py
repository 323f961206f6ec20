"""Summary of each cluster: exemplars, how wide it is, the nearest other one.

In:       (n, d) float32 as they were clustered, ids (n,), centroids (k, d)
Out:      plain lists, for clusters.json and the report
"""

from __future__ import annotations

import numpy as np

from maskdistill.clusters import chunks, kmeans


def exemplars(
    embeddings: chunks.Rows, ids: np.ndarray, centroids: np.ndarray, *, count: int, seed: int = 0
) -> list[dict[str, list[int]]]:
    """Return rows that show each cluster.

    Args:
        embeddings: (n, d). ids: (n,). centroids: (k, d).
        count: rows of each kind at most.
    Returns:
        {"nearest", "farthest", "random"} a cluster: rows nearest to its centroid, farthest from it,
        and drawn by the seed.
    """
    found = []
    away = kmeans.squared_distances(embeddings, centroids, ids)
    for cluster in range(len(centroids)):
        rows = np.flatnonzero(ids == cluster)
        order = rows[np.argsort(away[rows], kind="stable")]
        drawn = np.random.default_rng([seed, cluster]).permutation(rows)[:count]
        found.append(
            {
                "nearest": order[:count].tolist(),
                "farthest": order[::-1][:count].tolist(),
                "random": np.sort(drawn).tolist(),
            }
        )
    return found


def means(embeddings: chunks.Rows, ids: np.ndarray, k: int) -> np.ndarray:
    """Return the mean of each cluster's rows, (k, d) float32; zeros for one without rows.

    Args:
        embeddings: (n, d). ids: (n,), 0 .. k - 1.
    """
    found = np.zeros((k, embeddings.shape[1]), np.float32)
    for cluster in range(k):
        places = np.flatnonzero(ids == cluster)
        if len(places):
            found[cluster] = chunks.mean_at(embeddings, places)
    return found


def spreads(embeddings: chunks.Rows, ids: np.ndarray, centroids: np.ndarray) -> list[float | None]:
    """Return the root mean square distance of each cluster's rows to its centroid.

    Args:
        embeddings: (n, d), rows of length 1. ids: (n,). centroids: (k, d).
    Returns:
        A number in [0, 2] a cluster; None for one without rows.
    """
    squared = np.zeros(len(ids))
    for part in chunks.pieces(embeddings):
        squared[part] = ((embeddings[part] - centroids[ids[part]]) ** 2).sum(
            axis=1, dtype=np.float64
        )
    found = [squared[ids == cluster] for cluster in range(len(centroids))]
    return [round(float(np.sqrt(each.mean())), 6) if len(each) else None for each in found]


def nearest_others(centroids: np.ndarray) -> list[dict[str, float | int] | None]:
    """Return of each cluster the other one whose centroid is nearest, and its distance.

    A distance below the spread of both says that the two may be one kind.

    Args:
        centroids: (k, d).
    Returns:
        {"cluster", "distance"} a cluster; None where there is no other.
    """
    if len(centroids) == 1:
        return [None]
    exact = centroids.astype(np.float64)
    apart = np.sqrt(((exact[:, None] - exact[None]) ** 2).sum(axis=2))
    np.fill_diagonal(apart, np.inf)
    others = apart.argmin(axis=1)
    return [
        {"cluster": int(other), "distance": round(float(apart[cluster, other]), 6)}
        for cluster, other in enumerate(others)
    ]
