"""Segmentations of COCO's records as people write them: polygons and run lengths, one reading.

In:       `segmentation` of a record: polygons in any nesting, plain or compressed run lengths
Out:      Rle, or None where there is no mask; what was assumed is told by kind; ValueError
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from maskdistill.datasets.coco import fields
from maskdistill.errors import listed
from maskdistill.masks import rle, run_lengths
from maskdistill.types import Rle

FLAT = "{n} masks are one flat list of numbers: each is read as one polygon"
PAIRS = "{n} masks have polygons of [x, y] pairs: read as x, y, x, y"
STRINGS = "{n} masks have numbers in strings: read as numbers"
SHORT = "{n} masks have pieces of fewer than three points: these are left out"
WRAPPED = "{n} masks stand in a list of their own: read as one"
BOX = "{n} masks are four numbers that are their box: read as a box, without a mask"
_Odd = Callable[[str], object]


def _nothing(kind: str) -> None:
    """Tell nobody."""


def mask_of(
    segmentation: Any, size: fields.Size, bbox: Any = None, odd: _Odd = _nothing
) -> Rle | None:
    """Return polygons, plain or compressed run lengths as a mask; None where there is none.

    No mask is null, an empty list, empty polygons, and four numbers that are the box of the object.

    Args:
        segmentation: as files have it. size: (height, width), px, that polygons are drawn on; run
            lengths have their own.
        bbox: of the same object, x, y, width, height, if the file has it: tells run lengths that
            go row by row, and a box in the place of a polygon.
        odd: is told the kind of what was assumed, one of the sentences above.
    Raises:
        ValueError: run lengths that `run_lengths.checked` refuses, polygons that cannot be meant,
            neither of both.
    """
    if segmentation is None or segmentation == []:
        return None
    if type(segmentation) is list:
        if all(
            type(part) is list and len(part) >= 6 and not len(part) & 1 for part in segmentation
        ):
            try:
                return rle.from_polygons(segmentation, size)
            except TypeError:
                pass  # numbers in strings, pairs: below
        return _of_list(segmentation, size, bbox, odd)
    if not isinstance(segmentation, dict) or "counts" not in segmentation:
        raise ValueError("neither polygons nor run lengths (an object with size and counts)")
    return run_lengths.checked(segmentation["counts"], segmentation.get("size"), bbox)


def _of_list(parts: list[Any], size: fields.Size, bbox: Any, odd: _Odd) -> Rle | None:
    """Return a mask of polygons that are not written as COCO has them."""
    if any(isinstance(part, dict) for part in parts):
        if len(parts) == 1:
            odd(WRAPPED)
            return mask_of(parts[0], size, bbox, odd)
        raise ValueError(
            f"a list of {len(parts)} masks; wanted one: an object with size and counts"
        )
    polygons = [_numbers(part, odd) for part in _split(parts, odd)]
    for polygon in polygons:
        if len(polygon) % 2:
            raise ValueError(f"a polygon of {len(polygon)} numbers; wanted pairs of x, y")
    drawn = [polygon for polygon in polygons if len(polygon) >= 6]
    short = [polygon for polygon in polygons if 0 < len(polygon) < 6]
    if short and not drawn:
        if len(short) == 1 and _is_box(short[0], bbox):
            odd(BOX)
            return None
        raise ValueError(
            f"a polygon of {len(short[0])} numbers ({listed(short[0])}): that is no outline, and "
            "not its bbox; wanted three points or more"
        )
    if short or (drawn and len(drawn) < len(polygons)):
        odd(SHORT)
    return rle.from_polygons(drawn, size) if drawn else None


def _split(parts: list[Any], odd: _Odd) -> list[list[Any]]:
    """Return the polygons of a list, each a flat list of what stands for numbers."""
    if not any(isinstance(part, list) for part in parts):
        odd(FLAT)
        return [parts]
    if not all(isinstance(part, list) for part in parts):
        raise ValueError("a list of polygons and of something else")
    if len(parts) >= 3 and all(_is_pair(part) for part in parts):
        odd(PAIRS)
        return [[value for pair in parts for value in pair]]
    if any(_is_pair(part[0]) for part in parts if part):
        if not all(_is_pair(pair) for part in parts for pair in part):
            raise ValueError("polygons of [x, y] pairs and of something else")
        odd(PAIRS)
        return [[value for pair in part for value in pair] for part in parts]
    return parts


def _is_pair(part: Any) -> bool:
    return isinstance(part, list) and len(part) == 2 and not any(isinstance(v, list) for v in part)


def _numbers(part: list[Any], odd: _Odd) -> list[float]:
    if any(isinstance(value, str) for value in part):
        odd(STRINGS)
    try:
        return [fields.number(value) for value in part]
    except ValueError as error:
        raise ValueError(f"a polygon with a coordinate that cannot be read: {error}") from error


def _is_box(four: list[float], bbox: Any) -> bool:
    """Return whether four numbers are the bbox, as it stands or as its corners, within 1 px."""
    try:
        corners = fields.box(bbox)
    except ValueError:
        return False
    if corners is None or len(four) != 4:
        return False
    x1, y1, x2, y2 = corners
    return any(
        all(abs(a - b) <= 1 for a, b in zip(four, each, strict=True))
        for each in (corners, [x1, y1, x2 - x1, y2 - y1])
    )
