"""Mean field over the kernels of a CRF: all iterations, all classes at once, on any threads.

Paper:    Kraehenbuehl and Koltun, NIPS 2011, Alg. 1
In:       logits (classes, pixels), Kernels
Out:      probabilities (classes, pixels)
Differs:  two classes are carried as one number a pixel (q sums to 1 and the filter is linear)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from llvmlite import binding

from maskdistill.crf.compiled.filters import Filters, Kernel
from maskdistill.crf.compiled.kernels import BLOCK, kernels, width_of
from maskdistill.crf.compiled.lanes import OPTIONS, WIDTH
from maskdistill.crf.compiled.separable import Separable, smooth_across, smooth_down
from maskdistill.crf.compiled.team import Wait, share, together
from maskdistill.numba_jit import compiled

_CPU = binding.get_host_cpu_features()
# The CPU converts float16 itself; else each conversion would be a call.
HALF = bool(_CPU.get("f16c") or _CPU.get("neon"))
_NEVER = np.float32(-1e4)  # logit of a padding class: its softmax is 0, and float16 holds it


def mean_field(
    logits: np.ndarray,
    terms: Sequence[Kernel],
    order: np.ndarray,
    *,
    plane: Separable | None = None,
    iterations: int,
    threads: int,
) -> np.ndarray:
    """Return probabilities after so many iterations.

    Args:
        logits: (classes, pixels) float32, -U; at least two classes.
        terms: kernels over the pixels in the order in which they are worked at.
        order: (pixels,) int64, numbers of the pixels in that order.
        plane: one more kernel, of place alone and exact; the order must then be row by row. None:
            no such.
        iterations: 0 gives softmax(logits).
        threads: how many share the work; the result does not depend on it.
    Returns:
        (classes, pixels) float32, pixels by number.
    """
    n_classes, n_pixels = logits.shape
    width = width_of(n_classes)
    filters = Filters(terms, n_pixels, threads, factor=2.0 if width == 1 else 1.0)
    loops = kernels(width)
    energies = np.empty(n_pixels * width + WIDTH, np.float32)
    # float16 where rows are vectors: half the bytes of what waits for memory (docs/log/crf.md).
    # Normalisations other than the symmetric one leave its range, and so do many features: before
    # the blur n pixels of one lattice point may weigh sqrt(n * 2^(features + 1)).
    half = HALF and width > 1 and all(_holds_half(kernel) for kernel in terms)
    stored = np.uint16 if half else np.float32
    rows = np.empty(n_pixels * width + WIDTH, stored)
    out = np.empty((n_classes, n_pixels), np.float32)
    buffers: list[np.ndarray] = []
    rounds = iterations if terms or plane else 0
    smooth = np.empty(len(rows) if plane else 0, stored)
    messages = np.empty(len(energies), np.float32) if plane else energies
    # The last iteration puts its result, in float32, where its energies are.
    found = energies

    def work(rank: int, wait: Wait) -> None:
        """Do one thread's share, from logits to the result."""
        lo, hi = share(n_pixels, rank, threads, BLOCK)
        to_rows(logits, order, energies, width, lo, hi)
        nothing = np.empty((n_pixels, 0), np.uint32), np.empty((n_pixels, 0), np.float32)
        loops.slice(rows if rounds else found, energies, rows, *nothing, width, lo, hi)
        if rounds:
            filters.build(rank, wait)
            if width == 1:
                energies[lo:hi] -= np.float32(0.5) * filters.message_of_ones(rank, wait)
                if plane:
                    energies[lo:hi] -= np.float32(0.5) * plane.of_ones()[lo:hi]
            if rank == 0:
                buffers.extend(np.zeros(filters.n_rows * width, stored) for _ in range(2))
            for iteration in range(rounds):
                wait()
                _iterate(rank, wait, rows if iteration < rounds - 1 else found)
        to_planes(found, order, out, width, lo, hi)

    def _iterate(rank: int, wait: Wait, into_rows: np.ndarray) -> None:
        """Do one thread's share of an iteration: splat, blur, slice with softmax into rows."""
        steps = filters.blurs()
        for levels, first, size in zip(filters.levels, filters.firsts, filters.sizes, strict=True):
            lo, hi = share(size, rank, threads)
            into = buffers[len(levels) % 2]
            loops.splat(
                into,
                rows,
                filters.starts,
                filters.points,
                filters.shares,
                width,
                first + lo,
                first + hi,
            )
        if plane:
            lines, columns = len(plane.down), len(plane.across)
            lo, hi = share(lines, rank, threads)
            smooth_down(smooth, rows, plane.down, columns, width, lo, hi)
            wait()
            smooth_across(messages, energies, smooth, plane.across, columns, width, lo, hi)
        for step in range(steps):
            wait()
            source, into = buffers[(steps - step) % 2], buffers[(steps - step + 1) % 2]
            for level, first, lo, hi in filters.spans(step, rank):
                loops.blur(into, source, *level, first, width, lo, hi)
        wait()
        lo, hi = share(n_pixels, rank, threads, BLOCK)
        loops.slice(
            into_rows, messages, buffers[0], filters.vertices, filters.weights, width, lo, hi
        )

    together(work, threads)
    return out


def _holds_half(kernel: Kernel) -> bool:
    """Return whether a kernel's sums stay in float16's range, for at least 60 million pixels."""
    return kernel.normalization == "symmetric" and len(kernel.features) <= 5


@compiled(**OPTIONS)
def to_rows(planes, order, rows, width, lo, hi):  # type: ignore[no-untyped-def]
    """Write planes (classes, pixels) as padded rows of classes; of two classes their difference.

    For the pixels lo to hi of the order.
    """
    n_classes = planes.shape[0]
    for at in range(lo, hi):
        pixel = order[at]
        if width == 1:
            rows[at] = planes[1, pixel] - planes[0, pixel]
            continue
        for c in range(n_classes):
            rows[at * width + c] = planes[c, pixel]
        for c in range(n_classes, width):
            rows[at * width + c] = _NEVER


@compiled(**OPTIONS)
def to_planes(rows, order, planes, width, lo, hi):  # type: ignore[no-untyped-def]
    """Write rows of classes as planes (classes, pixels), without the padding."""
    n_classes = planes.shape[0]
    for at in range(lo, hi):
        pixel = order[at]
        if width == 1:
            planes[0, pixel] = np.float32(1.0) - rows[at]
            planes[1, pixel] = rows[at]
            continue
        for c in range(n_classes):
            planes[c, pixel] = rows[at * width + c]
