"""A picture made ready for a backbone: resized, normalised, padded to whole patches.

Paper:    MaskDistill arXiv:2206.06363 and CutLER CVPR 2023 (their releases' input sizes)
In:       a picture (H, W, 3) uint8
Out:      Prepared: a tensor (3, h, w) float32 and how much of it holds the picture
Differs:  `max_patches` is ours
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Prepared:
    """Hold a picture as a backbone takes it.

    Attributes:
        tensor: (3, h, w) float32, normalised, then zeros right and below up to whole patches.
        content: (rows, columns) in px before the padding.
        size: (rows, columns) in px of the picture itself.
    """

    tensor: Tensor
    content: tuple[int, int]
    size: tuple[int, int]


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
    """Resize a picture, normalise it, pad it with zeros to a multiple of the patch.

    PIL's bilinear with antialias; to a square its Lanczos.

    Args:
        rgb: (H, W, 3) uint8.
        patch: side of a patch, in px.
        mean: of RGB in [0, 1].
        std: of RGB in [0, 1].
        short_side: px that the shorter side becomes; None: own size.
        square: px of both sides, whatever the shape was; None: the shape stays.
        max_patches: of the grid; a picture that would have more is made smaller, its sides in
            proportion.
    Raises:
        ValueError: another shape or type; short_side, square or max_patches below 1.
    Source: MaskDistill, the input of its ViT-S/16 (short side 640); CutLER squeezes to a square of
        480.
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
    return Prepared(tensor=padded(tensor, patch), content=(height, width), size=size)


def wanted_size(
    size: tuple[int, int],
    patch: int,
    *,
    short_side: int | None = None,
    square: int | None = None,
    max_patches: int | None = None,
) -> tuple[int, int]:
    """Return the size (rows, columns) in px that `prepare` resizes a picture to.

    >>> wanted_size((375, 500), 16, short_side=640)
    (640, 853)
    >>> wanted_size((375, 500), 16, max_patches=100)
    (131, 175)

    Args:
        size: (rows, columns) in px; the others as in `prepare`.
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
        # The longer side is cut, not rounded, as torchvision's resize does it; in integers, because
        # a factor that is rounded first loses a pixel where the division leaves no rest (22 x 44 to
        # 480 would be 959 wide).
        short = min(height, width)
        height, width = short_side * height // short, short_side * width // short
    if max_patches is None or -(-height // patch) * -(-width // patch) <= max_patches:
        return height, width
    factor = (max_patches * patch**2 / (height * width)) ** 0.5
    while True:
        rows, columns = max(1, int(height * factor)), max(1, int(width * factor))
        if -(-rows // patch) * -(-columns // patch) <= max_patches:
            return rows, columns
        # The last row and column of patches are filled in part. Steps of a hundredth: with 50
        # patches or more at least three quarters are used (tests/features/test_prepare.py).
        factor *= 0.99


def normalised(
    rgb: np.ndarray, *, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> Tensor:
    """Return a picture (H, W, 3) uint8 as (3, H, W) float32: (value / 255 - mean) / std."""
    tensor = torch.from_numpy(np.array(rgb)).permute(2, 0, 1).float() / 255
    return (tensor - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def padded(tensor: Tensor, patch: int) -> Tensor:
    """Return a tensor (..., H, W) with zeros right and below, up to multiples of the patch.

    >>> padded(torch.ones(3, 30, 45), 8).shape
    torch.Size([3, 32, 48])
    """
    height, width = tensor.shape[-2:]
    return functional.pad(tensor, (0, -width % patch, 0, -height % patch))
