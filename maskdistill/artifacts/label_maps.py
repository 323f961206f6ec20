"""Label maps on disk: palette PNG, the palette that the report uses too."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from maskdistill.report.colours import palette_bytes
from maskdistill.runs import atomic


def write(path: Path, label_map: np.ndarray) -> None:
    """A label map (H, W) uint8 as palette PNG; 0 is background, 1 + cluster, 255 ignored."""
    picture = Image.fromarray(np.ascontiguousarray(label_map))
    picture.putpalette(palette_bytes())
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=False)
    atomic.write_bytes(path, buffer.getvalue())


def read(path: Path) -> np.ndarray:
    """The label map (H, W) uint8 of a palette PNG that `write` made."""
    with Image.open(path) as picture:
        return np.asarray(picture).copy()
