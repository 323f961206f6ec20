"""Batches: the pictures that a device sees together, of one shape when they are ready for it.

In:       shapes of all pictures, in their order
Out:      batches of positions
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def of_like_shape(shapes: Sequence[Hashable], *, size: int) -> list[list[int]]:
    """Return batches of pictures of equal shape, in the order of the first one of each batch.

    A batch depends on all pictures, never on which of them are done: so it can be done again whole.

    >>> of_like_shape(["wide", "tall", "wide", "wide"], size=2)
    [[0, 2], [1], [3]]

    Args:
        shapes: of each picture, anything that tells shapes apart.
        size: pictures of a batch at most.
    Returns:
        Positions in `shapes`, each in one batch; empty for no pictures.
    Raises:
        ValueError: size below 1.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    open_batches: dict[Hashable, list[int]] = {}
    batches: list[list[int]] = []
    for position, shape in enumerate(shapes):
        batch = open_batches.get(shape)
        if batch is None or len(batch) == size:
            batch = open_batches[shape] = []
            batches.append(batch)
        batch.append(position)
    return batches
