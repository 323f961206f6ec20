"""Pydensecrf's names: code written for that package changes its imports and nothing else.

In:       energies (labels, pixels), pairwise kernels, as `pydensecrf.densecrf` and
          `pydensecrf.utils` take them
Out:      probabilities (labels, pixels), a NumPy array
Differs:  Potts compatibility alone; kernels are not learned, so the three kinds of kernel are the
          same one; no step-wise inference. Anything else is refused by name
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from maskdistill.crf import checks
from maskdistill.crf.compiled.filters import Kernel
from maskdistill.crf.compiled.inference import mean_field
from maskdistill.crf.mean_field import TILE, tile_order


class KernelType(IntEnum):
    """Name the start values of a learned metric; nothing learns here, so all give one kernel."""

    CONST_KERNEL = 0
    DIAG_KERNEL = 1
    FULL_KERNEL = 2


class NormalizationType(IntEnum):
    """Name how a kernel's sums are normalised: not, K D^-1, D^-1 K, D^-1/2 K D^-1/2."""

    NO_NORMALIZATION = 0
    NORMALIZE_BEFORE = 1
    NORMALIZE_AFTER = 2
    NORMALIZE_SYMMETRIC = 3


CONST_KERNEL, DIAG_KERNEL, FULL_KERNEL = KernelType
NO_NORMALIZATION, NORMALIZE_BEFORE, NORMALIZE_AFTER, NORMALIZE_SYMMETRIC = NormalizationType
_WORDS = {
    NO_NORMALIZATION: "none",
    NORMALIZE_BEFORE: "before",
    NORMALIZE_AFTER: "after",
    NORMALIZE_SYMMETRIC: "symmetric",
}


class DenseCRF:
    """A fully connected CRF over `nvar` variables with `nlabels` labels.

    Args:
        threads: that share the work of `inference`; not an argument of pydensecrf.
    """

    def __init__(self, nvar: int, nlabels: int, *, threads: int = 1) -> None:
        checks.count("nvar", nvar, 1)
        checks.count("nlabels", nlabels, 1)
        checks.count("threads", threads, 1)
        self._shape = (int(nlabels), int(nvar))
        self._threads = threads
        self._logits: np.ndarray | None = None
        self._kernels: list[Kernel] = []
        self._order = np.arange(nvar)

    def setUnaryEnergy(self, u: np.ndarray) -> None:
        """Take the energies of each label at each variable, in place of those before.

        Args:
            u: (labels, variables), the negative logarithms of probabilities; finite, kept as
                float32.
        Raises:
            ValueError: another shape, or not finite.
        """
        energies = np.asarray(u)
        if energies.shape != self._shape:
            raise ValueError(
                f"u: bad shape for unary energy (need {self._shape}, got {energies.shape})"
            )
        if not np.isfinite(energies).all():
            raise ValueError("u: energies must be finite; clip probabilities before the logarithm")
        self._logits = -energies.astype(np.float32)

    def addPairwiseEnergy(
        self,
        features: np.ndarray,
        compat: float = 3.0,
        kernel: int = DIAG_KERNEL,
        normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """Add a kernel over features of the variables.

        Args:
            features: (d, variables), each already divided by its deviation.
            compat: weight of the Potts model; an array (weights a label, a matrix of labels) is
                refused.
            kernel: CONST_KERNEL, DIAG_KERNEL or FULL_KERNEL: the same here, where no metric is
                learned.
            normalization: NO_NORMALIZATION, NORMALIZE_BEFORE, NORMALIZE_AFTER or
                NORMALIZE_SYMMETRIC.
        Raises:
            ValueError: features of another shape, not finite; a weight that is not one finite
                number; unknown words.
        """
        features = np.asarray(features, np.float32)
        if features.ndim != 2 or features.shape[1] != self._shape[1] or len(features) == 0:
            raise ValueError(
                f"features: bad shape for pairwise energy (need (d, {self._shape[1]}), "
                f"got {features.shape})"
            )
        if not np.isfinite(features).all():
            raise ValueError("features must be finite")
        if np.ndim(compat) != 0:
            raise ValueError(
                "compat must be a number, the weight of a Potts model, "
                f"got shape {np.shape(compat)}"
            )
        if not np.isfinite(compat):
            raise ValueError(f"compat must be finite, got {compat}")
        _known("kernel", kernel, KernelType)
        word = _WORDS[NormalizationType(_known("normalization", normalization, NormalizationType))]
        self._kernels.append(
            Kernel(np.ascontiguousarray(features[:, self._order]), float(compat), word)
        )

    def inference(self, niter: int) -> np.ndarray:
        """Return probabilities (labels, variables) float32 after so many iterations of mean field.

        Raises:
            ValueError: niter below 0, or no unary energy yet.
        """
        checks.count("niter", niter, 0)
        if self._logits is None:
            raise ValueError("no unary energy: call setUnaryEnergy before inference")
        if self._shape[0] == 1:
            return np.ones(self._shape, np.float32)
        return mean_field(
            self._logits, self._kernels, self._order, iterations=niter, threads=self._threads
        )

    def __getattr__(self, name: str) -> None:
        """Raise AttributeError with the names that there are."""
        raise AttributeError(
            f"{type(self).__name__} has no {name!r}: setUnaryEnergy, addPairwiseGaussian, "
            "addPairwiseBilateral, addPairwiseEnergy and inference are what of pydensecrf is here"
        )


class DenseCRF2D(DenseCRF):
    """A fully connected CRF over the pixels of a picture, row by row.

    The order of the arguments is pydensecrf's.

    Args:
        w: width of the picture.
        h: its height.
        nlabels: number of labels.
        threads: that share the work of `inference`; not an argument of pydensecrf.
    """

    def __init__(self, w: int, h: int, nlabels: int, *, threads: int = 1) -> None:
        checks.count("w", w, 1)
        checks.count("h", h, 1)
        super().__init__(w * h, nlabels, threads=threads)
        self._size = (int(h), int(w))
        self._order = tile_order(h, w, TILE)

    def addPairwiseGaussian(
        self,
        sxy: float | tuple[float, float],
        compat: float,
        kernel: int = DIAG_KERNEL,
        normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """Add a kernel of place.

        Args:
            sxy: deviation in px, or (x, y); the others as in addPairwiseEnergy.
        Raises:
            ValueError: deviations that are not above 0; as addPairwiseEnergy.
        """
        self.addPairwiseEnergy(self._places(sxy), compat, kernel, normalization)

    def addPairwiseBilateral(
        self,
        sxy: float | tuple[float, float],
        srgb: float | tuple[float, float, float],
        rgbim: np.ndarray,
        compat: float,
        kernel: int = DIAG_KERNEL,
        normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """Add a kernel of place and colour.

        Args:
            sxy: deviation in px, or (x, y).
            srgb: deviation in grey levels, or one a channel.
            rgbim: (h, w, 3) uint8, or floats in [0, 255]; the others as in addPairwiseEnergy.
        Raises:
            ValueError: a picture of another size or range, deviations that are not above 0; as
                addPairwiseEnergy.
        """
        image = np.asarray(rgbim)
        if image.shape != (*self._size, 3):
            raise ValueError(
                f"rgbim: bad shape for pairwise bilateral (need {(*self._size, 3)}, "
                f"got {image.shape})"
            )
        checks.image(image)
        colours = image.reshape(-1, 3).T.astype(np.float32) / _deviations("srgb", srgb, 3)
        self.addPairwiseEnergy(
            np.concatenate([self._places(sxy), colours]), compat, kernel, normalization
        )

    def _places(self, sxy: float | tuple[float, float]) -> np.ndarray:
        """Return x and y of the pixels over their deviations, (2, pixels) float32."""
        y, x = np.divmod(np.arange(self._shape[1], dtype=np.float32), np.float32(self._size[1]))
        return np.stack([x, y]) / _deviations("sxy", sxy, 2)


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


def _deviations(name: str, found: float | tuple[float, ...], n: int) -> np.ndarray:
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


def _known(name: str, found: int, kinds: type[IntEnum]) -> int:
    """Return a member's number, or raise ValueError with the names that there are."""
    if found not in list(kinds):
        raise ValueError(
            f"{name} must be one of {', '.join(kind.name for kind in kinds)}, got {found!r}"
        )
    return int(found)
