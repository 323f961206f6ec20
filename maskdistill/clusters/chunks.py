"""Chunks: rows of any number, a part at a time, so that more than fits into memory is clustered.

In:       anything with a shape (n, d) and slices of rows: an array, a memory map, rows chosen of
          several of them
Out:      slices, each of at most so many bytes of float32; rows at given places
Differs:  nothing: up to a chunk of rows the sums below are those of NumPy on the whole
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

# Bytes of float32 a chunk, 21 845 rows of 384 numbers; what is made of one is a few times as much.
# Up to one chunk no bit moves (docs/log/clusters.md, 2026-11-28).
BYTES = 2**25


class Rows(Protocol):
    """Describe rows (n, d) float32 of which a slice is an array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (n, d)."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> np.ndarray: ...


class Chosen:
    """Hold rows of several arrays (n, d), one array after the other, as if they were one.

    Nothing is copied before a slice is asked for.

    Args:
        parts: pairs of an array and the places (m,) int64, rising, of its rows that are wanted; one
            pair at least.
    """

    def __init__(self, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        self.parts = list(parts)
        self.ends = np.cumsum([len(places) for _, places in self.parts])

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (n, d), n the wanted rows of all arrays."""
        return len(self), self.parts[0][0].shape[1]

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, part: slice, /) -> np.ndarray:
        first, last, _ = part.indices(len(self))
        found = []
        for (array, places), end in zip(self.parts, self.ends, strict=True):
            begin = end - len(places)
            wanted = places[max(0, first - begin) : max(0, last - begin)]
            if len(wanted):
                found.append(array[wanted])
        return np.concatenate(found) if found else np.zeros((0, self.shape[1]), np.float32)


def pieces(rows: Rows, *, n_bytes: int | None = None) -> Iterator[slice]:
    """Yield slices that cover all rows in order.

    Args:
        n_bytes: of float32 in a slice at most, one row at least; None: BYTES.
    """
    step = max(1, (n_bytes or BYTES) // (4 * max(1, rows.shape[1])))
    for first in range(0, len(rows), step):
        yield slice(first, min(first + step, len(rows)))


def is_one(rows: Rows) -> bool:
    """Return whether all rows are one chunk."""
    return 4 * len(rows) * rows.shape[1] <= BYTES


def at(rows: Rows, places: np.ndarray) -> np.ndarray:
    """Return the rows (m, d) at rising places (m,), in memory."""
    if isinstance(rows, np.ndarray):
        return np.array(rows[places])
    found = []
    for part in pieces(rows):
        first, last = np.searchsorted(places, (part.start, part.stop))
        if first < last:  # a chunk without a place is not read
            found.append(rows[part][places[first:last] - part.start])
    return np.concatenate(found) if found else np.zeros((0, rows.shape[1]), np.float32)


def mean(rows: Rows) -> np.ndarray:
    """Return the mean (d,) float64 of rows, one at least."""
    return sum(rows[part].sum(axis=0, dtype=np.float64) for part in pieces(rows)) / len(rows)


def mean_at(rows: Rows, places: np.ndarray) -> np.ndarray:
    """Return the mean (d,) of the rows at rising places (m,), m at least 1.

    Where they are one chunk it is NumPy's own, float32 of float32; else float64.
    """
    step = max(1, BYTES // (4 * max(1, rows.shape[1])))
    if len(places) <= step:
        return at(rows, places).mean(axis=0)
    sums = [
        at(rows, places[first : first + step]).sum(axis=0, dtype=np.float64)
        for first in range(0, len(places), step)
    ]
    return sum(sums, np.zeros(rows.shape[1])) / len(places)


def variance(rows: Rows) -> np.ndarray:
    """Return the mean squared distance to the mean of each dimension, (d,) float64."""
    middle = mean(rows)
    return sum(((rows[part] - middle) ** 2).sum(axis=0) for part in pieces(rows)) / len(rows)


def are_finite(rows: Rows) -> bool:
    """Return whether no number is nan or infinite."""
    return all(bool(np.isfinite(rows[part]).all()) for part in pieces(rows))


def distinct(rows: Rows, *, most: int) -> int:
    """Return how many unlike rows there are, counted up to `most`."""
    seen: set[bytes] = set()
    for part in pieces(rows, n_bytes=BYTES // 16):
        # Adding 0 makes of -0 the 0 that it equals.
        seen.update(row.tobytes() for row in np.unique(rows[part] + 0, axis=0)[: most + 1])
        if len(seen) >= most:
            return most
    return len(seen)
