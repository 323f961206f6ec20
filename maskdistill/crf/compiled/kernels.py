"""The inner loops of mean field on rows of classes: splat, blur, slice with softmax.

In:       flat arrays: values (lattice points, width), row 0 zero; rows (pixels, width); both
          float32 or the bits of float16
Out:      the rows lo to hi of the output, so that threads can share a step
Differs:  one set of loops a width of the rows, whole vectors in registers
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from maskdistill.crf.compiled.lanes import (
    FAST,
    OPTIONS,
    WIDTH,
    fetch,
    largest,
    less,
    load,
    logistic,
    plus,
    raised,
    store,
    times,
    total,
    zeros,
)
from maskdistill.numba_jit import compiled

BLOCK = 64  # pixels that are shared among threads in one piece: whole vectors
# Entries and pixels whose rows are asked for before they are needed: 41 ms an iteration, 48 with 16
# and 3, 41 with 64 and 12, 70 to 85 without (docs/log/crf.md, "the time of an iteration").
_AHEAD, _AHEAD_PX = 32, 12
# Vectors of a row that are held in registers at once: sums, what is added to them and weights stay
# within the 16 of AVX2.
_MOST = 4


class Kernels(NamedTuple):
    """Hold the compiled loops for one width."""

    splat: Callable[..., Any]
    blur: Callable[..., Any]
    slice: Callable[..., Any]


def width_of(n_classes: int) -> int:
    """Return the width of the rows that hold so many classes, in numbers.

    1 for two classes, else whole vectors; numbers beyond the classes are padding.
    """
    if n_classes == 2:
        return 1
    vectors = -(-n_classes // WIDTH)
    return WIDTH * (
        vectors if vectors <= _MOST else -(-vectors // _panel(vectors)) * _panel(vectors)
    )


def kernels(width: int) -> Kernels:
    """Return the loops for rows of `width` numbers, a result of `width_of`."""
    if width == 1:
        return Kernels(splat_one, blur_one, slice_one)
    vectors = width // WIDTH
    return _of_panels(vectors if vectors <= _MOST else _panel(vectors))


def _panel(vectors: int) -> int:
    """Return the vectors of a panel: of 2 to 4 those that pad least, the more the better."""
    return min((4, 3, 2), key=lambda n: -vectors % n)


@cache
def _of_panels(n: int) -> Kernels:
    """Return the loops for rows of one or more panels of n vectors."""
    step = n * WIDTH

    @compiled(**OPTIONS)
    def splat(values, rows, starts, points, shares, width, lo, hi):  # type: ignore[no-untyped-def]
        """Write the sum of what its pixels send for each lattice point of lo to hi."""
        for row in range(lo, hi):
            first, last = np.int64(starts[row - 1]), np.int64(starts[row])
            for entry in range(first + _AHEAD, min(last + _AHEAD, len(points) // 2)):
                fetch(rows, np.int64(points[2 * entry]) * width, n)
            for left in range(0, width, step):
                out = zeros(n)
                for entry in range(first, last):
                    out = plus(
                        out,
                        shares[2 * entry + 1],
                        load(rows, np.int64(points[2 * entry]) * width + left, n),
                    )
                store(values, row * width + left, out)

    @compiled(**OPTIONS)
    def blur(out, values, own, before, after, first, width, lo, hi):  # type: ignore[no-untyped-def]
        """Write half of each lattice point and a quarter of each of its neighbours on an axis."""
        half, quarter = np.float32(0.5), np.float32(0.25)
        for row in range(lo, hi):
            source = np.int64(own[row - first]) if len(own) > 0 else row
            one, two = np.int64(before[row - first]) * width, np.int64(after[row - first]) * width
            for left in range(0, width, step):
                sides = plus(
                    load(values, one + left, n), np.float32(1.0), load(values, two + left, n)
                )
                middle = times(load(values, source * width + left, n), half)
                store(out, row * width + left, plus(middle, quarter, sides))

    @compiled(**OPTIONS)
    def slice_(rows, energies, values, vertices, weights, width, lo, hi):  # type: ignore[no-untyped-def]
        """Write the softmax of energies plus what the pixels lo to hi receive."""
        n_vertices = vertices.shape[1]
        for pixel in range(lo, hi):
            if pixel + _AHEAD_PX < hi:
                for k in range(n_vertices):
                    fetch(values, np.int64(vertices[pixel + _AHEAD_PX, k]) * width, n)
            if width == step:
                logits = load(energies, pixel * width, n)
                for k in range(n_vertices):
                    logits = plus(
                        logits,
                        weights[pixel, k],
                        load(values, np.int64(vertices[pixel, k]) * width, n),
                    )
                logits = raised(less(logits, largest(logits)))
                store(rows, pixel * width, times(logits, np.float32(1.0) / total(logits)))
                continue
            most = np.float32(-np.inf)
            for left in range(0, width, step):
                logits = load(energies, pixel * width + left, n)
                for k in range(n_vertices):
                    logits = plus(
                        logits,
                        weights[pixel, k],
                        load(values, np.int64(vertices[pixel, k]) * width + left, n),
                    )
                store(rows, pixel * width + left, logits)
                most = max(most, largest(logits))
            summed = np.float32(0.0)
            for left in range(0, width, step):
                logits = raised(less(load(rows, pixel * width + left, n), most))
                store(rows, pixel * width + left, logits)
                summed += total(logits)
            for left in range(0, width, step):
                logits = load(rows, pixel * width + left, n)
                store(rows, pixel * width + left, times(logits, np.float32(1.0) / summed))

    return Kernels(splat, blur, slice_)


@compiled(**OPTIONS, fastmath=FAST)
def splat_one(values, rows, starts, points, shares, width, lo, hi):  # type: ignore[no-untyped-def]
    """Write the sum of what its pixels send for each lattice point of lo to hi, one number each."""
    one, two = np.uint64(1), np.uint64(2)
    for row in range(np.uint64(lo), np.uint64(hi)):
        out = np.float32(0.0)
        for entry in range(np.uint64(starts[row - one]), np.uint64(starts[row])):
            out += shares[two * entry + one] * rows[points[two * entry]]
        values[row] = out


@compiled(**OPTIONS, fastmath=FAST)
def blur_one(out, values, own, before, after, first, width, lo, hi):  # type: ignore[no-untyped-def]
    """Write half of each lattice point and a quarter of each of its neighbours on an axis.

    Args:
        own: where each point was before; empty if it did not move.
    """
    half, quarter = np.float32(0.5), np.float32(0.25)
    for row in range(np.uint64(lo), np.uint64(hi)):
        at = row - np.uint64(first)
        source = np.uint64(own[at]) if len(own) > 0 else row
        out[row] = half * values[source] + quarter * (values[before[at]] + values[after[at]])


@compiled(**OPTIONS, fastmath=FAST)
def slice_one(rows, energies, values, vertices, weights, width, lo, hi):  # type: ignore[no-untyped-def]
    """Write the probability of the second of two classes: one logit is their difference."""
    n_vertices = np.uint64(vertices.shape[1])
    one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
    for pixel in range(np.uint64(lo), np.uint64(hi)):
        logit = energies[pixel]
        for k in range(np.uint64(0), n_vertices, three):
            logit += weights[pixel, k] * values[vertices[pixel, k]]
            logit += weights[pixel, k + one] * values[vertices[pixel, k + one]]
            logit += weights[pixel, k + two] * values[vertices[pixel, k + two]]
        rows[pixel] = logit
    for pixel in range(lo, hi, WIDTH):  # the last vector may reach into the padding of `rows`
        store(rows, pixel, logistic(load(rows, pixel, 1)))
