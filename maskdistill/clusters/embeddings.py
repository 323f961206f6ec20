"""Masks to vectors: hand-made descriptors that a turn does not change, or a backbone's class token of the box.

Paper:    MaskDistill: the class token of the box crop at native size
In:       a picture (H, W, 3) uint8 and its masks (n, H, W) bool, or boxes (n, 4)
Out:      (n, d) float32
Differs:  descriptors are ours, for `handcrafted`, which has no class token; crops are capped by `max_side`
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

HUES = 12  # bins of the hue histogram
TURNS = 16  # bins of the gradient's direction, over a full turn
HARMONICS = 6  # Fourier magnitudes kept of a periodic histogram or outline
SCALES_PX = (0.7, 1.4, 2.8, 5.6)  # deviations between which the bands of lightness lie
RAYS = 64  # directions in which the outline is sampled


def descriptors(rgb: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """(n, d) float32 of masks (n, H, W) bool; an empty mask gets zeros. A turned object keeps its vector, nearly.

    Blocks, each of length about 1: hue histogram weighted by saturation, saturation and lightness, energies of
    bands of lightness and of colour, Fourier magnitudes of gradient directions at two scales, of the outline.
    """
    picture = rgb.astype(np.float32) / 255
    hue, saturation, value = _hsv(picture)
    opponent = np.stack([picture.mean(axis=2), picture[..., 0] - picture[..., 1], picture[..., 2] - picture[..., :2].mean(axis=2)])
    found = np.zeros((len(masks), _length()), np.float32)
    for row, mask in enumerate(masks):
        if mask.any():
            box = _grown_box(mask, 12)
            found[row] = _one(mask[box], hue[box], saturation[box], value[box], opponent[(slice(None), *box)])
    return found


def class_token_embeddings(
    rgb: np.ndarray,
    boxes_xyxy: np.ndarray,
    *,
    backbone: Any,
    prepare: Callable[[np.ndarray], torch.Tensor],
    max_side: int | None = None,
) -> np.ndarray:
    """(n, width) float32: the class token of each box, cut out of the normalised picture and padded to the patch.

    Args:
        boxes_xyxy: (n, 4), half-open.
        backbone: with width and class_tokens(batch).
        prepare: a crop (h, w, 3) uint8 to a tensor (3, h', w') float32, normalised, padded to the patch.
        max_side: px; a crop with a longer side is resized down to it. None: native size, as the paper.
    """
    found = []
    height, width = rgb.shape[:2]
    for x1, y1, x2, y2 in np.asarray(boxes_xyxy):
        left, top = max(0, int(np.floor(x1))), max(0, int(np.floor(y1)))
        right, bottom = min(width, max(left + 1, int(np.ceil(x2)))), min(height, max(top + 1, int(np.ceil(y2))))
        crop = rgb[top:bottom, left:right]
        longest = max(crop.shape[:2])
        if max_side is not None and longest > max_side:
            sides = [max(1, round(side * max_side / longest)) for side in crop.shape[:2]]
            crop = np.asarray(Image.fromarray(crop).resize((sides[1], sides[0]), Image.Resampling.BILINEAR))
        # Normalised before it is cut and padded: the padding is then the mean colour, as in the release.
        found.append(backbone.class_tokens(prepare(crop)[None])[0])
    return torch.stack(found).numpy() if found else np.zeros((0, backbone.width), np.float32)


def _one(mask: np.ndarray, hue: np.ndarray, saturation: np.ndarray, value: np.ndarray, opponent: np.ndarray) -> np.ndarray:
    """The descriptor of one mask; all arrays are cut to its surroundings."""
    inside = mask
    core = ndimage.binary_erosion(mask, iterations=2)
    if core.sum() < 0.3 * mask.sum():
        core = mask
    weight = saturation[inside]
    hues = np.zeros(HUES)
    position = hue[inside] * HUES
    low = np.floor(position).astype(int)
    np.add.at(hues, low % HUES, weight * (1 - (position - low)))
    np.add.at(hues, (low + 1) % HUES, weight * (position - low))
    hues = np.sqrt(hues / max(hues.sum(), 1e-6))
    tones = np.array([saturation[inside].mean(), saturation[inside].std(), value[inside].mean() * 0.3, value[inside].std()])
    bands = _bands(opponent, core)
    turns = np.concatenate([_turns(opponent[0], core, scale) for scale in (1.0, 2.0)])
    return np.concatenate([1.6 * hues, tones, bands, turns, 1.2 * _outline(mask)]).astype(np.float32)


def _bands(opponent: np.ndarray, core: np.ndarray) -> np.ndarray:
    """Deviation inside the mask of each band of lightness and colour, relative to their sum."""
    energies = []
    for channel in opponent:
        levels = [channel, *(ndimage.gaussian_filter(channel, scale) for scale in SCALES_PX)]
        energies += [np.sqrt(np.mean((fine - coarse)[core] ** 2)) for fine, coarse in zip(levels, levels[1:], strict=False)]
    spectrum = np.array(energies)
    return np.sqrt(spectrum / max(spectrum.sum(), 1e-6))


def _turns(lightness: np.ndarray, core: np.ndarray, scale: float) -> np.ndarray:
    """Fourier magnitudes of the gradient directions: how strongly 2, 4, ... directions prevail, not which."""
    down = ndimage.gaussian_filter(lightness, scale, order=(1, 0))[core]
    right = ndimage.gaussian_filter(lightness, scale, order=(0, 1))[core]
    strength = np.hypot(down, right)
    turn = (np.arctan2(down, right) / (2 * np.pi)) % 1
    angles = np.exp(-2j * np.pi * np.outer(np.arange(1, HARMONICS + 1), turn))
    return np.abs(angles @ strength) / max(strength.sum(), 1e-6)


def _outline(mask: np.ndarray) -> np.ndarray:
    """Fourier magnitudes of the outline's radius around its middle, extent, filled share: of shape alone."""
    rows, columns = np.nonzero(mask)
    middle = rows.mean(), columns.mean()
    radius = np.sqrt(mask.sum() / np.pi)
    angle = ((np.arctan2(rows - middle[0], columns - middle[1]) / (2 * np.pi) % 1) * RAYS).astype(int) % RAYS
    away = np.hypot(rows - middle[0], columns - middle[1]) / max(radius, 1e-6)
    reach = np.zeros(RAYS)
    np.maximum.at(reach, angle, away)
    spectrum = np.abs(np.fft.rfft(reach))[1 : HARMONICS + 1] / RAYS
    at_middle = float(mask[int(round(middle[0])), int(round(middle[1]))])
    filled = mask.sum() / max(ndimage.binary_fill_holes(mask).sum(), 1)
    return np.concatenate([2 * spectrum, [reach.mean() - 1, 0.3 * at_middle, filled]])


def _hsv(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hue in turns, saturation, value of RGB in [0, 1]."""
    top, bottom = picture.max(axis=2), picture.min(axis=2)
    spread = top - bottom
    safe = np.where(spread > 0, spread, 1)
    red, green, blue = np.moveaxis(picture, 2, 0)
    hue = np.where(top == red, (green - blue) / safe, np.where(top == green, 2 + (blue - red) / safe, 4 + (red - green) / safe))
    return (hue / 6) % 1, np.where(top > 0, spread / np.where(top > 0, top, 1), 0), top


def _grown_box(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (
        slice(max(0, rows[0] - margin), rows[-1] + 1 + margin),
        slice(max(0, columns[0] - margin), columns[-1] + 1 + margin),
    )


def _length() -> int:
    return HUES + 4 + 3 * len(SCALES_PX) + 2 * HARMONICS + HARMONICS + 3
