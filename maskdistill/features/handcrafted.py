"""Colour and texture of each patch, without weights: what is used offline, for the demo, and as a baseline.

Paper:    none; ours. Opponent colours, band energies and the structure tensor are textbook measures
In:       batch (B, 3, H, W) float32, RGB in [0, 1], H and W multiples of the patch
Out:      Features with one head: keys are the descriptors, centred and whitened within the picture
Differs:  there is no class token: the query 0 is a stand-in, the way from the picture's border to its middle
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from maskdistill.types import Features

_SCALES_PX = (0.7, 1.4, 2.8, 5.6)  # deviations between which the bands of lightness lie
_SMALL = 1e-6


@dataclass(frozen=True)
class Handcrafted:
    """The same interface as a ViT's; runs where the batch is.

    Attributes:
        patch: side of a patch in pixels; mean, std: of RGB, of a picture that is ready for `features`.
        window: deviation in patches of the soft window over which a patch's descriptor is averaged.
        shrinkage: of the whitening, in (0, 1]: the share of the mean variance that is added to every direction, so
            that directions of noise alone are not blown up.
    """

    name: str = "handcrafted"
    patch: int = 8
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    heads: int = 1
    width: int = 12
    window: float = 0.6
    shrinkage: float = 0.1
    weights: tuple = (1,) * 12

    def features(
        self, batch: Tensor, *, block: int = -1, want: tuple[str, ...] = ("queries", "keys")
    ) -> list[Features]:
        maps = _measures(batch)
        pooled = functional.avg_pool2d(maps, self.patch)
        pooled = _blur(pooled, self.window)
        rows, cols = pooled.shape[-2:]
        out = []
        for each in pooled:
            d = each.flatten(1).T  # (patches, width)
            d = _finish(d)
            k = _whitened(d, self.shrinkage, torch.tensor(self.weights, dtype=torch.float32))
            k = k[None]
            k = torch.cat([torch.zeros_like(k[:, :1]), k], 1)
            out.append(Features(grid=(rows, cols), patch=self.patch, queries=k, keys=k, has_class=False))
        return out


def _measures(batch: Tensor) -> Tensor:
    """(B, channels, H, W)"""
    red, green, blue = batch.unbind(1)
    light = (red + green + blue) / 3
    opponents = torch.stack([light, red - green, (red + green) / 2 - blue], 1)
    squares = opponents**2
    pyramid = [_blur(light[:, None], s) for s in _SCALES_PX]
    bands = torch.cat([(a - b).abs() for a, b in zip(pyramid, pyramid[1:])], 1)
    smooth = pyramid[0]
    gx = functional.pad(smooth[..., 2:] - smooth[..., :-2], (1, 1, 0, 0), mode="replicate")
    gy = functional.pad(smooth[..., 2:, :] - smooth[..., :-2, :], (0, 0, 1, 1), mode="replicate")
    tensor = torch.cat([gx * gx + gy * gy, gx * gx - gy * gy, 2 * gx * gy], 1)
    return torch.cat([opponents, squares, bands, tensor], 1)


def _finish(d: Tensor) -> Tensor:
    means, squares, bands, tensor = d[:, :3], d[:, 3:6], d[:, 6:9], d[:, 9:12]
    spread = (squares - means**2).clamp_min(0).sqrt()
    energy = tensor[:, :1].clamp_min(0).sqrt()
    return torch.cat([means, spread, (bands + 1e-2).log() * 0.1, energy, tensor[:, 1:] / (energy + 0.02)], 1)


def _whitened(d: Tensor, shrinkage: float, weights: Tensor) -> Tensor:
    d = d - d.mean(0)
    d = d / (d.std(0, correction=0) + 1e-3) * weights
    cov = d.T @ d / len(d)
    values, vectors = torch.linalg.eigh(cov.double())
    values = values.clamp_min(0)
    scale = 1 / (values + shrinkage * values.mean() + 1e-9).sqrt()
    k = d.double() @ vectors * scale
    return (k / (k.square().sum(1).mean().sqrt() + 1e-9)).float()


def _blur(maps: Tensor, deviation: float) -> Tensor:
    """Gaussian blur of (B, C, H, W), the border replicated."""
    radius = max(1, round(3 * deviation))
    offsets = torch.arange(-radius, radius + 1, dtype=maps.dtype, device=maps.device)
    kernel = torch.exp(-0.5 * (offsets / deviation) ** 2)
    kernel = kernel / kernel.sum()
    b, c, h, w = maps.shape
    flat = maps.reshape(b * c, 1, h, w)
    flat = functional.pad(flat, (radius, radius, 0, 0), mode="replicate")
    flat = functional.conv2d(flat, kernel[None, None, None, :])
    flat = functional.pad(flat, (0, 0, radius, radius), mode="replicate")
    flat = functional.conv2d(flat, kernel[None, None, :, None])
    return flat.reshape(b, c, h, w)


def load(*, patch: int = 8) -> Handcrafted:
    return Handcrafted(patch=patch)
