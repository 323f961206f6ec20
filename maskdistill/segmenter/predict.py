"""Predictions of the segmenter: label maps of pictures, each at its native size.

In:       pictures (H, W, 3) uint8, or tokens of a frozen ViT, and a trained network
Out:      logits of each, several pictures a forward; a label map (H, W) uint8 of one's logits
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from maskdistill.masks import resize
from maskdistill.segmenter import outlines
from maskdistill.segmenter.model import DeepLab
from maskdistill.segmenter.patch_head import PatchHead
from maskdistill.segmenter.train import RESAMPLE, as_input


def predict(
    model: DeepLab,
    rgb: np.ndarray,
    *,
    side: int,
    refine: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    crf: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """Return the label map (H, W) uint8 of a picture: 0 background, 1 + cluster.

    Args:
        rgb: (H, W, 3) uint8. side: px of the square that the picture is squeezed to.
        refine, crf: as `label_map` takes them.
    """
    (logits,) = logits_many(model, [rgb], side=side)
    return label_map(logits, rgb, refine=refine, crf=crf)


@torch.inference_mode()
def logits_many(model: DeepLab, pictures: Sequence[np.ndarray], *, side: int) -> list[Tensor]:
    """Return the logits (1, classes, side, side) float32 of each picture, by one forward.

    Beside others a picture's logits move in their last bits (by 1e-5 of sizes of 1): a
    convolution may add up in another order.

    Args:
        pictures: (H, W, 3) uint8 each, of any sizes; none gives none.
        side: px of the square that each picture is squeezed to.
    """
    if not len(pictures):
        return []
    device = next(model.parameters()).device
    squeezed = [
        np.array(Image.fromarray(rgb).resize((side, side), RESAMPLE), copy=True) for rgb in pictures
    ]
    batch = torch.stack([as_input(rgb) for rgb in squeezed])
    # Channels last, as the weights are, and as a picture from NumPy is when it is alone.
    found: Tensor = model(batch.contiguous(memory_format=torch.channels_last).to(device)).float()
    return list(found.split(1))


@torch.inference_mode()
def logits_of_view(
    model: PatchHead, patches: np.ndarray | Tensor, class_token: np.ndarray | Tensor
) -> Tensor:
    """Return the logits (1, classes, rows, cols) float32 of a picture's patches.

    Args:
        model: in eval mode. patches: (blocks, rows, columns, channels) of a frozen ViT.
        class_token: (width,), of the picture; (0,) for a model that has none.
    """
    device = next(model.parameters()).device
    rows, cols = patches.shape[1:3]
    tokens = torch.as_tensor(patches).to(device).float()
    flat = tokens.permute(1, 2, 0, 3).reshape(rows * cols, -1)
    classes = torch.as_tensor(class_token).to(device).float()[None]
    found: Tensor = model(flat, classes)
    return found.T.reshape(1, -1, rows, cols)


@torch.inference_mode()
def label_map(
    logits: Tensor,
    rgb: np.ndarray,
    *,
    covered: tuple[float, float] | None = None,
    refine: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    crf: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    crf_side: int = 1024,
    crf_least: float = 0.0,
) -> np.ndarray:
    """Return the label map (H, W) uint8 of a picture's logits: the class of the largest one.

    Args:
        logits: (1, classes, side, side) float32, or (1, classes, rows, cols). rgb: (H, W, 3)
            uint8.
        covered: (rows, cols) of the logits that the picture covers, in cells, left above: a grid
            of patches may reach over it. None: all.
        refine: from (rgb, mask (H, W) bool) to a better mask (H, W) bool; None: outlines stay
            as they are.
        crf: from (rgb, probabilities (classes, h, w) float32) to better ones; None: no such.
        crf_side: px; a larger picture is reduced to it for the CRF, which would need gigabytes.
        crf_least: classes whose probability is less in every pixel do not take part in the CRF, in
            [0, 1): they win nowhere, and each costs as much as one that does. 0: all take part.
    """
    if crf is not None:
        logits, covered = _after_crf(logits, rgb, crf, crf_side, covered, crf_least), None
    found = _largest(logits, rgb.shape[:2], covered)
    return outlines.refined(found, rgb, refine) if refine else found


def _after_crf(
    logits: Tensor,
    rgb: np.ndarray,
    crf: Callable[[np.ndarray, np.ndarray], np.ndarray],
    side: int,
    covered: tuple[float, float] | None,
    least: float,
) -> Tensor:
    """Return probabilities (1, classes, h, w) after the CRF, at the picture's size or at `side`.

    Those of classes that took no part are 0.
    """
    size = resize.within(rgb.shape[:2], side)
    rgb = resize.reduced(rgb, size)
    given = _enlarged(logits, size, covered).softmax(dim=1)[0].cpu().numpy()
    # Who wins a pixel has 1 / classes there: at least one takes part, and nobody who won is lost.
    taking_part = np.flatnonzero(given.max(axis=(1, 2)) >= min(least, 1 / len(given)))
    found, some = np.zeros_like(given), given[taking_part]
    if len(some) < len(given):
        some /= some.sum(axis=0)
    found[taking_part] = crf(rgb, some) if len(some) > 1 else some
    return torch.from_numpy(found)[None]


def _enlarged(
    logits: Tensor, size: tuple[int, ...], covered: tuple[float, float] | None = None
) -> Tensor:
    """Return the part of logits that a picture covers (None: all), bilinearly at another size."""
    how: dict[str, Any] = {"mode": "bilinear", "align_corners": False}
    if covered is None or tuple(covered) == tuple(logits.shape[-2:]):
        return functional.interpolate(logits, size=tuple(size), **how)
    factors = tuple(pixels / cells for pixels, cells in zip(size, covered, strict=True))
    # One cell more, equal to the last, so that no rounding leaves the result a pixel short.
    wider = functional.pad(logits, (0, 1, 0, 1), mode="replicate")
    found = functional.interpolate(wider, scale_factor=factors, recompute_scale_factor=False, **how)
    return found[..., : size[0], : size[1]]


def _largest(
    logits: Tensor, size: tuple[int, ...], covered: tuple[float, float] | None = None
) -> np.ndarray:
    """Return (H, W) uint8: of each pixel the first class of the largest enlarged logit.

    Class by class, for all enlarged ones of a large picture need gigabytes.
    """
    best = _enlarged(logits[:, :1], size, covered)[0, 0]
    found = torch.zeros_like(best, dtype=torch.uint8)
    for number in range(1, logits.shape[1]):
        rival = _enlarged(logits[:, number : number + 1], size, covered)[0, 0]
        found[rival > best] = number
        best = torch.maximum(best, rival)
    return found.cpu().numpy()
