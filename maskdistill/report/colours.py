"""Colours of clusters: fixed, well apart, also for people who see red and green alike.

Paper:    Okabe and Ito, Color Universal Design, 2008 (the first seven); Machado, Oliveira and
          Fernandes, IEEE TVCG 15(6), 2009 (the two simulations of colour vision)
Out:      palette(n): (n + 1, 3) uint8, 0 black; palette_bytes(): the 768 bytes of a PNG's palette
"""

from __future__ import annotations

from functools import cache

import numpy as np

from maskdistill.types import MOST_IDS

IGNORE_COLOUR = np.array([[216, 216, 216]], np.uint8)  # of 255 in a label map
FIRST = ("E69F00", "56B4E9", "009E73", "F0E442", "0072B2", "D55E00", "CC79A7")

# Linear RGB -> linear RGB as seen without the long-wave cones (protanopia), or without the
# middle-wave cones (deuteranopia).
PROTANOPIA = (
    (0.152286, 1.052583, -0.204868),
    (0.114503, 0.786281, 0.099216),
    (-0.003882, -0.048116, 1.051998),
)
DEUTERANOPIA = (
    (0.367322, 0.860646, -0.227968),
    (0.280085, 0.672501, 0.047413),
    (-0.011820, 0.042940, 0.968881),
)
TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
WHITE = (0.95047, 1.0, 1.08883)


def palette(n: int) -> np.ndarray:
    """Return the colours of n clusters: row 0 black for the background, row 1 + c for cluster c.

    A longer palette starts with the shorter one. The first seven are Okabe and Ito's; each further
    one is the colour that lies farthest from all before it in CIELAB, by the worst of three kinds
    of colour vision.

    Returns:
        (n + 1, 3) uint8 RGB.
    Raises:
        ValueError: n outside 0 .. 254.

    >>> palette(2).tolist()
    [[0, 0, 0], [230, 159, 0], [86, 180, 233]]
    """
    if not 0 <= n <= MOST_IDS:
        raise ValueError(f"n must be in 0 .. {MOST_IDS}, got {n}")
    return np.frombuffer(_all_colours(), np.uint8).reshape(-1, 3)[: n + 1].copy()


def palette_bytes() -> bytes:
    """Return the 768 bytes of a label map's PNG palette, RGB after RGB.

    They are black, 254 colours of clusters, light grey for 255 (ignore).

    >>> len(palette_bytes()), palette_bytes()[-3:].hex()
    (768, 'd8d8d8')
    """
    return _all_colours() + IGNORE_COLOUR.tobytes()


@cache
def _all_colours() -> bytes:
    steps = np.arange(0, 256, 17, dtype=np.uint8)
    candidates = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = _lab(_linear(candidates))
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    # Neither lost in shadow nor in glare, and no greys: they would pass for the picture itself.
    candidates = candidates[(lab[:, 0] >= 35) & (lab[:, 0] <= 92) & (chroma >= 20)]
    first = np.array([list(bytes.fromhex(code)) for code in FIRST], np.uint8)
    taken = np.vstack([np.zeros((1, 3), np.uint8), IGNORE_COLOUR, first])
    seen = _seen(candidates)  # (visions, candidates, 3)
    nearest = np.full(len(candidates), np.inf)
    for colour in taken:
        nearest = np.minimum(nearest, _distance(seen, _seen(colour[None])))
    chosen = [*first]
    while len(chosen) < MOST_IDS:
        # Rounded, so that the last bit of a platform's cube root cannot reorder the colours.
        best = int(np.argmax(nearest.round(4)))
        chosen.append(candidates[best])
        nearest = np.minimum(nearest, _distance(seen, seen[:, best : best + 1]))
    return np.vstack([np.zeros((1, 3), np.uint8), np.array(chosen, np.uint8)]).tobytes()


def _distance(seen: np.ndarray, one: np.ndarray) -> np.ndarray:
    """Return (n,) float64: the distance in CIELAB, the smallest over the kinds of vision."""
    return np.linalg.norm(seen - one, axis=2).min(axis=0)


def _seen(rgb: np.ndarray) -> np.ndarray:
    """Return (3, n, 3) float64 CIELAB of uint8 colours as three kinds of vision see them.

    These are the usual one, protanopia and deuteranopia.
    """
    linear = _linear(rgb)
    visions = [np.eye(3), np.array(PROTANOPIA), np.array(DEUTERANOPIA)]
    return np.stack([_lab((linear @ vision.T).clip(0, 1)) for vision in visions])


def _linear(rgb: np.ndarray) -> np.ndarray:
    """Return (n, 3) float64 linear light in [0, 1] of sRGB bytes."""
    value = rgb.astype(np.float64) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _lab(linear: np.ndarray) -> np.ndarray:
    """Return (n, 3) float64 CIELAB under D65 of linear light."""
    relative = linear @ np.array(TO_XYZ).T / np.array(WHITE)
    curve = np.where(
        relative > (6 / 29) ** 3, np.cbrt(relative), relative / (3 * (6 / 29) ** 2) + 4 / 29
    )
    x, y, z = curve.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
