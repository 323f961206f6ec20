"""Checks at the door: objects of a truth that say less than they seem to, counted by kind.

In:       objects by image, with the sizes of the images
Out:      findings for beside the numbers; what cannot be meant is refused
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from maskdistill.datasets.coco.fields import Size
from maskdistill.datasets.findings import Findings
from maskdistill.errors import GroundTruthError, PredictionError
from maskdistill.masks import rle
from maskdistill.types import Rle

NOTHING = "{n} of {annotations} annotations have neither mask nor box: left out"
EMPTY = "{n} of {annotations} annotations have a mask without a pixel, which is taken for none"
NO_MASK = (
    "{n} of {objects} objects have no mask: box metrics alone count them, numbers by mask ignore "
    "their boxes"
)
BOX_OF_MASK = "{n} of {objects} boxes have no inside: those of the masks are taken"
AREA = "{n} of {annotations} areas are no sizes: they are counted anew"
SIZE_OF_MASK = "{n} images have no height and width: those of their run lengths are taken"
TWICE = "{n} objects stand twice (image, category and shape are the same): each counts once"
OUTSIDE = "{n} of {objects} boxes lie outside their picture: no prediction can meet them"
BEYOND = "{n} of {objects} boxes reach beyond their picture by more than 1 px"
CORNERS = (
    "{n} of {objects} boxes reach beyond their picture, and would not as corners (x1, y1, x2, y2); "
    "COCO's are x, y, width, height"
)
SMALL = "{n} of {objects} boxes have a side below 1 px"
UNLIKE = "{n} boxes overlap the box of their mask by less than half, of {looked_at} looked at"
SCALE = (
    "no object of {objects} reaches beyond {share} % of the width or of the height of its picture: "
    "are they of pictures of another scale?"
)
FEW_SIGNS = 9  # of a mask's string, which one pixel or none needs at most
# Masks whose own boxes are made, to be compared: of more every second, third, ... Reading their run
# lengths once more is most of what the checks cost.
MOST_MASKS = 100_000
_MANY = 20  # objects from which on it is no chance that all keep to one corner
_CORNER = 0.6  # of both sides
_Objects = Mapping[int, list[dict[str, Any]]]


def is_empty(mask: Rle) -> bool:
    """Return whether a mask has no pixel: whether it is one run of zeros."""
    # Seven signs hold any number of pixels; more are several runs.
    return len(mask["counts"]) <= 7 and not int(rle.areas([mask])[0])


def is_of_fractions(shape: Any, mask: Rle) -> bool:
    """Return whether polygons and their mask look as if coordinates were shares of the sides."""
    # A mask of one pixel at most has three runs, the last of them long.
    if len(mask["counts"]) > FEW_SIGNS or type(shape) is not list:
        return False
    values = [value for part in shape if type(part) is list for value in part]
    return all(type(value) in (int, float) and 0 <= value <= 1.001 for value in values) and any(
        value % 1 for value in values
    )


def objects(
    source: Path,
    found: _Objects,
    sizes: Mapping[int, Size],
    files: Mapping[int, str],
    findings: Findings,
) -> None:
    """Take objects that stand twice out of `found`, and tell what is odd in the others.

    Where some objects have a mask and others not, the record of one without gets a `region`: its
    box as a mask, which numbers by mask ignore as they ignore a crowd.

    Args:
        source: the file, for messages.
        found: image -> its records, with box (xyxy, px), id and maybe rle.
        sizes: image -> (height, width), px. files: image -> name, for messages.
    Raises:
        GroundTruthError: all boxes are within one pixel of the corner: fractions of the picture.
    """
    for number, rows in found.items():
        if len(rows) > 1:
            _once(rows, files[number], findings)
    every = [row for rows in found.values() for row in rows]
    if not every:
        return
    bare = np.array(["rle" not in row for row in every])
    _tell(NO_MASK, bare, lambda place: _named(every[place]), findings)
    if bare.any() and not bare.all():
        for number, rows in found.items():
            for row in rows:
                if "rle" not in row:
                    x1, y1, x2, y2 = row["box"]
                    outline = [[x1, y1, x2, y1, x2, y2, x1, y2]]
                    row["region"] = rle.from_polygons(outline, sizes[number])
    boxes(source, found, sizes, findings, GroundTruthError)


def _once(rows: list[dict[str, Any]], file: str, findings: Findings) -> None:
    """Take those out of the objects of an image that repeat an earlier one."""
    keys = [
        (row["rle"]["counts"] if "rle" in row else tuple(row["box"]), row["category"], row["crowd"])
        for row in rows
    ]
    if n_more := len(keys) - len(set(keys)):
        findings.add(TWICE, file, n=n_more)
        first = dict(zip(reversed(keys), reversed(rows), strict=True))
        rows[:] = [first[key] for key in dict.fromkeys(keys)]


def boxes(
    source: Path,
    found: _Objects,
    sizes: Mapping[int, Size],
    findings: Findings,
    error_of: type[GroundTruthError] | type[PredictionError],
) -> None:
    """Tell of the boxes of records, of objects or of results, that cannot be.

    Args:
        source, found, sizes: as for `objects`.
        error_of: what is raised.
    Raises:
        error_of: as `corners` says.
    """
    every = [row for rows in found.values() for row in rows]
    if not every:
        return
    counts = [len(rows) for rows in found.values()]
    shown = [sizes[number] for number, rows in found.items() if rows]
    sides = np.repeat(np.array(shown, np.float64), [n for n in counts if n], axis=0)
    given = np.fromiter(chain.from_iterable(row["box"] for row in every), np.float64)
    own = np.full((len(every), 4), np.nan)
    with_mask = [place for place, row in enumerate(every) if "rle" in row]
    with_mask = with_mask[:: 1 + len(with_mask) // MOST_MASKS]
    own[with_mask] = rle.boxes([every[place]["rle"] for place in with_mask])

    def name_of(place: int) -> str:
        return _named(every[place])

    corners(source, given.reshape(-1, 4), own, sides, name_of, findings, error_of)


def corners(
    source: Path,
    given: np.ndarray,
    own: np.ndarray,
    sides: np.ndarray,
    name_of: Callable[[int], str],
    findings: Findings,
    error_of: type[GroundTruthError] | type[PredictionError],
) -> None:
    """Tell of boxes that cannot be; all at once, for there may be a million.

    Args:
        source: the file, for messages.
        given: (n, 4) float64 xyxy, px, as the file has them.
        own: (n, 4) float64 xyxy, px, of the masks; nan where there is none.
        sides: (n, 2) height and width of the pictures, px.
        name_of: returns the name of a place in these arrays.
        error_of: what is raised.
    Raises:
        error_of: all boxes are within one pixel of the corner: fractions of the picture.
    """
    low, high, sides = given[:, :2], given[:, 2:], sides[:, ::-1]
    in_corner = (high <= 1.001).all() and (low >= -0.001).all() and (sides > 2).all()
    if in_corner and (given % 1 > 0).any():
        raise error_of(
            f"{source}: all {len(given)} boxes lie within one pixel of the upper left corner of "
            "their pictures: its coordinates seem to be fractions of width and height. Give them "
            "in pixels"
        )
    outside = ((low >= sides) | (high <= 0)).any(axis=1)
    beyond = ((high > sides + 1) | (low < -1)).any(axis=1)
    lengths = high - low
    is_corners = (
        (lengths > low).all(axis=1) & (lengths <= sides + 1).all(axis=1) & (low >= 0).all(axis=1)
    )
    for kind, which in (
        (CORNERS, beyond & is_corners),
        (OUTSIDE, outside & ~(beyond & is_corners)),
        (BEYOND, beyond & ~is_corners & ~outside),
        (SMALL, (lengths < 1).any(axis=1)),
        (
            UNLIKE.replace("{looked_at}", str(np.isfinite(own[:, 0]).sum())),
            _unlike(given, own),
        ),
    ):
        _tell(kind, which, name_of, findings)
    share = (high / sides).max()
    if len(given) >= _MANY and share <= _CORNER:
        kind = SCALE.replace("{share}", f"{100 * share:.0f}")
        findings.add(kind, n=len(given))


def _unlike(given: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return (n,) bool: the box is not that of its mask; False where there is no mask."""
    own = np.nan_to_num(own)
    shared = np.minimum(own[:, 2:], given[:, 2:]) - np.maximum(own[:, :2], given[:, :2])
    both = shared.clip(0).prod(axis=1)
    areas = [(each[:, 2:] - each[:, :2]).prod(axis=1) for each in (own, given)]
    # Masks are drawn on pixels and boxes are not: of small ones half is no fault.
    large = (np.minimum(*areas) >= 64) | (np.maximum(*areas) >= 256)
    differ = both < 0.5 * np.maximum(sum(areas) - both, 1e-9)
    return np.asarray(differ & large & (areas[0] > 0))


def _tell(kind: str, which: Any, name_of: Callable[[int], str], findings: Findings) -> None:
    n = int(which.sum())
    for place in np.flatnonzero(which)[:6].tolist():
        findings.add(kind, name_of(place))
    if n > 6:
        findings.add(kind, n=n - 6)


def _named(row: Mapping[str, Any]) -> str:
    return str(row["id"]) if row["id"] is not None else "one without an id"
