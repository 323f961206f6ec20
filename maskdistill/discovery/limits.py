"""Limits: what a picture's masks must reach, and what is done where its features cannot be used.

In:   masks, features, or work on a picture of some size
Out:  masks that reach the least score; the field that is not finite; work done as large as it fits
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import torch

from maskdistill.discovery.recipe import Input
from maskdistill.memory import in_halves
from maskdistill.types import Features, GridMask, Note, Notes

Made = TypeVar("Made")

# Patches: so many take 4 MiB of a ViT-B/8 beside 327 MiB of its weights (docs/log/proposals.md,
# 2026-11-30). Fewer would mend nothing.
FEWEST = 64


def scoring_at_least(masks: Sequence[GridMask], min_score: float) -> list[GridMask]:
    """Return the masks whose score is at least `min_score`, in their order."""
    return [each for each in masks if each.score >= min_score]


def not_finite(features: Features, fields: Sequence[str]) -> str | None:
    """Return the first of `fields` of the features that holds nan or inf; None: all are finite."""
    for field in fields:
        if not bool(torch.isfinite(getattr(features, field)).all()):
            return field
    return None


def as_large_as_fits(
    work: Callable[[Input], Made], shown: Input, *, size: tuple[int, int], patch: int
) -> tuple[Made, Notes]:
    """Return the result of `work` on a picture, shown smaller where memory does not suffice.

    A picture that does not fit is shown with half its patches, then half of these, down to FEWEST.

    Args:
        work: from how the picture is shown to the result; its other errors pass through.
        shown: how the picture is shown at first.
        size: (height, width) of the picture.
        patch: px of a side of the backbone's patches.
    Returns:
        The result, and SMALLER with the most patches allowed where the picture was made smaller.
    Raises:
        MemoryError: the picture does not fit with FEWEST patches either.
    """
    notes: Notes = []
    while True:
        (made,) = in_halves([shown], lambda tried: [work(each) for each in tried])
        if made is not None:
            return made, notes
        rows, cols = shown.grid(size, patch=patch)
        if rows * cols <= FEWEST:
            raise MemoryError(
                f"a picture of {size[1]} x {size[0]} px does not fit into memory, "
                f"not even as {rows} x {cols} patches"
            )
        shown = replace(shown, max_patches=rows * cols // 2)
        notes = [(Note.SMALLER, rows * cols // 2)]
