"""Tokens of drawn scenes: noise, and a pattern of channels where an object lies."""

import numpy as np

from maskdistill import detector

GRIDS = [(12, 17), (17, 11), (9, 9)]
CHANNELS = 12  # of a block; there are two
PX = 12  # of the picture a token


def scene(position, mirrored=False, *, grids=GRIDS):
    """A view, the masks of two objects (every third picture has none), their clusters."""
    rng = np.random.default_rng([7, position])
    rows, cols = grids[position % len(grids)]
    tokens = 0.1 * rng.standard_normal((2, rows, cols, CHANNELS))
    masks = np.zeros((2, PX * rows, PX * cols), bool)
    for cluster, mask in enumerate(masks):
        row, col = rng.integers(0, rows - 5), rng.integers(0, cols - 5)
        tokens[:, row : row + 5, col : col + 5, cluster::4] += 3
        mask[PX * row : PX * (row + 5), PX * col : PX * (col + 5)] = True
    if position % 3 == 2:
        masks = masks[:0]
    tokens = tokens.astype(np.float16)[:, :, :: -1 if mirrored else 1]
    view = detector.view(np.ascontiguousarray(tokens), (16 * rows, 16 * cols - 3))
    return view, masks, np.arange(len(masks))
