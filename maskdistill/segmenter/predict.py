"""Label map of one picture, at its native size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from maskdistill.segmenter import outlines
from maskdistill.segmenter.model import DeepLab
from maskdistill.segmenter.train import as_input


@torch.inference_mode()
def probabilities(model: DeepLab, rgb: np.ndarray, *, side: int) -> np.ndarray:
    """(classes, H, W) float32 that sum to 1: logits at side x side, enlarged bilinearly, softmax."""
    return _enlarged(_logits(model, rgb, side), rgb.shape[:2]).softmax(dim=1)[0].cpu().numpy()


@torch.inference_mode()
def predict(
    model: DeepLab,
    rgb: np.ndarray,
    *,
    side: int,
    refine: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """(H, W) uint8 of a picture (H, W, 3) uint8: 0 background, 1 + cluster.

    Args:
        refine: from (rgb, mask (H, W) bool) to a better mask (H, W) bool; None: outlines stay as they are.
    """
    label_map = _largest(_logits(model, rgb, side), rgb.shape[:2])
    return outlines.refined(label_map, rgb, refine) if refine else label_map


def _logits(model: DeepLab, rgb: np.ndarray, side: int) -> Tensor:
    """(1, classes, side, side) float32."""
    device = next(model.parameters()).device
    squeezed = np.asarray(Image.fromarray(rgb).resize((side, side), Image.Resampling.BICUBIC))
    logits: Tensor = model(as_input(np.array(squeezed))[None].to(device)).float()
    return logits


def _enlarged(logits: Tensor, size: tuple[int, ...]) -> Tensor:
    return functional.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=False)


def _largest(logits: Tensor, size: tuple[int, ...]) -> np.ndarray:
    """(H, W) uint8: the first class of largest enlarged logit; class by class, for all of them need gigabytes."""
    best = _enlarged(logits[:, :1], size)[0, 0]
    label_map = torch.zeros_like(best, dtype=torch.uint8)
    for number in range(1, logits.shape[1]):
        rival = _enlarged(logits[:, number : number + 1], size)[0, 0]
        label_map[rival > best] = number
        best = torch.maximum(best, rival)
    return label_map.cpu().numpy()
