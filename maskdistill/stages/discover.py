"""One picture to masks: features, method, pixels. What `propose` does for a folder and `api.discover` for an array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from maskdistill.features import prepare
from maskdistill.proposals import lost, maskcut, maskdistill, pixels, to_pixels, tokencut
from maskdistill.types import Facet, Found

METHODS: dict[str, Callable[..., Found]] = {
    "maskdistill": maskdistill.discover,
    "lost": lost.discover,
    "tokencut": tokencut.discover,
    "maskcut": maskcut.discover,
}
NEEDS = {"maskdistill": ("queries", "keys"), "lost": (), "tokencut": (), "maskcut": ()}  # beside the facet


def discover(
    rgb: np.ndarray,
    *,
    backbone: Any,
    method: str,
    block: int,
    facet: Facet,
    centre_keys: bool,
    max_masks: int,
    min_score: float,
    how: str,
    short_side: int | None,
    square: int | None,
    max_patches: int | None,
    constants: dict[str, Any],
) -> tuple[np.ndarray, np.ndarray, list[tuple[str, float | int | str]]]:
    """Masks (n, H, W) bool, scores (n,) float32 and the method's notes of a picture (H, W, 3) uint8.

    Args:
        facet: what the patches are compared by.
        how: `nearest` enlarges the patch grid as the paper does, `refine` follows the picture's edges.
        short_side: px that the shorter side is resized to before the backbone; None: own size.
        square: px of both sides, its shape lost; None: the shape stays.
        max_patches: of the backbone's grid; a larger picture is made smaller.
        constants: keyword arguments of the method.
    """
    if not rgb.size:
        raise ValueError(f"rgb: holds no pixel, found {rgb.shape}")
    ready = prepare(
        rgb,
        patch=backbone.patch,
        mean=backbone.mean,
        std=backbone.std,
        short_side=short_side,
        square=square,
        max_patches=max_patches,
    )
    with torch.inference_mode():
        want = dict.fromkeys((*NEEDS[method], facet))
        features = backbone.features(ready.tensor[None], block=block, want=tuple(want))[0]
        if centre_keys:
            features = features.centred()
        found = METHODS[method](features, max_masks=max_masks, facet=facet, **constants)
    kept = [each for each in found.masks if each.score >= min_score]
    masks = np.zeros((len(kept), *rgb.shape[:2]), bool)
    for row, each in enumerate(kept):
        masks[row] = to_pixels(
            each.mask.numpy(),
            patch=features.patch,
            content=ready.content,
            size=rgb.shape[:2],
            how="nearest" if how == "nearest" else "bilinear",
        )
        if how == "refine":
            masks[row] = pixels.refine(rgb, masks[row])
    return masks, np.array([each.score for each in kept], np.float32), found.notes
