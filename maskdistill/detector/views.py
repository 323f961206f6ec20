"""Views: the tokens of one picture as the detector takes them, and its training masks beside them.

In:       tokens (blocks, rows, columns, channels) of a frozen ViT, the size that it was shown
Out:      View: tokens of all blocks together, and the frame in px that boxes are in
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maskdistill.detector.pyramid import TOKEN_PX, Grid
from maskdistill.detector.targets import targets
from maskdistill.masks import resize


@dataclass(frozen=True)
class View:
    """Hold one view of a picture: its tokens, or those of the mirrored picture.

    Attributes:
        tokens: (channels, rows, cols), the channels of all blocks; float16 as they are kept.
        frame: (height, width) px that the tokens show, 8 px a token; the last row and column may
            reach over it. Boxes inside the detector are in these px.
    """

    tokens: Tensor
    frame: tuple[int, int]

    @property
    def grid(self) -> Grid:
        """Return (rows, cols) of tokens."""
        return self.tokens.shape[1], self.tokens.shape[2]


def view(patches: np.ndarray | Tensor, scaled: tuple[int, int], *, patch: int = 16) -> View:
    """Return the view of a picture from its tokens as they are kept.

    Args:
        patches: (blocks, rows, columns, channels) float16 or float32.
        scaled: (height, width) px that the ViT was shown, without the padding to whole patches.
        patch: px of them a token.
    Raises:
        ValueError: a grid that is not that of the size.

    >>> view(np.zeros((2, 3, 4, 5), np.float16), (48, 60)).frame
    (24, 30)
    """
    grid = tuple(-(-side // patch) for side in scaled)
    if patches.ndim != 4 or tuple(patches.shape[1:3]) != grid:
        raise ValueError(
            f"patches: wanted (blocks, {grid[0]}, {grid[1]}, channels) for {scaled[0]} x "
            f"{scaled[1]} px by {patch}, found {tuple(patches.shape)}"
        )
    tokens = torch.as_tensor(patches)
    joined = tokens.permute(0, 3, 1, 2).flatten(0, 1).contiguous()  # (channels, rows, cols)
    height, width = (-(-side * TOKEN_PX // patch) for side in scaled)
    return View(joined, (height, width))


def targets_of(
    view: View, masks: np.ndarray, clusters: np.ndarray, *, mirrored: bool = False
) -> dict[str, Tensor]:
    """Return the target of a view, as of `targets`: its masks and boxes in px of the frame.

    Args:
        masks: (n, H, W) bool, of the picture at its own size; empty ones are left out.
        clusters: (n,) int64. mirrored: the view is of the mirrored picture, the masks are not.
    """
    shown = masks[..., ::-1] if mirrored else masks
    framed = [resize.resized(np.ascontiguousarray(mask), view.frame, keep=True) for mask in shown]
    layers = np.stack(framed) if framed else np.zeros((0, *view.frame), bool)
    return targets(layers, clusters)
