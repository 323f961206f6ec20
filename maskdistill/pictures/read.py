"""One picture file to an RGB array, whatever its format, mode or orientation, or PictureError.

In:       a path; a file in one of the formats of formats.py, told by content
Out:      probe: sizes and content hash without decoding (Probe); read: (H, W, 3) uint8
Differs:  transparent pixels are laid on white; of an animation or a file of pages the first one is
          taken, or that of a number; colour profiles are not applied; how more than 8 bits become
          8: levels.py
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from maskdistill.errors import PictureError
from maskdistill.pictures.levels import FULL, STRETCH
from maskdistill.pictures.opened import Opened, opened
from maskdistill.pictures.orientation import TURNED_BACK, TURNED_SIDES, turned
from maskdistill.pictures.shown import Levels, eight_bits, rgb, samples


@dataclass(frozen=True)
class Probe:
    """Describe a picture file.

    Attributes:
        width: in px, after turning by `orientation`.
        height: in px, likewise.
        orientation: the turn that was applied, 1 to 8 as in EXIF; 1 for a file taken as stored.
        bytes: size of the file.
        sha256: of the file's content, in hexadecimal.
        pages: pictures that the file holds; at least 1.
        is_deep: a sample has more than 8 bits, a sign or a fraction.
        n_unused: bands that are neither shown nor alpha, where none were chosen.
    """

    width: int
    height: int
    orientation: int
    bytes: int
    sha256: str
    pages: int = 1
    is_deep: bool = False
    n_unused: int = 0


def probe(
    path: Path,
    *,
    max_megapixels: float = 100.0,
    orientation: str = "exif",
    bands: Sequence[int] | None = None,
) -> Probe:
    """Return size and content hash of a picture without decoding its pixels.

    Pixels that are cut short are found by `read`.

    Args:
        path: of the file.
        max_megapixels: above which a picture is refused.
        orientation: `exif` turns the picture as its tag says, `stored` leaves it as it lies in the
            file.
        bands: of a TIFF with several samples a pixel those to be shown, from 1: three, as red,
            green and blue, or one as a grey. None: the first ones, and a TIFF with more than four
            is refused. Other pictures are read as they are.
    Raises:
        PictureError: not a picture, too large, or unreadable; its text names the file and the
            reason.
        ValueError: another orientation.
    """
    _check_orientation(orientation)
    with opened(path, max_megapixels, bands=bands) as source:
        return _hashed(source, _probed(source, orientation))


def probe_pages(
    path: Path,
    *,
    max_megapixels: float = 100.0,
    orientation: str = "exif",
    bands: Sequence[int] | None = None,
) -> list[Probe | PictureError]:
    """Return what `probe` does of each page of a file, or the PictureError that it raises for it.

    Returns:
        At least one entry, a Probe or an error a page.
    Raises:
        PictureError: the file itself cannot be opened, or its first page.
        ValueError: as `probe`.
    """
    _check_orientation(orientation)
    found: list[Probe | PictureError] = []
    with opened(path, max_megapixels, bands=bands) as source:
        first = _hashed(source, _probed(source, orientation))
        found.append(first)
        if source.page is None:
            is_alike = source.picture is not None and source.picture.format != "MPO"
            for number in range(2, first.pages + 1):
                if is_alike:  # frames of an animation are of one size; going there decodes them
                    found.append(first)
                    continue
                try:
                    source.to_page(number)
                    found.append(_of_file(first, _probed(source, orientation)))
                except PictureError as error:
                    found.append(error)
            return found
    for number in range(2, first.pages + 1):
        try:
            with opened(path, max_megapixels, page=number, bands=bands) as source:
                found.append(_of_file(first, _probed(source, orientation)))
        except PictureError as error:
            found.append(error)
    return found


def header(
    path: Path, *, max_megapixels: float = 100.0, bands: Sequence[int] | None = None
) -> tuple[int, bool]:
    """Return how many pages a file has, and whether its first one has more than 8 bits.

    Returns:
        (1, False) of a file that cannot be read: whoever needs its pixels will say so.
    """
    try:
        with opened(path, max_megapixels, bands=bands) as source:
            return source.n_pages, source.is_deep
    except PictureError:
        return 1, False


def read(
    path: Path,
    *,
    orientation: str = "exif",
    max_megapixels: float = 100.0,
    levels: Levels = FULL,
    bands: Sequence[int] | None = None,
    page: int = 1,
) -> np.ndarray:
    """Return the pixels of a picture file.

    Args:
        path: of the file; the others as in `probe`.
        levels: of samples of more than 8 bits and of chosen bands: `full`, the range of their type;
            `stretch`, from the 0.1 to the 99.9 percentile of the picture; or (black, white), of
            each chosen band or of all, as `limits_of` of many pictures gives them. A picture of 8
            bits stays as it is.
        page: of a file of several, from 1.
    Returns:
        (H, W, 3) uint8 RGB, contiguous; H and W are those of `probe` with the same arguments.
    Raises:
        PictureError: as `probe`, and where the pixels are damaged or cut short, or there is no such
            page.
        ValueError: as `probe`; other levels.
    """
    _check_orientation(orientation)
    check_levels(levels)
    matter = levels != FULL
    with opened(path, max_megapixels, page=page, levels_matter=matter, bands=bands) as source:
        turn = source.turn()
        made = rgb(source, levels)
        if source.page is not None and source.picture is not None:
            # Pillow turns TIFFs while it decodes, and no others.
            turn = TURNED_BACK[turn] if orientation == "stored" else 1
        elif orientation == "stored":
            turn = 1
        return turned(made, turn)


def grey_levels(
    path: Path,
    *,
    max_megapixels: float = 100.0,
    bands: Sequence[int] | None = None,
    page: int = 1,
) -> tuple[int, int]:
    """Return how many of the 256 levels a deep picture uses, at full range and stretched.

    Args:
        path: of the file; the others as in `read`.
    Returns:
        (at full range, stretched); (256, 256) of a picture of 8 bits.
    Raises:
        PictureError: as `read`.
    """
    with opened(path, max_megapixels, page=page, levels_matter=True, bands=bands) as source:
        found = samples(source)
        if found is None:
            return 256, 256
        found = replace(found, alpha=None)
        full, stretched = (
            np.count_nonzero(np.bincount(eight_bits(found, wanted).ravel(), minlength=256))
            for wanted in (FULL, STRETCH)
        )
        return int(full), int(stretched)


def sampled(
    path: Path,
    *,
    most: int,
    max_megapixels: float = 100.0,
    bands: Sequence[int] | None = None,
    page: int = 1,
) -> np.ndarray | None:
    """Return pixels of a deep picture, evenly spread over it, for the levels of a whole set.

    Args:
        path: of the file; the others as in `read`.
        most: pixels that are taken about, at least 1; all of a picture that has no more.
    Returns:
        (n, 1) values of all its bands, or (n, bands) where bands are chosen; None of a picture of 8
        bits.
    Raises:
        PictureError: as `read`.
    """
    with opened(path, max_megapixels, page=page, levels_matter=True, bands=bands) as source:
        found = samples(source)
        if found is None or (found.bits == 8 and not found.each_band):
            return None
        height, width, n_bands = found.values.shape
        stride = -(-height * width // most)
        while np.gcd(stride, width) > 1:  # else whole columns would be passed over
            stride += 1
        values = found.values.reshape(height * width, n_bands)[::stride]
        return np.array(values if found.each_band else values.reshape(-1, 1))


def as_rgb(
    picture: np.ndarray | str | Path,
    *,
    orientation: str = "exif",
    max_megapixels: float = 100.0,
    levels: Levels = FULL,
    bands: Sequence[int] | None = None,
) -> np.ndarray:
    """Return a picture that was given as an array or as a file.

    Args:
        picture: (H, W, 3) uint8, taken as it is, or a path, read by `read`; the others as there.
    Returns:
        (H, W, 3) uint8 RGB with at least one pixel.
    Raises:
        PictureError: the file cannot be read.
        ValueError: an array of another shape or dtype.
        TypeError: neither an array nor a path.
    """
    if isinstance(picture, str | Path):
        return read(
            Path(picture),
            orientation=orientation,
            max_megapixels=max_megapixels,
            levels=levels,
            bands=bands,
        )
    if not isinstance(picture, np.ndarray):
        raise TypeError(
            f"picture: wanted (H, W, 3) uint8 RGB or a file, found {type(picture).__name__}. "
            "Of an image of Pillow's: numpy.asarray(image.convert('RGB'))"
        )
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        raise ValueError(
            f"picture: wanted (H, W, 3) uint8 with a pixel, found {picture.shape} {picture.dtype}"
        )
    return picture


def check_levels(levels: Levels) -> None:
    """Raise ValueError unless `full`, `stretch` or pairs of numbers."""
    if isinstance(levels, str) and levels not in (FULL, STRETCH):
        raise ValueError(f"levels must be full, stretch or limits, got {levels!r}")


def _probed(source: Opened, orientation: str) -> Probe:
    """Return what an opened page's header says; bytes and hash are still to come."""
    turn = 1 if orientation == "stored" else source.turn()
    width, height = source.stored_size
    if turn in TURNED_SIDES:
        width, height = height, width
    unused = source.page.n_unused if source.page is not None and source.bands is None else 0
    return Probe(
        width=width,
        height=height,
        orientation=turn,
        bytes=0,
        sha256="",
        is_deep=source.is_deep,
        n_unused=unused,
    )


def _hashed(source: Opened, seen: Probe) -> Probe:
    """Return what was seen of a first page, with what is of the whole file."""
    source.file.seek(0)
    sha256 = hashlib.file_digest(source.file, "sha256").hexdigest()
    n_bytes = source.file.tell()
    # Last: the picture stands elsewhere afterwards.
    return replace(seen, sha256=sha256, bytes=n_bytes, pages=source.n_pages)


def _of_file(first: Probe, seen: Probe) -> Probe:
    return replace(seen, sha256=first.sha256, bytes=first.bytes, pages=first.pages)


def _check_orientation(orientation: str) -> None:
    """Raise ValueError unless one of the two words."""
    if orientation not in ("exif", "stored"):
        raise ValueError(f"orientation must be exif or stored, got {orientation!r}")
