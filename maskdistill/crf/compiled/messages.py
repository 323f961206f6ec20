"""Messages: what each pixel hears from all others through one kernel, for any probabilities.

Paper:    Kraehenbuehl and Koltun, NIPS 2011, Alg. 1, the step "message passing" alone
In:       Kernels, probabilities (classes, pixels)
Out:      for each kernel N(K) q, before any weight or compatibility of labels
Differs:  nothing; `inference` does all iterations at once and faster, of Potts weights alone
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from maskdistill.crf.compiled.filters import Filters, Kernel, gather
from maskdistill.crf.compiled.kernels import BLOCK, blur_one
from maskdistill.crf.compiled.lanes import OPTIONS
from maskdistill.crf.compiled.team import Wait, share, together
from maskdistill.numba_jit import compiled


class Messages:
    """Hold the filters of some kernels, each by itself; their weights are left out.

    Args:
        terms: kernels over the pixels in the order in which they are worked at.
        order: (pixels,) int64, numbers of the pixels in that order.
        threads: that share the work; the result does not depend on it.
    """

    def __init__(self, terms: Sequence[Kernel], order: np.ndarray, threads: int) -> None:
        self._order, self._threads = order, threads
        self._filters = [
            Filters([replace(term, weight=1.0)], len(order), threads, factor=1.0) for term in terms
        ]
        for filters in self._filters:
            together(filters.build, threads)

    def of(self, found: np.ndarray) -> list[np.ndarray]:
        """Return the messages of probabilities, an array a kernel.

        Args:
            found: (classes, pixels) float32, pixels by number; any finite numbers.
        Returns:
            (classes, pixels) float32 each, pixels by number.
        """
        planes = np.ascontiguousarray(found[:, self._order], np.float32)
        answers = []
        for filters in self._filters:
            passed = self._passed(filters, planes)
            answers.append(np.empty_like(passed))
            answers[-1][:, self._order] = passed
        return answers

    def _passed(self, filters: Filters, planes: np.ndarray) -> np.ndarray:
        """Return planes (classes, pixels) after a filter, pixels in the order of the work."""
        out = np.empty_like(planes)
        steps = filters.blurs()
        values = [np.zeros(filters.n_rows, np.float32) for _ in range(2)]
        first, size = filters.firsts[0], filters.sizes[0]

        def work(rank: int, wait: Wait) -> None:
            """Do one thread's share: splat, blur and slice, class by class."""
            begin, end = share(size, rank, self._threads)
            lo, hi = share(planes.shape[1], rank, self._threads, BLOCK)
            for plane, into in zip(planes, out, strict=True):
                splat_one(
                    values[steps % 2],
                    filters.points,
                    filters.shares,
                    plane,
                    filters.starts,
                    first + begin,
                    first + end,
                )
                for step in range(steps):
                    wait()
                    source, blurred = values[(steps - step) % 2], values[(steps - step + 1) % 2]
                    for level, start, low, high in filters.spans(step, rank):
                        blur_one(blurred, source, *level, start, 1, low, high)
                wait()
                columns = filters.vertices.shape[1]
                gather(into[lo:hi], values[0], filters.vertices, filters.weights, 0, columns, lo)
                wait()

        together(work, self._threads)
        return out


@compiled(**OPTIONS)
def splat_one(values, points, shares, plane, starts, lo, hi):  # type: ignore[no-untyped-def]
    """Write for each lattice point of lo to hi the sum of its pixels' numbers times its shares."""
    for row in range(lo, hi):
        total = np.float32(0.0)
        for entry in range(starts[row - 1], starts[row]):
            total += shares[2 * entry + 1] * plane[points[2 * entry]]
        values[row] = total
