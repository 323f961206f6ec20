"""Vectors to cluster ids: whitening by deviation, unit length, k-means; ids sorted by falling size.

Paper:    MaskDistill: scipy's `whiten`, L2 rows, mini-batch k-means of 1000, 20 clusters on VOC
In:       (n, d) float32
Out:      ids (n,) int64, centroids (k, d)
Differs:  full k-means with restarts is the other choice; one thread, because its sums differ with the threads
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans
from threadpoolctl import threadpool_limits

MOST = 254  # clusters: a label map has 8 bits, 0 is background and 255 ignore


@dataclass(frozen=True)
class Clustering:
    """ids (n,) int64, 0 the largest cluster; centroids (k, d) float32; inertia, the sum of squared distances."""

    ids: np.ndarray
    centroids: np.ndarray
    inertia: float


def scale_of(embeddings: np.ndarray, *, whiten: bool = True) -> np.ndarray:
    """(d,) float32: the deviation of each dimension (no centring, ddof 0), 1 where it is constant."""
    if not whiten:
        return np.ones(embeddings.shape[1], np.float32)
    varies = (embeddings != embeddings[:1]).any(axis=0)
    # Float32 sums give a thousand equal values of 0.3 a deviation of 6e-8: divided by it they would outweigh all else.
    deviation = np.where(varies, embeddings.std(axis=0), 0)
    return np.where(deviation > 0, deviation, 1).astype(np.float32)


def normalise(embeddings: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Each dimension divided by its scale, each row by its length; a row of zeros stays one."""
    scaled = embeddings / scale
    lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
    return np.divide(scaled, lengths, out=np.zeros_like(scaled), where=lengths > 0)


def fit(
    embeddings: np.ndarray,
    *,
    k: int,
    algorithm: Literal["full", "minibatch"] = "minibatch",
    restarts: int = 1,
    seed: int = 0,
) -> Clustering:
    """k-means on rows as `normalise` gives them; fewer distinct rows than k give fewer clusters.

    Raises:
        ValueError: no rows, k out of 1..254, another algorithm.
    """
    if not 1 <= k <= MOST:
        raise ValueError(f"k must be in 1..{MOST}, got {k}")
    if len(embeddings) == 0:
        raise ValueError("embeddings: there are none to cluster")
    k = min(k, len(np.unique(embeddings, axis=0)))
    if algorithm == "full":
        model = KMeans(k, n_init=restarts, random_state=seed)
    elif algorithm == "minibatch":
        model = MiniBatchKMeans(k, n_init=restarts, random_state=seed, batch_size=1000)
    else:
        raise ValueError(f"algorithm: wanted full or minibatch, got {algorithm!r}")
    with threadpool_limits(1):
        model.fit(embeddings)
        centroids = np.asarray(model.cluster_centers_, np.float32)
        ids = assign(embeddings, centroids)
        sizes = np.bincount(ids, minlength=k)
        order = [number for number in np.argsort(-sizes, kind="stable") if sizes[number]]
        centroids = centroids[order]
        ids = assign(embeddings, centroids)
    inertia = float(((embeddings - centroids[ids]) ** 2).sum(dtype=np.float64))
    return Clustering(ids=ids, centroids=centroids, inertia=inertia)


def assign(embeddings: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """(n,) int64, the nearest centroid of each row; a tie goes to the lower id."""
    if len(embeddings) == 0:
        return np.zeros(0, np.int64)
    squared = (centroids.astype(np.float64) ** 2).sum(axis=1)
    return (
        (squared - 2 * embeddings.astype(np.float64) @ centroids.T.astype(np.float64)).argmin(axis=1).astype(np.int64)
    )


def exemplars(
    embeddings: np.ndarray, ids: np.ndarray, centroids: np.ndarray, *, count: int, seed: int = 0
) -> list[dict[str, list[int]]]:
    """Of each cluster the rows nearest to its centroid, farthest from it, and drawn at random, `count` at most."""
    found = []
    for cluster, centroid in enumerate(centroids):
        rows = np.flatnonzero(ids == cluster)
        order = rows[np.argsort(((embeddings[rows] - centroid) ** 2).sum(axis=1), kind="stable")]
        drawn = np.random.default_rng([seed, cluster]).permutation(rows)[:count]
        found.append(
            {
                "nearest": order[:count].tolist(),
                "farthest": order[::-1][:count].tolist(),
                "random": np.sort(drawn).tolist(),
            }
        )
    return found
