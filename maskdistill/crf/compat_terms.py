"""Pydensecrf's `utils`: energies of labels and probabilities, features of pairwise kernels.

In:       probabilities, label maps, pictures of any number of axes and channels
Out:      energies (labels, variables), features (d, variables), as `compat.DenseCRF` takes them
Differs:  what pydensecrf computes wrongly without a word is refused: a label out of range, a
          probability of 0 without clip, deviations that do not fit the axes or channels
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from maskdistill.crf import checks


def ConstUnary(u: np.ndarray) -> np.ndarray:
    """Return energies (labels, variables) as float32, for `setUnary`."""
    return np.asarray(u, np.float32)


def LogisticUnary(L: np.ndarray, f: np.ndarray) -> np.ndarray:
    """Return the energies L @ f, (labels, variables) float32, for `setUnary`.

    Args:
        L: (labels, d) weights.
        f: (d, variables) features.
    Raises:
        ValueError: shapes that do not multiply.
    """
    weights, features = np.asarray(L, np.float32), np.asarray(f, np.float32)
    if weights.ndim != 2 or features.ndim != 2 or weights.shape[1] != len(features):
        raise ValueError(
            "L and f must be (labels, d) and (d, variables), "
            f"got {weights.shape} and {features.shape}"
        )
    return weights @ features


def unary_from_softmax(
    sm: np.ndarray, scale: float | None = None, clip: float | None = 1e-5
) -> np.ndarray:
    """Return the energies of probabilities, their negative logarithms.

    >>> print(unary_from_softmax(np.array([[0.9, 0.0], [0.1, 0.8]])).round(2))
    [[ 0.11 11.51]
     [ 2.3   0.22]]

    Args:
        sm: probabilities (classes, ...).
        scale: above 0, at most 1: probabilities are drawn towards 1 / classes first, so that 1
            becomes scale + (1 - scale) / classes. None leaves them.
        clip: least probability before the logarithm; None clips nothing.
    Returns:
        (classes, pixels) float32.
    Raises:
        ValueError: no class or no pixel, scale out of range; without clip a probability that is
            not above 0.
    """
    probabilities = np.asarray(sm)
    if probabilities.ndim < 2 or 0 in probabilities.shape:
        raise ValueError(
            "sm must be (classes, ...) with at least one class and pixel, "
            f"got {probabilities.shape}"
        )
    if scale is not None:
        if not 0 < scale <= 1:
            raise ValueError(f"scale must be above 0 and at most 1, got {scale}")
        probabilities = scale * probabilities + (1 - scale) / len(probabilities)
    if clip is not None:
        probabilities = np.clip(probabilities, clip, 1.0)
    elif not (probabilities > 0).all():
        raise ValueError("sm: without clip every probability must be above 0")
    return np.ascontiguousarray(-np.log(probabilities).reshape(len(probabilities), -1), np.float32)


def unary_from_labels(
    labels: np.ndarray, n_labels: int, gt_prob: float, zero_unsure: bool = True
) -> np.ndarray:
    """Return the energies of a map of labels that are right with a probability.

    Args:
        labels: integers, any shape.
        n_labels: number of classes, 0 not counted where it is unsure; at least two.
        gt_prob: that a label is right, between 0 and 1, both excluded.
        zero_unsure: 0 is a pixel that may be anything and label k is class k - 1; else label k is
            class k.
    Returns:
        (n_labels, pixels) float32.
    Raises:
        ValueError: an argument is not as above, no pixels, a label out of range.
    """
    checks.count("n_labels", n_labels, 2)
    if not 0 < gt_prob < 1:
        raise ValueError(f"gt_prob must be between 0 and 1, both excluded, got {gt_prob}")
    flat = np.asarray(labels).ravel()
    if not np.issubdtype(flat.dtype, np.integer):
        raise ValueError(f"labels must be integers, got {flat.dtype}")
    least, most = (0, n_labels) if zero_unsure else (0, n_labels - 1)
    if flat.size == 0 or flat.min() < least or flat.max() > most:
        found = f"{flat.min()} to {flat.max()}" if flat.size else "none"
        raise ValueError(f"labels must be {least} to {most}, got {found}")
    classes = flat.astype(np.int64) - int(zero_unsure)
    energies = np.full((n_labels, flat.size), -np.log((1 - gt_prob) / (n_labels - 1)), np.float32)
    sure = classes >= 0
    energies[classes[sure], np.flatnonzero(sure)] = -np.log(gt_prob)
    energies[:, ~sure] = -np.log(1 / n_labels)
    return energies


def compute_unary(labels: np.ndarray, M: int, GT_PROB: float = 0.5) -> np.ndarray:
    """Return unary_from_labels(labels, M, GT_PROB), with a DeprecationWarning: pydensecrf's too."""
    warnings.warn(
        "compute_unary is deprecated: call unary_from_labels", DeprecationWarning, stacklevel=2
    )
    return unary_from_labels(labels, M, GT_PROB)


def softmax_to_unary(sm: np.ndarray, GT_PROB: float = 1) -> np.ndarray:
    """Return unary_from_softmax(sm, GT_PROB, clip=None), with a DeprecationWarning.

    Deprecated in pydensecrf too.

    Args:
        sm: probabilities (classes, ...); above 0 unless GT_PROB is below 1.
        GT_PROB: the scale of unary_from_softmax; 1 for none.
    Raises:
        ValueError: as unary_from_softmax, which clips where it is called itself.
    """
    warnings.warn(
        "softmax_to_unary is deprecated: call unary_from_softmax, which clips too",
        DeprecationWarning,
        stacklevel=2,
    )
    return unary_from_softmax(sm, None if GT_PROB == 1 else GT_PROB, clip=None)


def create_pairwise_gaussian(sdims: float | Sequence[float], shape: Sequence[int]) -> np.ndarray:
    """Return the features of a kernel of place, for `addPairwiseEnergy`.

    >>> print(create_pairwise_gaussian(sdims=(1, 2), shape=(2, 3)))
    [[0.  0.  0.  1.  1.  1. ]
     [0.  0.5 1.  0.  0.5 1. ]]

    Args:
        sdims: deviation in px of each axis in the order of `shape`: rows first, where `sxy` of
            addPairwiseGaussian is x first; one number for all.
        shape: of the picture or volume, at least one axis.
    Returns:
        (axes, variables) float32.
    Raises:
        ValueError: no axes, an empty one, another number of deviations, or not above 0.
    """
    if len(shape) == 0:
        raise ValueError("shape must have at least one axis, got none")
    for length in shape:
        checks.count("shape", length, 1)
    mesh = np.indices(tuple(shape), dtype=np.float32).reshape(len(shape), -1)
    return mesh / deviations("sdims", sdims, len(shape))


def create_pairwise_bilateral(
    sdims: float | Sequence[float],
    schan: float | Sequence[float],
    img: np.ndarray,
    chdim: int = -1,
) -> np.ndarray:
    """Return the features of a kernel of place and colour, for `addPairwiseEnergy`.

    Made for what addPairwiseBilateral does not take: volumes, values beyond 0 to 255, axes in
    another order.

    >>> grey = np.array([[0, 100, 200]], np.uint8)
    >>> print(create_pairwise_bilateral(sdims=(1, 2), schan=100, img=grey))
    [[0.  0.  0. ]
     [0.  0.5 1. ]
     [0.  1.  2. ]]

    Args:
        sdims: deviation in px of each axis but that of the channels, rows first; one for all.
        schan: deviation of each channel in the units of `img`; one for all.
        img: numbers, finite, with the channels on axis `chdim`.
        chdim: axis of the channels; -1, as in pydensecrf, means that there is no such axis.
    Returns:
        (axes + channels, variables) float32.
    Raises:
        ValueError: an empty picture, not finite, another number of deviations, or not above 0.
    Warns:
        UserWarning: floats in [0, 1] with deviations above 1: colours count for next to nothing.
    """
    found = np.asarray(img)
    if not (np.issubdtype(found.dtype, np.number) or found.dtype == bool) or 0 in found.shape:
        raise ValueError(
            f"img must be numbers, at least one, got {found.dtype} of shape {found.shape}"
        )
    if chdim != -1 and not -found.ndim <= chdim < found.ndim:
        raise ValueError(f"chdim must be an axis of img {found.shape}, or -1, got {chdim}")
    channels = found[np.newaxis] if chdim == -1 else np.moveaxis(found, chdim, 0)
    shape = channels.shape[1:]
    if np.ndim(sdims) != 0 and np.shape(sdims) != (len(shape),):
        said = "-1: img has no axis of channels" if chdim == -1 else str(chdim)
        raise ValueError(
            f"sdims must be one number for each of {len(shape)} axes, got shape {np.shape(sdims)} "
            f"for img {found.shape} with chdim {said}"
        )
    colours = channels.reshape(len(channels), -1).astype(np.float32)
    if not np.isfinite(colours).all():
        raise ValueError("img must be finite")
    over = deviations("schan", schan, len(channels))
    if np.issubdtype(found.dtype, np.floating) and over.min() > 1 and _within_one(colours):
        warnings.warn(
            f"img holds floats in [0, 1] and schan is {schan}: colours count for next to nothing. "
            "Give schan in the units of img, or img in 0 to 255",
            UserWarning,
            stacklevel=2,
        )
    return np.concatenate([create_pairwise_gaussian(sdims, shape), colours / over])


def colours_of(rgbim: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the channels of a picture, (channels, pixels) float32.

    Args:
        rgbim: (height, width, channels) or (height, width), uint8, or floats in [0, 255] of which
            at least one is above 1.
        size: (height, width) that the picture must have.
    Raises:
        ValueError: another size, type or range.
    """
    if rgbim.ndim not in (2, 3) or rgbim.shape[:2] != size or 0 in rgbim.shape:
        raise ValueError(
            f"rgbim: bad shape for pairwise bilateral (need {(*size, 3)}, or any number of "
            f"channels, or {size}; DenseCRF2D takes the width first), got {rgbim.shape}"
        )
    if rgbim.dtype != np.uint8 and not np.issubdtype(rgbim.dtype, np.floating):
        raise ValueError(
            f"rgbim must be uint8, 0 to 255, got {rgbim.dtype}; for other units use "
            "create_pairwise_bilateral and addPairwiseEnergy"
        )
    colours = rgbim.reshape(size[0] * size[1], -1).T.astype(np.float32)
    if rgbim.dtype == np.uint8:
        return colours
    least, most = float(colours.min()), float(colours.max())
    if not 0 <= least <= most <= 255:  # nan fails too
        raise ValueError(
            f"rgbim must be in [0, 255] and finite, got values from {least:g} to {most:g}"
        )
    if _within_one(colours):
        raise ValueError(
            "rgbim holds floats in [0, 1], but pydensecrf takes uint8, 0 to 255, and srgb counts "
            "in these: colours would count for nothing. Give (255 * rgbim).round().astype('uint8')"
        )
    return colours


def compatibility(compat: float | np.ndarray, n_labels: int) -> tuple[float, np.ndarray | None]:
    """Return the weight of Potts and None, or 1 and the energies of pairs of labels.

    Args:
        compat: a number, (labels,) or (labels, labels), as addPairwiseEnergy takes it.
        n_labels: number of labels.
    Raises:
        ValueError: another shape, or not finite.
    """
    found = np.asarray(compat, np.float64)
    if found.shape not in ((), (n_labels,), (n_labels, n_labels)):
        raise ValueError(
            f"compat must be a number (Potts), {n_labels} numbers or a matrix of "
            f"{n_labels} x {n_labels} labels, got shape {found.shape}"
        )
    if not np.isfinite(found).all():
        raise ValueError(f"compat must be finite, got {compat}")
    if found.ndim == 0:
        return float(found), None
    matrix = np.diag(found) if found.ndim == 1 else (found + found.T) / 2
    return 1.0, matrix.astype(np.float32)


def _within_one(colours: np.ndarray) -> bool:
    """Return whether all values are in [0, 1]."""
    return bool(colours.min() >= 0 and colours.max() <= 1)


def deviations(name: str, found: float | Sequence[float], n: int) -> np.ndarray:
    """Return deviations (n, 1) float32, of one for all or one each.

    Raises:
        ValueError: another number of them, or not above zero and finite.
    """
    if np.ndim(found) != 0 and np.shape(found) != (n,):
        raise ValueError(f"{name} must be a number or {n} of them, got shape {np.shape(found)}")
    deviations = np.broadcast_to(np.asarray(found, np.float32), (n,))
    if not ((deviations > 0) & np.isfinite(deviations)).all():
        raise ValueError(f"{name}: deviations must be above zero and finite, got {found}")
    return deviations[:, None]
