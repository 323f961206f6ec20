"""Streamed k-means: any number of rows on any device, all starts at once, rows by chunks.

Paper:    none; Lloyd 1982 in torch, k-means++ (Arthur and Vassilvitskii 2007) on a drawn sample
In:       (n, d) float32, finite: an array, or a memory map larger than memory
Out:      as kmeans.fit: ids sorted by falling size, no cluster empty
Differs:  float32 products, sums across chunks in float64; starts are drawn of at most SAMPLE rows
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import torch
from sklearn.cluster import kmeans_plusplus
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn import functional

from maskdistill.clusters import chunks, kmeans

# Rows that starts are drawn of: 48 MiB of 384 numbers (docs/reproduce.md, k-means).
SAMPLE = 2**15
# Numbers in the larger of rows and products of a chunk; CPU: both lie in the caches
# (docs/log/clusters.md, 2026-11-28); a GPU's: 256 MiB, not measured.
NUMBERS = {"cpu": 2**20, "cuda": 2**26}
Algorithm = Literal["full", "spherical"]
Made = TypeVar("Made")


@dataclass(frozen=True)
class Found:
    """Hold the end of each start.

    Attributes:
        centroids: (starts, k, d) float32. inertia: (starts,) float64. rounds: (starts,) int64.
    """

    centroids: np.ndarray
    inertia: np.ndarray
    rounds: np.ndarray


def fit(
    rows: chunks.Rows,
    *,
    k: int,
    algorithm: Algorithm = "full",
    restarts: int = 1,
    seed: int = 0,
    device: str | torch.device = "cpu",
    threads: int = 1,
) -> kmeans.Clustering:
    """Return a clustering by k-means, as `kmeans.fit` but for rounding.

    Up to SAMPLE rows the starts are those of `kmeans.fit`.

    Args:
        rows: (n, d) float32, finite. k: clusters, 1 .. 254.
        algorithm: full; spherical: with centroids kept at length 1. Mini-batches are
            scikit-learn's: `kmeans.fit`.
        restarts: starts by k-means++, of which the lowest inertia is kept.
        device: where the products and sums are made.
        threads: of a CPU, a chunk each; no bit depends on how many there are.
    Raises:
        ValueError: no rows, rows that are not finite, k out of 1..254, another algorithm.
    """
    if algorithm not in ("full", "spherical"):
        raise ValueError(f"algorithm: wanted full or spherical, got {algorithm!r}")
    k = kmeans.checked(rows, k)
    with threadpool_limits(1):
        spherical = algorithm == "spherical"
        starts = drawn(rows, k=k, spherical=spherical, restarts=restarts, seed=seed)
        found = lloyd(rows, starts, spherical=spherical, device=device, threads=threads)
        best = found.centroids[found.inertia.argmin()]
        return kmeans.by_size(rows, kmeans.reseeded(rows, best))


def drawn(
    rows: chunks.Rows, *, k: int, spherical: bool = False, restarts: int = 1, seed: int = 0
) -> np.ndarray:
    """Return starts (restarts, k, d) float32 by k-means++.

    Args:
        rows: (n, d); of more than SAMPLE so many are drawn by the seed, without repetition.
    """
    if len(rows) > SAMPLE:
        places = np.random.default_rng([seed, SAMPLE]).choice(len(rows), SAMPLE, replace=False)
        sample = chunks.at(rows, np.sort(places))
    else:
        sample = rows[:]
    sample = np.asarray(sample, np.float32)
    if spherical:
        return np.stack(
            [
                kmeans.spherical_start(sample, k=k, seed=seed, start=start)
                for start in range(restarts)
            ]
        )
    # As KMeans draws: one generator for all starts, on centred rows.
    generator = np.random.RandomState(seed % 2**32)
    middle = sample.mean(axis=0)
    centred = sample - middle
    return np.stack(
        [kmeans_plusplus(centred, k, random_state=generator)[0] + middle for _ in range(restarts)]
    )


def lloyd(
    rows: chunks.Rows,
    starts: np.ndarray,
    *,
    spherical: bool = False,
    device: str | torch.device = "cpu",
    rounds: int = kmeans.ROUNDS,
    tolerance: float = 1e-4,
    threads: int = 1,
) -> Found:
    """Return the end of Lloyd's iteration from each start.

    A start ends as scikit-learn's: at the same ids twice, or where the centroids' squared moves add
    up to at most `tolerance` times the mean variance of a dimension (spherical: the first alone). A
    cluster that is empty takes the row that is farthest from its own centroid.

    Args:
        rows: (n, d) float32, finite. starts: (starts, k, d), k at most 256.
        spherical: centroids are kept at length 1. rounds: at most.
        device, threads: as `fit` takes them.
    Raises:
        ValueError: more than 256 centroids.
    Source: scikit-learn's `_kmeans_single_lloyd`, by its documentation.
    Twin: tests/reference/kmeans.py.
    """
    n_starts, k, _ = starts.shape
    if k > 256:
        raise ValueError(f"starts: wanted at most 256 centroids each, found {k}")
    # Distances of float32 to a far origin drown: rows are centred as they are read. Directions must
    # not be.
    middle = (
        np.zeros(rows.shape[1], np.float32) if spherical else chunks.mean(rows).astype(np.float32)
    )
    least = -1.0 if spherical else 0.0
    if not spherical and tolerance:
        least = tolerance * float(chunks.variance(rows).mean())
    centroids = torch.from_numpy(np.asarray(starts, np.float32) - middle).to(device)
    labels = torch.zeros((n_starts, len(rows)), dtype=torch.uint8, device=device)
    taken = np.zeros(n_starts, np.int64)
    alive = list(range(n_starts))
    with _Source(rows, middle, torch.device(device), width=n_starts * k, threads=threads) as source:
        for number in range(rounds):
            if not alive:
                break
            before = centroids[alive]
            sums, counts, changed = _summed(source, before, labels, alive)
            after = before.double()
            for place, start in enumerate(alive):
                if (counts[place] == 0).any():
                    _refill(source, before[place], labels[start], sums[place], counts[place])
                after[place] = _middles(
                    before[place], sums[place], counts[place], spherical=spherical
                )
            centroids[alive] = after.float()
            taken[alive] = number + 1
            moved = (centroids[alive] - before).double().square().sum(dim=(1, 2))
            # In the first round nothing was assigned before.
            done = (moved <= least) | ((changed == 0) & (number > 0))
            alive = [start for start, ended in zip(alive, done.tolist(), strict=True) if not ended]
        return Found(centroids.cpu().numpy() + middle, _inertia(source, centroids), taken)


class _Source:
    """Read chunks of rows (n, d) to a device, centred.

    A CPU's threads take a chunk each: whole chunks need no barriers, within one two threads that
    share a core with others wait for each other most of the time (docs/log/clusters.md).

    Args:
        middle: (d,) that is taken from each row.
        width: numbers of a row's products, which bound a chunk where they are more than d.
    """

    def __init__(
        self,
        rows: chunks.Rows,
        middle: np.ndarray,
        device: torch.device,
        *,
        width: int,
        threads: int,
    ) -> None:
        self.rows, self.middle, self.device = rows, middle, device
        numbers = NUMBERS["cpu" if device.type == "cpu" else "cuda"]
        self.n_bytes = 4 * numbers * rows.shape[1] // max(width, rows.shape[1])
        self.threads = threads if device.type == "cpu" else 1
        self.own = threading.local()
        self.held: list[Tensor] | None = None

    def __enter__(self) -> _Source:
        self.stack = contextlib.ExitStack()
        if self.device.type == "cpu":
            self.stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(1)
        self.pool = (
            self.stack.enter_context(ThreadPoolExecutor(self.threads)) if self.threads > 1 else None
        )
        if _fits(self.device, 4 * len(self.rows) * self.rows.shape[1]):
            self.held = list(self.made(lambda _, x: x.clone()))
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def made(self, make: Callable[[slice, Tensor], Made]) -> Iterator[Made]:
        """Yield what `make` gives for each chunk, in order.

        Args:
            make: from a slice and its rows (c, d) float32, which the next chunk overwrites.
        """
        parts = enumerate(chunks.pieces(self.rows, n_bytes=self.n_bytes))
        if self.pool is None:
            for number, part in parts:
                yield make(part, self._read(number, part))
            return
        waiting: deque[Future[Made]] = deque()
        for number, part in parts:
            waiting.append(self.pool.submit(lambda n, p: make(p, self._read(n, p)), number, part))
            if len(waiting) > 2 * self.threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _read(self, number: int, part: slice) -> Tensor:
        """Return the rows (c, d) of a chunk by its number, on the device."""
        if self.held is not None:
            return self.held[number]
        size = part.stop - part.start
        buffer: np.ndarray | None = getattr(self.own, "buffer", None)
        if buffer is None or len(buffer) < size:
            buffer = self.own.buffer = np.empty((size, self.rows.shape[1]), np.float32)
        np.subtract(self.rows[part], self.middle, out=buffer[:size], casting="same_kind")
        return torch.from_numpy(buffer[:size]).to(self.device)


def _fits(device: torch.device, n_bytes: int) -> bool:
    """Return whether rows of so many bytes can stay on a device from round to round.

    On a CPU they are read anew; on a GPU they may be a third of what is free there.
    """
    return device.type == "cuda" and 3 * n_bytes <= torch.cuda.mem_get_info(device)[0]


def _summed(
    source: _Source, centroids: Tensor, labels: Tensor, alive: list[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Pass over all rows once and return their sums by nearest centroid.

    Args:
        centroids: (a, k, d) of the starts that go on.
        labels: (starts, n) uint8; replaced in the rows `alive`.
        alive: (a) the starts that go on.
    Returns:
        Sums (a, k, d) float64 and counts (a, k) int64 of the rows nearest to each centroid; (a,)
        int64, ids that changed.
    """
    many, k, width = centroids.shape
    flat = centroids.flatten(0, 1)  # (a*k, d)
    half = (flat.double().square().sum(dim=1) / 2).float()
    sums = torch.zeros((many * k, width), dtype=torch.float64, device=flat.device)
    counts = torch.zeros(many * k, dtype=torch.int64, device=flat.device)
    changed = torch.zeros(many, dtype=torch.int64, device=flat.device)
    offsets = k * torch.arange(many, device=flat.device)[:, None]

    def summed(part: slice, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ids = _nearest(x, flat, half, many)  # (a, c)
        narrow = ids.to(torch.uint8)
        differ = (labels[alive, part] != narrow).sum(dim=1)
        labels[alive, part] = narrow
        groups = (ids + offsets).flatten()  # (a*c,)
        order = torch.argsort(groups, stable=True)
        sizes = torch.bincount(groups, minlength=many * k)
        # A bag a cluster: 25 times as fast as a product with one-hot ids, and in one order on every
        # device (docs/log/clusters.md, 2026-11-28).
        return (
            functional.embedding_bag(order % len(x), x, sizes.cumsum(0) - sizes, mode="sum"),
            sizes,
            differ,
        )

    for bags, sizes, differ in source.made(summed):
        sums += bags.double()
        counts += sizes
        changed += differ
    return sums.unflatten(0, (many, k)), counts.unflatten(0, (many, k)), changed


def _nearest(x: Tensor, flat: Tensor, half: Tensor, many: int) -> Tensor:
    """Return of each start the centroid that is nearest to each row, (a, c) int64.

    A tie goes to the lower id.

    Args:
        x: (c, d). flat: (a*k, d). half: (a*k,) half the centroids' squared lengths. many: a.
    """
    scores = torch.addmm(half, x, flat.T, alpha=-1).unflatten(1, (many, -1))  # (c, a, k)
    if scores.device.type == "cpu":
        # Four times as fast as torch's (docs/log/clusters.md, 2026-11-28).
        return torch.from_numpy(scores.numpy().argmin(axis=2)).T
    return scores.argmin(dim=2).T


def _middles(before: Tensor, sums: Tensor, counts: Tensor, *, spherical: bool) -> Tensor:
    """Return the means (k, d) float64 of the rows of each cluster.

    A centroid without rows, or (spherical) without a direction, stays.

    Args:
        before, sums: (k, d). counts: (k,).
    """
    means = sums / counts.clamp(min=1)[:, None]
    stays = counts == 0
    if spherical:
        lengths = means.norm(dim=1)
        stays = stays | (lengths == 0)
        means = means / lengths.where(lengths > 0, 1)[:, None]
    return torch.where(stays[:, None], before.double(), means)


def _refill(
    source: _Source, centroids: Tensor, labels: Tensor, sums: Tensor, counts: Tensor
) -> None:
    """Give each empty cluster the row that is farthest from its own centroid.

    A row that is alone in its cluster stays there, and so does one that equals a row that was given
    already.

    Args:
        centroids: (k, d). labels: (n,) uint8.
        sums, counts: (k, d) float64 and (k,), changed in place.
    """
    empty = torch.nonzero(counts == 0).flatten().tolist()
    most = 2 * len(empty) + len(counts)

    def farthest(part: slice, x: Tensor) -> list[tuple[float, int, Tensor]]:
        away = (x - centroids[labels[part].long()]).double().square().sum(dim=1)
        values, places = away.topk(min(len(x), most))
        return [
            (-value, part.start + place, x[place].clone())
            for value, place in zip(values.tolist(), places.tolist(), strict=True)
        ]

    far: list[tuple[float, int, Tensor]] = []
    for found in source.made(farthest):
        far = sorted(far + found, key=lambda each: each[:2])[:most]
    given: list[Tensor] = []
    for _, place, row in far:
        old = int(labels[place])
        if not empty or counts[old] < 2 or any(torch.equal(row, other) for other in given):
            continue
        new = empty.pop(0)
        given.append(row)
        sums[old] -= row
        counts[old] -= 1
        sums[new] = row.double()
        counts[new] = 1


def _inertia(source: _Source, centroids: Tensor) -> np.ndarray:
    """Return the sums (starts,) float64 of squared distances to the nearest centroid.

    They are made from differences; products would lose digits.
    """
    many = len(centroids)
    flat = centroids.flatten(0, 1)
    half = (flat.double().square().sum(dim=1) / 2).float()

    def summed(_: slice, x: Tensor) -> Tensor:
        nearest = zip(centroids, _nearest(x, flat, half, many), strict=True)
        return torch.stack(
            [(x - own[ids]).square().sum(dim=1).double().sum() for own, ids in nearest]
        )

    found: np.ndarray = (
        sum(source.made(summed), torch.zeros(many, dtype=torch.float64, device=flat.device))
        .cpu()
        .numpy()
    )
    return found
