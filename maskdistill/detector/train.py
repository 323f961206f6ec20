"""Training of the detector: its batches and losses, each a pure function of the step.

In:       pictures, masks and clusters by position
Out:      batch_of and loss_of, for training.fit
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN

from maskdistill.detector.model import seed_samplers
from maskdistill.detector.targets import targets
from maskdistill.training import augment, sampling, step_seed

Sample = Callable[[int], tuple[np.ndarray, np.ndarray, np.ndarray]]


def batches(
    sample: Sample,
    *,
    n_pictures: int,
    batch: int,
    seed: int,
    short_side: int,
    max_side: int,
    ranges: augment.Ranges,
) -> Callable[[int], list[Any]]:
    """Return the function from a step to its batch.

    Args:
        sample: position -> rgb (H, W, 3) uint8, masks (n, H, W) bool, clusters (n,).
        n_pictures: positions there are. batch: pictures a step.
        short_side, max_side: px that pictures are resized to.
        ranges: of turning, moving and colouring pictures and their masks.
    Returns:
        batch_of(step) -> list of (picture (3, H, W) float32 in [0, 1], target as of `targets`).
    """

    def batch_of(step: int) -> list[Any]:
        made = []
        positions = sampling.chosen(step, n_pictures=n_pictures, batch=batch, seed=seed)
        for number, position in enumerate(positions):
            rgb, masks, clusters = sample(int(position))
            rng = sampling.generator(seed, step, number)
            draw = augment.drawn(rng, ranges)
            size = resized(rgb.shape[:2], short_side=short_side, max_side=max_side)
            moved, layers = augment.apply(draw, rgb, masks.astype(np.uint8), size=size)
            picture = torch.from_numpy(np.ascontiguousarray(moved)).permute(2, 0, 1).float() / 255
            made.append((picture, targets(layers.astype(bool), clusters)))
        return made

    return batch_of


def losses(*, seed: int) -> Callable[[nn.Module, list[Any], int], Mapping[str, Tensor]]:
    """Return the function from (model, batch, step) to torchvision's five losses by name.

    Its samplers draw from (seed, step).
    """

    def loss_of(model: nn.Module, batch: list[Any], step: int) -> Mapping[str, Tensor]:
        assert isinstance(model, MaskRCNN)
        device = next(model.parameters()).device
        seed_samplers(model, step_seed(seed, step))
        pictures = [picture.to(device) for picture, _ in batch]
        return model(
            pictures,
            [{key: value.to(device) for key, value in target.items()} for _, target in batch],
        )

    return loss_of


def resized(size: tuple[int, int], *, short_side: int, max_side: int) -> tuple[int, int]:
    """Return (height, width) of a picture of `size` after the detector's resize, px.

    >>> resized((375, 500), short_side=256, max_side=512)
    (256, 341)
    """
    scale = min(short_side / min(size), max_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
