"""Sampling: the pictures of a step, in epochs of shuffles, a pure function of (seed, step)."""

from __future__ import annotations

import numpy as np


def chosen(step: int, *, n_pictures: int, batch: int, seed: int) -> np.ndarray:
    """Return the positions of the pictures of a step; every one comes once before any comes again.

    Args:
        n_pictures: positions there are, 1 or more. batch: pictures a step.
    Returns:
        (batch,) int64.

    >>> steps = [chosen(step, n_pictures=4, batch=2, seed=0) for step in (0, 1)]
    >>> np.sort(np.concatenate(steps))
    array([0, 1, 2, 3])
    """
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
    """Return the generator of one sample's augmentation.

    Args:
        position: of the sample in its batch.
    """
    return np.random.default_rng([seed, 2, step, position])
