"""One geometric and one colour draw, applied to a picture and whatever lies on it.

In:       rgb (H, W, 3) uint8, layers (n, H, W) uint8 (masks, or one label map), a generator
Out:      the same, H x W of the target
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What one sample is turned by.

    Attributes:
        flip: left to right. scale: around the middle. degrees: counter-clockwise.
        shift: of the middle, (down, right) in shares of the sides. gain: of R, G, B. gamma: of the grey values.
    """

    flip: bool
    scale: float
    degrees: float
    shift: tuple[float, float]
    gain: tuple[float, float, float]
    gamma: float


def drawn(
    rng: np.random.Generator,
    *,
    degrees: float = 5.0,
    scale: tuple[float, float] = (0.75, 1.25),
    shift: float = 0.0,
    colour: float = 0.0,
) -> Draw:
    """One draw; ranges as the segmenter's of MaskDistill, without colour, unless said."""
    return Draw(
        flip=bool(rng.random() < 0.5),
        scale=float(rng.uniform(*scale)),
        degrees=float(rng.uniform(-degrees, degrees)),
        shift=(float(rng.uniform(-shift, shift)), float(rng.uniform(-shift, shift))),
        gain=tuple(float(gain) for gain in rng.uniform(1 - colour, 1 + colour, 3)),  # type: ignore[arg-type]
        gamma=float(np.exp(rng.uniform(-colour, colour))),
    )


def apply(
    draw: Draw, rgb: np.ndarray, layers: np.ndarray, *, size: tuple[int, int], outside: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Picture and layers seen through a draw, squeezed to `size` (height, width).

    Args:
        layers: (n, H, W) uint8; nearest neighbour, so that ids stay ids.
        outside: value of layers beyond the picture's edge; the picture is black there.
    """
    height, width = rgb.shape[:2]
    # From a target pixel back to the source: unsqueeze, unturn around the middle, unflip.
    turn = np.deg2rad(draw.degrees)
    cos, sin = np.cos(turn) / draw.scale, np.sin(turn) / draw.scale
    to_source = np.array([[width / size[1], 0, 0], [0, height / size[0], 0], [0, 0, 1]])
    middle = np.array([[1, 0, -width * (0.5 + draw.shift[1])], [0, 1, -height * (0.5 + draw.shift[0])], [0, 0, 1]])
    turned = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    back = np.array([[1, 0, width / 2], [0, 1, height / 2], [0, 0, 1]])
    matrix = back @ turned @ middle @ to_source
    if draw.flip:
        matrix = np.array([[-1, 0, width], [0, 1, 0], [0, 0, 1]]) @ matrix
    coefficients = tuple(float(value) for value in matrix[:2].ravel())
    target = (size[1], size[0])
    turned_rgb = Image.fromarray(rgb).transform(target, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    moved = np.empty((len(layers), *size), np.uint8)
    for row, layer in enumerate(layers):
        picture = Image.fromarray(layer).transform(
            target, Image.Transform.AFFINE, coefficients, Image.Resampling.NEAREST, fillcolor=outside
        )
        moved[row] = np.asarray(picture)
    table = np.stack([_curve(gain, draw.gamma) for gain in draw.gain], axis=-1)
    out = np.asarray(turned_rgb)
    return np.stack([table[out[..., channel], channel] for channel in range(3)], axis=-1), moved


def unchanged() -> Draw:
    """The draw that only squeezes."""
    return Draw(flip=False, scale=1.0, degrees=0.0, shift=(0.0, 0.0), gain=(1.0, 1.0, 1.0), gamma=1.0)


def _curve(gain: float, gamma: float) -> np.ndarray:
    values = (np.arange(256) / 255.0) ** gamma * gain
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
