"""TIFF samples: the numbers of a page as they lie in the file, whatever their type and number.

In:       an opened file and the Directory of a page
Out:      (H, W, bands) integers or floats
Differs:  strips and tiles of 8, 16, 32, 64 bits are read here, packed ones by Pillow's libtiff as
          if they were bytes; what is left is tried with Pillow, then with tifffile (extra `tiff`)
Source:   TIFF 6.0, sections 7 to 15; predictor 3: TIFF Technical Note 3 (Adobe, 2005)
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from maskdistill.errors import PictureError
from maskdistill.pictures.tiff import Directory, numbers

_NONE, _DEFLATE, _OF_LIBTIFF = 1, (8, 32946), (5, 32773, 34925, 50000)
_MOST_BYTES = 2**26  # that libtiff is handed at a time; Pillow refuses what looks like a bomb
_MOST_OF_A_PART = 2**31  # bytes of a strip or tile; more is a damaged tag
_GREYS = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")


def samples(path: Path, file: BinaryIO, page: Directory, bands: Sequence[int]) -> np.ndarray:
    """Return bands of a page as they are stored.

    Args:
        path: for tifffile and the error.
        bands: which, from 0, each below the page's number.
    Returns:
        (H, W, len(bands)) of the file's type, in the machine's byte order.
    Raises:
        PictureError: packed in a way that needs the extra `tiff`.
        Exception: whatever the decoders raise for a file that is damaged or cut short.
    """
    layout = _layout(page)
    if layout is not None:
        return _own(file, page, layout, bands)
    if page.n_bands == 1 and (found := _by_pillow(file, page)) is not None:
        return found[..., None]
    return _by_tifffile(path, page)[..., list(bands)]


def check(path: Path, file: BinaryIO, page: Directory) -> None:
    """Raise PictureError for a page that nothing here reads; its samples are not decoded."""
    if _layout(page) is None and not (page.n_bands == 1 and _has_mode(file, page)):
        _packages(path, page)


@dataclass(frozen=True)
class _Layout:
    """How the samples of a page are cut into strips or tiles.

    Attributes:
        rows, cols: of a part, px. down, across: parts of a plane.
        depth: samples of a pixel in a part. offsets, counts: bytes of each part, plane by plane.
    """

    dtype: np.dtype[Any]
    rows: int
    cols: int
    down: int
    across: int
    depth: int
    is_tiled: bool
    offsets: tuple[int, ...]
    counts: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        """Return the bytes of a row of a part."""
        return self.cols * self.depth * self.dtype.itemsize


def _layout(page: Directory) -> _Layout | None:
    """Return how a page lies in its file; None where it cannot be read here.

    Raises:
        ValueError: tags that cannot be.
    """
    dtype, tags = page.dtype, page.tags
    packings = (_NONE, *_DEFLATE, *_OF_LIBTIFF)
    if dtype is None or page.compression not in packings or int(tags.get(266, 1)) != 1:
        return None
    if page.predictor not in (1, 2) and not (page.predictor == 3 and dtype.kind == "f"):
        return None
    is_tiled = 324 in tags
    rows = int(tags[323]) if is_tiled else min(int(tags.get(278, page.height)), page.height)
    cols = int(tags[322]) if is_tiled else page.width
    if rows < 1 or cols < 1 or rows * cols * page.n_bands * dtype.itemsize > _MOST_OF_A_PART:
        raise ValueError(f"strips or tiles of {cols} x {rows} px")
    planes = page.n_bands if page.planar == 2 else 1
    down, across = -(-page.height // rows), -(-page.width // cols)
    depth = page.n_bands // planes
    offsets = numbers(tags[324 if is_tiled else 273])
    counts = tags.get(325 if is_tiled else 279)
    if counts is None and len(offsets) == 1 and page.compression == _NONE:
        counts = (rows * cols * depth * dtype.itemsize,)
    counts = numbers(counts)
    if not len(offsets) == len(counts) == planes * down * across:
        raise ValueError(
            f"{len(offsets)} strips or tiles, where {planes * down * across} are wanted"
        )
    return _Layout(dtype, rows, cols, down, across, depth, is_tiled, offsets, counts)


def _own(file: BinaryIO, page: Directory, layout: _Layout, bands: Sequence[int]) -> np.ndarray:
    """Return bands of a page whose parts can be unpacked here."""
    planes = list(bands) if page.planar == 2 else [0]
    shape = (page.height, page.width, len(planes) * layout.depth)
    whole = np.empty(shape, layout.dtype.newbyteorder("="))
    for at, plane in enumerate(planes):
        for number, content in enumerate(_unpacked(file, page, layout, plane)):
            row, col = (
                (number // layout.across) * layout.rows,
                (number % layout.across) * layout.cols,
            )
            part = _values(content, page, layout)[: page.height - row, : page.width - col]
            place = slice(at * layout.depth, (at + 1) * layout.depth)
            whole[row : row + part.shape[0], col : col + part.shape[1], place] = part
    return whole if page.planar == 2 else whole[..., list(bands)]


def _unpacked(
    file: BinaryIO, page: Directory, layout: _Layout, plane: int
) -> Iterator[bytes | bytearray]:
    """Yield the bytes of each part of a plane.

    Raises:
        ValueError: cut short.
    """
    per_plane = layout.down * layout.across
    parts = range(plane * per_plane, (plane + 1) * per_plane)
    # A strip at the lower edge holds the rows that are left, a tile is always whole.
    last = layout.rows if layout.is_tiled else page.height - layout.rows * (layout.down - 1)
    heights = [layout.rows] * (per_plane - 1) + [last]
    at_a_time = max(1, _MOST_BYTES // (layout.row_bytes * layout.rows))
    waiting: list[bytes] = []
    for number, rows in zip(parts, heights, strict=True):
        wanted = rows * layout.row_bytes
        file.seek(layout.offsets[number])
        packed = file.read(min(layout.counts[number], _MOST_OF_A_PART))
        if page.compression in _OF_LIBTIFF:
            waiting.append(packed)
            is_last = number == parts[-1]
            ends = is_last or len(waiting) == at_a_time
            if is_last and rows != layout.rows and len(waiting) > 1:
                yield from _by_libtiff(waiting[:-1], page, layout, layout.rows)
                waiting = waiting[-1:]
            if ends:
                yield from _by_libtiff(waiting, page, layout, rows)
                waiting = []
            continue
        if page.compression in _DEFLATE:
            packed = zlib.decompressobj().decompress(packed, wanted)
        if len(packed) < wanted:
            raise ValueError(f"a strip or tile of {len(packed)} bytes, where {wanted} are wanted")
        yield packed[:wanted]


def _by_libtiff(parts: list[bytes], page: Directory, layout: _Layout, rows: int) -> Iterator[bytes]:
    """Yield unpacked parts of equal height: to libtiff they are strips of a picture of bytes.

    So the samples may be of any type and number, also of those that Pillow has no mode for.
    """
    fields = {256: layout.row_bytes, 257: rows * len(parts), 258: 8, 259: page.compression}
    fields |= {262: 1, 277: 1, 278: rows}
    n_fields = len(fields) + 2
    tables = 8 + 2 + 12 * n_fields + 4
    starts, place = [], tables + 8 * len(parts)
    for part in parts:
        starts.append(place)
        place += len(part)
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items()]
    for tag, values, at in ((273, starts, tables), (279, [len(part) for part in parts], None)):
        at = tables + 4 * len(parts) if at is None else at
        entries.append(
            struct.pack("<HHII", tag, 4, len(parts), values[0] if len(parts) == 1 else at)
        )
    entries.sort(key=lambda entry: struct.unpack("<H", entry[:2]))
    content = io.BytesIO()
    content.write(b"II*\0" + struct.pack("<IH", 8, n_fields) + b"".join(entries) + bytes(4))
    content.write(np.array([*starts, *map(len, parts)], "<u4").tobytes())
    content.writelines(parts)
    content.seek(0)
    with Image.open(content, formats=("TIFF",)) as picture:
        whole = np.asarray(picture)
    for number in range(len(parts)):
        yield whole[number * rows : (number + 1) * rows].tobytes()


def _values(content: bytes | bytearray, page: Directory, layout: _Layout) -> np.ndarray:
    """Return an unpacked part as (rows, cols, depth), its predictor undone."""
    native = layout.dtype.newbyteorder("=")
    shape = (-1, layout.cols, layout.depth)
    if page.predictor == 3:
        # Bytes of a row: all the highest ones first, then the next; each the difference to the one
        # `depth` places before.
        lanes = np.frombuffer(content, np.uint8).reshape(
            -1, layout.row_bytes // layout.depth, layout.depth
        )
        summed = np.cumsum(lanes, axis=1, dtype=np.uint8).reshape(
            len(lanes), layout.dtype.itemsize, -1
        )
        found = np.ascontiguousarray(summed.swapaxes(1, 2)).view(layout.dtype.newbyteorder(">"))
        return found.astype(native).reshape(shape)
    found = np.frombuffer(content, layout.dtype).reshape(shape).astype(native, copy=False)
    if page.predictor == 2:
        whole = f"u{layout.dtype.itemsize}"
        return np.cumsum(found.view(whole), axis=1, dtype=whole).view(native)
    return found


def _by_pillow(file: BinaryIO, page: Directory) -> np.ndarray | None:
    """Return the (H, W) greys of a page that Pillow knows (12 bits); None where it does not."""
    if not _has_mode(file, page):
        return None
    with Image.open(file, formats=("TIFF",)) as picture:
        picture.seek(page.index)
        return np.array(picture)


def _has_mode(file: BinaryIO, page: Directory) -> bool:
    """Return whether Pillow has a deep grey mode for a page; nothing is decoded."""
    file.seek(0)
    try:
        picture = Image.open(file, formats=("TIFF",))
        picture.seek(page.index)
        return picture.mode in _GREYS
    except (UnidentifiedImageError, SyntaxError):
        return False
    finally:
        file.seek(0)


def _packages(path: Path, page: Directory) -> Any:
    """Return tifffile.

    Raises:
        PictureError: it is not there, or what it unpacks with.
    """
    try:
        import imagecodecs  # noqa: F401  what tifffile unpacks with
        import tifffile
    except ImportError:
        raise PictureError(
            f"{path}: {_what(page)}, as scientific tools write it, needs packages more: "
            "pip install 'maskdistill[tiff]' (tifffile and imagecodecs), then give the same "
            "command again (over a run with --from scan)"
        ) from None
    return tifffile


def _what(page: Directory) -> str:
    bits = "/".join(map(str, sorted(set(page.bits))))
    return f"a TIFF of {page.n_bands} x {bits} bits, compression {page.compression}"


def _by_tifffile(path: Path, page: Directory) -> np.ndarray:
    """Return all bands (H, W, bands) of a page by tifffile.

    Raises:
        PictureError: without the extra, or of a kind that it does not read either.
    """
    with _packages(path, page).TiffFile(path) as whole:
        found = np.asarray(whole.pages[page.index].asarray())
    if found.ndim == 2:
        found = found[..., None]
    elif page.planar == 2 and found.shape[0] == page.n_bands:
        found = np.moveaxis(found, 0, -1)
    if found.shape != (page.height, page.width, page.n_bands) or found.dtype.kind not in "uif":
        raise PictureError(
            f"{path}: {_what(page)}: is not read here. Save it as TIFF or PNG of 8 or 16 bits"
        )
    return found
