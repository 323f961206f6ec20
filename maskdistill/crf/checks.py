"""What the CRF accepts: shapes, ranges and settings, refused by the name of the argument.

In:       what a caller hands over
Out:      nothing, or a ValueError that says what was wanted and what was found
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from maskdistill.numba_jit import compiled

if TYPE_CHECKING:
    from torch import Tensor

SUMS = 1e-3  # how far from 1 the probabilities of a pixel may add up to: those of float16 do not come nearer


def image(found: np.ndarray) -> None:
    """ValueError unless an RGB picture: (height, width, 3) uint8, or floats in [0, 255]."""
    if found.ndim != 3 or found.shape[2] != 3 or 0 in found.shape:
        raise ValueError(
            f"image must be (height, width, 3) with at least one pixel, got {found.shape}"
        )
    if found.dtype == np.uint8:
        return
    if not np.issubdtype(found.dtype, np.floating):
        raise ValueError(f"image must be uint8 or floating, 0 to 255, got {found.dtype}")
    least, most = float(found.min()), float(found.max())
    if not 0 <= least <= most <= 255:  # nan fails too
        raise ValueError(
            f"image must be in [0, 255] and finite, got values from {least:g} to {most:g}"
        )


def probabilities(found: np.ndarray, size: tuple[int, int]) -> None:
    """ValueError unless (classes, height, width), not negative, summing to 1 over them, of the picture's size."""
    if found.ndim != 3 or not np.issubdtype(found.dtype, np.floating):
        raise ValueError(
            f"probabilities must be (classes, height, width) floating, got {found.shape} {found.dtype}"
        )
    if found.shape[0] == 0:
        raise ValueError("probabilities must have at least one class, got none")
    if found.shape[1:] != size:
        raise ValueError(
            f"probabilities must have the picture's size, {size[0]} x {size[1]}, "
            f"got {found.shape[1]} x {found.shape[2]}"
        )
    if not _are_probabilities(plain(found, np.float32)):
        _name_what_is_wrong(found, size)


@compiled()
def _are_probabilities(found):  # type: ignore[no-untyped-def]
    """Whether nothing is negative or nan and each pixel's sum is near 1: one pass, row by row of the picture."""
    n_classes, height, width = found.shape
    sums = np.empty(width, np.float32)
    for row in range(height):
        sums[:] = 0
        negative = False
        for c in range(n_classes):
            for col in range(width):
                sums[col] += found[c, row, col]
                negative |= not found[c, row, col] >= 0
        for col in range(width):
            negative |= not abs(sums[col] - 1) <= SUMS
        if negative:
            return False
    return True


def plain(found: np.ndarray, dtype: type) -> np.ndarray:
    """The array as compiled loops know it: contiguous, writeable, of this type; itself if it is so already."""
    return np.require(found, dtype, ["C", "W"])


def array_of(found: Tensor) -> np.ndarray:
    """A tensor of any device as an array; floats as float32, because NumPy knows no bfloat16."""
    held = found.detach().cpu()
    return (held.float() if held.is_floating_point() else held).numpy()


def _name_what_is_wrong(found: np.ndarray, size: tuple[int, int]) -> None:
    least = float(found.min())
    if not least >= 0:
        raise ValueError(f"probabilities must not be negative or nan, the least is {least:g}")
    sums = found.sum(axis=0, dtype=np.float32)
    off = np.abs(sums - 1)
    row, col = np.unravel_index(int(np.argmax(off)), size)
    raise ValueError(
        f"probabilities must sum to 1 over the classes, got {sums[row, col]:g} at row {row}, column {col}. "
        "Logits need a softmax first"
    )


def kernel(name: str, found: Sequence[float], n_deviations: int) -> None:
    """ValueError unless the deviations of a kernel, above zero and finite, and its weight, finite."""
    wanted = "(std_px, weight)" if n_deviations == 1 else "(std_px, std_grey, weight)"
    if len(found) != n_deviations + 1:
        raise ValueError(f"{name} must be {wanted}, got {len(found)} values")
    if not all(0 < value < math.inf for value in found[:-1]):
        raise ValueError(
            f"{name}: deviations must be above zero and finite, got {tuple(found[:-1])}"
        )
    if not math.isfinite(found[-1]):
        raise ValueError(f"{name}: the weight must be finite, got {found[-1]}")


def count(name: str, found: int, least: int) -> None:
    """ValueError unless a whole number, not below `least`."""
    try:
        value = operator.index(found)
    except TypeError:
        raise ValueError(f"{name} must be a whole number, got {found!r}") from None
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def choice(name: str, found: str, known: Sequence[str]) -> None:
    """ValueError unless one of the known words."""
    if found not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {found!r}")
