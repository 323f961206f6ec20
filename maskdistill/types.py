"""Types: the small records that rooms hand to each other.

Masks on the patch grid are torch tensors, masks in pixels are compressed run lengths (RLE): a
hundred full-size boolean masks of a 40-megapixel picture would need 4 GB.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


# Clusters or classes of a label map: uint8, of which 0 is background and 255 is not counted.
MOST_IDS = 254


class Rle(TypedDict):
    """Hold COCO's compressed run lengths of one mask: [height, width] and the ASCII string."""

    size: list[int]
    counts: str


# Of a block: the features that patches are compared by.
Facet = Literal["keys", "queries", "values", "tokens"]
FACETS: tuple[Facet, ...] = ("keys", "queries", "values", "tokens")
# How the values of a label map of others become class numbers (datasets/label_maps/map_files.py).
LabelValues = Literal["indices", "two_valued", "voc_colours"]


@dataclass(frozen=True)
class Features:
    """Hold the features of one picture by one block; a field that was not asked for is None.

    Attributes:
        grid: patches as (rows, cols), row-major.
        patch: side of a patch, in pixels of the picture that the backbone saw.
        queries, keys, values: (heads, 1 + rows*cols, dim) float32; token 0 is the class token.
        tokens: (1 + rows*cols, width) float32, after the last norm.
        has_class: False where the backbone has no class token: token 0 is then the mean of the
            patches.
    """

    grid: tuple[int, int]
    patch: int
    queries: Tensor | None = None
    keys: Tensor | None = None
    values: Tensor | None = None
    tokens: Tensor | None = None
    has_class: bool = True

    def centred(self) -> Features:
        """Return the features with the patches' mean taken off every patch, in each facet.

        The class token stays. A component that all keys share makes every inner product positive,
        and a sign then means nothing.

        Raises:
            ValueError: features that hold nothing.
        """
        changed: dict[str, Any] = {
            name: _centred(getattr(self, name))
            for name in FACETS
            if getattr(self, name) is not None
        }
        if not changed:
            raise ValueError("these features hold nothing to centre")
        return replace(self, **changed)


def _centred(values: Tensor) -> Tensor:
    """Return (..., 1 + patches, dim) with the patches' mean taken off all but the first."""
    values = values.clone()
    values[..., 1:, :] -= values[..., 1:, :].mean(dim=-2, keepdim=True)
    return values


@dataclass(frozen=True)
class GridMask:
    """Hold one proposal on the patch grid.

    Attributes:
        mask: (rows, cols) bool, on the CPU.
        seed_patch: (row, col) of the patch that the mask grew from.
        score: in [0, 1].
    """

    mask: Tensor
    seed_patch: tuple[int, int]
    score: float


class Note(Enum):
    """Name what went otherwise than planned in a search for masks; files hold the enum's value."""

    STOPPED = "stopped"  # why a search ended with fewer masks than it might have
    CUT = "cut"  # eigenvalue of the cut that ended the search
    PRODUCTS = "products"  # products of graph and vector that the cuts took
    FALLBACK = "fallback"  # number of cuts that the dense solver made
    REJECTED = "rejected"  # number of cuts whose mask was rejected
    NOT_FINITE = "not finite"  # the facet that is not finite: nothing was looked for
    SMALLER = "smaller"  # patches at most that the picture was reduced to, to fit into memory


Notes = list[tuple[Note, float | int | str]]  # each with its value


@dataclass(frozen=True)
class Found:
    """Hold the masks that a method found in one picture.

    Attributes:
        masks: may be empty; in the order of discovery.
        notes: what went otherwise than planned, each Note at most once.
    """

    masks: list[GridMask]
    notes: Notes = field(default_factory=list)


@dataclass(frozen=True)
class Detections:
    """Hold the detections of one picture, n of each field, sorted by falling score.

    Attributes:
        size: (height, width) of the picture.
        rles: n masks.
        boxes_xyxy: (n, 4) float32, half-open pixel edges.
        scores: (n,) float32 in [0, 1].
        clusters: (n,) int64, 0 .. k-1.
    Raises:
        ValueError: fields of several lengths.
    """

    size: tuple[int, int]
    rles: list[Rle]
    boxes_xyxy: np.ndarray
    scores: np.ndarray
    clusters: np.ndarray

    def __post_init__(self) -> None:
        """Raise ValueError where the fields have several lengths."""
        lengths = {len(self.rles), len(self.boxes_xyxy), len(self.scores), len(self.clusters)}
        if len(lengths) != 1:
            raise ValueError(
                f"rles, boxes_xyxy, scores, clusters must have one length, got {sorted(lengths)}"
            )

    def __len__(self) -> int:
        """Return the number of detections."""
        return len(self.rles)


@dataclass(frozen=True)
class Prediction:
    """Hold the prediction of a trained run on a new picture.

    Attributes:
        instances: the detector's; none where the run's detections were imported.
        label_map: (H, W) uint8, 0 background, 1 + cluster; None where the run has no segmenter.
        names: a word for each cluster of the instances, "cluster 3" where nobody named it.
        label_names: the same of the label map's clusters, which are those of the instances but
            where the run's label maps are painted from proposals.
    """

    instances: Detections
    label_map: np.ndarray | None
    names: list[str]
    label_names: list[str]
