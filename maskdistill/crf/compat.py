"""Pydensecrf's names: code written for that package changes its imports and nothing else.

In:       energies (labels, pixels), pairwise kernels, as `pydensecrf.densecrf` takes them;
          the names of `pydensecrf.utils` stand in the same namespace
Out:      probabilities (labels, pixels), a NumPy array
Differs:  kernels are not learned, so the three kinds of kernel are the same one; any float type
          and order in memory is taken; energies must be finite and set before inference
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from maskdistill.crf import checks
from maskdistill.crf.compat_terms import (
    ConstUnary,
    LogisticUnary,
    colours_of,
    compatibility,
    compute_unary,
    create_pairwise_bilateral,
    create_pairwise_gaussian,
    deviations,
    softmax_to_unary,
    unary_from_labels,
    unary_from_softmax,
)
from maskdistill.crf.compiled.filters import Kernel
from maskdistill.crf.compiled.inference import mean_field
from maskdistill.crf.compiled.messages import Messages
from maskdistill.crf.mean_field import TILE, tile_order

__all__ = [
    "CONST_KERNEL",
    "DIAG_KERNEL",
    "FULL_KERNEL",
    "NORMALIZE_AFTER",
    "NORMALIZE_BEFORE",
    "NORMALIZE_SYMMETRIC",
    "NO_NORMALIZATION",
    "ConstUnary",
    "DenseCRF",
    "DenseCRF2D",
    "KernelType",
    "LogisticUnary",
    "NormalizationType",
    "compute_unary",
    "create_pairwise_bilateral",
    "create_pairwise_gaussian",
    "softmax_to_unary",
    "unary_from_labels",
    "unary_from_softmax",
]


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
        # Of each kernel None for Potts, whose weight is the kernel's, or a matrix of labels.
        self._matrices: list[np.ndarray | None] = []
        self._messages: Messages | None = None
        self._order = np.arange(nvar)

    def setUnaryEnergy(self, u: np.ndarray, f: np.ndarray | None = None) -> None:
        """Take the energies of each label at each variable, in place of those before.

        Args:
            u: (labels, variables), the negative logarithms of probabilities; finite, kept as
                float32.
            f: (d, variables) features that `u`, (labels, d), weighs: LogisticUnary.
        Raises:
            ValueError: another shape, or not finite.
        """
        energies = np.asarray(u) if f is None else LogisticUnary(u, f)
        if energies.shape != self._shape:
            raise ValueError(
                f"u: bad shape for unary energy (need {self._shape}, got {energies.shape})"
            )
        if not np.isfinite(energies).all():
            raise ValueError("u: energies must be finite; clip probabilities before the logarithm")
        self._logits = -energies.astype(np.float32)

    def setUnary(self, u: np.ndarray) -> None:
        """Take the energies that ConstUnary or LogisticUnary gave, as setUnaryEnergy does."""
        self.setUnaryEnergy(u)

    def addPairwiseEnergy(
        self,
        features: np.ndarray,
        compat: float | np.ndarray = 3.0,
        kernel: int = DIAG_KERNEL,
        normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """Add a kernel over features of the variables.

        Args:
            features: (d, variables), each already divided by its deviation.
            compat: weight of the Potts model, or energies: (labels,) of equal labels, or
                (labels, labels) of pairs, whose mean with its transpose counts. A vector of -w
                and the matrix w * (1 - identity) are Potts of weight w.
            kernel: CONST_KERNEL, DIAG_KERNEL or FULL_KERNEL: the same here, where no metric is
                learned.
            normalization: NO_NORMALIZATION, NORMALIZE_BEFORE, NORMALIZE_AFTER or
                NORMALIZE_SYMMETRIC.
        Raises:
            ValueError: features of another shape, not finite; weights of another shape, not
                finite; unknown words.
        """
        features = np.asarray(features, np.float32)
        if features.ndim != 2 or features.shape[1] != self._shape[1] or len(features) == 0:
            raise ValueError(
                f"features: bad shape for pairwise energy (need (d, {self._shape[1]}), "
                f"got {features.shape})"
            )
        if not np.isfinite(features).all():
            raise ValueError("features must be finite")
        weight, matrix = compatibility(compat, self._shape[0])
        _known("kernel", kernel, KernelType)
        word = _WORDS[NormalizationType(_known("normalization", normalization, NormalizationType))]
        self._kernels.append(Kernel(np.ascontiguousarray(features[:, self._order]), weight, word))
        self._matrices.append(matrix)
        self._messages = None

    def inference(self, niter: int) -> np.ndarray:
        """Return probabilities (labels, variables) float32 after so many iterations of mean field.

        Raises:
            ValueError: niter below 0, or no unary energy yet.
        """
        checks.count("niter", niter, 0)
        logits = self._unary()
        if self._shape[0] == 1:
            return np.ones(self._shape, np.float32)
        if all(matrix is None for matrix in self._matrices):
            return mean_field(
                logits, self._kernels, self._order, iterations=niter, threads=self._threads
            )
        found, *scratch = self.startInference()
        for _ in range(niter):
            self.stepInference(found, *scratch)
        return found

    def map(self, niter: int) -> np.ndarray:
        """Return the likeliest label (variables,) int64 after so many iterations; least of ties."""
        return self.inference(niter).argmax(axis=0)

    def startInference(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the probabilities (labels, variables) of the energies alone, and scratch space.

        Raises:
            ValueError: no unary energy yet.
        """
        return _softmax(self._unary()), np.empty((0, 0)), np.empty((0, 0))

    def stepInference(self, Q: np.ndarray, tmp1: object = None, tmp2: object = None) -> None:
        """Put the probabilities after one more iteration into Q.

        Args:
            Q: (labels, variables) float32, probabilities; changed in place.
            tmp1: scratch space of pydensecrf; not used here, like tmp2.
        Raises:
            ValueError: Q of another shape or type, or no unary energy yet.
        """
        self._check(Q)
        Q[...] = _softmax(self._unary() - self._pairwise(Q))

    def klDivergence(self, Q: np.ndarray) -> float:
        """Return the divergence of Q from the model, up to a constant: that of pydensecrf.

        Sum of q log q, of the unary energies' expectation and of the pairwise ones', each pair
        counted from both sides. May be negative.

        Args:
            Q: (labels, variables) float32, probabilities.
        Raises:
            ValueError: Q of another shape or type, or no unary energy yet.
        """
        self._check(Q)
        energies = self._pairwise(Q).astype(np.float64) - self._unary()
        return float((Q * (np.log(np.maximum(Q, 1e-20), dtype=np.float64) + energies)).sum())

    def _unary(self) -> np.ndarray:
        """Return the logits, or raise ValueError if there are none."""
        if self._logits is None:
            raise ValueError("no unary energy: call setUnaryEnergy before inference")
        return self._logits

    def _check(self, found: np.ndarray) -> None:
        """Raise ValueError unless an array that startInference may have given."""
        shape, dtype = np.shape(found), getattr(found, "dtype", type(found).__name__)
        if not isinstance(found, np.ndarray) or shape != self._shape or dtype != np.float32:
            raise ValueError(
                f"Q must be what startInference gave, {self._shape} float32, got {shape} {dtype}"
            )

    def _pairwise(self, found: np.ndarray) -> np.ndarray:
        """Return the pairwise energies (labels, variables) that probabilities give each label."""
        if self._messages is None:
            self._messages = Messages(self._kernels, self._order, self._threads)
        energies = np.zeros(self._shape, np.float32)
        for kernel, matrix, message in zip(
            self._kernels, self._matrices, self._messages.of(found), strict=True
        ):
            energies += -np.float32(kernel.weight) * message if matrix is None else matrix @ message
        return energies

    def __getattr__(self, name: str) -> None:
        """Raise AttributeError with the names that there are."""
        raise AttributeError(
            f"{type(self).__name__} has no {name!r}: setUnary, setUnaryEnergy, "
            "addPairwiseGaussian, addPairwiseBilateral, addPairwiseEnergy, inference, map, "
            "startInference, stepInference and klDivergence are what of pydensecrf is here"
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
        compat: float | np.ndarray,
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
        srgb: float | tuple[float, ...],
        rgbim: np.ndarray,
        compat: float | np.ndarray,
        kernel: int = DIAG_KERNEL,
        normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """Add a kernel of place and colour.

        Args:
            sxy: deviation in px, or (x, y).
            srgb: deviation in grey levels, or one a channel.
            rgbim: (h, w, 3), or (h, w) or (h, w, n), uint8, or floats in [0, 255] of which at
                least one is above 1; the others as in addPairwiseEnergy.
        Raises:
            ValueError: a picture of another size or range, deviations that are not above 0; as
                addPairwiseEnergy.
        """
        colours = colours_of(np.asarray(rgbim), self._size)
        colours /= deviations("srgb", srgb, len(colours))
        self.addPairwiseEnergy(
            np.concatenate([self._places(sxy), colours]), compat, kernel, normalization
        )

    def _places(self, sxy: float | tuple[float, float]) -> np.ndarray:
        """Return x and y of the pixels over their deviations, (2, pixels) float32."""
        y, x = np.divmod(np.arange(self._shape[1], dtype=np.float32), np.float32(self._size[1]))
        return np.stack([x, y]) / deviations("sxy", sxy, 2)


def __getattr__(name: str) -> None:
    """Raise AttributeError with the import lines that pydensecrf's modules become."""
    raise AttributeError(
        f"maskdistill.crf.compat has no {name!r}: pydensecrf.densecrf and pydensecrf.utils are one "
        "namespace here. Write `import maskdistill.crf.compat as dcrf` for either, or "
        f"`from maskdistill.crf.compat import` one of {', '.join(__all__)}"
    )


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Return e to the power of logits over its sum along axis 0, float32."""
    raised = np.exp(logits - logits.max(axis=0))
    return np.asarray(raised / raised.sum(axis=0), np.float32)


def _known(name: str, found: int, kinds: type[IntEnum]) -> int:
    """Return a member's number, or raise ValueError with the names that there are."""
    if found not in list(kinds):
        raise ValueError(
            f"{name} must be one of {', '.join(kind.name for kind in kinds)}, got {found!r}"
        )
    return int(found)
