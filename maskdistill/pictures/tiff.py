"""TIFF directories: what each page of a file says of its samples, and how they lie in the file.

In:       a file that begins as a TIFF or BigTIFF does
Out:      Directory of each page; pixels are not decoded (tiff_samples.py)
Source:   TIFF 6.0 (Adobe, 1992), sections 2, 8, 15, 18, 19
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2

HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2  # PhotometricInterpretation
MEASURED = (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB)  # each sample is a brightness of its own
_CORELS_ALPHA = 999  # that Corel Draw writes for a fourth band that is alpha; Pillow reads it so
_SMALLER_OR_MASK = 0b101  # NewSubfileType: a reduced resolution (pyramid, thumbnail), a mask
_MOST_PAGES = 1_000_000
_KINDS = {1: "u", 2: "i", 3: "f", 4: "u"}  # SampleFormat; 4: undefined


@dataclass(frozen=True)
class Directory:
    """One picture of a TIFF, as its tags describe it.

    Attributes:
        index: its place in the file's chain of directories, from 0.
        order: `<` or `>`, of the file's bytes.
        bits: of each sample of a pixel. formats: SampleFormat of each.
        photometric, compression, predictor, planar: as the tags of these names.
        extra: ExtraSamples; empty where the file has none.
        turn: Orientation, 1 to 8.
        tags: all tags, by number.
    """

    index: int
    order: str
    width: int
    height: int
    bits: tuple[int, ...]
    formats: tuple[int, ...]
    photometric: int
    compression: int
    predictor: int
    planar: int
    extra: tuple[int, ...]
    turn: int
    tags: Mapping[int, Any]

    @property
    def n_bands(self) -> int:
        """Return the number of samples of a pixel."""
        return len(self.bits)

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """Return the type of a sample in the file's byte order; None where numpy has none."""
        kind = _KINDS.get(self.formats[0])
        if len(set(self.bits)) > 1 or len(set(self.formats)) > 1 or kind is None:
            return None
        if self.bits[0] not in ((16, 32, 64) if kind == "f" else (8, 16, 32, 64)):
            return None
        return np.dtype(f"{self.order}{kind}{self.bits[0] // 8}")

    @property
    def is_deep(self) -> bool:
        """Return whether a sample has more than 8 bits, a sign or a fraction."""
        return max(self.bits) > 8 or bool(set(self.formats) - {1, 4})

    @property
    def has_alpha(self) -> bool:
        """Return whether the sample behind the colours is said to be alpha."""
        n_colours = self.n_bands - len(self.extra)
        return self.extra[:1] in ((1,), (2,), (_CORELS_ALPHA,)) and n_colours in (1, 3)

    @property
    def n_shown(self) -> int:
        """Return how many bands are shown where none are chosen: 1 as a grey, 3 as colours."""
        return 3 if self.n_bands >= 3 else 1

    @property
    def n_unused(self) -> int:
        """Return how many bands are neither shown nor alpha."""
        if self.photometric not in MEASURED:
            return 0
        return max(0, self.n_bands - self.n_shown - self.has_alpha)

    @property
    def is_multispectral(self) -> bool:
        """Return whether there are more bands than colours and alpha can be."""
        return self.n_bands > 4 and self.photometric in MEASURED

    def is_plain(self, *, levels_matter: bool) -> bool:
        """Return whether Pillow's own reading of the picture is the right one.

        It takes a fourth band of no stated kind for alpha and signed bytes for unsigned ones, does
        not turn greys of more than 8 bits whose white is zero, and cuts colours to 8 bits.

        Args:
            levels_matter: the picture is not to be seen at its full range.
        """
        if self.photometric not in MEASURED:
            return True
        if self.n_bands > self.n_shown and not self.has_alpha:
            return False
        if not self.is_deep:
            return True
        is_colour = self.photometric == RGB and self.planar == 1 and set(self.bits) == {16}
        return is_colour and set(self.formats) <= {1, 4} and not levels_matter


def is_tiff(head: bytes) -> bool:
    """Return whether a file's first 4 bytes are those of a TIFF."""
    return head[:4] in HEADS


def pages(file: BinaryIO) -> list[Directory]:
    """Return the pages of a TIFF: the first picture, and all that do not show another one again.

    Pyramids, thumbnails and transparency masks are no pages. A damaged directory ends the list.

    Args:
        file: its position is kept.
    Raises:
        Exception: whatever Pillow's parser raises for a first directory that is damaged.
    """
    position = file.tell()
    try:
        return _pages(file)
    finally:
        file.seek(position)


def _pages(file: BinaryIO) -> list[Directory]:
    file.seek(0)
    head = file.read(8)
    if head[2:4] in (b"+\0", b"\0+"):
        head += file.read(8)
    directory = ImageFileDirectory_v2(head)
    order = "<" if head[:2] == b"II" else ">"
    found: list[Directory] = []
    seen: set[int] = set()
    index = 0
    while (offset := directory.next) and offset not in seen and index < _MOST_PAGES:
        seen.add(offset)
        try:
            file.seek(offset)
            directory.load(file)
            tags = dict(directory)
            if not found or not int(tags.get(254, 0)) & _SMALLER_OR_MASK:
                found.append(_described(tags, index, order))
        except Exception:
            if not found:
                raise
            break
        index += 1
    if not found:
        raise ValueError("holds no picture")
    return found


def _described(tags: Mapping[int, Any], index: int, order: str) -> Directory:
    n_bands = int(tags.get(277, 1))
    if not 1 <= n_bands <= 65535:
        raise ValueError(f"{n_bands} samples a pixel")
    turn = int(tags.get(274, 1))
    return Directory(
        index=index,
        order=order,
        width=int(tags[256]),
        height=int(tags[257]),
        bits=_of_each(tags.get(258, 1), n_bands),
        formats=_of_each(tags.get(339, 1), n_bands),
        photometric=int(tags.get(262, 0)),
        compression=int(tags.get(259, 1)),
        predictor=int(tags.get(317, 1)),
        planar=int(tags.get(284, 1)),
        extra=numbers(tags.get(338, ())),
        turn=turn if turn in range(1, 9) else 1,
        tags=tags,
    )


def numbers(value: Any) -> tuple[int, ...]:
    """Return a tag's value, which Pillow gives bare where it is one, as integers."""
    return tuple(int(each) for each in (value if isinstance(value, tuple) else (value,)))


def _of_each(value: Any, n_bands: int) -> tuple[int, ...]:
    """Return a value a sample; some writers give one for all."""
    found = numbers(value)
    if len(found) == n_bands:
        return found
    if not found:
        raise ValueError("a tag without a value")
    return (found[0],) * n_bands
