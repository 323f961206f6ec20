"""Mean field over the terms of a CRF: all the iterations, for all classes at once, on one thread or several.

Paper:    Kraehenbuehl and Koltun, NIPS 2011, Alg. 1
In:       energies (classes, pixels), Terms
Out:      probabilities (classes, pixels)
Differs:  two classes are carried as one number a pixel (q sums to 1 and the filter is linear)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from maskdistill.crf import lattice
from maskdistill.crf.kernels import BLOCK, kernels, width_of
from maskdistill.crf.terms import Term, filtered

_SAFE = 80.0  # exp of twice as much would overflow; below it the softmax needs no maximum
_NEVER = np.float32(-1e4)  # logit of a padding class


@dataclass(frozen=True)
class _Stack:
    """All terms' lattices as one: points one term after the other, row `size` is zero."""

    size: int
    spans: list[tuple[int, int]]  # first lattice point and the one after the last of each term
    neighbours: list[np.ndarray]  # (axes, 2, points) of each term, in numbers of the stack
    vertices: np.ndarray  # (pixels, n) uint32, n the vertices of all terms, padded to a multiple of 3
    weights: np.ndarray  # (pixels, n) float32 with `after` and the term's weight
    starts: np.ndarray  # (size + 1,) int64: entries of each lattice point
    points: np.ndarray  # (entries,) uint32: the pixel of each entry
    shares: np.ndarray  # (entries,) float32 with `before`


def mean_field(logits: np.ndarray, terms: Sequence[Term], *, iterations: int, threads: int) -> np.ndarray:
    """Probabilities after so many iterations.

    Args:
        logits: (classes, pixels) float32, -U; at least two classes.
        terms: over the same pixels, in the same order.
        iterations: 0 gives softmax(logits).
        threads: how many share the work; the result does not depend on it.
    Returns:
        (classes, pixels) float32.
    """
    n_classes, n_pixels = logits.shape
    width = 1 if n_classes == 2 else max(4, width_of(n_classes))
    factor = 2.0 if width == 1 else 1.0
    stack = _stacked(terms, n_pixels, factor)
    energies = np.empty((n_pixels, width), np.float32)
    if width == 1:
        energies[:, 0] = logits[1] - logits[0]
    else:
        to_rows(logits, energies)
    rows = np.empty_like(energies)
    empty = np.empty((n_pixels, 0), np.uint32), np.empty((n_pixels, 0), np.float32)
    loops = kernels(width)
    bound = sum((abs(t.weight) * _most(t) for t in terms), 2 * float(np.abs(logits).max()))
    bounded = bound < _SAFE
    values = np.zeros((stack.size + 1, width), np.float32)
    other = np.zeros_like(values)
    loops.slice(rows, energies, values, *empty, bounded, 0, n_pixels)
    if width == 1:
        for term in terms:
            energies[:, 0] -= term.weight * term.after * filtered(term.lattice, term.before)
    axes = max((len(found) for found in stack.neighbours), default=0)

    def work(rank: int, wait: Callable[[], object]) -> None:
        pixels = _share(n_pixels, rank, threads, BLOCK)
        spans = [tuple(first + part for part in _share(last - first, rank, threads, 1)) for first, last in stack.spans]
        for _ in range(iterations):
            for (lo, hi), found in zip(spans, stack.neighbours, strict=True):
                into = values if len(found) % 2 == 0 else other
                loops.splat(into, rows, stack.starts, stack.points, stack.shares, lo, hi)
            for step in range(axes):
                wait()
                for (first, _), (lo, hi), found in zip(stack.spans, spans, stack.neighbours, strict=True):
                    axis = step - (axes - len(found))
                    if axis >= 0:
                        source, out = (values, other) if (axes - step) % 2 == 0 else (other, values)
                        loops.blur(out, source, found[axis, 0], found[axis, 1], first, lo, hi)
            wait()
            loops.slice(rows, energies, values, stack.vertices, stack.weights, bounded, *pixels)
            wait()

    together(work, threads)
    if width == 1:
        return np.stack([1 - rows[:, 0], rows[:, 0]])
    out = np.empty((n_classes, n_pixels), np.float32)
    to_planes(rows, out)
    return out


def together(work: Callable[[int, Callable[[], object]], None], threads: int) -> None:
    """Runs work(rank, wait) on so many threads; `wait` returns once all have come to it. Raises what one raised."""
    if threads == 1:
        work(0, lambda: None)
        return
    barrier = threading.Barrier(threads)  # sleeps, it does not spin: with a busy core beside it the time only doubles
    failures: list[BaseException] = []

    def guarded(rank: int) -> None:
        try:
            work(rank, barrier.wait)
        except BaseException as failure:
            failures.append(failure)
            barrier.abort()

    others = [threading.Thread(target=guarded, args=(rank,), daemon=True) for rank in range(1, threads)]
    for other in others:
        other.start()
    guarded(0)
    for other in others:
        other.join()
    for failure in failures:
        if not isinstance(failure, threading.BrokenBarrierError):
            raise failure


def _share(n: int, rank: int, threads: int, grain: int) -> tuple[int, int]:
    """The part of 0 .. n that falls to one of the threads, in whole grains."""
    grains = -(-n // grain)
    return min(n, grains * rank // threads * grain), min(n, grains * (rank + 1) // threads * grain)


def _most(term: Term) -> float:
    """Largest sum of what a pixel receives when all pixels send 1."""
    return float((term.after * filtered(term.lattice, term.before)).max())


def _stacked(terms: Sequence[Term], n_pixels: int, factor: float) -> _Stack:
    size = sum(term.lattice.size for term in terms)
    columns = sum(term.lattice.vertices.shape[1] for term in terms)
    padded = -(-columns // 3) * 3
    vertices = np.full((n_pixels, padded), size, np.uint32)
    weights = np.zeros((n_pixels, padded), np.float32)
    starts = np.zeros(size + 1, np.int64)
    points = np.empty(n_pixels * columns, np.uint32)
    shares = np.empty(n_pixels * columns, np.float32)
    spans, neighbours = [], []
    column, first = 0, 0
    for term in terms:
        n = term.lattice.vertices.shape[1]
        last = first + term.lattice.size
        vertices[:, column : column + n] = term.lattice.vertices + np.uint32(first)
        weights[:, column : column + n] = (
            term.lattice.weights * (np.float32(factor * term.weight) * term.after)[:, None]
        )
        entries = slice(column * n_pixels, (column + n) * n_pixels)
        sent = term.lattice.weights * term.before[:, None]
        lattice.by_lattice_point(
            term.lattice.vertices, sent, term.lattice.size, starts[first : last + 1], points[entries], shares[entries]
        )
        starts[first : last + 1] += column * n_pixels
        neighbours.append(
            np.where(
                term.lattice.neighbours == term.lattice.size, size, term.lattice.neighbours + np.uint32(first)
            ).astype(np.uint32)
        )
        spans.append((first, last))
        column, first = column + n, last
    return _Stack(size, spans, neighbours, vertices, weights, starts, points, shares)


@njit(cache=True, nogil=True)
def to_rows(planes, rows):  # type: ignore[no-untyped-def]
    """(classes, pixels) to (pixels, width), padded with logits of never."""
    n_classes, n_pixels = planes.shape
    for pixel in range(n_pixels):
        for c in range(rows.shape[1]):
            rows[pixel, c] = planes[c, pixel] if c < n_classes else _NEVER


@njit(cache=True, nogil=True)
def to_planes(rows, planes):  # type: ignore[no-untyped-def]
    """(pixels, width) to (classes, pixels), without the padding."""
    n_classes, n_pixels = planes.shape
    for pixel in range(n_pixels):
        for c in range(n_classes):
            planes[c, pixel] = rows[pixel, c]
