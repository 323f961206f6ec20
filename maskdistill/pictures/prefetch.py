"""Pictures decoded in threads ahead of their use, in order, a few at a time.

In:       items and a function that loads one
Out:      item and result, or the PictureError that it raised, in the order of the items
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from maskdistill.errors import PictureError

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetched(
    items: Iterable[Item], load: Callable[[Item], Result], *, workers: int, ahead: int | None = None
) -> Generator[tuple[Item, Result | PictureError], None, None]:
    """Yield (item, load(item)) in order, loaded ahead in threads.

    Args:
        items: taken one by one, never all at once.
        load: a PictureError that it raises is handed on as the result; any other error is raised
            at its item.
        workers: threads; 0 loads in line.
        ahead: at most so many items are held; None: two a thread, so that each has its next one.
            They are dropped, and the threads ended, when the iterator is closed early.
    Raises:
        ValueError: workers below 0.
    """
    if workers < 0:
        raise ValueError(f"workers must be at least 0, got {workers}")

    def attempt(item: Item) -> Result | PictureError:
        """Return what `load` makes of an item, or the PictureError that it raises."""
        try:
            return load(item)
        except PictureError as error:
            return error

    if workers == 0:
        for item in items:
            yield item, attempt(item)
        return
    with ThreadPoolExecutor(workers) as pool:
        held: deque[tuple[Item, Future[Result | PictureError]]] = deque()
        try:
            for item in items:
                held.append((item, pool.submit(attempt, item)))
                if len(held) > (2 * workers if ahead is None else ahead):
                    first, result = held.popleft()
                    yield first, result.result()
            while held:
                first, result = held.popleft()
                yield first, result.result()
        finally:
            for _, future in held:
                future.cancel()
