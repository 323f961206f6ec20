"""Arrays of many rows on disk: written row by row, whole or not there, and read as memory maps.

The bytes are those of `numpy.save`; in memory stands one batch of rows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from maskdistill.runs import atomic


class RowWriter:
    """Writer of an array's rows to a file.

    Rows of zeros may be added before any other row, when the length of a row is not known yet.
    """

    def __init__(self, file: IO[bytes], n_rows: int) -> None:
        self.file, self.n_rows = file, n_rows
        self.width: int | None = None
        self.written = 0
        self._zeros = 0

    def add(self, rows: np.ndarray) -> None:
        """Append rows (m, d) float32; d is that of the first rows."""
        if self.width is None:
            self.width = rows.shape[1]
            header = {"descr": "<f4", "fortran_order": False, "shape": (self.n_rows, self.width)}
            np.lib.format.write_array_header_1_0(self.file, header)
        if self._zeros:
            self.file.write(bytes(4 * self.width * self._zeros))
            self._zeros = 0
        self.file.write(np.ascontiguousarray(rows, "<f4").tobytes())
        self.written += len(rows)

    def add_zeros(self) -> None:
        """Append a row of zeros."""
        self._zeros += 1
        self.written += 1


@contextlib.contextmanager
def writing(path: Path, n_rows: int) -> Iterator[RowWriter]:
    """Yield a writer whose rows become `path`, a .npy file (n_rows, d) float32.

    The file is there when the block ends well; else the old one stays.

    Raises:
        ValueError: more or fewer rows were added, or zeros alone.
        RunError: the disk is full, or the folder cannot be written.
    """
    with atomic.writing(path) as file:
        writer = RowWriter(file, n_rows)
        yield writer
        if writer._zeros:
            writer.add(np.zeros((0, writer.width or 1), np.float32))
        if writer.written != n_rows or writer.width is None:
            raise ValueError(f"{path}: wanted {n_rows} rows, found {writer.written}")


def mapped(path: Path) -> np.ndarray:
    """Return the array of a .npy file as a memory map that cannot be written to."""
    found: np.ndarray = np.load(path, mmap_mode="r")
    return found


def write(path: Path, array: np.ndarray) -> None:
    """Write a small array as a .npy file, all of it or nothing.

    Raises:
        RunError: the disk is full, or the folder cannot be written.
    """
    with atomic.writing(path) as file:
        np.save(file, array)
