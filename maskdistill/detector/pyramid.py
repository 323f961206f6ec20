"""Pyramid: maps at five strides from the one grid of tokens that a frozen ViT has.

Paper:    Li et al., ECCV 2022, arXiv:2203.16527, Sec. 3: the simple feature pyramid
In:       tokens (B, channels, rows, cols) of pictures of unlike grids, 0 outside of each
Out:      maps "0" .. "3" at strides 4, 8, 16, 32 and "pool" at 64, 0 outside; a token is 8 px
Differs:  64 channels; GroupNorm, over a picture's own cells; max pools in place of a strided
          convolution; one deconvolution less, because pictures are shown to the ViT enlarged
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

TOKEN_PX = 8  # px of the frame that a token stands for: its map is the one at stride 8
STRIDES = {"0": 4, "1": 8, "2": 16, "3": 32, "pool": 64}
_GROUP = 16  # channels that are normalised together, as in the small body

Grid = tuple[int, int]  # rows, cols


class SimplePyramid(nn.Module):
    """Compute the maps of a Mask R-CNN from tokens.

    A picture's maps are the same whatever pictures lie beside it in the batch: each norm is over
    the picture's own cells, and every convolution sees zeros outside of them.

    Args:
        channels: of the tokens, all blocks together. width: of the maps.
    """

    def __init__(self, channels: int, width: int = 64) -> None:
        super().__init__()
        self.channels, self.out_channels = channels, width
        self.reduce = nn.Conv2d(channels, width, 1, bias=False)
        self.reduce_norm = InsideNorm(width)
        self.enlarge = nn.ConvTranspose2d(width, width, 2, 2)
        levels = [name for name in STRIDES if name != "pool"]
        self.narrow = nn.ModuleDict(
            {name: nn.Conv2d(width, width, 1, bias=False) for name in levels}
        )
        self.narrow_norm = nn.ModuleDict({name: InsideNorm(width) for name in levels})
        self.smooth = nn.ModuleDict(
            {name: nn.Conv2d(width, width, 3, padding=1, bias=False) for name in levels}
        )
        self.smooth_norm = nn.ModuleDict({name: InsideNorm(width) for name in levels})

    def forward(self, tokens: Tensor, grids: Sequence[Grid]) -> dict[str, Tensor]:
        """Return the maps of a batch.

        Args:
            tokens: (B, channels, rows, cols) float32, rows and cols multiples of 8.
            grids: (rows, cols) of each picture, whose tokens lie left above.
        Returns:
            (B, width, rows', cols') each, rows' the rows in px over the stride.
        """
        inside = {
            name: inside_of(grids, name, (tokens.shape[2], tokens.shape[3]), device=tokens.device)
            for name in self.narrow
        }
        reduced = self.reduce_norm(self.reduce(tokens), inside["1"])
        at = {
            "0": self.enlarge(reduced) * inside["0"],
            "1": reduced,
            "2": functional.max_pool2d(reduced, 2),
            "3": functional.max_pool2d(reduced, 4),
        }
        maps = {}
        for name, each in at.items():
            narrow = self.narrow_norm[name](self.narrow[name](each), inside[name])
            maps[name] = self.smooth_norm[name](self.smooth[name](narrow), inside[name])
        maps["pool"] = maps["3"][:, :, ::2, ::2]
        return maps


class InsideNorm(nn.GroupNorm):
    """Normalise each group of channels over the cells of a picture alone; 0 outside of them."""

    def __init__(self, width: int) -> None:
        super().__init__(width // _GROUP, width)

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:  # type: ignore[override]
        """Return (B, width, rows, cols) float32.

        Args:
            x: (B, width, rows, cols). inside: (B, 1, rows, cols) float32, 1 in the picture, else 0.
        """
        groups = x.float().unflatten(1, (self.num_groups, -1))  # (B, groups, channels, rows, cols)
        mask = inside[:, None]
        n_values = (inside.sum(dim=(2, 3)) * groups.shape[2])[..., None, None, None]
        mean = (groups * mask).sum(dim=(2, 3, 4), keepdim=True) / n_values
        centred = (groups - mean) * mask
        variance = centred.square().sum(dim=(2, 3, 4), keepdim=True) / n_values
        found = (centred * torch.rsqrt(variance + self.eps)).flatten(1, 2)
        return found * self.weight[:, None, None] + self.bias[:, None, None] * inside


def cells(grid: Grid, name: str) -> Grid:
    """Return the rows and columns that a grid of tokens has on a map of the pyramid.

    >>> [cells((30, 41), name) for name in STRIDES]
    [(60, 82), (30, 41), (15, 21), (8, 11), (4, 6)]
    """
    rows, cols = (-(-number * TOKEN_PX // STRIDES[name]) for number in grid)
    return rows, cols


def inside_of(
    grids: Sequence[Grid], name: str, padded: Grid, *, device: torch.device | str = "cpu"
) -> Tensor:
    """Return which cells of a map hold a picture: (B, 1, rows', cols') float32, 1 or 0.

    Args:
        grids: (rows, cols) of tokens of each picture. name: of the map.
        padded: (rows, cols) of the batch, multiples of 8.
    """
    rows, cols = cells(padded, name)
    found = torch.zeros(len(grids), 1, rows, cols)
    for row, grid in enumerate(grids):
        n_rows, n_cols = cells(grid, name)
        found[row, :, :n_rows, :n_cols] = 1
    return found.to(device)


def padded(tokens: Sequence[Tensor]) -> Tensor:
    """Return token grids of unlike sizes as one batch, zeros right and below.

    Args:
        tokens: (channels, rows, cols) each, of any float type, on one device.
    Returns:
        (B, channels, rows, cols) float32, rows and cols the next multiples of 8: the coarsest map
        has a cell for 8 x 8 tokens.
    """
    rows, cols = (-(-max(each.shape[side] for each in tokens) // 8) * 8 for side in (1, 2))
    batch = tokens[0].new_zeros((len(tokens), tokens[0].shape[0], rows, cols), dtype=torch.float32)
    for row, each in enumerate(tokens):
        batch[row, :, : each.shape[1], : each.shape[2]] = each
    return batch
