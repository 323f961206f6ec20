"""Opened pictures: a file with its header read, and every fault of it as a PictureError.

In:       a path; a file in one of the formats of formats.py, told by content
Out:      Opened: by Pillow, or a TIFF's pages where Pillow would read them wrong or not at all
"""

from __future__ import annotations

import re
import stat
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BufferedReader
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from maskdistill.errors import PictureError
from maskdistill.pictures import pages, tiff, tiff_samples
from maskdistill.pictures.formats import decoded, of_file
from maskdistill.pictures.orientation import stored_turn

DEEP_GREY = frozenset({"I;16", "I;16B", "I;16L", "I;16N", "I", "F"})  # of Pillow's modes
# Of Pillow's raw modes of 16-bit colours: that which gives the low bytes in place of the high ones.
LOW_BYTES = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}
_PILLOW = re.compile(r"PIL\.")


@dataclass
class Opened:
    """A picture file with its header read.

    Attributes:
        picture: Pillow's, at the page; None: a TIFF whose samples are read by tiff_samples.py.
        page: of a TIFF its directory.
        bands: chosen bands of a TIFF that has several, from 0; None: none are.
        pages: of a TIFF, all of them.
        is_deep: a sample has more than 8 bits, a sign or a fraction.
    """

    path: Path
    file: BufferedReader
    max_megapixels: float
    picture: Image.Image | None = None
    page: tiff.Directory | None = None
    bands: tuple[int, ...] | None = None
    pages: Sequence[tiff.Directory] = ()
    is_deep: bool = False

    @cached_property
    def frames(self) -> list[int]:
        """Return the frames of Pillow's picture that are pages."""
        return [0] if self.picture is None else pages.frames(self.picture)

    @property
    def n_pages(self) -> int:
        """Return the number of pages of the file, at least 1."""
        return len(self.pages) or len(self.frames)

    @property
    def stored_size(self) -> tuple[int, int]:
        """Return (width, height) as they lie in the file; of a TIFF Pillow gives turned ones."""
        if self.page is not None:
            return self.page.width, self.page.height
        assert self.picture is not None
        return self.picture.size

    def turn(self) -> int:
        """Return the orientation that the page states, 1 to 8."""
        if self.page is not None:
            return self.page.turn
        assert self.picture is not None
        return stored_turn(self.picture, self.file)

    def to_page(self, number: int) -> None:
        """Go to a page of a format other than TIFF, which goes there when it is opened.

        Raises:
            PictureError: there is none of this number, or it is too large.
        """
        if number == 1:
            return
        assert self.picture is not None
        if number > len(self.frames):
            raise _no_page(self.path, number, len(self.frames))
        try:
            self.picture.seek(self.frames[number - 1])
        except Exception as error:  # Pillow's parsers raise whatever they stumble on
            raise PictureError(
                f"{self.path}: page {number} cannot be decoded: {error or type(error).__name__}. "
                "The file is damaged or cut short"
            ) from error
        check_size(self.path, self.picture.size, self.max_megapixels)


@contextmanager
def opened(
    path: Path,
    max_megapixels: float,
    *,
    page: int = 1,
    levels_matter: bool = False,
    bands: Sequence[int] | None = None,
) -> Iterator[Opened]:
    """Open a picture, its header read, and its file, at a page.

    Args:
        path: of the file.
        max_megapixels: above which a picture is refused.
        page: from 1.
        levels_matter: it is not to be seen at its full range.
        bands: of a TIFF with several samples a pixel those to be shown, from 1.
    Raises:
        PictureError: in place of whatever Pillow raises, in the caller's block too.
    """
    _quiet()
    try:
        with _regular(path) as file:
            is_tiff = tiff.is_tiff(file.read(4))
            file.seek(0)
            if is_tiff:
                with _tiff(path, file, max_megapixels, page, levels_matter, bands) as found:
                    yield found
                return
            picture = Image.open(file, formats=of_file(path, file))
            check_size(path, picture.size, max_megapixels)
            with picture:
                found = Opened(path, file, max_megapixels, picture, is_deep=_is_deep(picture))
                found.to_page(page)
                yield found
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError(
            f"{path}: not a picture in a format that is read here ({', '.join(decoded())}, HEIC), "
            "or its first bytes are damaged"
        ) from None
    except Image.DecompressionBombError as error:
        raise PictureError(
            f"{path}: too large: {error}. Pillow's own limit holds whatever max_megapixels says: "
            "make it smaller"
        ) from error
    except MemoryError as error:
        raise PictureError(
            f"{path}: not enough memory to decode it. Make it smaller, or lower workers"
        ) from error
    except Exception as error:
        # Pillow's parsers raise whatever they stumble on: OSError, SyntaxError, struct.error, ...
        reason = str(error) or type(error).__name__
        raise PictureError(
            f"{path}: cannot be decoded: {reason}. The file is damaged or cut short"
        ) from error


@contextmanager
def _tiff(
    path: Path,
    file: BufferedReader,
    max_megapixels: float,
    number: int,
    levels_matter: bool,
    bands: Sequence[int] | None,
) -> Iterator[Opened]:
    """Open a TIFF: by Pillow where that reads it right, else by its directory alone."""
    found = tiff.pages(file)
    if number > len(found):
        raise _no_page(path, number, len(found))
    page = found[number - 1]
    check_size(path, (page.width, page.height), max_megapixels)
    chosen = checked_bands(path, page, bands)
    whole = Opened(path, file, max_megapixels, None, page, chosen, found, page.is_deep)
    if chosen is None and page.is_plain(levels_matter=levels_matter):
        try:
            picture = Image.open(file, formats=("TIFF",))
        except UnidentifiedImageError:
            if page.photometric not in tiff.MEASURED:
                raise
        else:
            with picture:
                if page.index:
                    picture.seek(page.index)
                whole.picture = picture
                yield whole
            return
    tiff_samples.check(path, file, page)
    yield whole


def _is_deep(picture: Image.Image) -> bool:
    """Return whether an opened picture, not a TIFF, has samples of more than 8 bits."""
    raw_modes = (str(part.args) for part in picture.tile)  # type: ignore[attr-defined]
    return picture.mode in DEEP_GREY or (
        picture.format == "PNG" and any(raw_mode in LOW_BYTES for raw_mode in raw_modes)
    )


def checked_bands(
    path: Path, page: tiff.Directory, bands: Sequence[int] | None
) -> tuple[int, ...] | None:
    """Return the bands of a page that are chosen, from 0.

    None of a page that has a single one, or inks, a palette, luma and chroma.

    Raises:
        PictureError: a band that it has not; more than four bands, and none are chosen.
    """
    if bands is None:
        if page.is_multispectral:
            raise PictureError(
                f"{path}: has {page.n_bands} bands. Say which are red, green and blue, counted "
                "from 1: --bands 3,2,1, or one to be seen as a grey: --bands 4"
            )
        return None
    if page.n_bands == 1 or page.photometric not in tiff.MEASURED:
        return None
    if max(bands) > page.n_bands:
        raise PictureError(
            f"{path}: has {page.n_bands} bands, and bands asks for number {max(bands)}"
        )
    return tuple(band - 1 for band in bands)


def check_size(path: Path, size: tuple[int, int], max_megapixels: float) -> None:
    """Raise PictureError for a picture (width, height) above so many megapixels, or without any."""
    width, height = size
    if width < 1 or height < 1:
        raise PictureError(f"{path}: has no pixel ({width} x {height})")
    megapixels = width * height / 1e6
    if megapixels > max_megapixels:
        raise PictureError(
            f"{path}: {megapixels:.1f} megapixels, above max_megapixels {max_megapixels:g}. "
            "Make it smaller or raise the setting"
        )


def _no_page(path: Path, number: int, n_pages: int) -> PictureError:
    return PictureError(
        f"{path}: page {number} is not there, it has {n_pages}. Put it back, or scan again: "
        "--from scan"
    )


def _regular(path: Path) -> BufferedReader:
    """Return a file, open for reading; a pipe or device named .jpg would block for ever.

    Raises:
        PictureError: not a regular file, empty, or one that cannot be opened.
    """
    try:
        state = Path(path).stat()
        if not stat.S_ISREG(state.st_mode):
            raise PictureError(f"{path}: not a regular file")
        if state.st_size == 0:
            raise PictureError(f"{path}: empty (0 bytes)")
        return Path(path).open("rb")
    except OSError as error:
        raise PictureError(f"{path}: cannot be read: {error.strerror or error}") from error


def _quiet() -> None:
    """Ignore, from now on, what Pillow itself warns of: odd metadata, files that `read` refuses.

    Not `catch_warnings`: it swaps a list of the whole process, and threads that decode side by side
    would leave each other's behind.
    """
    if not any(entry[0] == "ignore" and entry[3] == _PILLOW for entry in warnings.filters):
        warnings.filterwarnings("ignore", module=_PILLOW.pattern)
