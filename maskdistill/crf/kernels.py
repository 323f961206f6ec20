"""The inner loops of mean field on rows of classes: splat, blur, slice with softmax; one set a width of the rows.

In:       values (lattice points + 1, width) and rows (pixels, width) float32, the last lattice row zero
Out:      the rows lo to hi of the output, so that threads can share a step
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit

WIDTHS = (1, 4, 8, 16, 24, 32)  # compiled for; wider rows take their width when they run
BLOCK = 64  # pixels whose logits stay in the first cache between slice and softmax
_FAST = {"contract", "reassoc", "nsz", "arcp"}  # of fast math what keeps nan and infinity


class Kernels(NamedTuple):
    """Compiled loops for one width."""

    splat: Callable[..., Any]
    blur: Callable[..., Any]
    slice: Callable[..., Any]


def width_of(n_classes: int) -> int:
    """Width of the rows that hold so many classes: those beyond are padding."""
    for width in WIDTHS:
        if n_classes <= width:
            return width
    return -(-n_classes // 8) * 8


@cache
def kernels(width: int) -> Kernels:
    """The loops for rows of `width` floats."""
    fixed = width if width in WIDTHS else 0

    @njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
    def splat(values, rows, starts, points, shares, lo, hi):  # type: ignore[no-untyped-def]
        width = np.uint64(fixed if fixed > 0 else rows.shape[1])
        one = np.uint64(1)
        for row in range(np.uint64(lo), np.uint64(hi)):
            entry = np.uint64(starts[row])
            end = np.uint64(starts[row + one])
            if end - entry == one:
                point, share = points[entry], shares[entry]
                for c in range(width):
                    values[row, c] = share * rows[point, c]
                continue
            for c in range(width):
                values[row, c] = np.float32(0.0)
            while entry + one < end:
                first, second = points[entry], points[entry + one]
                share, other = shares[entry], shares[entry + one]
                for c in range(width):
                    values[row, c] += share * rows[first, c] + other * rows[second, c]
                entry += np.uint64(2)
            if entry < end:
                point, share = points[entry], shares[entry]
                for c in range(width):
                    values[row, c] += share * rows[point, c]

    @njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
    def blur(out, values, before, after, first, lo, hi):  # type: ignore[no-untyped-def]
        width = np.uint64(fixed if fixed > 0 else values.shape[1])
        half = np.float32(0.5)
        for row in range(np.uint64(lo), np.uint64(hi)):
            one, two = before[row - np.uint64(first)], after[row - np.uint64(first)]
            for c in range(width):
                out[row, c] = values[row, c] + half * (values[one, c] + values[two, c])

    @njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
    def slice_(rows, energies, values, vertices, weights, bounded, lo, hi):  # type: ignore[no-untyped-def]
        width = np.uint64(fixed if fixed > 0 else rows.shape[1])
        one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
        n_vertices = np.uint64(vertices.shape[1])
        logits = np.empty((BLOCK, rows.shape[1]), np.float32)
        powers = np.empty(BLOCK * rows.shape[1], np.int32)
        for first in range(np.uint64(lo), np.uint64(hi), np.uint64(BLOCK)):
            block = min(np.uint64(BLOCK), np.uint64(hi) - first)
            for at in range(block):
                pixel = first + at
                for c in range(width):
                    logits[at, c] = energies[pixel, c]
                for k in range(np.uint64(0), n_vertices, three):
                    i0, i1, i2 = vertices[pixel, k], vertices[pixel, k + one], vertices[pixel, k + two]
                    w0, w1, w2 = weights[pixel, k], weights[pixel, k + one], weights[pixel, k + two]
                    for c in range(width):
                        logits[at, c] += w0 * values[i0, c] + w1 * values[i1, c] + w2 * values[i2, c]
                if not bounded and fixed != 1:
                    most = logits[at, 0]
                    for c in range(width):
                        most = max(most, logits[at, c])
                    for c in range(width):
                        logits[at, c] -= most
            raise_e(logits.ravel(), powers, block * width)
            for at in range(block):
                pixel = first + at
                if fixed == 1:  # one logit stands for the difference of two classes
                    rows[pixel, 0] = logits[at, 0] / (np.float32(1.0) + logits[at, 0])
                    continue
                total = np.float32(0.0)
                for c in range(width):
                    total += logits[at, c]
                total = np.float32(1.0) / total
                for c in range(width):
                    rows[pixel, c] = logits[at, c] * total

    return Kernels(splat, blur, slice_)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST, inline="always")
def raise_e(logits, powers, n):  # type: ignore[no-untyped-def]
    """exp of the first n, in place, within 3e-7 of its value from -87 to 87; 0 below and e^87 or so above.

    np.exp is a call an element here; this is 2^k times a polynomial, which compiles to vectors.
    """
    for at in range(n):
        x = min(max(logits[at], np.float32(-88.0)), np.float32(88.0))
        k = np.int32(x * np.float32(1.4426950408889634) + np.float32(127.5))
        rest = x - np.float32(np.int32(k - np.int32(127))) * np.float32(0.6931471805599453)
        powers[at] = k << np.int32(23)
        p = rest * np.float32(1 / 720) + np.float32(1 / 120)
        p = p * rest + np.float32(1 / 24)
        p = p * rest + np.float32(1 / 6)
        p = p * rest + np.float32(0.5)
        p = p * rest + np.float32(1.0)
        logits[at] = p * rest + np.float32(1.0)
    raised = powers.view(np.float32)
    for at in range(n):
        logits[at] *= raised[at]
