"""The filters of a CRF, built once a picture: each kernel's lattice, normalised, in common arrays.

Paper:    Kraehenbuehl and Koltun, NIPS 2011; normalised as its authors' release
In:       Kernels: features of the pixels, weight, normalisation
Out:      Filters: what splat, blur and slice need, in numbers of one array of lattice points whose
          row 0 is zero
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np

from maskdistill.crf.compiled import lattice, sorted_points
from maskdistill.crf.compiled.kernels import BLOCK, blur_one
from maskdistill.crf.compiled.lanes import FAST, OPTIONS
from maskdistill.crf.compiled.ring import ring_levels
from maskdistill.crf.compiled.team import Wait, share
from maskdistill.numba_jit import compiled

NORMALIZATIONS = ("symmetric", "before", "after", "none")
_TINY = np.float32(1e-20)  # of the published normalisation: keeps a pixel without neighbours finite


@dataclass(frozen=True)
class Kernel:
    """Hold weight * N(K), K_ij = exp(-|f_i - f_j|^2 / 2).

    Attributes:
        features: (d, pixels) float32 in units of the kernel's deviations, finite.
        weight: Potts; positive draws equal labels together.
        normalization: `symmetric` D^-1/2 K D^-1/2, `before` K D^-1, `after` D^-1 K, `none` K;
            D = diag(K 1).
        ring: lattice points that no pixel touches, but that lie next to one, pass on what they
            receive (not where there are more of them than ring.MOST).
    """

    features: np.ndarray
    weight: float
    normalization: str = "symmetric"
    ring: bool = False


class Level(NamedTuple):
    """Hold one blur: for each lattice point its own number before it, and its neighbours'.

    Attributes:
        own: (n,) uint32; empty if the numbers stay the same.
        before: (n,) uint32, the neighbour on one side, 0 if there is none.
        after: (n,) uint32, that on the other side.
    """

    own: np.ndarray
    before: np.ndarray
    after: np.ndarray


class Filters:
    """Hold all kernels of one picture. `build` is called by every thread of a team.

    Attributes:
        n_rows: lattice points of all kernels, with room for rings, and row 0.
        firsts: number of the first lattice point of each kernel.
        levels: for each kernel its blurs.
        vertices: (pixels, n) uint32 of all kernels side by side, n a multiple of 3.
        weights: of those, float32, with `after` and the kernel's own.
        starts: (n_rows,) int64, where each lattice point's entries end.
        points: (2 * entries,) uint32: of each entry its pixel, in the even places.
        shares: the same memory as float32: of each entry its weight with `before`, in the odd
            places.
    """

    def __init__(
        self, kernels: Sequence[Kernel], n_pixels: int, threads: int, factor: float
    ) -> None:
        self.kernels, self.n_pixels, self.threads, self.factor = kernels, n_pixels, threads, factor
        self.packings = [lattice.packing(*lattice.bounds(kernel.features)) for kernel in kernels]
        widths = [len(kernel.features) + 1 for kernel in kernels]
        self.columns = np.cumsum([0, *widths])
        n_columns = int(self.columns[-1])
        self.vertices = np.zeros((n_pixels, -(-n_columns // 3) * 3), np.uint32)
        self.weights = np.zeros(self.vertices.shape, np.float32)
        self.points = np.empty(2 * n_pixels * n_columns, np.uint32)
        self.shares = self.points.view(np.float32)
        self.levels: list[list[Level]] = [[] for _ in kernels]
        self.sizes = [0 for _ in kernels]
        self.firsts = [1 for _ in kernels]
        self.n_rows = 1
        self.starts = np.zeros(1, np.int64)
        self._tables: list[list[lattice.Table]] = [[] for _ in range(threads)]
        self._sorted: list[list[np.ndarray]] = [[] for _ in range(threads)]
        self._keys = [np.empty(0, np.int64) for _ in kernels]
        self._counts = np.zeros((threads, 1), np.int64)
        self._values = [np.zeros(1, np.float32), np.zeros(1, np.float32)]
        self._befores = np.empty((len(kernels), n_pixels), np.float32)

    def build(self, rank: int, wait: Wait) -> None:
        """Make all of it; the same bytes whatever the number of threads.

        Args:
            rank: of the calling thread.
            wait: returns once all threads have come to it.
        """
        lo, hi = share(self.n_pixels, rank, self.threads, BLOCK)
        for index, (kernel, packing) in enumerate(zip(self.kernels, self.packings, strict=True)):
            column = int(self.columns[index])
            table = lattice.number(
                kernel.features, packing, column, self.vertices, self.weights, lo, hi
            )
            self._tables[rank].append(table)
            self._sorted[rank].append(np.sort(table.found))
        wait()
        for index in range(rank, len(self.kernels), self.threads):
            self._keys[index] = reduce(
                sorted_points.union, (found[index] for found in self._sorted)
            )
        wait()
        if rank == 0:
            self._number()
        wait()
        counts = self._counts[rank]
        for index, table in enumerate(self._tables[rank]):
            places = sorted_points.place(
                self._keys[index],
                self._sorted[rank][index],
                table.table,
                table.bits,
                self.firsts[index],
            )
            column, end = int(self.columns[index]), int(self.columns[index + 1])
            sorted_points.renumber(self.vertices, column, end - column, places, counts, lo, hi)
        for at, (index, axis) in enumerate(self._plain_axes()):
            if at % self.threads == rank:
                level = self.levels[index][axis]
                step = self.packings[index].step(axis)
                sorted_points.neighbours(
                    self._keys[index], step, self.firsts[index], level.before, level.after
                )
        wait()
        for index in range(rank, len(self.kernels), self.threads):
            first, last = self.firsts[index], [*self.firsts, self.n_rows][index + 1]
            begin = int(self.columns[index]) * self.n_pixels
            sorted_points.starts_of(self._counts, self.starts, begin, first, last)
        wait()
        sorted_points.fill(
            self.vertices,
            self.weights,
            int(self.columns[-1]),
            counts,
            self.points,
            self.shares,
            lo,
            hi,
        )
        wait()
        self._normalise(rank, wait)

    def message_of_ones(self, rank: int, wait: Wait) -> np.ndarray:
        """Return what each pixel of a thread's part receives if every pixel sends 1.

        Returns:
            (pixels of the part,) float32, weights and all.
        """
        self._filter_ones(rank, wait)
        lo, hi = share(self.n_pixels, rank, self.threads, BLOCK)
        out = np.empty(hi - lo, np.float32)
        gather(out, self._values[0], self.vertices, self.weights, 0, self.vertices.shape[1], lo)
        wait()
        return out

    def blurs(self) -> int:
        """Return the number of steps of the longest of the kernels' blurs."""
        return max((len(levels) for levels in self.levels), default=0)

    def spans(self, step: int, rank: int) -> list[tuple[Level, int, int, int]]:
        """Return the blurs of one step; kernels with fewer axes take part in the last steps.

        Returns:
            (level, its first lattice point, lo and hi of this thread's part of its points) each.
        """
        found = []
        for levels, first in zip(self.levels, self.firsts, strict=True):
            axis = step - (self.blurs() - len(levels))
            if axis >= 0:
                lo, hi = share(len(levels[axis].before), rank, self.threads)
                found.append((levels[axis], first, first + lo, first + hi))
        return found

    def _plain_axes(self) -> list[tuple[int, int]]:
        """Return (kernel, axis) of the blurs of lattices without a ring."""
        return [
            (index, axis)
            for index, levels in enumerate(self.levels)
            for axis, level in enumerate(levels)
            if len(level.own) == 0
        ]

    def _number(self) -> None:
        """Give every kernel its range of lattice points, and room for its neighbours."""
        first = 1
        for index, (kernel, keys) in enumerate(zip(self.kernels, self._keys, strict=True)):
            self.firsts[index], self.sizes[index] = first, len(keys)
            if kernel.ring:
                self.levels[index] = [
                    Level(*level) for level in ring_levels(keys, self.packings[index], first)
                ]
            if not self.levels[index]:
                empty = np.empty(0, np.uint32)
                rooms = [
                    np.empty((2, len(keys)), np.uint32) for _ in range(len(kernel.features) + 1)
                ]
                self.levels[index] = [Level(empty, *room) for room in rooms]
            first += max(len(keys), *(len(level.before) for level in self.levels[index]))
        self.n_rows = first
        self.starts = np.zeros(first, np.int64)
        self._counts = np.zeros((self.threads, first), np.int64)
        self._values = [np.zeros(first, np.float32), np.zeros(first, np.float32)]

    def _filter_ones(self, rank: int, wait: Wait) -> None:
        """Splat and blur a 1 of each pixel with the shares as they are, into the first values."""
        steps = self.blurs()
        for levels, first, size in zip(self.levels, self.firsts, self.sizes, strict=True):
            lo, hi = share(size, rank, self.threads)
            sum_entries(
                self._values[len(levels) % 2], self.shares, self.starts, first + lo, first + hi
            )
        for step in range(steps):
            wait()
            source, out = self._values[(steps - step) % 2], self._values[(steps - step + 1) % 2]
            for level, first, lo, hi in self.spans(step, rank):
                blur_one(out, source, *level, first, 1, lo, hi)
        wait()

    def _normalise(self, rank: int, wait: Wait) -> None:
        """Put the normalisations and weights into `weights` and `shares`."""
        self._filter_ones(rank, wait)
        lo, hi = share(self.n_pixels, rank, self.threads, BLOCK)
        befores = self._befores
        for index, kernel in enumerate(self.kernels):
            column, end = int(self.columns[index]), int(self.columns[index + 1])
            # The blurs here sum to 1 on each axis, the published ones to 2, with a factor at the
            # end.
            d = len(kernel.features)
            scale = np.float32(2.0 ** (d + 1) / (1.0 + 2.0**-d))
            weight = np.float32(self.factor * kernel.weight)
            mode = NORMALIZATIONS.index(kernel.normalization)
            normalise(
                self.weights,
                self.vertices,
                self._values[0],
                column,
                end,
                mode,
                scale,
                weight,
                befores[index],
                lo,
                hi,
            )
        wait()
        for before, first, size in zip(befores, self.firsts, self.sizes, strict=True):
            begin, end = share(size, rank, self.threads)
            weigh_entries(self.shares, self.points, before, self.starts, first + begin, first + end)
        wait()


@compiled(**OPTIONS)
def sum_entries(values, shares, starts, lo, hi):  # type: ignore[no-untyped-def]
    """Write the sum of its shares for each lattice point of lo to hi."""
    for row in range(lo, hi):
        total = np.float32(0.0)
        for entry in range(starts[row - 1], starts[row]):
            total += shares[2 * entry + 1]
        values[row] = total


@compiled(**OPTIONS, fastmath=FAST)
def gather(out, values, vertices, weights, column, end, first):  # type: ignore[no-untyped-def]
    """Write the weighted sums of the vertices in columns to `end`, for pixels from `first` on."""
    for at in range(len(out)):
        total = np.float32(0.0)
        for vertex in range(column, end):
            total += weights[first + at, vertex] * values[vertices[first + at, vertex]]
        out[at] = total


@compiled(**OPTIONS)
def normalise(weights, vertices, values, column, end, mode, scale, weight, befores, lo, hi):  # type: ignore[no-untyped-def]
    """Multiply a kernel's weights by its own and the factor after it; note the one before it."""
    one = np.float32(1.0)
    for pixel in range(lo, hi):
        total = np.float32(0.0)
        for vertex in range(column, end):
            total += weights[pixel, vertex] * values[vertices[pixel, vertex]]
        inverse = one / (total + _TINY)
        before = after = np.sqrt(inverse)
        if mode == 1:
            before, after = inverse, one
        elif mode == 2:
            before, after = one, inverse
        elif mode == 3:
            before, after = one, scale
        befores[pixel] = before
        for vertex in range(column, end):
            weights[pixel, vertex] *= after * weight


@compiled(**OPTIONS)
def weigh_entries(shares, points, factors, starts, lo, hi):  # type: ignore[no-untyped-def]
    """Multiply the entries of the lattice points lo to hi by their pixels' factors."""
    for entry in range(starts[lo - 1], starts[hi - 1]):
        shares[2 * entry + 1] *= factors[points[2 * entry]]
