"""One picture to masks: features, method, pixels. What `propose` does for a folder and `api.discover` for an array."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from maskdistill import crf
from maskdistill.features import Prepared, prepare, wanted_size
from maskdistill.proposals import lost, maskcut, maskdistill, pixels, to_pixels, tokencut
from maskdistill.types import Facet, Features, Found, Note, Notes

METHODS: dict[str, Callable[..., Found]] = {
    "maskdistill": maskdistill.discover,
    "lost": lost.discover,
    "tokencut": tokencut.discover,
    "maskcut": maskcut.discover,
}
NEEDS = {
    "maskdistill": ("queries", "keys"),
    "lost": (),
    "tokencut": (),
    "maskcut": (),
}  # beside the facet
_FEWEST = 64  # patches: what does not fit into memory with so few is not mended by fewer
# Ways from the patch grid to pixels that look at the picture.
FROM_PICTURE: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "refine": pixels.refine,
    "crf": crf.refined_mask,
}


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


@dataclass(frozen=True)
class Recipe:
    """How masks are found and drawn.

    Attributes:
        facet: what the patches are compared by.
        how: `nearest` enlarges the patch grid as the paper does, `bilinear` draws contours between the centres of its
            patches, `refine` moves these to the picture's edges by colours inside and around, `crf` moves those of
            `nearest` by a dense CRF, as MaskCut does.
        constants: keyword arguments of the method.
    """

    method: str
    shown: Input
    block: int = -1
    facet: Facet = "keys"
    centre_keys: bool = False
    max_masks: int = 1
    stop_score: float = 0.0
    min_score: float = 0.0
    how: str = "nearest"
    constants: Mapping[str, Any] = field(default_factory=dict)

    @property
    def want(self) -> tuple[str, ...]:
        """What of the backbone's block is needed."""
        return tuple(dict.fromkeys((*NEEDS[self.method], self.facet)))


def discover(
    rgb: np.ndarray, *, backbone: Any, recipe: Recipe
) -> tuple[np.ndarray, np.ndarray, Notes]:
    """Masks (n, H, W) bool, scores (n,) float32 and notes of a picture (H, W, 3) uint8."""
    found, content = find(lambda: rgb, backbone=backbone, recipe=recipe)
    size = rgb.shape[0], rgb.shape[1]
    masks, scores = in_pixels(
        found,
        rgb=rgb,
        patch=backbone.patch,
        content=content,
        size=size,
        min_score=recipe.min_score,
        how=recipe.how,
    )
    return masks, scores, found.notes


def find(
    picture: Callable[[], np.ndarray],
    *,
    backbone: Any,
    recipe: Recipe,
    seen: tuple[Features, tuple[int, int]] | None = None,
) -> tuple[Found, tuple[int, int]]:
    """What a method finds on the patch grid, and the px (rows, columns) of the grid that hold the picture.

    What does not fit into memory is tried at half the patches, and at half of these; the notes then say ("smaller",
    patches at most).

    Args:
        picture: gives (H, W, 3) uint8; not called where `seen` suffices.
        seen: the features of the picture and what of their grid holds it, where the backbone has seen it.
    """
    most: int | None = None
    while True:
        shown = recipe.shown if most is None else replace(recipe.shown, max_patches=most)
        try:
            features, content = seen or look(
                picture(), backbone=backbone, block=recipe.block, want=recipe.want, shown=shown
            )
            found = found_in(features, recipe=recipe)
        except (MemoryError, RuntimeError) as error:
            rgb = picture()
            rows, columns = padded_size(
                (rgb.shape[0], rgb.shape[1]), patch=backbone.patch, shown=shown
            )
            if not is_out_of_memory(error) or rows * columns <= _FEWEST:
                raise
            most, seen = rows * columns // 2, None
        else:
            notes = found.notes if most is None else [*found.notes, (Note.SMALLER, most)]
            return replace(found, notes=notes), content


def looked_within_memory(
    ready: Sequence[Prepared], *, backbone: Any, recipe: Recipe
) -> list[Features | None]:
    """Features of pictures of one padded shape, fewer at a time where memory does not suffice; None: not even one."""
    if not ready:
        return []
    try:
        return list(looked(ready, backbone=backbone, block=recipe.block, want=recipe.want))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    if len(ready) == 1:
        return [None]
    half = len(ready) // 2
    return [
        found
        for some in (ready[:half], ready[half:])
        for found in looked_within_memory(some, backbone=backbone, recipe=recipe)
    ]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice: NumPy's, a GPU's, or that of torch on the CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def padded_size(size: tuple[int, int], *, patch: int, shown: Input) -> tuple[int, int]:
    """(rows, columns) of patches that a backbone is shown of a picture of `size`."""
    height, width = wanted_size(size, patch, **vars(shown))
    return -(-height // patch), -(-width // patch)


def prepared(rgb: np.ndarray, *, backbone: Any, shown: Input) -> Prepared:
    """A picture (H, W, 3) uint8 as a backbone is shown it."""
    if not rgb.size:
        raise ValueError(f"rgb: holds no pixel, found {rgb.shape}")
    return prepare(rgb, patch=backbone.patch, mean=backbone.mean, std=backbone.std, **vars(shown))


def looked(
    ready: Sequence[Prepared], *, backbone: Any, block: int, want: tuple[str, ...]
) -> list[Features]:
    """Features of pictures of one padded shape, in one pass."""
    with torch.inference_mode():
        return backbone.features(
            torch.stack([each.tensor for each in ready]), block=block, want=want
        )


def look(
    rgb: np.ndarray, *, backbone: Any, block: int, want: tuple[str, ...], shown: Input
) -> tuple[Features, tuple[int, int]]:
    """Features of a picture (H, W, 3) uint8, and the px (rows, columns) of the grid that hold it."""
    ready = prepared(rgb, backbone=backbone, shown=shown)
    return looked([ready], backbone=backbone, block=block, want=want)[0], ready.content


def found_in(features: Features, *, recipe: Recipe) -> Found:
    """What a method finds in features."""
    if recipe.centre_keys:
        with torch.inference_mode():
            features = features.centred()
    limits = {"max_masks": recipe.max_masks, "stop_score": recipe.stop_score}
    return search(features, recipe.method, facet=recipe.facet, **limits, **recipe.constants)


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
                return Found([], [(Note.NOT_FINITE, field)])
        raise


def in_pixels(
    found: Found,
    *,
    rgb: np.ndarray | None,
    patch: int,
    content: tuple[int, int],
    size: tuple[int, int],
    min_score: float,
    how: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Masks (n, H, W) bool and scores (n,) float32 of those that reach `min_score`.

    Args:
        rgb: the picture, which the ways in FROM_PICTURE need. size: its (height, width).
    """
    kept = [each for each in found.masks if each.score >= min_score]
    masks = np.zeros((len(kept), *size), bool)
    for row, each in enumerate(kept):
        masks[row] = to_pixels(
            each.mask.numpy(),
            patch=patch,
            content=content,
            size=size,
            how={"refine": "bilinear", "crf": "nearest"}.get(how, how),  # type: ignore[arg-type]  # refused there if unknown
        )
        if how in FROM_PICTURE:
            if rgb is None:
                raise ValueError(f"rgb: {how!r} needs the picture")
            masks[row] = FROM_PICTURE[how](rgb, masks[row])
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
            (number * patch + min((number + 1) * patch, inside)) / 2 * side / inside
            for number, inside, side in place
        )
        points.append([[x, y]] if each.mask[each.seed_patch] else [])
    return points
