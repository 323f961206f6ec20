"""The dense CRF of a picture: each pixel hears all others, the nearer in place and colour louder.

Paper:    Kraehenbuehl and Koltun, NIPS 2011; settings: MaskDistill arXiv:2206.06363, CutLER CVPR
          2023 (their releases)
In:       a picture and the probabilities of its classes
Out:      probabilities that follow the picture's edges
Differs:  nothing with `lattice` and channels in the original's order (MaskDistill's is BGR)
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, cast, get_args

import numpy as np

from maskdistill.crf import checks
from maskdistill.crf.compiled.filters import Kernel
from maskdistill.crf.compiled.inference import mean_field
from maskdistill.crf.compiled.separable import separable
from maskdistill.crf.compiled.team import spread
from maskdistill.numba_jit import compiled

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", np.ndarray, "Tensor")
Accuracy = Literal["lattice", "close"]
_FLOOR = 1e-5  # of a probability before its logarithm; source: pydensecrf's unary_from_softmax
# With its ring the lattice's kernel is a little wider than the Gaussian: of 1.00, 1.03, 1.06, 1.08
# and 1.10 this has the least difference to the exact sums, on pictures that it was not chosen on
# too (docs/log/crf.md).
_SHARPER = 1.06
# Pixels are worked at in squares: what a square touches of the lattice stays in the cache. Sides of
# 8 and 32 are as fast (docs/log/crf.md, "the time of an iteration").
TILE = 16


class Setting(TypedDict):
    """Hold keywords of `dense_crf`: `dense_crf(image, probabilities, **MASKCUT)`."""

    iterations: int
    gaussian: tuple[float, float]
    bilateral: tuple[float, float, float]


MASKDISTILL: Setting = {"iterations": 10, "gaussian": (1.0, 3.0), "bilateral": (67.0, 3.0, 4.0)}
MASKCUT: Setting = {"iterations": 10, "gaussian": (3.0, 7.0), "bilateral": (50.0, 5.0, 10.0)}


def dense_crf(
    image: np.ndarray | Tensor,
    probabilities: Array,
    *,
    iterations: int = 10,
    gaussian: tuple[float, float] = (1.0, 3.0),
    bilateral: tuple[float, float, float] = (67.0, 3.0, 4.0),
    accuracy: Accuracy = "lattice",
    threads: int = 1,
) -> Array:
    """Return probabilities after mean field with a Gaussian and a bilateral kernel.

    Potts compatibility, both kernels normalised symmetrically.

    >>> image = np.zeros((4, 6, 3), np.uint8)
    >>> image[:, 3:] = 200
    >>> one = np.where(image[..., 0] > 0, np.float32(0.6), np.float32(0.4))
    >>> one[1, 1] = 0.6  # one pixel that is not like those of its colour
    >>> (dense_crf(image, np.stack([1 - one, one]))[1, 1] > 0.5).tolist()
    [False, False, False, True, True, True]

    Args:
        image: (height, width, 3) uint8, or floats in [0, 255]; not changed. Floats of several
            values, none above 1, are refused: they are taken for a picture in [0, 1].
        probabilities: (classes, height, width) floating, not negative, summing to 1; not changed.
            Below 1e-5 counts as 1e-5. One class comes back as ones. An array, or a tensor on any
            device.
        iterations: of mean field, all pixels at once; 0 gives the clipped probabilities,
            normalised.
        gaussian: deviation in px, weight. A weight of 0 leaves the kernel out.
        bilateral: deviation in px, deviation in grey levels, weight.
        accuracy: `lattice`, that of the published numbers; `close`, nearer to the exact sums: the
            Gaussian kernel exactly, the bilateral one on a lattice whose gaps are filled.
        threads: that share this picture; the result is the same bytes whatever their number. Of no
            effect on a GPU.
    Returns:
        (classes, height, width) float32, a new array; for a tensor a tensor on its device, without
        gradient.
    Raises:
        ValueError: an argument is not as above, or a deviation is so small that the lattice has no
            numbers left.
    Source: Kraehenbuehl and Koltun, NIPS 2011. Twin: tests/reference/crf.py.
    """
    _check(iterations, gaussian, bilateral, accuracy, threads)
    found: Any  # of the kind of `probabilities`, which the two below do not share a type for
    if _is_tensor(probabilities):
        tensor: Any = probabilities
        found = _of_tensors(image, tensor, iterations, gaussian, bilateral, accuracy, threads)
        return found
    if _is_tensor(image):
        image = checks.array_of(cast("Tensor", image))
    found = _of_arrays(
        np.asarray(image),
        np.asarray(probabilities),
        iterations,
        gaussian,
        bilateral,
        accuracy,
        threads,
    )
    return found


def _of_arrays(
    image: np.ndarray,
    probabilities: np.ndarray,
    iterations: int,
    gaussian: tuple[float, float],
    bilateral: tuple[float, float, float],
    accuracy: str,
    threads: int,
) -> np.ndarray:
    """Return what `dense_crf` does for arrays, by the compiled loops."""
    checks.image(image)
    height, width = image.shape[:2]
    n_pixels = height * width
    checks.probabilities(probabilities, (height, width))
    n_classes = len(probabilities)
    if n_classes == 1:
        return np.ones((1, height, width), np.float32)
    close = accuracy == "close"
    order = tile_order(height, width, max(height, width) if close else TILE)
    logits = np.empty((n_classes, n_pixels), np.float32)
    built, plane = [], None
    if gaussian[1] and close:
        plane = separable(
            height, width, gaussian[0], (2.0 if n_classes == 2 else 1.0) * gaussian[1]
        )
    elif gaussian[1]:
        built.append(Kernel(np.empty((2, n_pixels), np.float32), gaussian[1]))
    if bilateral[2]:
        built.append(Kernel(np.empty((5, n_pixels), np.float32), bilateral[2], ring=close))
    sharper = _SHARPER if close else 1.0
    given = checks.plain(probabilities, np.float32).reshape(n_classes, -1)
    pixels = checks.plain(image, np.uint8 if image.dtype == np.uint8 else np.float32).reshape(-1, 3)

    def prepare(lo: int, hi: int) -> None:
        """Write logits and features of the pixels lo to hi."""
        np.log(np.clip(given[:, lo:hi], _FLOOR, 1), out=logits[:, lo:hi])
        for kernel in built:
            std_px = np.float32(
                gaussian[0] if len(kernel.features) == 2 else bilateral[0] / sharper
            )
            fill_features(
                order,
                width,
                std_px,
                pixels,
                np.float32(bilateral[1] / sharper),
                kernel.features,
                lo,
                hi,
            )

    spread(prepare, n_pixels, threads)
    found = mean_field(logits, built, order, plane=plane, iterations=iterations, threads=threads)
    return found.reshape(n_classes, height, width)


def dense_crf_many(
    images: Sequence[np.ndarray | Tensor],
    probabilities: Sequence[Array],
    *,
    iterations: int = 10,
    gaussian: tuple[float, float] = (1.0, 3.0),
    bilateral: tuple[float, float, float] = (67.0, 3.0, 4.0),
    accuracy: Accuracy = "lattice",
    threads: int = 1,
) -> list[Array]:
    """Return what `dense_crf` does for many pictures, of any sizes and numbers of classes.

    Args:
        images: as many as `probabilities`; the others as in `dense_crf`.
        threads: pictures at a time, one thread each.
    Returns:
        One array or tensor a picture, in the order given; empty for no pictures.
    Raises:
        ValueError: as `dense_crf`, with the number of the picture; or the lists differ in length.
    """
    if len(images) != len(probabilities):
        raise ValueError(
            f"images and probabilities must be as many, got {len(images)} and {len(probabilities)}"
        )
    _check(iterations, gaussian, bilateral, accuracy, threads)

    def one(index: int) -> Array:
        """Return the probabilities of a picture, its number in front of its error."""
        try:
            return dense_crf(
                images[index],
                probabilities[index],
                iterations=iterations,
                gaussian=gaussian,
                bilateral=bilateral,
                accuracy=accuracy,
            )
        except ValueError as error:
            raise ValueError(f"picture {index} of {len(images)}: {error}") from error

    if threads == 1:
        return [one(index) for index in range(len(images))]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(len(images))))


def _is_tensor(found: object) -> bool:
    """Return whether a value is a tensor, without importing torch: its caller would have."""
    torch: Any = sys.modules.get("torch")
    return torch is not None and isinstance(found, torch.Tensor)


def _of_tensors(
    image: np.ndarray | Tensor,
    probabilities: Tensor,
    iterations: int,
    gaussian: tuple[float, float],
    bilateral: tuple[float, float, float],
    accuracy: str,
    threads: int,
) -> Tensor:
    """Return what `dense_crf` does for tensors: on the CPU by the compiled loops, else by torch."""
    import torch

    from maskdistill.crf import torch_lattice

    if probabilities.device.type == "cpu":
        given = checks.array_of(probabilities)
        picture = checks.array_of(image) if isinstance(image, torch.Tensor) else np.asarray(image)
        return torch.from_numpy(
            _of_arrays(picture, given, iterations, gaussian, bilateral, accuracy, threads)
        )
    picture_on_device = torch.as_tensor(image).detach()
    torch_lattice.check(picture_on_device, probabilities)
    return torch_lattice.dense_crf(
        picture_on_device,
        probabilities,
        floor=_FLOOR,
        iterations=iterations,
        gaussian=gaussian,
        bilateral=bilateral,
        close=accuracy == "close",
        sharper=_SHARPER,
    )


def _check(
    iterations: int,
    gaussian: tuple[float, float],
    bilateral: tuple[float, float, float],
    accuracy: str,
    threads: int,
) -> None:
    """Raise ValueError for a setting that `dense_crf` does not take."""
    checks.count("iterations", iterations, 0)
    checks.kernel("gaussian", gaussian, 1)
    checks.kernel("bilateral", bilateral, 2)
    checks.choice("accuracy", accuracy, get_args(Accuracy))
    checks.count("threads", threads, 1)


@compiled()
def fill_features(order, width, std_px, pixels, std_grey, features, lo, hi):  # type: ignore[no-untyped-def]
    """Write x and y, and the colours where there is room for them, over their deviations.

    Args:
        order: (pixels,) int64, number of each pixel.
        width: of the picture.
        std_px: float32.
        pixels: (pixels, 3), by number.
        std_grey: float32.
        features: (2 or 5, pixels) float32, in the order of `order`; written from lo to hi.
    """
    for at in range(lo, hi):
        features[0, at] = np.float32(order[at] % width) / std_px
        features[1, at] = np.float32(order[at] // width) / std_px
        for channel in range(len(features) - 2):
            features[2 + channel, at] = np.float32(pixels[order[at], channel]) / std_grey


@compiled()
def tile_order(height, width, tile):  # type: ignore[no-untyped-def]
    """Return the numbers of the pixels, (height * width,) int64, square by square of side `tile`.

    In each square row by row.
    """
    order = np.empty(height * width, np.int64)
    at = 0
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            for row in range(top, min(top + tile, height)):
                for col in range(left, min(left + tile, width)):
                    order[at] = row * width + col
                    at += 1
    return order
