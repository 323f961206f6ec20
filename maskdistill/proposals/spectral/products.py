"""Products of float32 rows with float64 vectors, summed in float64, without a float64 copy of the rows.

Paper:    none
In:       rows (n, width) float32
Out:      float64
Differs:  ours: the signs of sums near zero decide, so float32 sums would make masks depend on the order of summation
"""

from __future__ import annotations

import numpy as np

from maskdistill.numba_jit import compiled

_ROWS = 256  # of a block of inner products, so that it stays in the cache until it is counted


def times(rows: np.ndarray, vector: np.ndarray, indices: np.ndarray | None = None) -> np.ndarray:
    """Inner products of some rows, or of all, with a vector (width,): (indices,) float64."""
    chosen = np.arange(len(rows)) if indices is None else indices
    out = np.empty(len(chosen))
    _times(rows, chosen, np.ascontiguousarray(vector, np.float64), out)
    return out


def total(rows: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """(width,) float64: the sum of some rows."""
    out = np.zeros(rows.shape[1])
    _total(rows, indices, out)
    return out


def positive_counts(rows: np.ndarray) -> np.ndarray:
    """(n,) int64: with how many rows, itself too, each has a positive inner product, in float32.

    A block of rows at a time with the rows from it on: no product is made twice, and memory does not grow with n^2.
    """
    counts = np.zeros(len(rows), np.int64)
    buffer = np.empty(
        min(_ROWS, len(rows)) * len(rows), np.float32
    )  # one for all: fresh memory costs page faults
    for first in range(0, len(rows), _ROWS):
        some, rest = rows[first : first + _ROWS], rows[first:]
        block = buffer[: len(some) * len(rest)].reshape(len(some), len(rest))
        np.matmul(some, rest.T, out=block)
        _count(block, counts[first:])
    return counts


# Sums may be taken in any order: else no addition is vectorised, and a product takes four times as long.
@compiled(fastmath={"reassoc", "contract"})
def _times(rows: np.ndarray, indices: np.ndarray, vector: np.ndarray, out: np.ndarray) -> None:
    """Four rows at a time, or reading the vector costs as much as reading them."""
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
    for index in indices:
        row = rows[index]
        for column in range(len(out)):
            out[column] += row[column]


@compiled()
def _count(block: np.ndarray, counts: np.ndarray) -> None:
    """Add the positive products of rows 0.. with columns 0.., of which those beyond the rows stand for both."""
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
