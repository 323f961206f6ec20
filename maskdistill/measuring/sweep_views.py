"""Sweep's views: the masks of all trials in a picture, in its mirror and in its crop.

In:   a picture, a backbone, recipes; the objects of the picture where there is ground truth
Out:  the record of a picture: what each trial finds, as texts of bits
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from maskdistill.discovery.find import (
    PictureFeatures,
    discover,
    masks_of_patches,
)
from maskdistill.discovery.recipe import Input, Recipe
from maskdistill.evaluation import corloc
from maskdistill.masks import rle
from maskdistill.masks.boxes import boxes_from_masks
from maskdistill.memory import in_halves
from maskdistill.proposals import judging
from maskdistill.types import Rle

CROP = 0.1  # of each side, cut off all around; judging.INNER are its cells
VIEWS = ("own", "flips", "crops")
# Blocks whose tokens describe a picture for the linear head, where the backbone has them.
DESCRIBING = (-1, -2)

# Of the masks of a picture the best alone is judged, and a search finds it early.
MOST_MASKS = 2

Seen = dict[Input, dict[int, PictureFeatures] | None]  # None: did not fit into memory


def with_truth(
    network: Any, rgb: np.ndarray, recipes: Sequence[Recipe], truth: list[Rle]
) -> dict[str, Any]:
    """Return the record of a picture whose objects are known: of each trial hit, best, and counts.

    The masks are those of `propose`, but for the CRF of their outlines.
    """
    seen, measured = _seen(network, rgb, recipes), []
    for recipe in recipes:
        features = _of_block(seen, recipe)
        found = discover(
            lambda: rgb, size=rgb.shape[:2], backbone=network, recipe=recipe, features=features
        )
        masks = found.masks[found.best_first]
        box = boxes_from_masks(masks[:1])[0] if len(masks) else None
        best = rle.iou(rle.encode(masks), truth).max(axis=0) if len(masks) else np.zeros(len(truth))
        measured.append(
            {
                "masks": len(masks),
                "area": float(masks.mean(axis=(1, 2)).mean()) if len(masks) else 0.0,
                "hit": corloc.hits([box], [rle.boxes(truth)])[0],
                "best": [float(value) for value in best],
            }
        )
    return {"trials": measured}


def without_truth(network: Any, rgb: np.ndarray, recipes: Sequence[Recipe]) -> dict[str, Any]:
    """Return the record of a picture: of each trial its best mask in each view, and tokens."""
    described = _described(network, recipes)
    seen = _seen(network, rgb, recipes, described)
    own = [_on_canvas(network, rgb, recipe, seen) for recipe in recipes]
    mirrored = _best_masks(network, np.ascontiguousarray(rgb[:, ::-1]), recipes)
    down, right = (int(CROP * side) for side in rgb.shape[:2])
    inner = rgb[down : rgb.shape[0] - down, right : rgb.shape[1] - right]
    cropped = _best_masks(network, np.ascontiguousarray(inner), recipes)
    trials = [
        {
            "masks": n_masks,
            "area": area,
            "own": _text(mask),
            "flips": _text(flipped[:, ::-1]),
            "crops": _text(judging.in_crop(crop)),
        }
        for (mask, n_masks, area), flipped, crop in zip(own, mirrored, cropped, strict=True)
    ]
    return {"trials": trials, "tokens": _tokens(network, seen, recipes, described)}


def masks_of(records: Sequence[dict[str, Any]], trial: int) -> dict[str, np.ndarray]:
    """Return view -> the best masks (pictures, SIDE, SIDE) bool of a trial, of pictures' records.

    A mask is empty where nothing was found.
    """
    cells = judging.SIDE
    return {
        view: np.stack(
            [
                np.unpackbits(
                    np.frombuffer(base64.b64decode(record["trials"][trial][view]), np.uint8),
                    count=cells * cells,
                ).reshape(cells, cells)
                for record in records
            ]
        ).astype(bool)
        for view in VIEWS
    }


def tokens_of(records: Sequence[dict[str, Any]]) -> np.ndarray:
    """Return the tokens (pictures, n, n, channels) float16 of pictures' records.

    They are zero where they did not fit into memory: a head tells nothing by them.
    """
    side = judging.SIDE // judging.STEP
    found = [
        None
        if record["tokens"] is None
        else np.frombuffer(base64.b64decode(record["tokens"]), "<f2").reshape(side, side, -1)
        for record in records
    ]
    n_channels = max((each.shape[-1] for each in found if each is not None), default=1)
    nothing = np.zeros((side, side, n_channels), "<f2")
    return np.stack([nothing if each is None else each for each in found])


def _text(mask: np.ndarray) -> str:
    """Return the bits of a mask as text."""
    return base64.b64encode(np.packbits(mask).tobytes()).decode("ascii")


def _described(network: Any, recipes: Sequence[Recipe]) -> dict[int, tuple[str, ...]]:
    """Return block -> what is wanted of it beside what recipes read: tokens, for the head."""
    model = getattr(network, "model", None)
    n_blocks = 1 if model is None else len(model.blocks)
    return dict.fromkeys(DESCRIBING[:n_blocks], ("tokens",))


def _seen(
    network: Any,
    rgb: np.ndarray,
    recipes: Sequence[Recipe],
    besides: dict[int, tuple[str, ...]] | None = None,
) -> Seen:
    """Return the features of a picture that recipes read, one pass for each way of being shown.

    Args:
        besides: block -> fields that are wanted too, of the picture as the first recipe shows it.
    """
    want: dict[Input, dict[int, tuple[str, ...]]] = {}
    for recipe in recipes:
        of_input = want.setdefault(recipe.shown, dict(besides or {}) if not want else {})
        fields = (*of_input.get(recipe.block, ()), *recipe.want)
        of_input[recipe.block] = tuple(dict.fromkeys(fields))
    return {shown: _pass(network, rgb, shown, blocks) for shown, blocks in want.items()}


def _pass(
    network: Any, rgb: np.ndarray, shown: Input, want: dict[int, tuple[str, ...]]
) -> dict[int, PictureFeatures] | None:
    """Return block -> features of a picture by one pass; None where they do not fit into memory."""
    ready = shown.prepare(rgb, backbone=network)
    (found,) = in_halves(
        [ready], lambda some: [network.of_blocks(some[0].tensor[None], wanted=want)[0]]
    )
    if found is None:
        return None
    return {block: PictureFeatures(every[0], ready.content) for block, every in found.items()}


def _of_block(seen: Seen, recipe: Recipe) -> PictureFeatures | None:
    """Return the features that a recipe reads; None where they did not fit into memory."""
    by_block = seen[recipe.shown]
    return None if by_block is None else by_block[recipe.block]


def _best_masks(network: Any, rgb: np.ndarray, recipes: Sequence[Recipe]) -> list[np.ndarray]:
    """Return the best mask (SIDE, SIDE) bool of each trial in a view."""
    seen = _seen(network, rgb, recipes)
    return [_on_canvas(network, rgb, recipe, seen)[0] for recipe in recipes]


def _on_canvas(
    network: Any, rgb: np.ndarray, recipe: Recipe, seen: Seen
) -> tuple[np.ndarray, int, float]:
    """Return the best mask (SIDE, SIDE) bool of a trial, how many there are, their mean area."""
    found, content, _ = masks_of_patches(
        lambda: rgb,
        size=rgb.shape[:2],
        backbone=network,
        recipe=recipe,
        features=_of_block(seen, recipe),
    )
    drawn = [
        judging.on_canvas(
            each.mask.numpy(), patch=network.patch, content=content, side=judging.SIDE
        )
        for each in sorted(found, key=lambda each: -each.score)
    ]
    drawn = [mask for mask in drawn if mask.any()]
    if not drawn:
        return np.zeros((judging.SIDE, judging.SIDE), bool), 0, 0.0
    return drawn[0], len(drawn), float(np.mean(drawn))


def _tokens(
    network: Any,
    seen: Seen,
    recipes: Sequence[Recipe],
    described: dict[int, tuple[str, ...]],
) -> str | None:
    """Return the tokens of a picture on a canvas, as text; None: they did not fit into memory."""
    by_block = seen[recipes[0].shown]
    if by_block is None:
        return None
    every = []
    for block in described:
        features, content = by_block[block].features, by_block[block].content
        assert features.tokens is not None
        patches = features.tokens[1:].unflatten(0, features.grid).cpu().numpy()
        every.append(
            judging.on_canvas(
                patches, patch=network.patch, content=content, side=judging.SIDE // judging.STEP
            )
        )
    tokens = judging.fewer_channels(np.concatenate(every, axis=-1))
    return base64.b64encode(tokens.astype("<f2").tobytes()).decode("ascii")
