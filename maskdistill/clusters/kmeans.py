"""K-means: unit vectors to cluster ids, sorted by falling size, no cluster empty.

Paper:    MaskDistill: mini-batch k-means of 1000, 20 clusters on VOC
In:       (n, d) float32, finite, as `whitening.normalise` gives them
Out:      ids (n,) int64, centroids (k, d)
Differs:  full k-means with restarts and spherical are other choices; one thread, because its sums
          differ with them; scikit-learn's wants all rows in memory (mini-batches do not),
          `streamed` does not
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans, kmeans_plusplus
from threadpoolctl import threadpool_limits

from maskdistill.clusters import chunks
from maskdistill.types import MOST_IDS

ROUNDS = 300  # of Lloyd's iteration, scikit-learn's number
Algorithm = Literal["full", "minibatch", "spherical"]


@dataclass(frozen=True)
class Clustering:
    """Hold the clusters of n rows.

    Attributes:
        ids: (n,) int64, 0 the largest cluster. centroids: (k, d) float32.
        inertia: the sum of squared distances of the rows to their centroids.
    """

    ids: np.ndarray
    centroids: np.ndarray
    inertia: float


def fit(
    embeddings: np.ndarray,
    *,
    k: int,
    algorithm: Algorithm = "minibatch",
    restarts: int = 1,
    seed: int = 0,
) -> Clustering:
    """Return a clustering by k-means; of fewer distinct rows than k, one cluster a distinct row.

    Args:
        embeddings: (n, d) float32, finite.
        k: clusters, 1 .. 254.
        algorithm: minibatch of 1000 rows; full; spherical: full, with centroids kept at length 1.
        restarts: starts by k-means++, of which the lowest inertia is kept.
        seed: 0 or more; scikit-learn's draws know its last 32 bits alone.
    Raises:
        ValueError: no rows, rows that are not finite, k out of 1..254, another algorithm.
    """
    k = checked(embeddings, k)
    if algorithm not in ("full", "minibatch", "spherical"):
        raise ValueError(f"algorithm: wanted full, minibatch or spherical, got {algorithm!r}")
    with threadpool_limits(1):
        if algorithm == "spherical":
            centroids = _spherical(embeddings, k=k, restarts=restarts, seed=seed)
        elif algorithm == "full":
            centroids = (
                KMeans(k, n_init=restarts, random_state=seed % 2**32)
                .fit(embeddings)
                .cluster_centers_
            )
        else:
            model = MiniBatchKMeans(k, n_init=restarts, random_state=seed % 2**32, batch_size=1000)
            centroids = model.fit(embeddings).cluster_centers_
        centroids = reseeded(embeddings, np.asarray(centroids, np.float32))
        return by_size(embeddings, centroids)


def checked(embeddings: chunks.Rows, k: int) -> int:
    """Return the number of clusters: k, or that of the distinct rows where they are fewer.

    Args:
        embeddings: (n, d).
    Raises:
        ValueError: no rows, rows that are not finite, k out of 1..254.
    """
    if not 1 <= k <= MOST_IDS:
        raise ValueError(f"k must be in 1..{MOST_IDS}, got {k}")
    if len(embeddings) == 0:
        raise ValueError("embeddings: there are none to cluster")
    if not chunks.are_finite(embeddings):
        raise ValueError("embeddings: some are not finite")
    return chunks.distinct(embeddings, most=k)


def assign(embeddings: chunks.Rows, centroids: np.ndarray) -> np.ndarray:
    """Return the nearest centroid of each row, (n,) int64; a tie goes to the lower id.

    Args:
        embeddings: (n, d). centroids: (k, d).
    """
    exact = centroids.astype(np.float64)
    squared = (exact**2).sum(axis=1)
    found = np.zeros(len(embeddings), np.int64)
    for part in chunks.pieces(embeddings):
        found[part] = (squared - 2 * embeddings[part].astype(np.float64) @ exact.T).argmin(axis=1)
    return found


def by_size(embeddings: chunks.Rows, centroids: np.ndarray) -> Clustering:
    """Return the clustering of rows (n, d) by centroids (k, d), ids by falling size.

    A centroid that no row is nearest to is left out.
    """
    sizes = np.bincount(assign(embeddings, centroids), minlength=len(centroids))
    centroids = centroids[[number for number in np.argsort(-sizes, kind="stable") if sizes[number]]]
    ids = assign(embeddings, centroids)
    inertia = sum(
        float(((embeddings[part] - centroids[ids[part]]) ** 2).sum(dtype=np.float64))
        for part in chunks.pieces(embeddings)
    )
    return Clustering(ids=ids, centroids=centroids, inertia=inertia)


def reseeded(embeddings: chunks.Rows, centroids: np.ndarray) -> np.ndarray:
    """Return centroids (k, d) of which none is empty.

    Each empty one starts again at the row that is farthest from its own centroid. Full k-means has
    no empty ones where there are k distinct rows; mini-batches and drawn starts may.

    Args:
        embeddings: (n, d), at least as many distinct rows as there are centroids.
        centroids: (k, d) float32; they stay as they are.
    """
    centroids = centroids.copy()
    # Each time the inertia falls; a bound, should rounding stop that.
    for _ in range(10 * len(centroids)):
        ids = assign(embeddings, centroids)
        sizes = np.bincount(ids, minlength=len(centroids))
        empty = np.flatnonzero(sizes == 0)
        if not len(empty):
            break
        away = squared_distances(embeddings, centroids, ids)
        away[sizes[ids] == 1] = -1  # alone: moved, it would leave an empty one behind
        farthest = int(away.argmax())
        centroids[empty[0]] = embeddings[farthest : farthest + 1][0]
        rest = ids == ids[farthest]
        rest[farthest] = False
        centroids[ids[farthest]] = chunks.mean_at(embeddings, np.flatnonzero(rest))
    return centroids


def squared_distances(
    embeddings: chunks.Rows, centroids: np.ndarray, ids: np.ndarray
) -> np.ndarray:
    """Return the squared distance (n,) float32 of each row to the centroid of its id.

    Args:
        embeddings: (n, d). centroids: (k, d). ids: (n,).
    """
    found = np.zeros(len(embeddings), np.float32)
    for part in chunks.pieces(embeddings):
        found[part] = ((embeddings[part] - centroids[ids[part]]) ** 2).sum(axis=1)
    return found


def spherical_start(embeddings: np.ndarray, *, k: int, seed: int, start: int) -> np.ndarray:
    """Return the nth start of spherical k-means, (k, d) float32, by k-means++.

    Args:
        embeddings: (n, d). start: its number, from 0.
    """
    drawn = np.random.RandomState((seed + 7919 * start) % 2**32)
    return np.asarray(kmeans_plusplus(embeddings, k, random_state=drawn)[0], np.float32)


def _spherical(embeddings: np.ndarray, *, k: int, restarts: int, seed: int) -> np.ndarray:
    """Return the centroids (k, d) of the best start of Lloyd's iteration, of length 1.

    One whose rows cancel out stays as it was.
    """
    best, lowest = embeddings[:k], np.inf
    for start in range(restarts):
        centroids = spherical_start(embeddings, k=k, seed=seed, start=start)
        ids = np.full(len(embeddings), -1)
        for _ in range(ROUNDS):
            centroids = reseeded(embeddings, centroids)
            before, ids = ids, assign(embeddings, centroids)
            if (ids == before).all():
                break
            for number in range(k):
                mean = embeddings[ids == number].mean(axis=0)
                length = np.linalg.norm(mean)
                if length > 0:
                    centroids[number] = mean / length
        inertia = float(((embeddings - centroids[ids]) ** 2).sum(dtype=np.float64))
        if inertia < lowest:
            best, lowest = centroids, inertia
    return best
