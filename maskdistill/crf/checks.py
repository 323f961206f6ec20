"""Checks of the CRF's arguments: shapes, ranges and settings, refused by the argument's name.

In:       arguments as a caller gives them
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

# How far from 1 the probabilities of a pixel may add up to: a softmax in float16, whose numbers
# have 11 bits, comes no nearer.
SUMS = 1e-3


def image(found: np.ndarray) -> None:
    """Raise ValueError unless an RGB picture: (height, width, 3) uint8, or floats in [0, 255].

    Floats of several values of which none is above 1 are refused: deviations count in grey levels.
    """
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
    if least < most <= 1:  # of a single colour all scales are alike
        raise ValueError(
            "image holds floats in [0, 1], but its grey levels are 0 to 255, and the bilateral "
            "deviation counts in these: colours would count for nothing. "
            "Give (255 * image).round().astype('uint8')"
        )


def probabilities(found: np.ndarray, size: tuple[int, int]) -> None:
    """Raise ValueError unless probabilities of a picture.

    Args:
        found: (classes, height, width) floating, not negative, summing to 1 over the classes.
        size: of the picture, (height, width).
    """
    if found.ndim != 3 or not np.issubdtype(found.dtype, np.floating):
        raise ValueError(
            "probabilities must be (classes, height, width) floating, "
            f"got {found.shape} {found.dtype}"
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
    """Return whether nothing is negative or nan and each pixel's sum is near 1, in one pass."""
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
    """Return an array as compiled loops know it: contiguous, writeable, of this type.

    Itself if it is so already.
    """
    return np.require(found, dtype, ["C", "W"])


def array_of(found: Tensor) -> np.ndarray:
    """Return a tensor of any device as an array; floats as float32: NumPy knows no bfloat16."""
    held = found.detach().cpu()
    return (held.float() if held.is_floating_point() else held).numpy()


def _name_what_is_wrong(found: np.ndarray, size: tuple[int, int]) -> None:
    """Raise ValueError with the value, and the place of the sum, that `probabilities` refuses."""
    least = float(found.min())
    if not least >= 0:
        raise ValueError(f"probabilities must not be negative or nan, the least is {least:g}")
    sums = found.sum(axis=0, dtype=np.float32)
    off = np.abs(sums - 1)
    row, col = np.unravel_index(int(np.argmax(off)), size)
    raise ValueError(
        f"probabilities must sum to 1 over the classes, got {sums[row, col]:g} at row {row}, "
        f"column {col}. Logits need a softmax first"
    )


def kernel(name: str, found: Sequence[float], n_deviations: int) -> None:
    """Raise ValueError unless the deviations of a kernel and its weight.

    Args:
        name: of the argument.
        found: deviations, above zero and finite, and the weight, finite.
        n_deviations: 1 (px) or 2 (px and grey levels).
    """
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
    """Raise ValueError unless a whole number, not below `least`."""
    try:
        value = operator.index(found)
    except TypeError:
        raise ValueError(f"{name} must be a whole number, got {found!r}") from None
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def choice(name: str, found: str, known: Sequence[str]) -> None:
    """Raise ValueError unless one of the known words."""
    if found not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {found!r}")
