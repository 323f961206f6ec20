"""The kernel of place, exactly: a Gaussian over a grid is one over columns after one over rows.

In:       rows of classes of the pixels of a picture, row by row
Out:      weight * D^-1/2 K D^-1/2 of them, added to the energies
Differs:  from the lattice, which approximates it; all beyond REACH deviations is left out
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from maskdistill.crf.compiled.lanes import FAST, OPTIONS, WIDTH, load, plus, store, zeros
from maskdistill.numba_jit import compiled

REACH = 5.0  # deviations: beyond, the Gaussian is below 4e-6 of its peak


class Separable(NamedTuple):
    """Hold the normalised kernel as two bands.

    Attributes:
        down: (height, 2 * reach + 1) float32, weights of the rows around each row; 0 outside the
            picture.
        across: (width, 2 * reach + 1) float32, of the columns around each column, with the
            kernel's weight.
    """

    down: np.ndarray
    across: np.ndarray

    def of_ones(self) -> np.ndarray:
        """Return what each pixel receives if every pixel sends 1, (height * width,) float32."""
        return np.outer(self.down.sum(axis=1), self.across.sum(axis=1)).astype(np.float32).ravel()


def separable(height: int, width: int, std_px: float, weight: float) -> Separable:
    """Return the bands for a picture of a size, a deviation in px and a weight."""
    return Separable(_band(height, std_px, 1.0), _band(width, std_px, weight))


def _band(n: int, std_px: float, weight: float) -> np.ndarray:
    """Return weight * D^-1/2 K D^-1/2 of n places in a line, (n, 2 * reach + 1) float32."""
    reach = min(n - 1, int(np.ceil(REACH * std_px)))
    offsets = np.arange(-reach, reach + 1)
    others = np.arange(n)[:, None] + offsets
    inside = (others >= 0) & (others < n)
    sums = np.where(inside, np.exp(-0.5 * (offsets / std_px) ** 2), 0)
    root = 1 / np.sqrt(sums.sum(axis=1))
    return (weight * sums * root[:, None] * root[others.clip(0, n - 1)]).astype(np.float32)


def smooth_down(
    out: np.ndarray, rows: np.ndarray, band: np.ndarray, columns: int, width: int, lo: int, hi: int
) -> None:
    """Write rows lo to hi of the picture, each the weighted sum of those around it.

    Args:
        out: flat, (rows, columns, width).
        rows: likewise, of classes.
        band: Separable.down.
        columns: of the picture.
        width: of the rows of classes.
        lo: first row of the picture.
        hi: behind the last.
    """
    if width == 1:
        _down_one(out, rows, band, columns, lo, hi)
    else:
        _down(out, rows, band, columns, width, lo, hi)


def smooth_across(
    out: np.ndarray,
    energies: np.ndarray,
    rows: np.ndarray,
    band: np.ndarray,
    columns: int,
    width: int,
    lo: int,
    hi: int,
) -> None:
    """Write rows lo to hi of the picture: energies plus the weighted sum of columns around each.

    Args:
        out: flat, (rows, columns, width).
        energies: likewise.
        rows: likewise, of classes; the others as in `smooth_down`, the band Separable.across.
    """
    if width == 1:
        _across_one(out, energies, rows, band, columns, lo, hi)
    else:
        _across(out, energies, rows, band, columns, width, lo, hi)


@compiled(**OPTIONS)
def _down(out, rows, band, columns, width, lo, hi):  # type: ignore[no-untyped-def]
    """Do what `smooth_down` says, by vectors."""
    reach = band.shape[1] // 2
    for row in range(lo, hi):
        first, last = max(0, row - reach), min(len(band), row + reach + 1)
        for at in range(row * columns * width, (row + 1) * columns * width, WIDTH):
            total = zeros(1)
            for other in range(first, last):
                total = plus(
                    total,
                    band[row, other - row + reach],
                    load(rows, at + (other - row) * columns * width, 1),
                )
            store(out, at, total)


@compiled(**OPTIONS)
def _across(out, energies, rows, band, columns, width, lo, hi):  # type: ignore[no-untyped-def]
    """Do what `smooth_across` says, by vectors."""
    reach = band.shape[1] // 2
    for row in range(lo, hi):
        for col in range(columns):
            first, last = max(0, col - reach), min(columns, col + reach + 1)
            at = (row * columns + col) * width
            for left in range(0, width, WIDTH):
                total = load(energies, at + left, 1)
                for other in range(first, last):
                    total = plus(
                        total,
                        band[col, other - col + reach],
                        load(rows, at + left + (other - col) * width, 1),
                    )
                store(out, at + left, total)


@compiled(**OPTIONS, fastmath=FAST)
def _down_one(out, rows, band, columns, lo, hi):  # type: ignore[no-untyped-def]
    """Do what `smooth_down` says for one number a pixel, by loops over columns."""
    reach = band.shape[1] // 2
    total = np.empty(columns, np.float32)
    for row in range(lo, hi):
        total[:] = 0
        for other in range(max(0, row - reach), min(len(band), row + reach + 1)):
            weight = band[row, other - row + reach]
            line = rows[other * columns : (other + 1) * columns]
            for col in range(columns):
                total[col] += weight * line[col]
        out[row * columns : (row + 1) * columns] = total


@compiled(**OPTIONS, fastmath=FAST)
def _across_one(out, energies, rows, band, columns, lo, hi):  # type: ignore[no-untyped-def]
    """Do what `smooth_across` says for one number a pixel, by loops over columns."""
    reach = band.shape[1] // 2
    turned = band.T.copy()
    total = np.empty(columns, np.float32)
    for row in range(lo, hi):
        begin, end = row * columns, (row + 1) * columns
        total[:] = energies[begin:end]
        for offset in range(-reach, reach + 1):
            first, last = max(0, -offset), min(columns, columns - offset)
            line, weights = (
                rows[begin + first + offset : begin + last + offset],
                turned[offset + reach, first:last],
            )
            for at in range(last - first):
                total[first + at] += weights[at] * line[at]
        out[begin:end] = total
