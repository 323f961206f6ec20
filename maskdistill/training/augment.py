"""Augmentation: one geometric and one colour draw, for a picture and whatever lies on it.

Paper:    ranges of MaskDistill's segmenter: mirrored, +-5 degrees, scale 0.75 to 1.25; no colours
In:       rgb (H, W, 3) uint8, layers (n, H, W) uint8 (masks, or one label map), a generator
Out:      the same, H x W of the target
Differs:  a picture that shrinks is filtered first, as those that the trained network will see are
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Hold how one sample is turned, moved and coloured.

    Attributes:
        flip: left to right. scale: around the middle. degrees: counter-clockwise.
        shift: of the middle, (down, right) in shares of the sides.
        gain: of R, G, B. gamma: of the grey values.
    """

    flip: bool
    scale: float
    degrees: float
    shift: tuple[float, float]
    gain: tuple[float, float, float]
    gamma: float


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """Hold the ranges from which draws are taken, evenly.

    Attributes:
        flip: mirror every other picture. degrees: at most, either way. scale: least and most.
        shift: at most, either way, in shares of the sides.
        colour: c: each channel is multiplied by 1 - c to 1 + c, its values are raised to the power
            of exp(-c) to exp(c).
    """

    flip: bool = True
    degrees: float = 5.0
    scale: tuple[float, float] = (0.75, 1.25)
    shift: float = 0.0
    colour: float = 0.0


def drawn(rng: np.random.Generator, ranges: Ranges) -> Draw:
    """Return one draw from ranges."""
    degrees, shift, colour = ranges.degrees, ranges.shift, ranges.colour
    return Draw(
        flip=bool(rng.random() < 0.5) and ranges.flip,
        scale=float(rng.uniform(*ranges.scale)),
        degrees=float(rng.uniform(-degrees, degrees)),
        shift=(float(rng.uniform(-shift, shift)), float(rng.uniform(-shift, shift))),
        gain=tuple(map(float, rng.uniform(1 - colour, 1 + colour, 3))),  # type: ignore[arg-type]
        gamma=float(np.exp(rng.uniform(-colour, colour))),
    )


def apply(
    draw: Draw,
    rgb: np.ndarray,
    layers: np.ndarray,
    *,
    size: tuple[int, int],
    outside: int = 0,
    resample: Image.Resampling = Image.Resampling.BILINEAR,
) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture and its layers seen through a draw, squeezed to one size.

    Args:
        rgb: (H, W, 3) uint8.
        layers: (n, H, W) uint8; nearest neighbour, so that ids stay ids.
        size: (height, width) of the result.
        outside: value of layers beyond the picture's edge; the picture is black there.
        resample: of the picture, bilinear or bicubic, as the network's pictures are resized when it
            predicts.
    Returns:
        (*size, 3) uint8 and (n, *size) uint8.
    """
    height, width = rgb.shape[:2]
    # From a target pixel back to the source: unsqueeze, unturn around the middle, unflip.
    turn = np.deg2rad(draw.degrees)
    cos, sin = np.cos(turn) / draw.scale, np.sin(turn) / draw.scale
    to_source = np.array([[width / size[1], 0, 0], [0, height / size[0], 0], [0, 0, 1]])
    middle = np.array(
        [[1, 0, -width * (0.5 + draw.shift[1])], [0, 1, -height * (0.5 + draw.shift[0])], [0, 0, 1]]
    )
    turned = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    back = np.array([[1, 0, width / 2], [0, 1, height / 2], [0, 0, 1]])
    matrix = back @ turned @ middle @ to_source
    if draw.flip:
        matrix = np.array([[-1, 0, width], [0, 1, 0], [0, 0, 1]]) @ matrix
    target = (size[1], size[0])
    # An affine transform looks at 2 x 2 or 4 x 4 pixels however much it shrinks; a resize looks at
    # all (docs/log/training.md, 2026-11-28).
    image = Image.fromarray(rgb)
    small = _reduced(width, size[1], draw.scale), _reduced(height, size[0], draw.scale)
    if small != image.size:
        image = image.resize(small, resample)
    to_small = np.diag([small[0] / width, small[1] / height, 1])
    turned_rgb = image.transform(
        target, Image.Transform.AFFINE, _coefficients(to_small @ matrix), resample
    )
    moved = np.empty((len(layers), *size), np.uint8)
    for row, layer in enumerate(layers):
        picture = Image.fromarray(layer).transform(
            target,
            Image.Transform.AFFINE,
            _coefficients(matrix),
            Image.Resampling.NEAREST,
            fillcolor=outside,
        )
        moved[row] = np.asarray(picture)
    table = np.stack([_curve(gain, draw.gamma) for gain in draw.gain], axis=-1)
    out = np.asarray(turned_rgb)
    return np.stack([table[out[..., channel], channel] for channel in range(3)], axis=-1), moved


def _reduced(side: int, target: int, scale: float) -> int:
    """Return a side in px at the resolution of the target, never more than there are.

    It is as much more as the draw enlarges. What the draw itself shrinks, by a quarter in the
    paper's ranges, is not filtered: nor is it in the release.
    """
    return min(side, round(target * max(1.0, scale)))


def _coefficients(matrix: np.ndarray) -> tuple[float, ...]:
    """Return a matrix (3, 3) as Pillow takes it, from a target's place to a source's."""
    return tuple(float(value) for value in matrix[:2].ravel())


def _curve(gain: float, gamma: float) -> np.ndarray:
    """Return the new value of each of the 256 values of a channel, (256,) uint8."""
    values = (np.arange(256) / 255.0) ** gamma * gain
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
