"""Which pictures a step sees: epochs of shuffles, a pure function of (seed, step)."""

from __future__ import annotations

import numpy as np


def chosen(step: int, *, n_pictures: int, batch: int, seed: int) -> np.ndarray:
    """(batch,) int64 positions of the pictures of a step; every picture once before any comes again."""
    first = step * batch
    positions = np.arange(first, first + batch)
    epochs = positions // n_pictures
    orders = {
        epoch: np.random.default_rng([seed, 1, int(epoch)]).permutation(n_pictures)
        for epoch in np.unique(epochs)
    }
    return np.array(
        [
            orders[epoch][position % n_pictures]
            for epoch, position in zip(epochs, positions, strict=True)
        ]
    )


def generator(seed: int, step: int, position: int) -> np.random.Generator:
    """The generator of one sample's augmentation."""
    return np.random.default_rng([seed, 2, step, position])
