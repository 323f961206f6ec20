"""Batches of pictures of one size, planned over all pictures of a run, so that they are the same after a resume."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence


def plan(sizes: Sequence[tuple[int, int]], *, batch: int) -> list[list[int]]:
    """Positions in `sizes`, grouped: each exactly once, in one list only such of equal size.

    Args:
        sizes: (height, width) of every picture, also of those that are done: leaving them out would cut the batches
            elsewhere, and in convolution networks another batch gives other bits.
        batch: most pictures in a list, at least 1; only the last list of a size is shorter.
    Returns:
        Lists in the order of their first position, each ascending.
    Raises:
        ValueError: batch below 1.
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
    alike: dict[tuple[int, int], list[int]] = defaultdict(list)
    for position, (height, width) in enumerate(sizes):
        alike[height, width].append(position)
    batches = [some[start : start + batch] for some in alike.values() for start in range(0, len(some), batch)]
    return sorted(batches)
