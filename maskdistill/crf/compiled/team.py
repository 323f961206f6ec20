"""Threads that do one piece of work together, step by step.

In:       a function of (rank, wait)
Out:      it has run on every thread; what one of them raised is raised
"""

from __future__ import annotations

import threading
from collections.abc import Callable

Wait = Callable[[], object]


def together(work: Callable[[int, Wait], None], threads: int) -> None:
    """Run work(rank, wait) on so many threads; `wait` returns once all have come to it.

    The barrier sleeps and does not spin: beside another busy process the time doubles and no more
    (docs/log/crf.md, "two threads").

    Raises:
        BaseException: the first that one of the threads raised; the others end.
    """
    if threads == 1:
        work(0, lambda: None)
        return
    barrier = threading.Barrier(threads)
    failures: list[BaseException] = []

    def guarded(rank: int) -> None:
        """Do one thread's work; of an error of its own tell the others, who wait."""
        try:
            work(rank, barrier.wait)
        except threading.BrokenBarrierError:
            pass  # another one failed
        except BaseException as failure:
            failures.append(failure)
            barrier.abort()

    others = [
        threading.Thread(target=guarded, args=(rank,), daemon=True) for rank in range(1, threads)
    ]
    for other in others:
        other.start()
    guarded(0)
    for other in others:
        other.join()
    if failures:
        raise failures[0]


def spread(work: Callable[[int, int], object], n: int, threads: int) -> None:
    """Run work(lo, hi) over 0 .. n, a part on each thread."""

    def part(rank: int, wait: Wait) -> None:
        """Do one thread's part, without waiting."""
        work(*share(n, rank, threads))

    together(part, threads)


def share(n: int, rank: int, threads: int, grain: int = 1) -> tuple[int, int]:
    """Return the part of 0 .. n that falls to one of the threads, in whole grains.

    >>> [share(10, rank, 3) for rank in range(3)]
    [(0, 3), (3, 6), (6, 10)]
    >>> [share(10, rank, 2, grain=4) for rank in range(2)]
    [(0, 4), (4, 10)]

    Args:
        n: places in all.
        rank: of the thread, from 0.
        threads: that share them.
        grain: places that stay together.
    Returns:
        The first place, and that behind the last.
    """
    grains = -(-n // grain)
    return min(n, grains * rank // threads * grain), min(n, grains * (rank + 1) // threads * grain)
