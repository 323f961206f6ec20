"""Tokens: what the frozen backbone saw of one view of a picture, for the networks that learn.

Paper:    none; a ViT's tokens as the body of a detector: Li et al., ECCV 2022, arXiv:2203.16527
In:       a backbone, pictures made ready for it
Out:      Tokens of each picture: of several blocks, the class token, what of the picture they show
Differs:  rounded to float16, whatever the backbone computes in: they are kept on disk so, and read
          the same where they are computed again
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskdistill.features.prepare import Prepared, prepare
from maskdistill.types import Features


@dataclass(frozen=True)
class Tokens:
    """Hold what a frozen backbone saw of one view (as it is, or mirrored) of one picture.

    Attributes:
        patches: (blocks, rows, cols, channels) float16, each after the last norm, in the order of
            the blocks that were asked for. Not finite where the backbone's are not.
        class_token: (channels,) float16 of the last block, whichever blocks were asked for; of a
            backbone without a class token the mean of that block's patches.
        size: (height, width) of the picture, px.
        scaled: (height, width) that the backbone saw of it, px: rows x cols patches cover it, the
            last row and column in part.
    """

    patches: Tensor
    class_token: Tensor
    size: tuple[int, int]
    scaled: tuple[int, int]


def made_ready(
    rgb: np.ndarray, *, backbone: Any, mirrored: bool = False, **how: int | None
) -> Prepared:
    """Return a picture (H, W, 3) uint8, or its mirror image, resized and padded for a backbone.

    The picture is mirrored before it is resized, so that the padding is right and below of both.

    Args:
        backbone: with patch, mean, std.
        mirrored: left and right changed over.
        how: short_side, square, max_patches, as `prepare` takes them.
    Raises:
        ValueError: as `prepare`.
    """
    if mirrored:
        rgb = np.ascontiguousarray(rgb[:, ::-1])
    own: dict[str, Any] = {"patch": backbone.patch, "mean": backbone.mean, "std": backbone.std}
    return prepare(rgb, **{**own, **how})


def seen(
    pictures: Sequence[Prepared],
    *,
    backbone: Any,
    blocks: Sequence[int],
    block: int = -1,
    want: Sequence[str] = (),
) -> tuple[list[Features], list[Tokens]]:
    """Return features and Tokens of pictures of one padded shape, by one pass of the backbone.

    Args:
        backbone: a ViT.
        blocks: whose tokens are given, negative from the last.
        block, want: of the features, as the backbone takes them; nothing wanted: features that
            hold nothing.
    Returns:
        Of each picture both, on the device of the weights.
    Raises:
        ValueError: no picture, a block or field that there is not.
    """
    batch = _stacked(pictures)
    features, found = backbone.features_and_tokens(
        batch, block=block, want=want, blocks=tuple(dict.fromkeys((*blocks, -1)))
    )
    return features, _of_rows(found, pictures, blocks, backbone=backbone, batch=batch)


def seen_of_blocks(
    pictures: Sequence[Prepared],
    *,
    backbone: Any,
    blocks: Sequence[int],
    wanted: Mapping[int, Sequence[str]],
) -> tuple[dict[int, list[Features]], list[Tokens]]:
    """Return features of several blocks and Tokens of pictures, by one pass of the backbone.

    Args:
        pictures, backbone, blocks: as `seen` takes them.
        wanted: block -> fields of its features.
    Returns:
        Block of `wanted` -> the features of each picture; the Tokens of each.
    Raises:
        ValueError: as `seen`.
    """
    batch = _stacked(pictures)
    features, found = backbone.of_blocks(
        batch, wanted=wanted, blocks=tuple(dict.fromkeys((*blocks, -1)))
    )
    return features, _of_rows(found, pictures, blocks, backbone=backbone, batch=batch)


def of_picture(
    rgb: np.ndarray,
    *,
    backbone: Any,
    blocks: Sequence[int],
    mirrored: bool = False,
    **how: int | None,
) -> Tokens:
    """Return the Tokens of a picture (H, W, 3) uint8 by a pass of its own.

    Args:
        backbone: a ViT.
        blocks: as `seen` takes them.
        mirrored: of its mirror image.
        how: short_side (px of the shorter side that the backbone sees), square, max_patches, as
            `prepare` takes them; none: the picture's own size.
    Raises:
        ValueError: as `prepare` and `seen`.
    """
    ready = made_ready(rgb, backbone=backbone, mirrored=mirrored, **how)
    return seen([ready], backbone=backbone, blocks=blocks)[1][0]


def _stacked(pictures: Sequence[Prepared]) -> Tensor:
    """Return pictures of one padded shape as a batch (B, 3, H, W).

    Raises:
        ValueError: no picture.
    """
    if not pictures:
        raise ValueError("pictures: wanted one at least, got none")
    return torch.stack([each.tensor for each in pictures])


def _of_rows(
    found: Mapping[int, Tensor],
    pictures: Sequence[Prepared],
    blocks: Sequence[int],
    *,
    backbone: Any,
    batch: Tensor,
) -> list[Tokens]:
    """Return the Tokens of each picture of a batch."""
    grid = batch.shape[2] // backbone.patch, batch.shape[3] // backbone.patch
    return [
        _of_row(found, row, blocks, grid=grid, prepared=picture)
        for row, picture in enumerate(pictures)
    ]


def _of_row(
    found: Mapping[int, Tensor],
    row: int,
    blocks: Sequence[int],
    *,
    grid: tuple[int, int],
    prepared: Prepared,
) -> Tokens:
    """Return the Tokens of one picture of a batch."""
    patches = torch.stack([found[number][row, 1:] for number in blocks]).half()
    return Tokens(
        patches=patches.unflatten(1, grid),  # (blocks, rows, cols, channels)
        class_token=found[-1][row, 0].half(),
        size=prepared.size,
        scaled=prepared.content,
    )
