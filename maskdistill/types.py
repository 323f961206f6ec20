"""The small records that rooms hand to each other.

Masks on the patch grid are torch tensors, masks in pixels are compressed run lengths (RLE): a hundred
full-size boolean masks of a 40-megapixel picture would need 4 GB.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


MOST_IDS = 254  # clusters or classes of a label map: uint8, 0 is background, 255 is not counted


class Rle(TypedDict):
    """COCO's compressed run lengths of one mask: `size` is [height, width], `counts` the ASCII string."""

    size: list[int]
    counts: str


Facet = Literal[
    "keys", "queries", "values", "tokens"
]  # of a block: what the patches are compared by
FACETS: tuple[Facet, ...] = ("keys", "queries", "values", "tokens")


@dataclass(frozen=True)
class Features:
    """What one block of a backbone says of one picture; a field that was not asked for is None.

    Attributes:
        grid: patches as (rows, cols), row-major.
        patch: side of a patch, in pixels of the picture that the backbone saw.
        queries, keys, values: (heads, 1 + rows*cols, dim) float32; token 0 is the class token.
        tokens: (1 + rows*cols, width) float32, after the last norm.
        has_class: False where the backbone has no class token: token 0 is then the mean of the patches.
    """

    grid: tuple[int, int]
    patch: int
    queries: Tensor | None = None
    keys: Tensor | None = None
    values: Tensor | None = None
    tokens: Tensor | None = None
    has_class: bool = True

    def centred(self) -> Features:
        """The same with the patches' mean taken off every patch's key, query, value, token (the class token's stay).

        A component that all keys share makes every inner product positive, and a sign then means nothing.

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
    """(..., 1 + patches, dim) with the patches' mean taken off all but the first."""
    values = values.clone()
    values[..., 1:, :] -= values[..., 1:, :].mean(dim=-2, keepdim=True)
    return values


@dataclass(frozen=True)
class GridMask:
    """One proposal on the patch grid: mask (rows, cols) bool on the CPU, seed patch (row, col), score in [0, 1]."""

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
    """Masks of one picture with what is known of each; all fields have one length n, sorted by falling score.

    Attributes:
        size: (height, width) of the picture.
        rles: n masks.
        boxes_xyxy: (n, 4) float32, half-open pixel edges.
        scores: (n,) float32 in [0, 1].
        clusters: (n,) int64, 0 .. k-1.
    """

    size: tuple[int, int]
    rles: list[Rle]
    boxes_xyxy: np.ndarray
    scores: np.ndarray
    clusters: np.ndarray

    def __post_init__(self) -> None:
        lengths = {len(self.rles), len(self.boxes_xyxy), len(self.scores), len(self.clusters)}
        if len(lengths) != 1:
            raise ValueError(
                f"rles, boxes_xyxy, scores, clusters must have one length, got {sorted(lengths)}"
            )

    def __len__(self) -> int:
        return len(self.rles)


@dataclass(frozen=True)
class Prediction:
    """What a trained run sees in a new picture.

    Attributes:
        instances: the detector's; none where the run's detections were imported.
        label_map: (H, W) uint8, 0 background, 1 + cluster; None where the run has no segmenter.
        names: a word for each cluster, "cluster 3" where nobody named it.
    """

    instances: Detections
    label_map: np.ndarray | None
    names: list[str]
