"""Colour and texture of each patch, without weights: for offline use, the demo, and as a baseline.

Paper:    none; opponent colours, band energies and the structure tensor are textbook measures
In:       batch (B, 3, H, W) float32, RGB in [0, 1], H and W multiples of the patch
Out:      Features with one head: keys are the descriptors, whitened within the picture
Differs:  ours; no class token: query 0 is a stand-in that points away from the picture's border
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from maskdistill.types import Features

_NAMES = ("queries", "keys", "tokens")
_WIDTH = 12  # 3 colours, 3 deviations of them, 3 bands, gradient energy, 2 of its orientation
# The three below: drawn pictures, docs/log/proposals.md, 2026-11-30, "constants of handcrafted".
_BAND_LIMITS_PX = (0.7, 1.4, 2.8, 5.6)  # deviations; a band of lightness lies between each two
_WINDOW = 0.6  # patches: deviation of the soft window over which a descriptor is averaged
# Of the whitening: this share of the mean variance is added to every direction, so that
# directions that hold noise alone are not blown up to the others' size.
_SHRINKAGE = 0.4
_GREY_LEVEL = 1 / 255  # what is below it is rounding of 8 bits
# Contrast of a band and energy of a gradient, about 3 and 5 grey levels: what is below is noise of
# a camera, and its logarithm or direction says nothing.
_LEAST_BAND, _LEAST_ENERGY = 0.01, 0.02


@dataclass(frozen=True)
class Handcrafted:
    """Describe patches by colour and texture, behind the same interface as a ViT.

    Attributes:
        patch: side of a patch, in px.
        name: of the backbone, as settings and files have it.
        mean: of RGB in [0, 1], that pictures are normalised with: 0, they are taken as they are.
        std: the deviation, likewise: 1.
        heads: one.
        has_class: False, query 0 is a stand-in.
        width: of a descriptor.
        note: as a ViT has it, on files of weights: none here.
    """

    patch: int = 8
    name: str = "handcrafted"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    heads: int = 1
    has_class: bool = False
    width: int = _WIDTH
    note: str = ""

    def features(
        self, batch: Tensor, *, block: int = -1, want: tuple[str, ...] = ("queries", "keys")
    ) -> list[Features]:
        """Return the descriptors of each picture of a batch.

        Args:
            batch: (B, 3, H, W) float32, RGB in [0, 1]; H, W multiples of the patch. Zeros right
                and below, less than a patch wide, count as padding: the last pixels of the
                content are repeated over them.
            block: there is only one; -1 or 0.
            want: of "queries", "keys", "tokens".
        Returns:
            One Features a picture, float32 on the batch's device, has_class False. keys
            (1, 1 + patches, 12): of mean 0 and mean squared length 1 over the patches; key 0 is
            their mean, zero; a flat picture's are all zero. queries: the same, but query 0 is the
            negative mean key of the patches at the border. tokens (1 + patches, 12): not
            whitened, comparable between pictures; token 0 is their mean.
        Raises:
            ValueError: batch of another shape or not finite, another block, a field that cannot be
                had.
        """
        _check(batch, self.patch, block, want)
        described = [self._descriptors(picture[None]) for picture in batch]
        return [self._features(each, want) for each in described]

    def of_blocks(
        self, batch: Tensor, *, wanted: Mapping[int, Sequence[str]], blocks: tuple[()] = ()
    ) -> tuple[dict[int, list[Features]], dict[int, Tensor]]:
        """Return block -> descriptors of each picture, as a ViT does; there is one block.

        Args:
            batch: as `features` takes it.
            wanted: block -> fields. blocks: none, there are no tokens to learn from.
        Raises:
            ValueError: as `features`.
        """
        assert not blocks
        found = {
            block: self.features(batch, block=block, want=tuple(want))
            for block, want in wanted.items()
        }
        return found, {}

    def _descriptors(self, picture: Tensor) -> Tensor:
        """Return the descriptors (rows, cols, 12) of one picture (1, 3, H, W)."""
        pooled = functional.avg_pool2d(_measures(_without_padding(picture, self.patch)), self.patch)
        return _descriptors(_blur(pooled, _WINDOW)[0].permute(1, 2, 0))

    def _features(self, descriptors: Tensor, want: tuple[str, ...]) -> Features:
        """Return the wanted fields, made of descriptors (rows, cols, 12)."""
        rows, cols, _ = descriptors.shape
        flat = descriptors.flatten(0, 1)  # (patches, 12)
        keys = _whitened(flat)
        border = torch.ones(rows, cols, dtype=torch.bool, device=keys.device)
        border[1:-1, 1:-1] = False
        stand_in = -keys[border.flatten()].mean(0, keepdim=True)
        return Features(
            grid=(rows, cols),
            patch=self.patch,
            queries=torch.cat([stand_in, keys])[None] if "queries" in want else None,
            keys=torch.cat([torch.zeros_like(keys[:1]), keys])[None] if "keys" in want else None,
            tokens=torch.cat([flat.mean(0, keepdim=True), flat]) if "tokens" in want else None,
            has_class=False,
        )


def load() -> Handcrafted:
    """Return the backbone that needs no weights."""
    return Handcrafted()


def _without_padding(picture: Tensor, patch: int) -> Tensor:
    """Return a picture (1, 3, H, W), the zeros at its end replaced by the last pixels before."""
    for dim in (2, 3):
        used = picture.amax(dim=(1, 5 - dim))[0] != 0
        last = int(used.nonzero()[-1]) if bool(used.any()) else len(used) - 1
        if 0 < len(used) - 1 - last < patch:  # an edge against black would be a texture of its own
            index = torch.arange(len(used), device=picture.device).clamp_max(last)
            picture = picture.index_select(dim, index)
    return picture


def _measures(picture: Tensor) -> Tensor:
    """Return the measures (1, 12, H, W) of a picture (1, 3, H, W) that a patch averages."""
    red, green, blue = picture.unbind(1)
    light = (red + green + blue) / 3
    opponents = torch.stack([light, red - green, (red + green) / 2 - blue], dim=1)
    blurred = [_blur(light[:, None], deviation) for deviation in _BAND_LIMITS_PX]
    bands = torch.cat([(fine - coarse).abs() for fine, coarse in pairwise(blurred)], dim=1)
    down = functional.pad(blurred[0], (0, 0, 1, 1), mode="replicate").diff(dim=2)
    right = functional.pad(blurred[0], (1, 1, 0, 0), mode="replicate").diff(dim=3)
    down, right = down[:, :, 1:] + down[:, :, :-1], right[..., 1:] + right[..., :-1]
    tensor = torch.cat([right**2 + down**2, right**2 - down**2, 2 * right * down], dim=1)
    return torch.cat([opponents, opponents**2, bands, tensor], dim=1)


def _descriptors(averages: Tensor) -> Tensor:
    """Return (rows, cols, 12), each of the size of a colour's difference, of averaged measures."""
    means, squares, bands, tensor = averages.split(3, dim=-1)
    deviations = (squares - means**2).clamp_min(0).sqrt()
    energy = tensor[..., :1].clamp_min(0).sqrt()
    # Logarithms, because a texture's contrast varies with the light that falls on it.
    contrast = 0.1 * (bands + _LEAST_BAND).log()
    direction = tensor[..., 1:] / (energy + _LEAST_ENERGY)
    return torch.cat([means, deviations, contrast, energy, direction], dim=-1)


def _whitened(descriptors: Tensor) -> Tensor:
    """Return descriptors (patches, 12) of mean 0 and mean squared length 1 over the patches.

    Directions of high variance are shrunk to the size of the others; of a flat picture all are 0.
    """
    centred = descriptors.double()
    centred = centred - centred.mean(0)
    centred = centred / (centred.square().mean(0).sqrt() + _GREY_LEVEL / 4)
    values, directions = torch.linalg.eigh(centred.T @ centred / len(centred))
    values = values.clamp_min(0)
    if float(values.max()) < 1e-6:  # a flat picture: rounding is no texture
        return torch.zeros_like(descriptors)
    white = centred @ directions / (values + _SHRINKAGE * values.mean()).sqrt()
    return (white / white.square().sum(1).mean().sqrt()).float()


def _blur(maps: Tensor, deviation: float) -> Tensor:
    """Return maps (B, C, H, W), each blurred alone by a Gaussian, the border repeated."""
    radius = max(1, round(3 * deviation))
    offsets = torch.arange(-radius, radius + 1, dtype=maps.dtype, device=maps.device)
    kernel = torch.exp(-0.5 * (offsets / deviation) ** 2)
    kernel = kernel / kernel.sum()
    flat = maps.flatten(0, 1)[:, None]
    flat = functional.conv2d(
        functional.pad(flat, (radius, radius, 0, 0), mode="replicate"), kernel[None, None, None]
    )
    flat = functional.pad(flat, (0, 0, radius, radius), mode="replicate")
    return functional.conv2d(flat, kernel[None, None, :, None]).reshape(maps.shape)


def _check(batch: Tensor, patch: int, block: int, want: tuple[str, ...]) -> None:
    """Raise ValueError unless batch, block and wishes are as `features` takes them."""
    if batch.ndim != 4 or batch.shape[1] != 3 or batch.shape[2] % patch or batch.shape[3] % patch:
        raise ValueError(
            f"batch must be (B, 3, H, W) with H and W multiples of {patch}, "
            f"got {tuple(batch.shape)}"
        )
    if not bool(torch.isfinite(batch).all()):
        raise ValueError("batch must be finite")
    if block not in (-1, 0):
        raise ValueError(f"block must be -1 or 0: handcrafted features have one block, got {block}")
    unknown = sorted(set(want) - set(_NAMES))
    if unknown:
        raise ValueError(
            f"want: handcrafted features have {', '.join(_NAMES)}; not {', '.join(unknown)}"
        )
