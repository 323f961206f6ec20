"""Training of the segmenter: its batches and losses, each a pure function of the step.

In:       pictures and label maps by position
Out:      batch_of and loss_of, for training.fit
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from maskdistill.segmenter.losses import hardest_cross_entropy
from maskdistill.training import augment, sampling

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, of RGB in [0, 1]
# Of pictures, in training and prediction; source: MaskDistill release.
RESAMPLE = Image.Resampling.BICUBIC
Sample = Callable[[int], tuple[np.ndarray, np.ndarray]]


def batches(
    sample: Sample, *, n_pictures: int, batch: int, seed: int, side: int, ranges: augment.Ranges
) -> Callable[[int], list[Any]]:
    """Return the function from a step to its batch.

    Args:
        sample: position -> rgb (H, W, 3) uint8, label map (H, W) uint8.
        n_pictures: positions there are. batch: pictures a step.
        side: px of the square that pictures are squeezed to.
        ranges: of turning, moving and colouring pictures and their label maps.
    Returns:
        batch_of(step) -> list of (picture (3, side, side) float32, normalised, label map
        (side, side) uint8).
    """

    def batch_of(step: int) -> list[Any]:
        made = []
        for number, position in enumerate(
            sampling.chosen(step, n_pictures=n_pictures, batch=batch, seed=seed)
        ):
            rgb, label_map = sample(int(position))
            draw = augment.drawn(sampling.generator(seed, step, number), ranges)
            moved, layers = augment.apply(
                draw, rgb, label_map[None], size=(side, side), resample=RESAMPLE
            )
            made.append((as_input(moved), torch.from_numpy(layers[0].copy())))
        return made

    return batch_of


def losses(*, share: float) -> Callable[[nn.Module, list[Any], int], Mapping[str, Tensor]]:
    """Return the function from (model, batch, step) to the loss, by its name.

    Args:
        share: of the pixels, the hardest ones, in (0, 1].
    """

    def loss_of(model: nn.Module, batch: list[Any], step: int) -> Mapping[str, Tensor]:
        device = next(model.parameters()).device
        pictures = torch.stack([picture for picture, _ in batch]).to(device)
        labels = torch.stack([label_map for _, label_map in batch]).long().to(device)
        return {"cross_entropy": hardest_cross_entropy(model(pictures), labels, share=share)}

    return loss_of


def as_input(rgb: np.ndarray) -> Tensor:
    """Return a picture (H, W, 3) uint8 as (3, H, W) float32, normalised."""
    tensor = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1).float() / 255
    return (tensor - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
