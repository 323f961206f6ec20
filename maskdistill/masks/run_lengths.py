"""Run lengths of others: checked whole before any library sees them, or refused with the reason.

In:       counts (a list, or COCO's compressed string) and size, as a file of JSON has them
Out:      Rle as this house has it, or ValueError that says what was found
Differs:  faster-coco-eval checks nothing: run lengths that do not cover their picture make it loop
          for ever, strings cut within a number make it read beyond them, and two masks with runs
          of length 0 get a wrong overlap
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from maskdistill.masks import rle
from maskdistill.numba_jit import compiled
from maskdistill.types import Rle

# The library counts pixels in 32 bits, and asks for memory by them.
MOST_PIXELS = 2**31 - 1
MOST_SIGNS = 7  # of one number: 35 bits, more than any run has
_FINE, _FOREIGN, _LONG, _NEGATIVE, _CUT = range(5)


def checked(counts: Any, size: Any, bbox: Any = None) -> Rle:
    """Return run lengths of others in compressed form; the same string where one was given.

    Runs of length 0 after the first say nothing, and are taken out: the library ends its count of
    an overlap where two masks have one at the same place.

    >>> checked([2, 2, 2], [2, 3])
    {'size': [2, 3], 'counts': '222'}
    >>> checked([2, 2], [2, 3])
    Traceback (most recent call last):
    ValueError: run lengths sum to 4, a picture of 3 x 2 has 6 pixels (is the last run left out?)

    Args:
        counts: pixels of each run, column by column, the first of zeros: a list of integers, or
            COCO's string.
        size: [height, width] as the file has it.
        bbox: [x, y, width, height], px, of the same object, if the file has it; anything else is
            passed over.
    Raises:
        ValueError: size is no two whole numbers from 1; counts are neither form, not whole
            numbers, negative, cut short, start-length pairs, sum to another number of pixels, or
            fit the bbox only if read row by row.
    """
    height, width = _size(size)
    if isinstance(counts, str):
        own: Rle = {"size": [height, width], "counts": counts}
        runs, total, least = _of_string(counts, height * width)
    elif isinstance(counts, list):
        own = _compressed(counts, (height, width))
        runs, total, least = _of_string(own["counts"], height * width)
        # bool is a kind of int in Python and 0 or 1 to the library, and no length.
        if least < 2 and bool in set(map(type, counts)):
            _refuse_other_numbers(counts)
    else:
        raise ValueError(
            f"counts are {_shown(counts)}; wanted run lengths, a list or COCO's string"
        )
    if total != height * width:
        raise _of_another_sum(runs.tolist(), (height, width))
    if _fits_rows_alone(runs, (height, width), bbox):
        raise ValueError(
            f"its run lengths fit its bbox {bbox} only if read row by row; COCO's go column by "
            "column"
        )
    if least == 0 and not runs[1:].all():
        return rle.from_uncompressed(_joined(runs), (height, width))
    return own


def decoded(counts: str) -> np.ndarray:
    """Return the numbers of COCO's compressed string, (n,) int64, none below 0.

    >>> decoded("222").tolist()
    [2, 2, 2]

    Raises:
        ValueError: a sign that the form does not have, a number longer than any run, a negative
            run, a string cut within a number.
    """
    return _of_string(counts, MOST_PIXELS)[0]


def _fits_rows_alone(runs: np.ndarray, size: tuple[int, int], bbox: Any) -> bool:
    """Return whether runs fit the box beside them only if read row by row.

    Both orders sum to the same number of pixels, so a box is all that tells them apart. Asked for
    is what chance does not give: three runs or more of ones, a box that does not span the picture,
    all four edges within 1 px in the one order, one of them farther in the other.

    Args:
        runs: (n,) int64, of the whole picture. bbox: as the file has it; what is none fits nothing.
    """
    height, width = size
    if len(runs) < 6 or not (isinstance(bbox, list) and len(bbox) == 4):
        return False
    if not all(type(each) in (int, float) for each in bbox):
        return False
    x, y, box_width, box_height = bbox
    if not 0 < box_width < width - 2:
        return False
    wanted = (x, x + box_width, y, y + box_height)
    if _near(_extent(runs, height), wanted):
        return False
    top, bottom, left, right = _extent(runs, width)
    return _near((left, right, top, bottom), wanted)


def _near(found: tuple[float, ...], wanted: tuple[float, ...]) -> bool:
    return all(abs(a - b) <= 1 for a, b in zip(found, wanted, strict=True))


@compiled()
def _extent(runs: np.ndarray, length: int) -> tuple[int, int, int, int]:
    """Return the half-open range of lines that hold a one, and of places within their lines.

    Args:
        runs: (n,) int64, the first of zeros. length: of a line: the height where lines are columns.
    """
    at, first_line, last_line, first, last = 0, -1, -1, length, -1
    line, line_end = 0, length  # of the pixel `at`; a division a run took twice as long
    for n in range(len(runs)):
        end = at + runs[n]
        while line_end <= at:
            line, line_end = line + 1, line_end + length
        if n % 2 == 1 and end > at:
            if first_line < 0:
                first_line = line
            first = min(first, at - line_end + length)
            if end > line_end:
                first, last = 0, length - 1
            while line_end < end:
                line, line_end = line + 1, line_end + length
            last_line = line
            last = max(last, end - 1 - line_end + length)
        at = end
    return first_line, last_line + 1, first, last + 1


def _size(size: Any) -> tuple[int, int]:
    """Return (height, width) of a size that can be one of a picture."""
    if not (
        isinstance(size, list | tuple)
        and len(size) == 2
        and all(type(each) is int for each in size)
    ):
        raise ValueError(f"size is {_shown(size)}; wanted [height, width], two whole numbers")
    height, width = size
    if height < 1 or width < 1 or height * width > MOST_PIXELS:
        raise ValueError(f"size is {_shown(size)}: no picture has so few or so many pixels")
    return height, width


def _compressed(counts: list[Any], size: tuple[int, int]) -> Rle:
    """Return the compressed form of a list of integers; the library may pass over their sum."""
    try:
        return rle.from_uncompressed(counts, size)
    except (ValueError, RuntimeError, TypeError, OverflowError):
        _refuse_other_numbers(counts)
        raise _of_another_sum(counts, size) from None


def _refuse_other_numbers(counts: list[Any]) -> None:
    """Raise ValueError where a run is no integer from 0."""
    for place, run in enumerate(counts):
        if type(run) is not int:
            raise ValueError(
                f"run lengths are not whole numbers: {_shown(run)} stands at place {place}"
            )
        if run < 0:
            raise ValueError(f"a negative run: {_shown(run)} stands at place {place}")


def _of_string(counts: str, end: int) -> tuple[np.ndarray, int, int]:
    """Return the runs of a string, their sum, and the shortest of them.

    Args:
        end: pixels of the picture, by which text of start-length pairs is told from other text.
    """
    # Half a surrogate pair can stand in JSON.
    signs = np.frombuffer(counts.encode("utf-8", "surrogatepass"), np.uint8)
    runs, what, place, total, least = _decode(signs)
    if what == _FOREIGN:
        if re.fullmatch(r"\s*\d+([\s,;]+\d+)+\s*", counts):
            numbers = [int(each[:20]) for each in re.findall(r"\d+", counts)]
            told = "read as start-length pairs" if _are_pairs(numbers, end) else "a list as text"
            raise ValueError(
                f"run lengths are text of {len(numbers)} numbers ({told}); wanted a list or COCO's "
                "compressed string"
            )
        raise ValueError(
            f"the string of run lengths holds {counts[place]!a} at place {place}, which COCO's "
            "compressed form does not have"
        )
    if what == _LONG:
        raise ValueError(
            f"the string of run lengths holds a number of more than {MOST_SIGNS} signs, "
            f"up to place {place}"
        )
    if what == _NEGATIVE:
        raise ValueError(f"a negative run: number {place} of the string")
    if what == _CUT:
        raise ValueError("the string of run lengths was cut short within a number")
    return runs, total, least


@compiled()
def _decode(signs: np.ndarray) -> tuple[np.ndarray, int, int, int, int]:
    """Return runs, what was found, where, the sum of the runs, the shortest one.

    Five bits a sign, the sixth says that more follow; from the fourth number on each is the
    difference to the last but one. Compiled: in NumPy the check took longer than reading the mask
    (docs/log/datasets.md).
    """
    runs = np.empty(len(signs), np.int64)
    value = np.int64(0)
    n, shift, total, least = 0, 0, 0, MOST_PIXELS
    for place in range(len(signs)):
        bits = np.int64(signs[place]) - 48
        if bits < 0 or bits > 63:
            return runs[:n], _FOREIGN, place, total, least
        if shift == 5 * MOST_SIGNS:
            return runs[:n], _LONG, place, total, least
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        if n > 2:
            value += runs[n - 2]
        if value < 0:
            return runs[:n], _NEGATIVE, n, total, least
        least = min(least, int(value))
        runs[n] = value
        total += int(value)
        n, value, shift = n + 1, np.int64(0), 0
    if shift:
        return runs[:n], _CUT, len(signs), total, least
    return runs[:n], _FINE, len(signs), total, least


def _joined(runs: np.ndarray) -> list[int]:
    """Return runs of the same pixels of which none after the first has length 0."""
    kept, value = [0], 0
    for place, run in enumerate(runs.tolist()):
        if run and place % 2 != value:
            kept.append(run)
            value = 1 - value
        else:
            kept[-1] += run
    return kept


def _of_another_sum(runs: list[int], size: tuple[int, int]) -> ValueError:
    """Return the error of runs that do not cover their picture, with what they may be."""
    height, width = size
    total, wanted = sum(runs), height * width
    guess = ""
    if _are_pairs(runs, wanted):
        guess = " (they read as start-length pairs)"
    elif len(runs) % 2 == 0 and 0 < total < wanted:
        guess = " (is the last run left out?)"
    return ValueError(
        f"run lengths sum to {_shown(total)}, a picture of {width} x {height} has {wanted} "
        f"pixels{guess}"
    )


def _are_pairs(numbers: list[int], end: int) -> bool:
    """Return whether numbers read as starts and lengths: each starts behind the end of the last.

    Args:
        end: pixels of the picture; starts may count from 1.
    """
    if len(numbers) < 4 or len(numbers) % 2:
        return False
    starts, lengths = numbers[::2], numbers[1::2]
    ends = [start + length for start, length in zip(starts, lengths, strict=True)]
    return (
        all(lengths)
        and ends[-1] <= end + 1
        and all(start >= last for start, last in zip(starts[1:], ends[:-1], strict=True))
    )


def _shown(value: Any) -> str:
    """Return a value of a file in few letters."""
    text = ascii(value) if not isinstance(value, list) else ascii(value[:6])
    return text if len(text) <= 60 else text[:57] + "..."
