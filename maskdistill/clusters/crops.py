"""Crops: masks to vectors by a network that is shown the box of each.

Paper:    MaskDistill: the class token of the box crop of the normalised picture, at native size,
          padded to the patch
In:       a picture (H, W, 3) uint8, boxes (n, 4), masks (n, H, W) bool where background or patches
          are asked for
Out:      crops, at scales and mirrored; of them (n, width) float32
Differs:  bounds on a crop's side, backgrounds, means over views, the patches' mean are choices
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch.nn import functional

from maskdistill.masks.resize import within

Background = Literal["keep", "blur", "fill"]
Read = Literal["class_token", "patch_mean"]


@dataclass(frozen=True)
class Crop:
    """Hold one view of a mask.

    Attributes:
        pixels: (h, w, 3) uint8.
        inside: (h, w) float32, the share of each pixel that is the mask's, in [0, 1].
    """

    pixels: np.ndarray
    inside: np.ndarray


def crops(
    rgb: np.ndarray,
    boxes_xyxy: np.ndarray,
    masks: Iterable[np.ndarray] | None = None,
    *,
    background: Background = "keep",
    blur: float = 0.1,
    colour: Sequence[float] = (0.0, 0.0, 0.0),
    scales: Sequence[float] = (1.0,),
    flips: bool = False,
    min_side: int = 0,
    max_side: int | None = None,
) -> list[list[Crop]]:
    """Return the views of each mask: its box at each scale, and mirrored.

    Args:
        rgb: (H, W, 3) uint8.
        boxes_xyxy: (n, 4), half-open; one without size is a pixel.
        masks: (H, W) bool each, taken one after the other; None: all of the box is inside.
        background: keep it; blur what is not the mask; fill it with `colour`.
        blur: deviation of the Gaussian, as a share of the crop's longer side.
        colour: RGB in [0, 1].
        scales: factors of the native size, or of what `min_side` makes of it.
        flips: the mirrored views too, behind the others.
        min_side: px; a box whose longer side is shorter is enlarged to it. 0: native size, as the
            paper.
        max_side: px; a view with a longer side is reduced to it. None: native size, as the paper.
    Returns:
        A list of views a box, in the order of the boxes.
    Raises:
        ValueError: another shape or type, fewer masks than boxes, another background.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"rgb: wanted (H, W, 3) uint8, found {rgb.shape} {rgb.dtype}")
    height, width = rgb.shape[:2]
    found = []
    given = iter(masks) if masks is not None else None
    whole = np.ones((height, width), bool)
    for x1, y1, x2, y2 in np.asarray(boxes_xyxy):
        left, top = (
            min(width - 1, max(0, int(np.floor(x1)))),
            min(height - 1, max(0, int(np.floor(y1)))),
        )
        right, bottom = (
            min(width, max(left + 1, int(np.ceil(x2)))),
            min(height, max(top + 1, int(np.ceil(y2)))),
        )
        pixels = rgb[top:bottom, left:right]
        mask = (whole if given is None else _next(given, (height, width)))[top:bottom, left:right]
        pixels = _on_background(pixels, mask, background, blur=blur, colour=colour)
        enlarged = max(1.0, min_side / max(pixels.shape[:2]))
        views = [_scaled(pixels, mask, scale * enlarged, max_side) for scale in scales]
        if flips:
            views += [Crop(view.pixels[:, ::-1], view.inside[:, ::-1]) for view in views]
        found.append(views)
    return found


def _next(masks: Iterator[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Return the next mask (H, W) bool; ValueError where there is none, or one of another size."""
    mask = next(masks, None)
    if mask is None:
        raise ValueError("masks: wanted one for each box, found fewer")
    if mask.shape != size or mask.dtype != bool:
        raise ValueError(f"masks: wanted {size} bool each, found {mask.shape} {mask.dtype}")
    return mask


def embed(
    views: Sequence[Sequence[Crop]],
    *,
    backbone: Any,
    prepare: Callable[[np.ndarray], torch.Tensor],
    read: Read = "class_token",
    pack: int = 0,
) -> np.ndarray:
    """Return the vector of each mask: the mean over its views.

    Args:
        views: as `crops` gives them, n masks of one or several pictures, one view each at least.
        backbone: with width, patch, tokens_of(pictures, pack=, class_alone=).
        prepare: pixels (h, w, 3) uint8 to a tensor (3, h', w') float32, normalised, padded to the
            patch: normalised before it is padded, so that the padding is the mean colour, as in the
            release.
        read: class_token of the view; patch_mean: the mean of the patches inside the mask.
        pack: patches that go through the backbone in one pass; 0: one crop at a time, as the
            release.
    Returns:
        (n, width) float32.
    Raises:
        ValueError: another word for what is read.
    """
    flat = [view for each in views for view in each]
    prepared = [prepare(view.pixels) for view in flat]
    tokens = (
        backbone.tokens_of(prepared, pack=pack, class_alone=read == "class_token") if flat else []
    )
    vectors = [
        _read(own, view, backbone.patch, read) for own, view in zip(tokens, flat, strict=True)
    ]
    found, first = np.zeros((len(views), backbone.width), np.float32), 0
    for row, each in enumerate(views):
        found[row] = torch.stack(vectors[first : first + len(each)]).mean(dim=0).numpy()
        first += len(each)
    return found


def _read(tokens: torch.Tensor, view: Crop, patch: int, read: Read) -> torch.Tensor:
    """Return the vector (width,) of one view, read off its tokens (1 + patches, width)."""
    if read == "class_token":
        return tokens[0]
    if read != "patch_mean":
        raise ValueError(f"read: wanted class_token or patch_mean, got {read!r}")
    height, width = view.inside.shape
    inside = functional.pad(
        torch.from_numpy(view.inside.copy()), (0, -width % patch, 0, -height % patch)
    )
    shares = functional.avg_pool2d(inside[None], patch).flatten()  # (patches,)
    if not shares.sum() > 0:
        shares = torch.ones_like(shares)
    return (shares / shares.sum()) @ tokens[1:]


def _on_background(
    pixels: np.ndarray,
    mask: np.ndarray,
    background: Background,
    *,
    blur: float,
    colour: Sequence[float],
) -> np.ndarray:
    """Return pixels (h, w, 3) uint8, those outside the mask (h, w) bool as `background` says."""
    if background == "keep":
        return pixels
    if background == "fill":
        other = np.rint(255 * np.asarray(colour)).astype(np.uint8)
        return np.where(mask[..., None], pixels, other)
    if background != "blur":
        raise ValueError(f"background: wanted keep, blur or fill, got {background!r}")
    deviation = blur * max(pixels.shape[:2])
    soft = ndimage.gaussian_filter(
        pixels.astype(np.float32), (deviation, deviation, 0), mode="nearest"
    )
    return np.where(mask[..., None], pixels, np.rint(soft).astype(np.uint8))


def _scaled(pixels: np.ndarray, mask: np.ndarray, scale: float, max_side: int | None) -> Crop:
    """Return a crop at a scale, within the longest side allowed."""
    size = max(1, round(pixels.shape[0] * scale)), max(1, round(pixels.shape[1] * scale))
    rows, columns = within(size, max_side)
    inside = mask.astype(np.float32)
    if (rows, columns) != pixels.shape[:2]:
        how = Image.Resampling.BILINEAR
        pixels = np.asarray(
            Image.fromarray(np.ascontiguousarray(pixels)).resize((columns, rows), how)
        )
        inside = np.asarray(Image.fromarray(inside).resize((columns, rows), how))
    return Crop(pixels, inside)
