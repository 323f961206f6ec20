"""One picture file to an RGB array, whatever its format, mode or orientation, or PictureError.

In:       a path; a file in one of the formats of formats.py, told by content
Out:      probe: sizes and content hash without decoding (Probe); read: (H, W, 3) uint8
Differs:  transparent pixels are laid on white; of an animation or a file of pages the first one is
          taken; colour profiles are not applied; how deep greys become 8 bits: grey.py
"""

from __future__ import annotations

import hashlib
import re
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from maskdistill.errors import PictureError
from maskdistill.pictures.formats import decoded, of_file
from maskdistill.pictures.grey import eight_bits
from maskdistill.pictures.orientation import TURNED_BACK, TURNED_SIDES, stored_turn, turned
from maskdistill.pictures.pages import n_pages

_DEEP_GREY = frozenset({"I;16", "I;16B", "I;16L", "I;16N", "I", "F"})
_SIXTEEN = ("PNG", "PPM")  # whose greys of 32 bits were 16, white at 65535
_SEE_THROUGH = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})
_PILLOW = re.compile(r"PIL\.")


@dataclass(frozen=True)
class Probe:
    """Describe a picture file.

    Attributes:
        width: in px, after turning by `orientation`.
        height: in px, likewise.
        orientation: the turn that was applied, 1 to 8 as in EXIF; 1 for a file taken as stored.
        bytes: size of the file.
        sha256: of the file's content, in hexadecimal.
        pages: pictures that the file holds, of which the first alone is read; at least 1.
    """

    width: int
    height: int
    orientation: int
    bytes: int
    sha256: str
    pages: int = 1


def probe(path: Path, *, max_megapixels: float = 100.0, orientation: str = "exif") -> Probe:
    """Return size and content hash of a picture without decoding its pixels.

    Pixels that are cut short are found by `read`.

    Args:
        path: of the file.
        max_megapixels: above which a picture is refused.
        orientation: `exif` turns the picture as its tag says, `stored` leaves it as it lies in the
            file.
    Raises:
        PictureError: not a picture, too large, or unreadable; its text names the file and the
            reason.
        ValueError: another orientation.
    """
    _check_orientation(orientation)
    with _opened(path, max_megapixels) as (picture, file):
        turn = stored_turn(picture, file)
        width, height = _stored_size(picture)
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        n_bytes = file.tell()
        pages = n_pages(picture)  # last: the picture stands elsewhere afterwards
    if orientation == "stored":
        turn = 1
    if turn in TURNED_SIDES:
        width, height = height, width
    return Probe(
        width=width,
        height=height,
        orientation=turn,
        bytes=n_bytes,
        sha256=sha256,
        pages=pages,
    )


def read(path: Path, *, orientation: str = "exif", max_megapixels: float = 100.0) -> np.ndarray:
    """Return the pixels of a picture file.

    Args:
        path: of the file; the others as in `probe`.
    Returns:
        (H, W, 3) uint8 RGB, contiguous; H and W are those of `probe` with the same arguments.
    Raises:
        PictureError: as `probe`, and where the pixels are damaged or cut short.
        ValueError: as `probe`.
    """
    _check_orientation(orientation)
    with _opened(path, max_megapixels) as (picture, file):
        turn = stored_turn(picture, file)
        rgb = _rgb(picture)
        if picture.format == "TIFF":  # Pillow turns these while it decodes, and no others
            turn = TURNED_BACK[turn] if orientation == "stored" else 1
        elif orientation == "stored":
            turn = 1
        return turned(rgb, turn)


def as_rgb(
    picture: np.ndarray | str | Path, *, orientation: str = "exif", max_megapixels: float = 100.0
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
        return read(Path(picture), orientation=orientation, max_megapixels=max_megapixels)
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


def _rgb(picture: Image.Image) -> np.ndarray:
    """Return a picture of any of Pillow's modes as (H, W, 3) uint8."""
    picture.load()
    if picture.mode in _DEEP_GREY:
        bits = 16 if picture.mode.startswith("I;16") or picture.format in _SIXTEEN else None
        if picture.format == "TIFF" and bits is not None:
            # 12 bits come as 16; tag 258 says how many there are.
            bits = min(16, int(picture.tag_v2.get(258, (16,))[0]))  # type: ignore[attr-defined]
        return np.repeat(eight_bits(np.asarray(picture), bits=bits)[..., None], 3, axis=2)
    if picture.mode in _SEE_THROUGH or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return np.array(picture.convert("RGB"))


def _stored_size(picture: Image.Image) -> tuple[int, int]:
    """Return (width, height) as they lie in the file; of a TIFF Pillow gives the turned ones."""
    if picture.format == "TIFF":
        return int(picture.tag_v2[256]), int(picture.tag_v2[257])  # type: ignore[attr-defined]
    return picture.size


@contextmanager
def _opened(path: Path, max_megapixels: float) -> Iterator[tuple[Image.Image, BufferedReader]]:
    """Open a picture, its header read, and its file.

    Raises:
        PictureError: in place of whatever Pillow raises, in the caller's block too.
    """
    _quiet()
    try:
        with _regular(path) as file:
            picture = Image.open(file, formats=of_file(path, file))
            _check_size(path, picture, max_megapixels)
            with picture:
                yield picture, file
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


def _check_size(path: Path, picture: Image.Image, max_megapixels: float) -> None:
    """Raise PictureError for a picture above so many megapixels."""
    megapixels = picture.width * picture.height / 1e6
    if megapixels > max_megapixels:
        raise PictureError(
            f"{path}: {megapixels:.1f} megapixels, above max_megapixels {max_megapixels:g}. "
            "Make it smaller or raise the setting"
        )


def _check_orientation(orientation: str) -> None:
    """Raise ValueError unless one of the two words."""
    if orientation not in ("exif", "stored"):
        raise ValueError(f"orientation must be exif or stored, got {orientation!r}")


def _quiet() -> None:
    """Ignore, from now on, what Pillow itself warns of: odd metadata, files that `read` refuses.

    Not `catch_warnings`: it swaps a list of the whole process, and threads that decode side by side
    would leave each other's behind.
    """
    if not any(entry[0] == "ignore" and entry[3] == _PILLOW for entry in warnings.filters):
        warnings.filterwarnings("ignore", module=_PILLOW.pattern)
