"""A picture made ready for a backbone: resized, normalised, padded to whole patches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Prepared:
    """tensor (3, h, w) float32, normalised, zeros right and below; content (rows, cols) in px before the padding."""

    tensor: Tensor
    content: tuple[int, int]


def prepare(
    rgb: np.ndarray,
    *,
    patch: int,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    short_side: int | None = None,
    square: int | None = None,
    max_patches: int | None = None,
) -> Prepared:
    """Resize (PIL, bilinear with antialias; to a square Lanczos), normalise, pad with zeros to a multiple of the patch.

    Args:
        rgb: (H, W, 3) uint8.
        mean, std: of RGB in [0, 1].
        short_side: px that the shorter side becomes; None: own size.
        square: px of both sides, whatever the shape was; None: the shape stays.
        max_patches: of the grid; a picture that would have more is made smaller, its sides in proportion.
    Raises:
        ValueError: another shape or type; short_side, square or max_patches below 1.
    Source: MaskDistill, the input of its ViT-S/16 (short side 640); CutLER squeezes to a square of 480.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or not rgb.size:
        raise ValueError(f"rgb: wanted (H, W, 3) uint8, found {rgb.shape} {rgb.dtype}")
    size = (rgb.shape[0], rgb.shape[1])
    height, width = wanted_size(
        size, patch, short_side=short_side, square=square, max_patches=max_patches
    )
    if (height, width) != size:
        how = Image.Resampling.LANCZOS if square else Image.Resampling.BILINEAR
        rgb = np.asarray(Image.fromarray(rgb).resize((width, height), how))
    tensor = normalised(rgb, mean=mean, std=std)
    return Prepared(tensor=padded(tensor, patch), content=(height, width))


def wanted_size(
    size: tuple[int, int],
    patch: int,
    *,
    short_side: int | None = None,
    square: int | None = None,
    max_patches: int | None = None,
) -> tuple[int, int]:
    """(rows, columns) in px that a picture of `size` is resized to; arguments as `prepare`'s.

    Raises:
        ValueError: short_side, square or max_patches below 1.
    """
    for name, value in (
        ("short_side", short_side),
        ("square", square),
        ("max_patches", max_patches),
    ):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1 or None, got {value}")
    height, width = (square, square) if square else size
    if short_side is not None and min(height, width) != short_side:
        # The longer side is cut, not rounded, as torchvision's resize does it; in integers, because a factor that
        # is rounded first loses a pixel where the division leaves no rest (22 x 44 to 480 would be 959 wide).
        short = min(height, width)
        height, width = short_side * height // short, short_side * width // short
    if max_patches is None or -(-height // patch) * -(-width // patch) <= max_patches:
        return height, width
    factor = (max_patches * patch**2 / (height * width)) ** 0.5
    while True:
        rows, columns = max(1, int(height * factor)), max(1, int(width * factor))
        if -(-rows // patch) * -(-columns // patch) <= max_patches:
            return rows, columns
        factor *= 0.99  # the last row and column of patches are filled in part


def normalised(
    rgb: np.ndarray, *, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> Tensor:
    """(H, W, 3) uint8 to (3, H, W) float32: (value / 255 - mean) / std."""
    tensor = torch.from_numpy(np.array(rgb)).permute(2, 0, 1).float() / 255
    return (tensor - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def padded(tensor: Tensor, patch: int) -> Tensor:
    """(..., H, W) with zeros right and below up to multiples of the patch."""
    height, width = tensor.shape[-2:]
    return functional.pad(tensor, (0, -width % patch, 0, -height % patch))
