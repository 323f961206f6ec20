"""Products: float32 rows times float64 vectors, in float64, without a float64 copy of the rows.

Paper:    none
In:       rows (n, width) float32
Out:      float64
Differs:  ours: the signs of sums near zero decide, so that float32 sums would make masks depend on
          the order of summation
"""

from __future__ import annotations

import numpy as np

from maskdistill.numba_jit import compiled

# Of a block of inner products, so that it stays in the cache until it is counted: every pair once,
# by blocks, took 70 ms at 3600 patches, the whole 105 (docs/log/proposals.md, 2026-11-25).
_ROWS = 256


def times(rows: np.ndarray, vector: np.ndarray, indices: np.ndarray | None = None) -> np.ndarray:
    """Return the inner products of rows with a vector, summed in float64.

    Args:
        rows: (n, width) float32.
        vector: (width,).
        indices: of the rows; None: all.
    Returns:
        (indices,) float64.

    >>> rows = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    >>> times(rows, np.array([1.0, 10.0]), np.array([0, 2]))
    array([21., 65.])
    """
    chosen = np.arange(len(rows)) if indices is None else indices
    out = np.empty(len(chosen))
    _times(rows, chosen, np.ascontiguousarray(vector, np.float64), out)
    return out


def total(rows: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Return the sum (width,) float64 of some of the rows (n, width) float32."""
    out = np.zeros(rows.shape[1])
    _total(rows, indices, out)
    return out


def positive_counts(rows: np.ndarray) -> np.ndarray:
    """Return for each row how many rows, itself too, have a positive inner product with it.

    A block of rows at a time is multiplied with the rows from it on: no product is made twice, and
    memory does not grow with n^2.

    Args:
        rows: (n, width) float32; products are summed in float32.
    Returns:
        (n,) int64.

    >>> positive_counts(np.array([[1, 0], [1, 1], [-1, 0]], np.float32))
    array([2, 2, 1])
    """
    counts = np.zeros(len(rows), np.int64)
    # One for all blocks: fresh memory costs page faults.
    buffer = np.empty(min(_ROWS, len(rows)) * len(rows), np.float32)
    for first in range(0, len(rows), _ROWS):
        some, rest = rows[first : first + _ROWS], rows[first:]
        block = buffer[: len(some) * len(rest)].reshape(len(some), len(rest))
        np.matmul(some, rest.T, out=block)
        _count(block, counts[first:])
    return counts


# Sums may be taken in any order: else no addition is vectorised, and a product takes four times as
# long.
@compiled(fastmath={"reassoc", "contract"})
def _times(rows: np.ndarray, indices: np.ndarray, vector: np.ndarray, out: np.ndarray) -> None:
    """Write the inner products of four rows at a time, so that the vector is read once for them."""
    whole = len(indices) // 4 * 4
    for place in range(0, whole, 4):
        one, two = rows[indices[place]], rows[indices[place + 1]]
        three, four = rows[indices[place + 2]], rows[indices[place + 3]]
        first = second = third = fourth = 0.0
        for column in range(len(vector)):
            value = vector[column]
            first += one[column] * value
            second += two[column] * value
            third += three[column] * value
            fourth += four[column] * value
        out[place], out[place + 1], out[place + 2], out[place + 3] = first, second, third, fourth
    for place in range(whole, len(indices)):
        row = rows[indices[place]]
        total = 0.0
        for column in range(len(vector)):
            total += row[column] * vector[column]
        out[place] = total


@compiled()
def _total(rows: np.ndarray, indices: np.ndarray, out: np.ndarray) -> None:
    """Add some of the rows to `out`."""
    for index in indices:
        row = rows[index]
        for column in range(len(out)):
            out[column] += row[column]


@compiled()
def _count(block: np.ndarray, counts: np.ndarray) -> None:
    """Add the number of positive products to the counts of both that they are of.

    Args:
        block: (rows, columns) products; the first columns are the rows themselves.
        counts: (columns,), added to.
    """
    n_rows, n_columns = block.shape
    for row in range(n_rows):
        line, found = block[row], 0
        for column in range(n_columns):
            found += line[column] > 0
        counts[row] += found
    for row in range(n_rows):
        line = block[row]
        for column in range(n_rows, n_columns):
            counts[column] += line[column] > 0
