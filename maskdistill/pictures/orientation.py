"""How a camera was held: the orientation of a file, 1 to 8 as in EXIF, and arrays turned by it."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from PIL import Image

_TAG = 0x0112
TURNED_SIDES = frozenset({5, 6, 7, 8})  # these swap width and height
TURNED_BACK = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}  # the turn that undoes each


def turned(picture: np.ndarray, orientation: int) -> np.ndarray:
    """A stored picture (H, W, ...) as it should be seen, contiguous; (W, H, ...) for orientations 5 to 8.

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
    """The orientation that an opened, not yet decoded picture states; 1 where it states none or nonsense."""
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
    """The content of the first chunk of that name, wherever it stands; the file's position is kept."""
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
