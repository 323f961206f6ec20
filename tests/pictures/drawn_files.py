"""Picture files that the tests of this folder draw."""

from pathlib import Path

import numpy as np
from PIL import Image


def corners() -> np.ndarray:
    """(13, 21, 3): four corners that differ, on a slope."""
    picture = np.zeros((13, 21, 3), np.uint8)
    picture[..., 0] = np.linspace(0, 255, 21).astype(np.uint8)
    picture[..., 1] = np.linspace(0, 255, 13).astype(np.uint8)[:, None]
    picture[:4, :4] = 255, 255, 255
    picture[-4:, :4] = 0, 0, 255
    return picture


def saved(path: Path, picture: Image.Image, **how: object) -> Path:
    picture.save(path, **how)
    return path


def noise(rng: np.random.Generator, suffix: str, folder: Path) -> Path:
    return saved(
        folder / f"noise{suffix}",
        Image.fromarray(rng.integers(0, 256, (64, 96, 3)).astype(np.uint8)),
    )
