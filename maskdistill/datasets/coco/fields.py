"""Fields of COCO's records as people write them: ids, flags, sizes, boxes, one reading for all.

In:       values of a record of JSON
Out:      the value that is meant, or ValueError that says what was found
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

Key = int | str  # an id of an image, a category or an annotation
Size = tuple[int, int]  # (height, width), px
_FLAGS = {"0": False, "1": True, "false": False, "true": True, "": False}


def key(value: Any) -> Key:
    """Return an id; digits in a string and whole floats are the integer, so that lists agree.

    >>> [key(value) for value in (7, "007", 7.0, "a7")]
    [7, 7, 7, 'a7']

    Raises:
        ValueError: neither an integer nor a string with signs in it.
    """
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and (text := value.strip()):
        # Beyond so many digits it is a name; Python itself refuses very long numbers.
        return int(text) if text.isdecimal() and text.isascii() and len(text) <= 18 else text
    raise ValueError(f"{_shown(value)} is no id")


def known_key(value: Any) -> Key | None:
    """Return an id as `key` has it; None where it is none."""
    try:
        return value if type(value) is int else key(value)
    except ValueError:
        return None


def flag(value: Any) -> bool:
    """Return whether a flag is set: 0 and 1, true and false, as they are or as strings; null: no.

    >>> [flag(value) for value in (1, "0", "True", None)]
    [True, False, True, False]

    Raises:
        ValueError: something else.
    """
    if value is None:
        return False
    if isinstance(value, bool | int | float) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and value.strip().lower() in _FLAGS:
        return _FLAGS[value.strip().lower()]
    raise ValueError(f"{_shown(value)} is neither 0 nor 1")


def number(value: Any) -> float:
    """Return a finite number, which may be written as a string.

    Raises:
        ValueError: something else.
    """
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise ValueError(f"{_shown(value)} is no number") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{_shown(value)} is no finite number")
    return float(value)


def size(height: Any, width: Any) -> Size | None:
    """Return (height, width), px; None where neither is given (missing, null or 0).

    Raises:
        ValueError: one alone, or something else than whole numbers from 1.
    """
    if not height and not width:
        return None
    sides = [number(side) for side in (height, width) if side is not None]
    if len(sides) < 2 or not all(side.is_integer() and side >= 1 for side in sides):
        raise ValueError(
            f"height {_shown(height)} and width {_shown(width)}: wanted whole numbers from 1"
        )
    return int(sides[0]), int(sides[1])


def box(bbox: Any) -> list[float] | None:
    """Return the corners [x1, y1, x2, y2] of COCO's x, y, width, height, px; None of null or [].

    Raises:
        ValueError: not four finite numbers, a width or height below 0.
    """
    if bbox is None or bbox == []:
        return None
    if type(bbox) is list and len(bbox) == 4:
        x, y, width, height = (
            each if type(each) is float and math.isfinite(each) else number(each) for each in bbox
        )
        if width >= 0 and height >= 0:
            return [x, y, x + width, y + height]
    raise ValueError(f"bbox {_shown(bbox)}: wanted x, y, width, height")


def xyxy(bbox: Any) -> list[float]:
    """Return what `box` does; a missing one is refused too.

    Raises:
        ValueError: not four finite numbers, a width or height below 0.
    """
    if (found := box(bbox)) is None:
        raise ValueError(f"bbox {_shown(bbox)}: wanted x, y, width, height")
    return found


def sort_key(value: Key) -> tuple[bool, Key]:
    """Return what ids are sorted by: numbers first, then names."""
    return isinstance(value, str), value


def numbers(ids: Iterable[Key]) -> dict[Key, int]:
    """Return a number for each id: itself, or 1, 2, ... where one of them is a name.

    >>> numbers([5, 9]), numbers(["b", 9])
    ({5: 5, 9: 9}, {'b': 1, 9: 2})
    """
    ids = list(ids)
    if all(isinstance(key, int) for key in ids):
        return {key: key for key in ids if isinstance(key, int)}
    return {key: place for place, key in enumerate(ids, 1)}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
