"""One picture to masks: features, method, pixels. What `propose` does for a folder and `api.discover` for an array."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from maskdistill.features import prepare
from maskdistill.proposals import lost, maskcut, maskdistill, pixels, to_pixels, tokencut
from maskdistill.types import Facet, Features, Found

METHODS: dict[str, Callable[..., Found]] = {
    "maskdistill": maskdistill.discover,
    "lost": lost.discover,
    "tokencut": tokencut.discover,
    "maskcut": maskcut.discover,
}
NEEDS = {"maskdistill": ("queries", "keys"), "lost": (), "tokencut": (), "maskcut": ()}  # beside the facet
NOT_FINITE = "not finite"  # the note of a picture whose features cannot be used
Notes = list[tuple[str, float | int | str]]


@dataclass(frozen=True)
class Input:
    """What a backbone is shown: methods with equal ones share a pass.

    Attributes:
        short_side: px that the shorter side is resized to; None: own size.
        square: px of both sides, the shape lost; None: the shape stays.
        max_patches: of the backbone's grid; a larger picture is made smaller.
    """

    short_side: int | None = None
    square: int | None = None
    max_patches: int | None = None


def discover(
    rgb: np.ndarray,
    *,
    backbone: Any,
    method: str,
    block: int,
    facet: Facet,
    centre_keys: bool,
    max_masks: int,
    stop_score: float,
    min_score: float,
    how: str,
    shown: Input,
    constants: dict[str, Any],
) -> tuple[np.ndarray, np.ndarray, Notes]:
    """Masks (n, H, W) bool, scores (n,) float32 and the method's notes of a picture (H, W, 3) uint8.

    Args:
        facet: what the patches are compared by.
        how: `nearest` enlarges the patch grid as the paper does, `bilinear` draws contours between the centres of its
            patches, `refine` moves these to the picture's edges.
        constants: keyword arguments of the method.
    """
    found, content = find(
        rgb,
        backbone=backbone,
        method=method,
        block=block,
        facet=facet,
        centre_keys=centre_keys,
        max_masks=max_masks,
        stop_score=stop_score,
        shown=shown,
        constants=constants,
    )
    masks, scores = in_pixels(rgb, found, patch=backbone.patch, content=content, min_score=min_score, how=how)
    return masks, scores, found.notes


def find(
    rgb: np.ndarray,
    *,
    backbone: Any,
    method: str,
    block: int,
    facet: Facet,
    centre_keys: bool,
    max_masks: int,
    stop_score: float,
    shown: Input,
    constants: dict[str, Any],
) -> tuple[Found, tuple[int, int]]:
    """What a method finds on the patch grid, and the px (rows, columns) of the grid that hold the picture."""
    want = tuple(dict.fromkeys((*NEEDS[method], facet)))
    features, content = look(rgb, backbone=backbone, block=block, want=want, shown=shown)
    if centre_keys:
        features = features.centred()
    found = search(features, method, facet=facet, max_masks=max_masks, stop_score=stop_score, **constants)
    return found, content


def look(
    rgb: np.ndarray, *, backbone: Any, block: int, want: tuple[str, ...], shown: Input
) -> tuple[Features, tuple[int, int]]:
    """Features of a picture (H, W, 3) uint8, and the px (rows, columns) of the grid that hold it."""
    if not rgb.size:
        raise ValueError(f"rgb: holds no pixel, found {rgb.shape}")
    ready = prepare(
        rgb,
        patch=backbone.patch,
        mean=backbone.mean,
        std=backbone.std,
        short_side=shown.short_side,
        square=shown.square,
        max_patches=shown.max_patches,
    )
    with torch.inference_mode():
        return backbone.features(ready.tensor[None], block=block, want=want)[0], ready.content


def search(features: Features, method: str, *, facet: Facet, **constants: Any) -> Found:
    """What a method finds; nothing, and a note that says so, in features that are not finite.

    Such features come of half precision or of broken weights: one picture must not end the run of all others.
    """
    try:
        with torch.inference_mode():
            return METHODS[method](features, facet=facet, **constants)
    except ValueError:
        for field in dict.fromkeys((*NEEDS[method], facet)):
            if not bool(torch.isfinite(getattr(features, field)).all()):
                return Found([], [(NOT_FINITE, field)])
        raise


def in_pixels(
    rgb: np.ndarray, found: Found, *, patch: int, content: tuple[int, int], min_score: float, how: str
) -> tuple[np.ndarray, np.ndarray]:
    """Masks (n, H, W) bool and scores (n,) float32 of those that reach `min_score`."""
    kept = [each for each in found.masks if each.score >= min_score]
    masks = np.zeros((len(kept), *rgb.shape[:2]), bool)
    for row, each in enumerate(kept):
        masks[row] = to_pixels(
            each.mask.numpy(),
            patch=patch,
            content=content,
            size=rgb.shape[:2],
            how="bilinear" if how == "refine" else how,  # type: ignore[arg-type]  # refused there if unknown
        )
        if how == "refine":
            masks[row] = pixels.refine(rgb, masks[row])
    return masks, np.array([each.score for each in kept], np.float32)


def seed_points_xy(
    found: Found, *, patch: int, content: tuple[int, int], size: tuple[int, int], min_score: float
) -> list[list[list[float]]]:
    """For each mask that `in_pixels` keeps [[x, y]]: the middle of what its seed patch shows, in the picture's pixels.

    It is [] where the mask does not hold its seed patch: `maskcut` by the rule of the paper may take it away.
    """
    points = []
    for each in found.masks:
        if each.score < min_score:
            continue
        place = zip(each.seed_patch, content, size, strict=True)
        y, x = (
            (number * patch + min((number + 1) * patch, inside)) / 2 * side / inside for number, inside, side in place
        )
        points.append([[x, y]] if each.mask[each.seed_patch] else [])
    return points
