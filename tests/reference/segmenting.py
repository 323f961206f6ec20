"""The segmenter's probabilities by definition: logits, enlarged bilinearly, softmax, all at once."""

import numpy as np
import torch
from torch.nn import functional

from maskdistill import segmenter


@torch.inference_mode()
def probabilities(model: segmenter.DeepLab, rgb: np.ndarray, *, side: int) -> np.ndarray:
    """Return (classes, H, W) float32 that sum to 1, of a picture (H, W, 3) uint8."""
    (logits,) = segmenter.logits_many(model, [rgb], side=side)
    enlarged = functional.interpolate(
        logits, size=rgb.shape[:2], mode="bilinear", align_corners=False
    )
    return enlarged.softmax(dim=1)[0].numpy()
