"""Demo pictures: textured objects of a few kinds on textured grounds, with exact ground truth.

A kind is a shape, a texture and a loose range of hue; scale, turn, phase, hue, light and overlap
vary. Grounds share the hues of the objects, so that colour alone does not tell them. Numbers are
compared over time: VERSION and the hash of what was drawn say which pictures one was made on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from maskdistill.masks import rle
from maskdistill.masks.boxes import boxes_from_masks, xywh

VERSION = 2
KINDS = ("disc", "star", "ring", "block", "cross", "moon", "drop", "flower")
EMPTY_SHARE = 0.1  # of pictures that show their ground alone
VISIBLE_SHARE = 0.3  # an object that shows less of itself is no object of the truth


@dataclass(frozen=True)
class Drawn:
    """Hold a picture: rgb (H, W, 3) uint8, masks (n, H, W) bool as seen, kinds (n,) int64."""

    rgb: np.ndarray
    masks: np.ndarray
    kinds: np.ndarray


def draw(seed: int, index: int, *, size: tuple[int, int] = (160, 208), n_kinds: int = 5) -> Drawn:
    """Draw picture number `index` of a seed, the same on every call.

    Args:
        size: (height, width), px. n_kinds: the picture's objects are of the first so many kinds.
    Returns:
        The picture; one in ten shows its ground alone, the others up to 5 objects.
    Raises:
        ValueError: n_kinds out of 2..8, or a side below 32 px.
    """
    if not 2 <= n_kinds <= len(KINDS):
        raise ValueError(f"n_kinds must be in 2..{len(KINDS)}, got {n_kinds}")
    if min(size) < 32:
        raise ValueError(f"size must be at least 32 px a side, got {size}")
    # Named: NumPy's default may become another one.
    rng = np.random.Generator(np.random.PCG64([seed, index]))
    picture = _ground(rng, size)
    painted = np.full(size, -1)
    whole_px, kinds = [], []
    n_objects = (
        0
        if rng.random() < EMPTY_SHARE
        else int(rng.choice([1, 2, 3, 4, 5], p=[0.1, 0.25, 0.3, 0.2, 0.15]))
    )
    for number in range(n_objects):
        kind = int(rng.integers(n_kinds))
        mask, local = _placed(rng, kind, size)
        paint = _object_colours(rng, kind, local)
        shadow = ndimage.gaussian_filter(np.roll(mask, (2, 2), (0, 1)).astype(float), 2.0)
        picture *= 1 - 0.35 * (shadow * ~mask)[..., None]
        soft = ndimage.gaussian_filter(mask.astype(float), 0.6)[..., None]
        picture = picture * (1 - soft) + paint * soft
        painted[mask] = number
        whole_px.append(int(mask.sum()))
        kinds.append(kind)
    picture = _lit(rng, picture)
    visible = np.array([painted == number for number in range(n_objects)], bool).reshape(
        n_objects, *size
    )
    seen = [row for row in range(n_objects) if visible[row].sum() >= VISIBLE_SHARE * whole_px[row]]
    rgb = np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)
    return Drawn(rgb=rgb, masks=visible[seen], kinds=np.array(kinds, np.int64)[seen])


def write(
    folder: Path,
    truth: Path,
    *,
    n_pictures: int,
    seed: int,
    n_kinds: int = 5,
    size: tuple[int, int] = (160, 208),
    prefix: str = "",
) -> str:
    """Draw pictures as PNG into `folder`, and their ground truth as a COCO instances file.

    Args:
        truth: the JSON. size: (height, width), px. prefix: of the file names.
    Returns:
        SHA-256 of the pixels and masks drawn (not of the files: encoders differ).
    """
    folder.mkdir(parents=True, exist_ok=True)
    truth.parent.mkdir(parents=True, exist_ok=True)
    seen = hashlib.sha256(f"{VERSION}".encode())
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number in range(1, n_pictures + 1):
        drawn = draw(seed, number, size=size, n_kinds=n_kinds)
        for array in (drawn.rgb, drawn.masks, drawn.kinds):
            seen.update(np.ascontiguousarray(array).tobytes())
        name = f"{prefix}{number:04d}.png"
        Image.fromarray(drawn.rgb).save(folder / name)
        images.append({"id": number, "file_name": name, "height": size[0], "width": size[1]})
        for mask, box, kind in zip(
            rle.encode(drawn.masks), xywh(boxes_from_masks(drawn.masks)), drawn.kinds, strict=True
        ):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": int(kind) + 1,
                    "segmentation": mask,
                    "bbox": [float(edge) for edge in box],
                    "area": int(rle.areas([mask])[0]),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": number + 1, "name": name} for number, name in enumerate(KINDS[:n_kinds])]
    dataset = {"images": images, "annotations": annotations, "categories": categories}
    truth.write_text(json.dumps(dataset), encoding="utf-8")
    return seen.hexdigest()


def _placed(
    rng: np.random.Generator, kind: int, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Place an object: its mask (H, W) bool, coordinates (H, W, 2) of its own frame in px."""
    height, width = size
    radius = rng.uniform(0.11, 0.27) * min(size)
    centre = (
        rng.uniform(0.75 * radius, height - 0.75 * radius),
        rng.uniform(0.75 * radius, width - 0.75 * radius),
    )
    turn = rng.uniform(0, 2 * np.pi)
    squeeze = rng.uniform(0.85, 1.15)
    rows, columns = np.mgrid[:height, :width].astype(float)
    down, right = (rows - centre[0]) / radius, (columns - centre[1]) / radius
    y = (np.cos(turn) * down - np.sin(turn) * right) * squeeze
    x = (np.sin(turn) * down + np.cos(turn) * right) / squeeze
    return _SHAPES[kind](y, x), np.stack([y * radius, x * radius], axis=-1)


def _object_colours(rng: np.random.Generator, kind: int, local: np.ndarray) -> np.ndarray:
    """Return an object's colours (H, W, 3): two tones of its hue, laid by its kind's texture."""
    hue = (kind / len(KINDS) + 0.04 + rng.normal(0, 0.04)) % 1
    saturation, value = rng.uniform(0.4, 0.8), rng.uniform(0.55, 0.95)
    light, dark = (
        _rgb(hue, saturation, value),
        _rgb(hue + rng.normal(0, 0.02), saturation * 0.9, value * 0.45),
    )
    share = _TEXTURES[kind](rng, local[..., 0], local[..., 1])[..., None]
    return light * share + dark * (1 - share)


def _ground(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Return a ground (H, W, 3): patches of grain, fibres or cloud in muted colours of any hue."""
    ground = _one_ground(rng, size)
    for _ in range(2):
        border = ndimage.gaussian_filter(rng.normal(size=size), 0.15 * min(size))
        border = (border - np.median(border)) / border.std()
        share = 1 / (1 + np.exp(-12 * (border - rng.uniform(0.3, 2.5))))[..., None]
        ground = ground * (1 - share) + _one_ground(rng, size) * share
    return ground


def _one_ground(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    hue, saturation, value = rng.random(), rng.uniform(0.1, 0.48), rng.uniform(0.3, 0.75)
    grain = rng.normal(size=size)
    scale = rng.uniform(0.8, 2.5)
    style = rng.integers(3)
    if style == 0:  # grain
        texture = ndimage.gaussian_filter(grain, scale)
    elif style == 1:  # fibres
        fibres = ndimage.gaussian_filter(grain, (0.6, 4 * scale))
        texture = ndimage.rotate(
            np.pad(fibres, 60, "reflect"),
            rng.uniform(0, 180),
            reshape=False,
            order=1,
            mode="reflect",
        )
        texture = texture[60:-60, 60:-60]
    else:  # cloud
        texture = ndimage.gaussian_filter(grain, scale) + 3 * ndimage.gaussian_filter(
            grain, 4 * scale
        )
    texture = texture / texture.std()
    tone = value * (1 + rng.uniform(0.08, 0.2) * np.clip(texture, -2.5, 2.5))
    return _rgb(hue, saturation, 1.0) * tone[..., None]


def _lit(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Lay a gradient of light over the whole picture, a tint, and the sensor's noise."""
    height, width = picture.shape[:2]
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    turn = rng.uniform(0, 2 * np.pi)
    light = rng.uniform(0.8, 1.1) + rng.uniform(0, 0.25) * (
        np.cos(turn) * rows + np.sin(turn) * columns
    )
    tint = 1 + rng.normal(0, 0.03, 3)
    return picture * light[..., None] * tint + rng.normal(0, 0.015, picture.shape)


def _rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    """Return one colour (3,) in [0, 1]; hue in turns."""
    wheel = np.clip(np.abs((hue % 1 * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return value * (1 + saturation * (wheel - 1))


def _star(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.hypot(y, x) < 0.68 + 0.32 * np.cos(5 * np.arctan2(y, x))


def _flower(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.hypot(y, x) < 0.78 + 0.2 * np.cos(7 * np.arctan2(y, x))


def _drop(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    return (np.hypot(y - 0.25, x) < 0.65) | (
        (np.abs(x) < 0.55 * (y + 1.05)) & (y < 0.25) & (y > -1.05)
    )


_SHAPES: tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], ...] = (
    lambda y, x: np.hypot(y, x) < 0.9,
    _star,
    lambda y, x: (np.hypot(y, x) < 1.0) & (np.hypot(y, x) > 0.42),
    lambda y, x: (np.abs(y) < 0.62) & (np.abs(x) < 0.95),
    lambda y, x: ((np.abs(y) < 0.36) & (np.abs(x) < 1)) | ((np.abs(x) < 0.36) & (np.abs(y) < 1)),
    lambda y, x: (np.hypot(y, x) < 1.0) & (np.hypot(y - 0.5, x) > 0.62),
    _drop,
    _flower,
)


def _stripes(
    rng: np.random.Generator, y: np.ndarray, x: np.ndarray, period_px: float
) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(2.5 * np.sin(2 * np.pi * (y / period_px + rng.random())))


def _dots(rng: np.random.Generator, y: np.ndarray, x: np.ndarray, period_px: float) -> np.ndarray:
    wave = np.sin(2 * np.pi * (y / period_px + rng.random())) * np.sin(
        2 * np.pi * (x / period_px + rng.random())
    )
    return 0.5 - 0.5 * np.tanh(6 * (wave - 0.35))


def _checks(rng: np.random.Generator, y: np.ndarray, x: np.ndarray, period_px: float) -> np.ndarray:
    wave = np.sin(2 * np.pi * (y / period_px + rng.random())) * np.sin(
        2 * np.pi * (x / period_px + rng.random())
    )
    return 0.5 + 0.5 * np.tanh(5 * wave)


def _rings(rng: np.random.Generator, y: np.ndarray, x: np.ndarray, period_px: float) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(
        2.5 * np.sin(2 * np.pi * (np.hypot(y, x) / period_px + rng.random()))
    )


def _speckle(rng: np.random.Generator, y: np.ndarray, x: np.ndarray, blur_px: float) -> np.ndarray:
    grain = ndimage.gaussian_filter(rng.normal(size=y.shape), blur_px)
    return 0.5 + 0.5 * np.tanh(1.5 * grain / grain.std())


_TEXTURES: tuple[Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray], ...] = (
    lambda rng, y, x: _dots(rng, y, x, rng.uniform(8, 10)),
    lambda rng, y, x: 0.85 + 0.15 * _speckle(rng, y, x, 1.2),
    lambda rng, y, x: _stripes(rng, y, x, rng.uniform(5, 6.5)),
    lambda rng, y, x: _checks(rng, y, x, rng.uniform(9, 11)),
    lambda rng, y, x: _speckle(rng, y, x, 1.0),
    lambda rng, y, x: _rings(rng, y, x, rng.uniform(6, 7.5)),
    lambda rng, y, x: _stripes(rng, y, x, rng.uniform(9, 11)),
    lambda rng, y, x: _rings(rng, y, x, rng.uniform(9, 11)),
)
