"""Blank: a picture of one colour, and the directions of position that a backbone shows in it.

Paper:    INSID3, Cuttano et al., CVPR 2026, arXiv:2603.28480 (black, as its release has it)
In:       a backbone, a Recipe
Out:      directions (width, n), kept with the backbone
Differs:  one size for pictures of all sizes
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskdistill.discovery.recipe import Recipe
from maskdistill.errors import SettingsError
from maskdistill.features import positions

# The short side of `quick`, where the recipe shows pictures at their own size.
_SIDE_PX = 480


def directions_of(backbone: Any, recipe: Recipe) -> Tensor:
    """Return the directions of position that the recipe takes out, computed once a backbone.

    Args:
        backbone: a ViT; it holds what was computed.
        recipe: with `positions` above 0.
    Returns:
        As `positions.directions`.
    Raises:
        SettingsError: as many directions as the facet is wide, or more.
    """
    key = (recipe.shown, recipe.block, recipe.facet, recipe.positions)
    if key not in backbone.directions:
        black = np.zeros((_SIDE_PX, _SIDE_PX, 3), np.uint8)
        ready = recipe.shown.prepare(black, backbone=backbone)
        with torch.inference_mode():
            (seen,) = backbone.features(
                ready.tensor[None], block=recipe.block, want=(recipe.facet,)
            )
        try:
            found = positions.directions(seen, facet=recipe.facet, most=recipe.positions)
        except ValueError as error:
            raise SettingsError(f"propose.positions: {error}") from error
        backbone.directions[key] = found
    return backbone.directions[key]
