"""Palettes of label maps: whether a number has one colour throughout, or that of VOC.

An editor that saves a palette map again may number its colours anew, a file at a time. The numbers
are then of other classes, and the colours alone tell it.

In:       the palette of each map, and which of its numbers have pixels
Out:      sentences; numbers are read as they stand
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from maskdistill.datasets.findings import Findings
from maskdistill.datasets.label_maps import voc_colours
from maskdistill.datasets.label_maps.map_files import VOID, Reading

Colour = tuple[int, ...]

RENUMBERED = (
    "{n} of {maps} label maps give VOC's colours other numbers than {whose}, as an editor leaves "
    "them that numbers a palette anew; they are read by number. By colour: {by_colour}"
)
OTHERS = (
    "{n} of {maps} label maps give a number another colour than {whose}; they are read by number. "
    "Look whether the numbers are those of the classes"
)


class Palettes:
    """Compare the palettes of label maps with one another, or with VOC's.

    Args:
        voc: with VOC's; else each number with its colour in the first map that has it.
        renumbered_alone: tell maps in VOC's colours under other numbers, and not those in colours
            of their own, as predictions may have.
    """

    def __init__(self, *, voc: bool = False, renumbered_alone: bool = False) -> None:
        self.voc, self.renumbered_alone = voc, renumbered_alone
        self._colour_of: dict[int, Colour] = (
            dict(enumerate(_colours(voc_colours.PALETTE))) if voc else {}
        )
        self._findings = Findings()
        # The palette before, and which of its numbers were looked at and not odd: most folders have
        # one palette throughout.
        self._last: np.ndarray | None = None
        self._agree = np.zeros(256, bool)

    def look(self, key: str, palette: np.ndarray, stored: np.ndarray) -> None:
        """Compare the palette of a map.

        Args:
            palette: (n, 3) uint8 RGB. stored: (256,) pixels of each number; those of no colour in
                the palette are passed over, and 255, whose colour is anybody's.
        """
        held = np.flatnonzero(stored[: min(len(palette), VOID)])
        if palette is not self._last:
            self._last = palette
            self._agree[:] = False
        if self._agree[held].all():
            return
        used = held.tolist()
        if (palette[used] == np.array(used, np.uint8).reshape(-1, 1)).all():  # grey, as it stands
            return
        colours = dict(zip(used, _colours(palette[used]), strict=True))
        odd = {
            number: colour
            for number, colour in colours.items()
            if self._colour_of.setdefault(number, colour) != colour
        }
        if not odd:
            self._agree[held] = True
            return
        _, strange = voc_colours.numbers(palette[used])
        if not strange.any() and len(set(colours.values())) == len(used):
            self._findings.add(RENUMBERED, f"{key} ({self._first(odd)})")
        elif not self.renumbered_alone:
            self._findings.add(OTHERS, f"{key} ({self._first(odd)})")

    def sentences(self, maps: int, reading: Reading) -> list[str]:
        """Return what to tell of so many maps."""
        return self._findings.sentences(
            maps=maps,
            whose="VOC" if self.voc else "an earlier map",
            by_colour=reading.named("label_values", "voc_colours"),
        )

    def _first(self, odd: Mapping[int, Colour]) -> str:
        number, colour = next(iter(odd.items()))
        return f"{number} is {colour}, there {self._colour_of[number]}"


def _colours(palette: np.ndarray) -> list[Colour]:
    return [tuple(colour) for colour in palette.tolist()]
