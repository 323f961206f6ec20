"""Number of clusters: stability under resampling, and silhouette, over a range of numbers.

Paper:    none, it takes the number of classes. Stability: Ben-Hur et al., PSB 2002; Lange et al.,
          NeurIPS 2002
In:       (n, d) float32 as k-means takes them
Out:      the number chosen, and a row {"k", "stability", "spread", "silhouette"} of each tried
Differs:  the rule is ours: the last peak of stability that comes near the best, and of numbers
          beside it that are as stable, for all that halvings can tell, the fewest
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score
from threadpoolctl import threadpool_limits

from maskdistill.clusters.kmeans import assign

NEAR = 0.9  # of the best stability: docs/log/clusters.md
# Standard errors of a mean over the halvings, within which two numbers are as stable as each other:
# docs/log/clusters.md, 2026-11-28.
ERRORS = 2.0


def curve(
    embeddings: np.ndarray,
    numbers: Iterable[int],
    *,
    halvings: int = 10,
    most: int = 2000,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return how stable and how well parted each number of clusters is.

    Stability: the rows are halved, each half is clustered, all rows are assigned by both; it is the
    mean adjusted Rand index of the two over the halvings, in about [0, 1], its deviation the
    `spread`. Silhouette: of all rows, in [-1, 1].

    Args:
        embeddings: (n, d) float32.
        numbers: 2 or more each; one above a quarter of the distinct rows is left out: its halves
            would say nothing.
        halvings: times that the rows are halved.
        most: rows; of more so many are drawn.
    Returns:
        A row {"k", "stability", "spread", "silhouette"} of each number that was tried, maybe none.
    """
    rows = embeddings
    if len(rows) > most:
        rows = rows[np.sort(np.random.default_rng([seed, most]).permutation(len(rows))[:most])]
    distinct = len(np.unique(rows, axis=0))
    found = []
    with threadpool_limits(1):
        for k in numbers:
            if not 2 <= k <= distinct // 4:
                continue
            ids = KMeans(k, n_init=10, random_state=seed % 2**32).fit(rows).labels_
            agreed = [
                _agreement(rows, k, np.random.default_rng([seed, k, draw]), seed)
                for draw in range(halvings)
            ]
            found.append(
                {
                    "k": int(k),
                    "stability": round(float(np.mean(agreed)), 6),
                    "spread": round(float(np.std(agreed)), 6),
                    "silhouette": round(float(silhouette_score(rows, ids)), 6)
                    if len(set(ids)) > 1
                    else 0.0,
                }
            )
    return found


def chosen(rows: Sequence[dict[str, Any]], *, halvings: int = 10) -> int:
    """Return the largest number at a peak of stability with at least NEAR of the best stability.

    Few clusters are stable too where each holds several kinds: the best stability alone would
    choose those. A peak that does not stand out from the fewer clusters beside it, by ERRORS times
    its standard error, is of the draws: as with the one-standard-error rule of Breiman et al.
    (1984) the fewest of such a row of numbers is chosen.

    Args:
        rows: as `curve` gives them. halvings: that `spread` is of.
    Returns:
        A number of clusters; 1 where nothing was tried.
    """
    if not rows:
        return 1
    stability = np.array([row["stability"] for row in rows])
    around = np.concatenate([[-np.inf], stability, [-np.inf]])
    is_peak = (stability >= around[:-2]) & (stability >= around[2:])
    place = int(np.flatnonzero(is_peak & (stability >= NEAR * stability.max())).max())
    least = stability[place] - ERRORS * rows[place]["spread"] / halvings**0.5
    while place and stability[place - 1] >= least:
        place -= 1
    return int(rows[place]["k"])


def _agreement(rows: np.ndarray, k: int, rng: np.random.Generator, seed: int) -> float:
    """Return the adjusted Rand index, over all rows, of the clusterings of two halves."""
    order = rng.permutation(len(rows))
    halves = order[: len(rows) // 2], order[len(rows) // 2 :]
    ids = [
        assign(
            rows,
            KMeans(k, n_init=3, random_state=seed % 2**32)
            .fit(rows[np.sort(half)])
            .cluster_centers_,
        )
        for half in halves
    ]
    return float(adjusted_rand_score(*ids))
