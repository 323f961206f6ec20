"""Handmade: masks to vectors without a network, by descriptors that a turn does not change.

Paper:    none: ours, for `handcrafted`, which has no class token
In:       a picture (H, W, 3) uint8 and its masks (n, H, W) bool
Out:      (n, 49) float32
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
from scipy import ndimage

from maskdistill.masks.boxes import slices
from maskdistill.masks.resize import reduced, resized, within

HUES = 12  # bins of the hue histogram
HARMONICS = 6  # Fourier magnitudes kept of a periodic histogram or outline
SCALES_PX = (0.7, 1.4, 2.8, 5.6)  # deviations between which the bands of lightness lie
RAYS = 64  # directions in which the outline is sampled


def descriptors(
    rgb: np.ndarray, masks: Iterable[np.ndarray], *, max_side: int | None = None
) -> np.ndarray:
    """Return the descriptors of masks; a turned object keeps its own, nearly.

    Blocks, each of length about 1: hue histogram weighted by saturation, saturation and lightness,
    energies of bands of lightness and of colour, Fourier magnitudes of gradient directions at two
    scales, of the outline.

    Args:
        rgb: (H, W, 3) uint8.
        masks: (H, W) bool each, taken one after the other, so that a generator need not hold them
            all.
        max_side: px; a picture with a longer side is measured reduced to it. None: native size.
    Returns:
        (n, 49) float32; an empty mask gets zeros.
    Raises:
        ValueError: another shape or type.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"rgb: wanted (H, W, 3) uint8, found {rgb.shape} {rgb.dtype}")
    size = within(rgb.shape[:2], max_side)
    is_reduced = size != rgb.shape[:2]
    measured = _Measured.of(reduced(rgb, size))
    found = []
    for mask in masks:
        if mask.shape != rgb.shape[:2] or mask.dtype != bool:
            raise ValueError(
                f"masks: wanted {rgb.shape[:2]} bool each, found {mask.shape} {mask.dtype}"
            )
        seen = resized(mask, size, keep=True) if is_reduced else mask
        box = slices(seen)
        found.append(
            _one(seen[box], measured.within(box)) if box else np.zeros(_length(), np.float32)
        )
    return np.stack(found) if found else np.zeros((0, _length()), np.float32)


@dataclass(frozen=True)
class _Measured:
    """Hold what is filtered once a picture and read by every mask, float32.

    Attributes:
        hue, saturation, value: (H, W).
        bands: (3 channels * scales, H, W), squared.
        down, right: (2 scales, H, W), the gradient of lightness.
    """

    hue: np.ndarray
    saturation: np.ndarray
    value: np.ndarray
    bands: np.ndarray
    down: np.ndarray
    right: np.ndarray

    @staticmethod
    def of(rgb: np.ndarray) -> _Measured:
        """Return what is measured of a picture (H, W, 3) uint8."""
        picture = rgb.astype(np.float32) / 255
        lightness = picture.mean(axis=2)
        opponent = [
            lightness,
            picture[..., 0] - picture[..., 1],
            picture[..., 2] - picture[..., :2].mean(axis=2),
        ]
        bands = []
        for channel in opponent:
            levels = [channel, *(ndimage.gaussian_filter(channel, scale) for scale in SCALES_PX)]
            bands += [(fine - coarse) ** 2 for fine, coarse in pairwise(levels)]
        scales = (1.0, 2.0)
        return _Measured(
            *_hsv(picture),
            bands=np.stack(bands),
            down=np.stack(
                [ndimage.gaussian_filter(lightness, scale, order=(1, 0)) for scale in scales]
            ),
            right=np.stack(
                [ndimage.gaussian_filter(lightness, scale, order=(0, 1)) for scale in scales]
            ),
        )

    def within(self, box: tuple[slice, slice]) -> _Measured:
        """Return the same of a part of the picture, views of the arrays."""
        return _Measured(*(getattr(self, each.name)[(..., *box)] for each in fields(self)))


def _one(mask: np.ndarray, measured: _Measured) -> np.ndarray:
    """Return the descriptor (49,) float32 of one mask; all arrays are cut to its box."""
    core = ndimage.binary_erosion(np.pad(mask, 2), iterations=2)[2:-2, 2:-2]
    if core.sum() < 0.3 * mask.sum():
        core = mask
    saturation, value = measured.saturation[mask], measured.value[mask]
    position = measured.hue[mask] * HUES
    low = np.floor(position).astype(int)
    hues = np.bincount(low % HUES, saturation * (1 - (position - low)), HUES)
    hues += np.bincount((low + 1) % HUES, saturation * (position - low), HUES)
    hues = np.sqrt(hues / max(hues.sum(), 1e-6))
    tones = np.array([saturation.mean(), saturation.std(), value.mean() * 0.3, value.std()])
    # Deviation inside the mask of each band of lightness and colour, relative to their sum.
    spectrum = np.sqrt(measured.bands[:, core].mean(axis=1))
    bands = np.sqrt(spectrum / max(spectrum.sum(), 1e-6))
    turns = [
        _turns(down[core], right[core])
        for down, right in zip(measured.down, measured.right, strict=True)
    ]
    return np.concatenate([1.6 * hues, tones, bands, *turns, 1.2 * _outline(mask)]).astype(
        np.float32
    )


def _turns(down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the Fourier magnitudes (HARMONICS,) of the directions of a gradient (n,), (n,).

    They say how strongly 2, 4, ... directions prevail, not which.
    """
    strength = np.hypot(down, right)
    # Powers of the unit gradient are the harmonics of its direction: no histogram, no exponentials.
    unit = (right + 1j * down) / np.where(strength > 0, strength, 1)
    power, found = strength.astype(np.complex128), np.empty(HARMONICS)
    for harmonic in range(HARMONICS):
        power = power * unit
        found[harmonic] = abs(power.sum())
    return found / max(float(strength.sum()), 1e-6)


def _outline(mask: np.ndarray) -> np.ndarray:
    """Return numbers (HARMONICS + 3,) of the shape of a mask (h, w) bool alone.

    They are the Fourier magnitudes of the outline's radius around the mask's middle, its extent,
    whether the middle is the mask's, the filled share.
    """
    rows, columns = np.nonzero(mask)
    middle = rows.mean(), columns.mean()
    radius = np.sqrt(mask.sum() / np.pi)
    angle = ((np.arctan2(rows - middle[0], columns - middle[1]) / (2 * np.pi) % 1) * RAYS).astype(
        int
    ) % RAYS
    away = np.hypot(rows - middle[0], columns - middle[1]) / max(radius, 1e-6)
    reach = np.zeros(RAYS)
    np.maximum.at(reach, angle, away)
    spectrum = np.abs(np.fft.rfft(reach))[1 : HARMONICS + 1] / RAYS
    at_middle = float(mask[round(middle[0]), round(middle[1])])
    filled = mask.sum() / max(ndimage.binary_fill_holes(mask).sum(), 1)
    return np.concatenate([2 * spectrum, [reach.mean() - 1, 0.3 * at_middle, filled]])


def _hsv(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return hue in turns, saturation and value, (H, W) each, of RGB (H, W, 3) in [0, 1]."""
    top, bottom = picture.max(axis=2), picture.min(axis=2)
    spread = top - bottom
    safe = np.where(spread > 0, spread, 1)
    red, green, blue = np.moveaxis(picture, 2, 0)
    hue = np.where(
        top == red,
        (green - blue) / safe,
        np.where(top == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    return (hue / 6) % 1, np.where(top > 0, spread / np.where(top > 0, top, 1), 0), top


def _length() -> int:
    """Return how many numbers a descriptor has."""
    return HUES + 4 + 3 * len(SCALES_PX) + 2 * HARMONICS + HARMONICS + 3
