"""Label map of one picture, at its native size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from maskdistill.masks import resize
from maskdistill.segmenter import outlines
from maskdistill.segmenter.model import DeepLab
from maskdistill.segmenter.train import RESAMPLE, as_input


@torch.inference_mode()
def probabilities(model: DeepLab, rgb: np.ndarray, *, side: int) -> np.ndarray:
    """(classes, H, W) float32 that sum to 1: logits at side x side, enlarged bilinearly, softmax."""
    return _enlarged(logits(model, rgb, side=side), rgb.shape[:2]).softmax(dim=1)[0].cpu().numpy()


def predict(
    model: DeepLab,
    rgb: np.ndarray,
    *,
    side: int,
    refine: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    crf: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """(H, W) uint8 of a picture (H, W, 3) uint8: 0 background, 1 + cluster. Arguments as `label_map`'s."""
    return label_map(logits(model, rgb, side=side), rgb, refine=refine, crf=crf)


@torch.inference_mode()
def logits(model: DeepLab, rgb: np.ndarray, *, side: int) -> Tensor:
    """(1, classes, side, side) float32 of a picture (H, W, 3) uint8, on the model's device."""
    device = next(model.parameters()).device
    squeezed = np.asarray(Image.fromarray(rgb).resize((side, side), RESAMPLE))
    found: Tensor = model(as_input(np.array(squeezed))[None].to(device)).float()
    return found


@torch.inference_mode()
def label_map(
    logits: Tensor,
    rgb: np.ndarray,
    *,
    refine: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    crf: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    crf_side: int = 1024,
) -> np.ndarray:
    """(H, W) uint8 of the logits (1, classes, side, side) of a picture: the class of the largest one.

    Args:
        refine: from (rgb, mask (H, W) bool) to a better mask (H, W) bool; None: outlines stay as they are.
        crf: from (rgb, probabilities (classes, h, w) float32) to better ones; None: no such.
        crf_side: px; a larger picture is reduced to it for the CRF, which would need gigabytes.
    """
    if crf is not None:
        logits = _after_crf(logits, rgb, crf, crf_side)
    found = _largest(logits, rgb.shape[:2])
    return outlines.refined(found, rgb, refine) if refine else found


def _after_crf(
    logits: Tensor, rgb: np.ndarray, crf: Callable[[np.ndarray, np.ndarray], np.ndarray], side: int
) -> Tensor:
    """(1, classes, h, w) probabilities, at the picture's size or at `side`."""
    size = resize.within(rgb.shape[:2], side)
    rgb = resize.reduced(rgb, size)
    given = _enlarged(logits, size).softmax(dim=1)[0].cpu().numpy()
    return torch.from_numpy(crf(rgb, given))[None]


def _enlarged(logits: Tensor, size: tuple[int, ...]) -> Tensor:
    return functional.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=False)


def _largest(logits: Tensor, size: tuple[int, ...]) -> np.ndarray:
    """(H, W) uint8: the first class of largest enlarged logit; class by class, for all of them need gigabytes."""
    best = _enlarged(logits[:, :1], size)[0, 0]
    found = torch.zeros_like(best, dtype=torch.uint8)
    for number in range(1, logits.shape[1]):
        rival = _enlarged(logits[:, number : number + 1], size)[0, 0]
        found[rival > best] = number
        best = torch.maximum(best, rival)
    return found.cpu().numpy()
