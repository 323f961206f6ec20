"""Recipe: what a backbone is shown of a picture, which method looks for masks, how they are drawn.

In:   the resolved settings of `propose`
Out:  Recipe, which `find.discover` follows
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from maskdistill import crf
from maskdistill.features import Prepared, tokens, wanted_size
from maskdistill.proposals import lost, maskcut, maskdistill, pixels, tokencut
from maskdistill.settings import as_dict
from maskdistill.settings.propose import Method, ProposeSettings
from maskdistill.types import Facet, Found

METHODS: dict[Method, Callable[..., Found]] = {
    "maskdistill": maskdistill.discover,
    "lost": lost.discover,
    "tokencut": tokencut.discover,
    "maskcut": maskcut.discover,
}
# Fields of Features that a method reads beside the facet that it compares patches by.
NEEDS: dict[Method, tuple[str, ...]] = {
    "maskdistill": ("queries", "keys"),
    "lost": (),
    "tokencut": (),
    "maskcut": (),
}


@dataclass(frozen=True)
class Way:
    """Describe one way from the patch grid to pixels.

    Attributes:
        enlarge: how the grid becomes pixels (`proposals.to_pixels`).
        redraw: from the picture (H, W, 3) uint8 and the enlarged mask (H, W) bool to the mask with
            its outline at the picture's edges; None: the enlarged mask stays.
    """

    enlarge: Literal["nearest", "bilinear"]
    redraw: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None


WAYS = {
    "nearest": Way("nearest"),
    "bilinear": Way("bilinear"),
    "refine": Way("bilinear", pixels.refine),
    "crf": Way("nearest", crf.refined_mask),
}


@dataclass(frozen=True)
class Input:
    """Describe how a picture is shown to a backbone; pictures with equal ones share a pass.

    Attributes:
        short_side: px that the shorter side is resized to; None: own size.
        square: px of both sides, the shape lost; None: the shape stays.
        max_patches: of the backbone's grid; a larger picture is made smaller. None: no limit.
    """

    short_side: int | None = None
    square: int | None = None
    max_patches: int | None = None

    def grid(self, size: tuple[int, int], *, patch: int) -> tuple[int, int]:
        """Return (rows, cols) of patches of a picture of `size` (height, width).

        >>> Input(short_side=32).grid((64, 100), patch=16)
        (2, 4)
        """
        height, width = wanted_size(size, patch, **vars(self))
        return -(-height // patch), -(-width // patch)

    def scaled(self, scale: float, size: tuple[int, int]) -> Input:
        """Return how a picture of `size` (height, width) is shown `scale` times as large.

        The limit of patches stays; a side has one pixel at least.

        >>> Input(short_side=32).scaled(1.5, (64, 100)).short_side
        48
        """
        if scale == 1:
            return self
        if self.square is not None:
            return replace(self, square=max(1, round(scale * self.square)))
        short = self.short_side or min(size)
        return replace(self, short_side=max(1, round(scale * short)))

    def prepare(self, rgb: np.ndarray, *, backbone: Any, mirrored: bool = False) -> Prepared:
        """Return a picture (H, W, 3) uint8, or its mirror image, ready for `backbone`.

        It is resized, normalised and padded.

        Raises:
            ValueError: another shape or type, or no pixel.
        """
        return tokens.made_ready(rgb, backbone=backbone, mirrored=mirrored, **vars(self))


@dataclass(frozen=True)
class Recipe:
    """Describe how the masks of a picture are found and drawn.

    Attributes:
        method: a key of METHODS.
        shown: what the backbone is shown of the picture.
        block: of the backbone, whose features are compared; -1 is the last.
        facet: what the patches are compared by.
        centre_keys: take the patches' mean off all features first.
        positions: directions of position that are taken out of the facet before; 0: none.
        max_masks: at most so many.
        stop_score: the search ends at a mask that scores less, in [0, 1]; 0: no end.
        min_score: masks that score less are left out, in [0, 1].
        pixels: a key of WAYS: `nearest` enlarges the patch grid as the paper does, `bilinear` draws
            contours between the centres of its patches, `refine` moves these to the picture's edges
            by colours inside and around, `crf` moves those of `nearest` by a dense CRF, as MaskCut.
        constants: keyword arguments of the method.
    """

    method: Method
    shown: Input
    block: int = -1
    facet: Facet = "keys"
    centre_keys: bool = False
    positions: int = 0
    max_masks: int = 1
    stop_score: float = 0.0
    min_score: float = 0.0
    pixels: str = "nearest"
    constants: Mapping[str, Any] = field(default_factory=dict)

    @property
    def want(self) -> tuple[str, ...]:
        """Return the fields of Features that the method reads, each once."""
        return tuple(dict.fromkeys((*NEEDS[self.method], self.facet)))

    @property
    def way(self) -> Way:
        """Return the way to pixels.

        Raises:
            ValueError: `pixels` names none.
        """
        if self.pixels not in WAYS:
            raise ValueError(f"pixels must be one of {', '.join(WAYS)}, got {self.pixels!r}")
        return WAYS[self.pixels]


def recipe_of(settings: ProposeSettings) -> Recipe:
    """Return the recipe that resolved settings (no `auto` left) describe."""
    assert settings.facet != "auto"  # of resolved settings
    assert settings.block is not None
    constants = as_dict(getattr(settings, settings.method))
    shown = Input(
        short_side=constants.pop("short_side", 0) or None,
        square=constants.pop("square", 0) or None,
        max_patches=settings.max_patches or None,
    )
    return Recipe(
        method=settings.method,
        shown=shown,
        block=settings.block,
        facet=settings.facet,
        centre_keys=settings.centre_keys == "yes",
        positions=settings.positions,
        max_masks=settings.max_masks,
        stop_score=settings.stop_score,
        min_score=settings.min_score,
        pixels=settings.pixels,
        constants=constants,
    )
