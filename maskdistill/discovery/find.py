"""Find: the masks of one picture, from its features over the patch grid to its pixels.

In:   a picture, a backbone, a Recipe
Out:  Discovered: masks in the picture's pixels, scores, seed points, notes
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from maskdistill.discovery import blank, limits
from maskdistill.discovery.recipe import METHODS, Input, Recipe, Way
from maskdistill.features import Prepared, positions, tokens
from maskdistill.features.tokens import Tokens
from maskdistill.proposals import to_pixels
from maskdistill.types import Features, Found, GridMask, Note, Notes


@dataclass(frozen=True)
class PictureFeatures:
    """Hold the features of one picture.

    Attributes:
        features: on the patch grid, which may be padded right and below.
        content: px (rows, cols) of the grid that hold the picture.
        tokens: of the same pass, where they were asked for.
    """

    features: Features
    content: tuple[int, int]
    tokens: Tokens | None = None


@dataclass(frozen=True)
class BlockFeatures:
    """Hold the features of several blocks of one picture, of one pass.

    Attributes:
        of: block -> features on the patch grid.
        content: px (rows, cols) of the grid that hold the picture.
        tokens: of the same pass, where they were asked for.
    """

    of: Mapping[int, Features]
    content: tuple[int, int]
    tokens: Tokens | None = None

    def block(self, number: int) -> PictureFeatures:
        """Return the features of one block."""
        return PictureFeatures(self.of[number], self.content, self.tokens)


@dataclass(frozen=True)
class Discovered:
    """Hold the masks of one picture, in the order of discovery.

    Attributes:
        masks: (n, H, W) bool; one may be empty, where it covers no pixel's centre or the way to
            pixels rejects it.
        scores: (n,) float32 in [0, 1].
        seed_points_xy: n lists: [[x, y]], the middle of the seed patch in pixels of the picture, or
            [] where the mask does not hold its seed patch (the paper's rule of `maskcut`).
        notes: what went otherwise than planned.
    """

    masks: np.ndarray
    scores: np.ndarray
    seed_points_xy: list[list[list[float]]]
    notes: Notes

    @property
    def best_first(self) -> list[int]:
        """Return the positions of the masks by falling score, without those that are empty."""
        order = np.argsort(-self.scores, kind="stable")
        return [int(place) for place in order if self.masks[place].any()]


def discover(
    picture: Callable[[], np.ndarray],
    *,
    size: tuple[int, int],
    backbone: Any,
    recipe: Recipe,
    features: PictureFeatures | None = None,
) -> Discovered:
    """Return the masks of one picture: features -> method -> pixels, within the recipe's limits.

    Args:
        picture: gives the picture, (H, W, 3) uint8 RGB; called only where its pixels are needed.
        size: its (height, width).
        backbone: with patch, mean, std and features().
        features: the picture's features as `recipe.shown` says, where they are known already.
    Raises:
        ValueError: a constant of the recipe out of range, or a way to pixels that there is not.
        MemoryError: the picture does not fit into memory, however small it is shown.
    """

    kept, content, notes = masks_of_patches(
        picture, size=size, backbone=backbone, recipe=recipe, features=features
    )
    place = {"patch": backbone.patch, "content": content, "size": size}
    return Discovered(
        masks=masks_in_pixels(kept, recipe.way, picture=picture, **place),
        scores=np.array([each.score for each in kept], np.float32),
        seed_points_xy=[seed_point_xy(each, **place) for each in kept],
        notes=notes,
    )


def masks_of_patches(
    picture: Callable[[], np.ndarray],
    *,
    size: tuple[int, int],
    backbone: Any,
    recipe: Recipe,
    features: PictureFeatures | None = None,
) -> tuple[list[GridMask], tuple[int, int], Notes]:
    """Return the masks of one picture on the patch grid, within the recipe's limits.

    Args:
        picture, size, backbone, recipe, features: as `discover` takes them.
    Returns:
        Masks in the order of discovery, px (rows, cols) of the grid that hold the picture, notes.
    Raises:
        ValueError, MemoryError: as `discover`.
    """

    def on_grid(shown: Input) -> tuple[Found, tuple[int, int]]:
        """Return the masks of patches of the picture shown so, and the px of the grid it fills."""
        known = features if shown == recipe.shown else None
        if known is None:
            ready = shown.prepare(picture(), backbone=backbone)
            (known,) = features_of([ready], backbone, block=recipe.block, want=recipe.want)
        seen = known.features
        if recipe.positions:
            found = blank.directions_of(backbone, recipe)
            seen = positions.without(seen, found, facet=recipe.facet)
        return masks_on_grid(seen, recipe), known.content

    (found, content), smaller = limits.as_large_as_fits(
        on_grid, recipe.shown, size=size, patch=backbone.patch
    )
    # Before they are drawn: drawing takes most of the time.
    kept = limits.scoring_at_least(found.masks, recipe.min_score)
    return kept, content, [*found.notes, *smaller]


def features_of(
    pictures: Sequence[Prepared],
    backbone: Any,
    *,
    block: int,
    want: Sequence[str],
    blocks: Sequence[int] = (),
) -> list[PictureFeatures]:
    """Return the features of pictures of one padded shape, by one pass of the backbone.

    Args:
        block: of the backbone; -1 is the last.
        want: fields of Features.
        blocks: whose Tokens are given too, by the same pass (a ViT's alone); none: no Tokens.
    """
    if blocks:
        both = tokens.seen(pictures, backbone=backbone, blocks=blocks, block=block, want=want)
        return [
            PictureFeatures(features, each.content, found)
            for features, found, each in zip(*both, pictures, strict=True)
        ]
    with torch.inference_mode():
        batch = torch.stack([each.tensor for each in pictures])
        every = backbone.features(batch, block=block, want=tuple(want))
    return [
        PictureFeatures(features, each.content)
        for features, each in zip(every, pictures, strict=True)
    ]


def features_of_blocks(
    pictures: Sequence[Prepared],
    backbone: Any,
    *,
    wanted: Mapping[int, Sequence[str]],
    blocks: Sequence[int] = (),
) -> list[BlockFeatures]:
    """Return the features of several blocks of pictures of one padded shape, by one pass.

    Args:
        wanted: block -> fields of Features.
        blocks: whose Tokens are given too (a ViT's alone); none: no Tokens.
    """
    if len(wanted) == 1:
        ((block, want),) = wanted.items()
        each_of = features_of(pictures, backbone, block=block, want=want, blocks=blocks)
        return [
            BlockFeatures({block: each.features}, each.content, each.tokens) for each in each_of
        ]
    found: Sequence[Tokens | None] = [None] * len(pictures)
    if blocks:
        every, found = tokens.seen_of_blocks(
            pictures, backbone=backbone, blocks=blocks, wanted=wanted
        )
    else:
        batch = torch.stack([each.tensor for each in pictures])
        with torch.inference_mode():
            every, _ = backbone.of_blocks(batch, wanted=wanted)
    return [
        BlockFeatures({block: every[block][row] for block in every}, each.content, found[row])
        for row, each in enumerate(pictures)
    ]


def masks_on_grid(features: Features, recipe: Recipe) -> Found:
    """Return the masks of patches that the recipe's method finds in features.

    Features that are not finite come of half precision or of broken weights: they have no masks and
    NOT_FINITE among the notes, because one picture must not end the run of all others.

    Raises:
        ValueError: a constant of the recipe out of range.
    """
    with torch.inference_mode():
        features = features.centred() if recipe.centre_keys else features
        try:
            return METHODS[recipe.method](
                features,
                facet=recipe.facet,
                max_masks=recipe.max_masks,
                stop_score=recipe.stop_score,
                **recipe.constants,
            )
        except ValueError:
            # Methods refuse what is not finite, at a tenth of the cost of looking at every value.
            field = limits.not_finite(features, recipe.want)
            if field is None:
                raise
            return Found([], [(Note.NOT_FINITE, field)])


def masks_in_pixels(
    masks: Sequence[GridMask],
    way: Way,
    *,
    picture: Callable[[], np.ndarray],
    patch: int,
    content: tuple[int, int],
    size: tuple[int, int],
) -> np.ndarray:
    """Return masks of patches as masks (n, H, W) bool of the picture.

    Args:
        picture: as in `discover`; called where `way` redraws outlines, and there is a mask.
        patch: px of a side of a patch.
        content: px (rows, cols) of the grid that hold the picture.
        size: (H, W) of the picture.
    """
    drawn = np.zeros((len(masks), *size), bool)
    for row, each in enumerate(masks):
        drawn[row] = to_pixels(
            each.mask.numpy(), patch=patch, content=content, size=size, how=way.enlarge
        )
    if way.redraw is not None and len(masks):
        rgb = picture()
        for row, mask in enumerate(drawn):
            drawn[row] = way.redraw(rgb, mask)
    return drawn


def seed_point_xy(
    mask: GridMask, *, patch: int, content: tuple[int, int], size: tuple[int, int]
) -> list[list[float]]:
    """Return [[x, y]], the middle of what the seed patch shows, in the picture's pixels.

    Args:
        patch, content, size: as in `masks_in_pixels`.
    Returns:
        [] where the mask does not hold its seed patch: the paper's rule of `maskcut` may take it.
    """
    if not mask.mask[mask.seed_patch]:
        return []
    y, x = (
        (number * patch + min((number + 1) * patch, inside)) / 2 * side / inside
        for number, inside, side in zip(mask.seed_patch, content, size, strict=True)
    )
    return [[x, y]]
