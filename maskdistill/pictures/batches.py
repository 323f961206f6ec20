"""Which pictures a device sees together: those that have one shape when they are ready for it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def of_like_shape(shapes: Sequence[Hashable], *, size: int) -> list[list[int]]:
    """Positions of pictures of equal shape, at most `size` together, in the order of the first of each batch.

    A batch depends on all pictures, never on which of them are done: so it can be done again whole.

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
