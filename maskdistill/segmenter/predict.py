"""Label map of one picture, at its native size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from maskdistill.segmenter import outlines
from maskdistill.segmenter.model import DeepLab
from maskdistill.segmenter.train import as_input


@torch.inference_mode()
def probabilities(model: DeepLab, rgb: np.ndarray, *, side: int) -> np.ndarray:
    """(classes, H, W) float32 that sum to 1: logits at side x side, enlarged bilinearly, softmax."""
    device = next(model.parameters()).device
    squeezed = np.asarray(Image.fromarray(rgb).resize((side, side), Image.Resampling.BICUBIC))
    logits = model(as_input(np.array(squeezed))[None].to(device)).float()
    logits = functional.interpolate(logits, size=rgb.shape[:2], mode="bilinear", align_corners=False)
    return logits.softmax(dim=1)[0].cpu().numpy()


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
    label_map = probabilities(model, rgb, side=side).argmax(axis=0).astype(np.uint8)
    return outlines.refined(label_map, rgb, refine) if refine else label_map
