"""Masks as COCO's compressed run lengths: coded, decoded, measured without decoding.

In:       masks (n, H, W) bool, polygons, or run lengths
Out:      Rle (`counts` as str), masks, areas, boxes xyxy, overlaps
Differs:  wraps faster-coco-eval, whose strings equal pycocotools'. By hand: the union, because the
          library's goes through all pixels (at _union). It checks no run lengths: those of others
          go through `run_lengths.checked` first
"""

from __future__ import annotations

from collections.abc import Sequence

import faster_coco_eval.mask_api_new_cpp as _coco
import numpy as np
from faster_coco_eval.core import mask as coco

from maskdistill.types import Rle

# Of a polygon's coordinates: beyond the side of any picture that is read, and small enough that the
# library gets the memory for an outline of that length.
MOST_PX = 1_000_000


def encode(masks: np.ndarray) -> list[Rle]:
    """Return the run lengths of each mask.

    >>> mask = np.zeros((2, 3), bool)
    >>> mask[:, 1] = True
    >>> encode(mask[None])
    [{'size': [2, 3], 'counts': '222'}]

    Args:
        masks: (n, H, W) bool.
    Returns:
        One RLE a mask.
    Raises:
        ValueError: another rank or dtype.
    """
    if masks.ndim != 3 or masks.dtype != bool:
        raise ValueError(f"masks: wanted (n, H, W) bool, found {masks.shape} {masks.dtype}")
    return [_ours(coco.encode(np.asfortranarray(mask.astype(np.uint8)))) for mask in masks]


def decode(rles: Sequence[Rle], *, size: tuple[int, int] | None = None) -> np.ndarray:
    """Return the masks of run lengths.

    >>> decode([{"size": [2, 3], "counts": "222"}]).astype(int).tolist()
    [[[0, 1, 0], [0, 1, 0]]]

    Args:
        rles: of one size.
        size: (H, W), needed where there may be no mask.
    Returns:
        (n, H, W) bool.
    Raises:
        ValueError: no masks and no size, or masks of several sizes.
    """
    if not rles:
        if size is None:
            raise ValueError("size: needed to decode no masks at all")
        return np.zeros((0, *size), bool)
    sizes = {tuple(rle["size"]) for rle in rles}
    if size is not None:
        sizes.add(tuple(size))
    if len(sizes) > 1:
        raise ValueError(f"rles: masks of several sizes cannot be one array: {sorted(sizes)}")
    return np.stack([np.asarray(coco.decode(_theirs(rle)), bool) for rle in rles])


def areas(rles: Sequence[Rle]) -> np.ndarray:
    """Return the number of pixels of each mask, (n,) int64."""
    return np.array([int(coco.area(_theirs(rle))) for rle in rles], np.int64)


def area_of_union(rles: Sequence[Rle]) -> int:
    """Return on how many pixels one mask at least lies; 0 without masks.

    >>> area_of_union(encode(np.array([[[1, 0, 0]], [[1, 1, 0]]], bool)))
    2

    Args:
        rles: of one size.
    """
    return int(areas([_union([_theirs(each) for each in rles])])[0]) if rles else 0


def boxes(rles: Sequence[Rle]) -> np.ndarray:
    """Return the tight box of each mask, (n, 4) float32 half-open xyxy; zeros for an empty one."""
    xywh = np.array([coco.toBbox(_theirs(rle)) for rle in rles], np.float32).reshape(-1, 4)
    xywh[:, 2:] += xywh[:, :2]
    return xywh


def iou(a: Sequence[Rle], b: Sequence[Rle], *, crowd: np.ndarray | None = None) -> np.ndarray:
    """Return the intersection over union of each mask with each other one.

    >>> left, both = encode(np.array([[[1, 0]], [[1, 1]]], bool))
    >>> iou([left], [left, both]).tolist()
    [[1.0, 0.5]]

    Args:
        a: n masks.
        b: m masks of the same size.
        crowd: (m,) bool; against a crowd of b: over the area of a's mask.
    Returns:
        (n, m) float64; 0 where both are empty.
    Raises:
        ValueError: masks of several sizes.
    """
    if not a or not b:
        return np.zeros((len(a), len(b)))
    # The library gives -1 for masks of two sizes, which callers would take for a value.
    sizes = {tuple(rle["size"]) for rle in (*a, *b)}
    if len(sizes) > 1:
        raise ValueError(f"a, b: wanted masks of one size, found {sorted(sizes)}")
    flags = [0] * len(b) if crowd is None else [int(flag) for flag in crowd]
    return np.asarray(
        coco.iou([_theirs(rle) for rle in a], [_theirs(rle) for rle in b], flags), np.float64
    )


def from_polygons(polygons: list[list[float]], size: tuple[int, int]) -> Rle:
    """Return the union of polygons, drawn as pycocotools does.

    Args:
        polygons: [x, y, x, y, ...] in px each; one of fewer than 3 points draws nothing.
        size: (H, W) of the picture.
    Raises:
        ValueError: a coordinate that is not finite, or MOST_PX away or farther.
    """
    height, width = size
    # The library takes four numbers for a box (x, y, width, height), and decides so by the first
    # polygon alone.
    drawn = [polygon for polygon in polygons if len(polygon) >= 6]
    # The library asks for memory by the length of the outline, and ends the process where there is
    # none. Nan fails too.
    if not all(-MOST_PX < value < MOST_PX for polygon in drawn for value in polygon):
        raise ValueError(f"polygons: wanted finite coordinates within {MOST_PX} px")
    if not drawn:
        return from_uncompressed([height * width], size)
    return _union(coco.frPyObjects(drawn, height, width))


def from_uncompressed(counts: list[int], size: tuple[int, int]) -> Rle:
    """Return the compressed form of plain run lengths.

    >>> from_uncompressed([2, 2, 2], (2, 3))
    {'size': [2, 3], 'counts': '222'}

    Args:
        counts: pixels of each run, column by column, the first of zeros.
        size: (H, W).
    """
    height, width = size
    return _ours(coco.frPyObjects({"counts": counts, "size": [height, width]}, height, width))


def _union(rles: list[dict]) -> Rle:
    """Return the union of one or more of the library's masks of one size, by their runs.

    The library's own `merge` goes through all pixels: two masks of 480 x 640 take 490 us there,
    about 100 here; of 2000 x 3000 4.7 ms (docs/log/datasets.md).
    """
    if len(rles) == 1:
        return _ours(rles[0])
    size = tuple(rles[0]["size"])
    # Runs of zeros and ones in turn: a one's begins where a zero's ends.
    edges = [np.cumsum(each["counts"]) for each in _coco.toUncompressedRLE(rles)]
    starts, ends = (
        np.concatenate([each[place] for each in edges]) for place in (np.s_[:-1:2], np.s_[1::2])
    )
    starts, ends = starts[starts < ends], ends[starts < ends]
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], np.maximum.accumulate(ends[order])
    apart = starts[1:] > ends[:-1]
    starts, ends = starts[np.r_[True, apart][: len(starts)]], ends[np.r_[apart, True][: len(ends)]]
    counts = np.diff(np.r_[0, np.stack([starts, ends], 1).ravel(), size[0] * size[1]])
    return from_uncompressed(counts[: len(counts) - (counts[-1] == 0)].tolist(), size)


def _ours(rle: dict) -> Rle:
    """Return one of the library's masks with `counts` as str."""
    counts = rle["counts"]
    text = counts.decode() if isinstance(counts, bytes) else counts
    return {"size": [int(side) for side in rle["size"]], "counts": text}


def _theirs(rle: Rle) -> dict:
    """Return a mask as the library takes it, `counts` as bytes."""
    return {"size": list(rle["size"]), "counts": rle["counts"].encode()}
