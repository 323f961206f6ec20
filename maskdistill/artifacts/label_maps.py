"""Label maps on disk: PNG with the palette that the report uses too.

In, out:  (H, W) uint8: 0 background, 1 + cluster, 255 ignored
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from maskdistill.report.colours import palette_bytes
from maskdistill.runs import atomic


def write(path: Path, label_map: np.ndarray) -> None:
    """Write a label map (H, W) uint8 as palette PNG: the whole file or nothing.

    Args:
        label_map: 0 background, 1 + cluster, 255 ignored.
    Raises:
        RunError: the disk is full, or the folder cannot be written.
    """
    picture = Image.fromarray(np.ascontiguousarray(label_map))
    picture.putpalette(palette_bytes())
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=False)
    atomic.write_bytes(path, buffer.getvalue())


def read(path: Path) -> np.ndarray:
    """Return the label map (H, W) uint8, writable, of a palette PNG that `write` made."""
    with Image.open(path) as picture:
        return np.asarray(picture).copy()
