"""Fitting: the settings of `cluster` to a clustering, by number of clusters, k-means, merging.

In:   the whitened embeddings (n, d) that are fitted on
Out:  Fitted: centroids, the cluster of each, what was tried on the way
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from maskdistill.clusters import kmeans, merging, number, streamed
from maskdistill.clusters.chunks import Rows
from maskdistill.engine import networks
from maskdistill.engine.job import Job

# Bytes of embeddings above which `solver: auto` streams them, 174 762 masks of 384 numbers: below,
# scikit-learn is 1.1 times as fast and its peak 110 MiB higher (100 000 masks: docs/results.md,
# bench_clusters.py memory). Another switch point is `cluster.solver`.
IN_MEMORY = 2**28


@dataclass(frozen=True)
class Fitted:
    """Hold a clustering: centroids, joined to clusters.

    Attributes:
        centroids: (m, d) float32, m at least the number of clusters.
        groups: (m,) int64, the cluster of each centroid.
        inertia: the sum of squared distances to the nearest centroids.
        curve: rows of `number.curve` where the number of clusters was chosen, else none.
    """

    centroids: np.ndarray
    groups: np.ndarray
    inertia: float
    curve: list[dict[str, Any]] = field(default_factory=list)

    @property
    def k(self) -> int:
        """Return the number of clusters."""
        return int(self.groups.max()) + 1

    def renamed(self, names: np.ndarray) -> Fitted:
        """Return the same with new ids; names (k,): the new id of each cluster."""
        return replace(self, groups=names[self.groups])

    def distances(self, rows: Rows) -> np.ndarray:
        """Return the distance from each row (n, d) to its nearest centroid, (n,) float32."""
        return np.sqrt(
            kmeans.squared_distances(rows, self.centroids, kmeans.assign(rows, self.centroids))
        )

    def assign(self, rows: Rows) -> np.ndarray:
        """Return the cluster of each row (n, d), (n,) int64."""
        return self.groups[kmeans.assign(rows, self.centroids)]


def fit(job: Job, stage: str, rows: np.ndarray) -> Fitted:
    """Return a clustering of rows (n, d), n at least 1.

    The ledger says what number of clusters was chosen or lowered.
    """
    own, seed = job.settings.cluster, job.settings.seed_of_chain
    curve: list[dict[str, Any]] = []
    if own.k == "auto":
        curve = number.curve(rows, range(2, own.k_most + 1), seed=seed)
        wanted = number.chosen(curve)
        job.ledger.write("note", stage=stage, what="number of clusters chosen", value=wanted)
        job.progress.say(f"{stage}: {wanted} clusters, chosen by stability")
    else:
        wanted = own.k or from_masks(len(rows))
    made = _solved(job, stage, rows, k=max(wanted, own.merge_from))
    k = min(wanted, len(made.centroids))
    if k < wanted and own.k:
        few = f"{len(rows)} masks" if len(rows) < wanted else f"{k} unlike masks among {len(rows)}"
        job.ledger.write(
            "warning", stage=stage, what=f"{few} for {wanted} clusters: {k} clusters are used"
        )
        job.progress.say(f"{stage}: only {few}, so {k} clusters in place of {wanted}")
    groups = merging.merged(made.centroids, np.bincount(made.ids), k=k)
    return Fitted(made.centroids, groups, made.inertia, curve)


def solver(job: Job, rows: np.ndarray) -> str:
    """Return what does k-means: sklearn or torch.

    It is torch where that was asked for, else on a GPU and for what is large; mini-batches never.
    """
    own = job.settings.cluster
    if own.solver != "auto":
        return own.solver
    if own.kmeans == "minibatch":  # scikit-learn's reads a batch at a time, from a memory map too
        return "sklearn"
    is_large = 4 * rows.shape[0] * rows.shape[1] > IN_MEMORY
    return "torch" if is_large or networks.device(job).type == "cuda" else "sklearn"


def _solved(job: Job, stage: str, rows: np.ndarray, *, k: int) -> kmeans.Clustering:
    """Return the k clusters of rows (n, d) as k-means makes them."""
    own, seed = job.settings.cluster, job.settings.seed_of_chain
    if solver(job, rows) == "sklearn" or own.kmeans == "minibatch":
        return kmeans.fit(
            np.asarray(rows), k=k, algorithm=own.kmeans, restarts=own.restarts, seed=seed
        )
    device, threads = networks.device(job), torch.get_num_threads()
    job.ledger.write(
        "note", stage=stage, what="k-means in torch", value=f"{device}, {rows.shape[0]} rows"
    )
    return streamed.fit(
        rows,
        k=k,
        algorithm=own.kmeans,
        restarts=own.restarts,
        seed=seed,
        device=device,
        threads=threads,
    )


def from_masks(n_masks: int) -> int:
    """Return how many clusters there are when nobody said it.

    About the square root of half the masks, 2 to 20.
    """
    return int(np.clip(round((n_masks / 2) ** 0.5), 2, 20))
