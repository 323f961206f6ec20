"""Orientation: how a camera was held, 1 to 8 as in EXIF, read from a file; arrays turned by it.

In:       an opened picture of Pillow's and its file; a stored array
Out:      its orientation; the array as it should be seen
"""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from PIL import Image

_TAG = 0x0112  # of EXIF's Orientation
TURNED_SIDES = frozenset({5, 6, 7, 8})  # these swap width and height
TURNED_BACK = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}  # the turn that undoes each


def turned(picture: np.ndarray, orientation: int) -> np.ndarray:
    """Return a stored picture as it should be seen.

    >>> turned(np.array([[1, 2, 3], [4, 5, 6]]), 6).tolist()
    [[4, 1], [5, 2], [6, 3]]

    Args:
        picture: (H, W, ...) as it lies in the file.
        orientation: 1 to 8 as in EXIF.
    Returns:
        (H, W, ...), or (W, H, ...) for orientations 5 to 8; contiguous.
    Source: EXIF 2.32, tag Orientation. Twin: tests/reference/orientation.py.
    """
    if orientation in TURNED_SIDES:
        picture = picture.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        picture = picture[::-1]
    if orientation in (2, 3, 6, 7):
        picture = picture[:, ::-1]
    return np.ascontiguousarray(picture)


def stored_turn(picture: Image.Image, file: BinaryIO) -> int:
    """Return the orientation that an opened, not yet decoded picture states.

    Args:
        picture: as Pillow opened it.
        file: that it was opened from; its position is kept.
    Returns:
        1 to 8; 1 where the picture states none or nonsense.
    """
    try:
        if picture.format == "PNG" and "exif" not in picture.info:
            chunk = _png_chunk(file, b"eXIf")
            if chunk is not None:
                picture.info["exif"] = b"Exif\0\0" + chunk
        # The base class's: that of PNG decodes all pixels to look for a late chunk.
        turn = Image.Image.getexif(picture).get(_TAG, 1)
        return int(turn) if turn in range(1, 9) else 1
    except Exception:  # metadata can be broken in any way; the pixels may well be in order
        return 1


def _png_chunk(file: BinaryIO, name: bytes) -> bytes | None:
    """Return the content of a PNG's first chunk of a name, wherever it stands, or None.

    The file's position is kept.
    """
    position = file.tell()
    try:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[:4], "big")
            if head[4:] == name:
                return file.read(length)
            file.seek(length + 4, 1)
        return None
    finally:
        file.seek(position)
