"""One file of a label map of others: from its pixels to class numbers, or what is wrong with it.

In:       a PNG (palette, grey or, where asked for, colours); Reading
Out:      Decoded: (H, W) uint8, 0 background, 1 .. 254 classes, 255 not counted; FileError
Differs:  grey of 1, 2 or 4 bits a pixel is taken as the numbers that stand in the file: decoders
          of pictures spread them over 0 .. 255
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from maskdistill.datasets.label_maps import voc_colours
from maskdistill.datasets.label_maps.pixel_counts import pixels_of_each
from maskdistill.errors import listed, setting
from maskdistill.types import LabelValues

VOID = 255
WANTED = "A label map is a palette or grey PNG, 8 bit, of class numbers"
BANDS = {"L": 1, "LA": 1, "RGB": 3, "RGBA": 3}  # of colour, without the one of transparency
# How far Pillow spreads grey of few bits: 3 of 2 bits is 255, 15 of 4 bits too.
SPREAD = {"L;2": 85, "L;4": 17}
LOSSY = ("JPEG", "MPO", "JPEG2000")

FEW_BITS = (
    "{n} of {maps} label maps are grey of 2 or 4 bits a pixel: numbers are taken as they stand in "
    "the file, not spread over 0 to 255"
)
NOT_OPAQUE = "{n} of {maps} label maps are transparent in places: colours below that were read"
BY_SHADE = (
    "{n} of {maps} label maps have numbers that go against the black and white of their palette: "
    "white is read as class 1"
)

OWN_PALETTE = (
    "{n} of {maps} label maps have a palette of other colours than VOC's: they are read by number"
)


class FileError(ValueError):
    """A file that cannot be read as a label map; the message names it."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Say how the values of a file become class numbers.

    Attributes:
        values: indices: as they stand; two_valued: 0 is background, 255 (or 1) class 1;
            voc_colours: colours are VOC's, of palettes too, grey as it stands.
        void: the number whose pixels are not counted, beside 255, which is a class of `two_valued`
            alone.
        own_palettes: a palette of other colours than VOC's is the file's own, as predictions may
            have it: read by number, also by `voc_colours`.
        of_run: messages name settings of a run; else flags of `maskdistill score semantic`.
    """

    values: LabelValues = "indices"
    void: int = VOID
    own_palettes: bool = False
    of_run: bool = True

    def named(self, name: str, value: str) -> str:
        """Return a setting and a value for it, as messages name it."""
        if self.of_run:
            return setting(f"evaluate.{name}", value)
        return f"--{name.replace('_', '-')} {value}"

    @property
    def ignored(self) -> str:
        """Return the values of files that are not counted, in words: `255`, `254 and 255`."""
        values = [] if self.void == VOID else [str(self.void)]
        if self.values != "two_valued":
            values.append(str(VOID))
        return " and ".join(values) or "nothing"

    @property
    def void_words(self) -> str:
        """Return the words for pixels that are not counted: `void (255)`."""
        return f"void ({self.ignored})"

    @property
    def to_class(self) -> np.ndarray | None:
        """Return number -> class number, (256,) uint8; None: they are the same."""
        if self.values != "two_valued" and self.void == VOID:
            return None
        table = np.arange(256, dtype=np.uint8)
        if self.values == "two_valued":
            table[VOID] = 1
        if self.void != VOID:
            table[self.void] = VOID
        return table


NUMBERS = Reading()  # values as they stand, 255 void


class Decoded(NamedTuple):
    """A label map, and what stood in its file.

    Attributes:
        label_map: (H, W) uint8, writable. counts: pixels of each number of it, (256,) int64.
        stored: pixels of each number of the file, (256,) int64.
        palette: (n, 3) uint8 RGB of a map that was read by number; None: there is none.
        findings: kinds of what is odd.
    """

    label_map: np.ndarray
    counts: np.ndarray
    stored: np.ndarray
    palette: np.ndarray | None
    findings: list[str]


def size_of(path: Path) -> tuple[int, int]:
    """Return (height, width), px, of the head of a file; raise FileError where there is none."""
    with _opened(path) as picture:
        return picture.height, picture.width


def is_grey_jpeg(path: Path) -> bool:
    """Return whether a file is a picture of one band."""
    try:
        with _opened(path) as picture:
            return picture.mode == "L"
    except FileError:
        return False


def decoded(path: Path, reading: Reading) -> Decoded:
    """Decode a label map.

    Raises:
        FileError: no picture, a JPEG, another mode, values or colours that `reading` does not know.
    """
    findings: list[str] = []
    palette: np.ndarray | None = None
    with _opened(path) as picture:
        if picture.format in LOSSY:
            raise FileError(
                f"{path}: is a {picture.format}, which blurs class numbers into their neighbours. "
                "Save the map as PNG from where it was made"
            )
        if picture.mode in ("P", "L", "1"):
            numbers = _numbers(picture, findings)
            if picture.mode == "P":
                palette = _palette(bytes(picture.getpalette("RGB") or []))
        elif reading.values == "voc_colours" and picture.mode in ("RGB", "RGBA"):
            numbers = _of_colours(path, _bands(picture, findings))
        elif reading.values == "two_valued" and picture.mode in BANDS:
            numbers = _of_equal_bands(path, picture)
        else:
            raise FileError(_of_other_mode(path, picture, reading))
    stored = pixels_of_each(numbers)
    if reading.values == "voc_colours" and palette is not None:
        if reading.own_palettes and not _is_vocs(palette, stored):
            findings.append(OWN_PALETTE)
        else:
            numbers, stored = _by_palette(path, palette, numbers, stored)
        palette = None
    if reading.values == "two_valued":
        if palette is not None and not (reading.void != VOID and stored[reading.void]):
            numbers, stored = _by_shade(palette, numbers, stored, findings)
        palette = None
        _check_two_valued(path, stored, reading)
    counts, table = stored, reading.to_class
    if table is not None:
        numbers, counts = table[numbers], np.zeros(256, np.int64)
        np.add.at(counts, table, stored)
    return Decoded(numbers, counts, stored, palette, findings)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open a file; what Pillow raises, then and at decoding, becomes a FileError that names it."""
    try:
        # What Pillow warns of is in its words; of a damaged file it raises, too, or reads it.
        with warnings.catch_warnings(action="ignore"), Image.open(path) as picture:
            yield picture
    except FileError:
        raise
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        OverflowError,
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
    ) as error:
        raise FileError(f"{path}: cannot be read as a label map: {error}") from error


@lru_cache(maxsize=16)
def _palette(colours: bytes) -> np.ndarray:
    """Return the palette (n, 3) uint8 RGB, the same array for the same colours."""
    return np.frombuffer(colours, np.uint8).reshape(-1, 3)


def _numbers(picture: Image.Image, findings: list[str]) -> np.ndarray:
    """Return the numbers (H, W) uint8 of a palette or grey picture."""
    tiles = getattr(picture, "tile", None)  # how the file's rows are stored; of files alone
    spread = SPREAD.get(str(tiles[0][3]), 1) if tiles else 1
    numbers = np.array(picture, np.uint8)  # mode 1: 0 and 1
    if spread > 1:
        findings.append(FEW_BITS)
        numbers //= spread
    return numbers


def _bands(picture: Image.Image, findings: list[str]) -> np.ndarray:
    """Return (H, W, 3) uint8 of a picture in colours."""
    bands = np.array(picture, np.uint8)
    if bands.shape[2] == 4 and (bands[..., 3] < VOID).any():
        findings.append(NOT_OPAQUE)
    return bands[..., :3]


def _of_colours(path: Path, rgb: np.ndarray) -> np.ndarray:
    """Return VOC's numbers (H, W) uint8 of colours (H, W, 3) uint8."""
    numbers, strange = voc_colours.numbers(rgb)
    if strange.any():
        raise FileError(_strange(path, rgb[strange], np.ones(int(strange.sum()), np.int64)))
    return numbers


def _is_vocs(palette: np.ndarray, stored: np.ndarray) -> bool:
    """Return whether all numbers that have pixels have a colour of VOC's in a palette."""
    used = np.flatnonzero(stored)
    return bool(used[-1] < len(palette)) and not voc_colours.numbers(palette[used])[1].any()


def _by_palette(
    path: Path, palette: np.ndarray, numbers: np.ndarray, stored: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return VOC's numbers of a palette map by its colours, and the pixels of each."""
    used = np.flatnonzero(stored)
    if used[-1] >= len(palette):
        raise FileError(
            f"{path}: has the number {used[-1]}, its palette {len(palette)} colours, so that it "
            "cannot be read by colour"
        )
    meant, strange = voc_colours.numbers(palette)
    if strange[used].any():
        odd = used[strange[used]]
        raise FileError(_strange(path, palette[odd], stored[odd]))
    table = np.zeros(256, np.uint8)
    table[: len(meant)] = meant
    counts = np.zeros(256, np.int64)
    np.add.at(counts, table, stored)
    return table[numbers], counts


def _strange(path: Path, colours: np.ndarray, pixels: np.ndarray) -> str:
    """Return a sentence on colours (n, 3) that are none of VOC's, each of so many pixels."""
    each, which = np.unique(colours, axis=0, return_inverse=True)
    times = np.bincount(which.ravel(), weights=pixels).astype(np.int64)
    most = int(times.argmax())
    return (
        f"{path}: {times.sum()} pixels have {len(each)} colours that are none of VOC's, "
        f"{times[most]} of them {tuple(each[most].tolist())}. Edges that were smoothed, or a JPEG "
        "on the way, leave such colours: give the map as it was made"
    )


def _of_equal_bands(path: Path, picture: Image.Image) -> np.ndarray:
    """Return (H, W) uint8 of a grey picture that is stored in colours."""
    bands = np.array(picture, np.uint8)
    colours = BANDS[picture.mode]
    if bands.shape[2] > colours and (bands[..., colours:] < VOID).any():
        raise FileError(
            f"{path}: is transparent in places, so that its two values cannot be told. "
            "Save it as grey"
        )
    if not (bands[..., :colours] == bands[..., :1]).all():
        raise FileError(
            f"{path}: its mode is {picture.mode} and its colours are more than black and white. "
            f"{WANTED}"
        )
    return np.ascontiguousarray(bands[..., 0])


def _by_shade(
    palette: np.ndarray, numbers: np.ndarray, stored: np.ndarray, findings: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers and pixels of each; of a palette of black and white 0 and 255 by its shade."""
    used = np.flatnonzero(stored)
    if used[-1] >= len(palette):
        return numbers, stored
    shades = palette[used]
    if not np.isin(shades, (0, VOID)).all() or not (shades == shades[:, :1]).all():
        return numbers, stored
    by_number = np.where(used == 0, 0, np.where(np.isin(used, (1, VOID)), VOID, -1))
    if (by_number != shades[:, 0]).any():
        findings.append(BY_SHADE)
    table = np.zeros(256, np.uint8)
    table[used] = shades[:, 0]
    counts = np.zeros(256, np.int64)
    np.add.at(counts, table, stored)
    return table[numbers], counts


def _check_two_valued(path: Path, stored: np.ndarray, reading: Reading) -> None:
    held = [
        int(value) for value in np.flatnonzero(stored) if value != reading.void or value == VOID
    ]
    if set(held) <= {0, 1} or set(held) <= {0, VOID}:
        return
    others = [value for value in held if value not in (0, VOID)]
    pixels = int(stored[others].sum())
    raise FileError(
        f"{path}: is not of the two values 0 and 255 (or 0 and 1) alone: {pixels} pixels are "
        f"{listed(others)}. Edges that were smoothed, or a JPEG on the way, leave such values. "
        f"A third value that stands for unknown: {reading.named('void', 'VALUE')}"
    )


def _of_other_mode(path: Path, picture: Image.Image, reading: Reading) -> str:
    """Return a sentence on a picture whose mode holds no class numbers."""
    told = f"{path}: its mode is {picture.mode}"
    if picture.mode in ("RGB", "RGBA"):
        bands = np.array(picture, np.uint8)[..., :3]
        if (bands == bands[..., :1]).all():
            two = reading.named("label_values", "two_valued")
            return (
                f"{told}, its bands are equal. {WANTED}: save one band. "
                f"Masks of black and white: {two}"
            )
        by_colour = reading.named("label_values", "voc_colours")
        return (
            f"{told}, colours in place of class numbers. If they are those of VOC's palette: "
            f"{by_colour}. {WANTED}; ids of objects as colours (panoptic maps) are none"
        )
    if picture.mode.startswith("I"):
        return f"{told}, numbers of 16 bits. {WANTED}; ids of objects are none"
    return f"{told}. {WANTED}"
