"""Lattice points that no pixel touches, but that a blur would pass through: the ring around others.

In:       sorted keys of the lattice points that pixels touch
Out:      for each axis the points that take part in its blur, and their places in the one before
Differs:  the published lattice leaves them out, and loses what would go through them
"""

from __future__ import annotations

import numpy as np

from maskdistill.crf.compiled import lattice, sorted_points

# Points: 0.5 GiB on the way. Noise of 500 x 500 pixels has more, photographs of 2000 x 2000 do not.
MOST = 2**23


def ring_levels(
    keys: np.ndarray, packing: lattice.Packing, first: int
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return the blurs of a lattice with its ring, axis by axis.

    A point takes part in the blur of an axis if something can have reached it by then and can still
    reach a point that pixels touch: half of the ring at most, which is what makes it affordable.

    Args:
        keys: (n,) int64, sorted, distinct.
        packing: how keys of neighbours differ.
        first: number of the first lattice point; 0 means absent.
    Returns:
        (own, before, after) uint32 of each axis, in numbers of the level before; the last level is
        `keys` again. Empty if the ring has more than MOST points.
    """
    n_axes = len(packing.scales) + 1
    steps = [packing.step(axis) for axis in range(n_axes)]
    ring = keys
    for step in steps:
        ring = sorted_points.union(ring, sorted_points.union(keys - step, keys + step))
        if len(ring) > MOST:
            return []
    touched = np.zeros(len(ring) + 1, bool)  # entry 0 stands for what is absent
    touched[1 + np.searchsorted(ring, keys)] = True
    sides = np.empty((n_axes, 2, len(ring)), np.uint32)
    for axis, step in enumerate(steps):
        sorted_points.neighbours(ring, step, 1, sides[axis, 0], sides[axis, 1])
    reached = [touched]
    for before, after in sides:
        known = reached[-1]
        reached.append(known.copy())
        reached[-1][1:] |= known[before] | known[after]
    useful = [touched]
    for before, after in sides[::-1]:
        known = useful[-1]
        useful.append(known.copy())
        useful[-1][1:] |= known[before] | known[after]
    useful.reverse()
    levels = []
    numbers = _numbers(touched, first)
    for axis, (before, after) in enumerate(sides):
        taking_part = reached[axis + 1] & useful[axis + 1]
        rows = np.flatnonzero(taking_part[1:])
        levels.append((numbers[1 + rows], numbers[before[rows]], numbers[after[rows]]))
        numbers = _numbers(taking_part, first)
    return levels


def _numbers(taking_part: np.ndarray, first: int) -> np.ndarray:
    """Return the points that take part counted from `first`; 0 for the others."""
    return np.where(taking_part, np.cumsum(taking_part) + (first - 1), 0).astype(np.uint32)
