"""Training of the detector on tokens: its batches and losses, each a pure function of the step.

In:       views (tokens), masks and clusters by position
Out:      batch_of and loss_of, for training.fit
Differs:  nothing is turned, scaled or coloured, which would need the ViT anew: a picture is seen as
          it is or mirrored, for which its tokens are known
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from maskdistill.detector.model import seed_samplers
from maskdistill.detector.token_rcnn import TokenRCNN
from maskdistill.detector.views import View, targets_of
from maskdistill.training import sampling, step_seed

# position, mirrored -> the view, masks (n, H, W) bool of the picture as it is, clusters (n,)
Sample = Callable[[int, bool], tuple[View, np.ndarray, np.ndarray]]


def token_batches(
    sample: Sample,
    *,
    n_pictures: int,
    batch: int,
    seed: int,
    flip: bool = True,
    with_clusters: bool = False,
) -> Callable[[int], list[Any]]:
    """Return the function from a step to its batch.

    Args:
        sample: position, mirrored -> the view of the picture or of the mirrored picture, its masks
            (n, H, W) bool, never mirrored, and clusters (n,).
        n_pictures: positions there are. batch: pictures a step.
        flip: show every other picture mirrored.
        with_clusters: False: all masks are of cluster 0, as of a class-agnostic detector.
    Returns:
        batch_of(step) -> list of (view, target as of `targets_of`).
    """

    def batch_of(step: int) -> list[Any]:
        made = []
        positions = sampling.chosen(step, n_pictures=n_pictures, batch=batch, seed=seed)
        for number, position in enumerate(positions):
            mirrored = flip and bool(sampling.generator(seed, step, number).random() < 0.5)
            view, masks, clusters = sample(int(position), mirrored)
            named = clusters if with_clusters else np.zeros(len(masks), np.int64)
            made.append((view, targets_of(view, masks, named, mirrored=mirrored)))
        return made

    return batch_of


def token_losses(*, seed: int) -> Callable[[nn.Module, list[Any], int], Mapping[str, Tensor]]:
    """Return the function from (model, batch, step) to the five losses by name.

    Its samplers draw from (seed, step).
    """

    def loss_of(model: nn.Module, batch: list[Any], step: int) -> Mapping[str, Tensor]:
        assert isinstance(model, TokenRCNN)
        device = next(model.parameters()).device
        seed_samplers(model, step_seed(seed, step))
        return model(
            [view for view, _ in batch],
            [{key: value.to(device) for key, value in target.items()} for _, target in batch],
        )

    return loss_of
