"""Ranges: declared beside each number of the settings, checked when settings are made; nan fails.

    min_score: Annotated[float, Range(0, 1)] = 0.9

In:       an instance of a dataclass of settings whose fields carry Range
Out:      nothing, or ValueError with the setting, its range and the value
Differs:  pydantic's Field and its annotations are passed over by tyro, so the mark is ours; tyro
          and pydantic pass over it in turn
"""

import types
import typing
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Range:
    """Hold numbers from `low` to `high`, ends included unless they are open; None: no end.

    Attributes:
        why: the reason for the end, for the message; "" where it needs none.
    """

    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False
    why: str = ""

    def __contains__(self, value: float) -> bool:
        """Return whether a number lies in the range; nan lies in none that has an end."""
        low, high = self.low, self.high
        return (low is None or (value > low if self.low_open else value >= low)) and (
            high is None or (value < high if self.high_open else value <= high)
        )

    def __str__(self) -> str:
        """Return the words behind "must be": `in (0, 1]`, `at least 1`, `above 0`, `at most 9`."""
        why = f" ({self.why})" if self.why else ""
        if self.low is None:
            return f"{'below' if self.high_open else 'at most'} {self.high}{why}"
        if self.high is None:
            return f"{'above' if self.low_open else 'at least'} {self.low}{why}"
        opening, closing = "(" if self.low_open else "[", ")" if self.high_open else "]"
        return f"in {opening}{self.low}, {self.high}{closing}{why}"


def check_ranges(settings: Any, prefix: str = "") -> None:
    """Raise ValueError for the first number that lies outside a range declared for its field.

    Args:
        settings: an instance of a dataclass. None and words are passed over where the field may be
            one of them (`float | None`); of a tuple each entry has to lie in the range.
        prefix: the place of the dataclass in the tree, for the message (`propose.lost`).
    """
    kind: type = type(settings)
    for name, ranges in declared_ranges(kind).items():
        value = getattr(settings, name)
        if (value is None or isinstance(value, str)) and name in _of_several_types(kind):
            continue
        for number in value if isinstance(value, tuple | list) else (value,):
            for wanted in ranges:
                if number not in wanted:
                    place = f"{prefix}.{name}" if prefix else name
                    raise ValueError(f"{place} must be {wanted}, got {number}")


@cache
def declared_ranges(cls: type) -> dict[str, tuple[Range, ...]]:
    """Return the ranges of each field of a dataclass that has any: {field: (Range, ...)}."""
    hints = typing.get_type_hints(cls, include_extras=True)
    found = {
        name: tuple(mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Range))
        for name, hint in hints.items()
    }
    return {name: ranges for name, ranges in found.items() if ranges}


@cache
def _of_several_types(cls: type) -> frozenset[str]:
    hints = typing.get_type_hints(cls)
    return frozenset(
        name
        for name, hint in hints.items()
        if typing.get_origin(hint) in (types.UnionType, typing.Union)
    )
