"""One picture file to an RGB array, whatever its format, mode or orientation; or PictureError with the reason.

Transparent pixels are laid on white, 16-bit values are scaled to 8 bits, of an animation the first frame is taken.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from maskdistill.errors import PictureError

_EXIF_ORIENTATION = 0x0112
_TURNED = frozenset({5, 6, 7, 8})  # orientations that swap the sides


@dataclass(frozen=True)
class Probe:
    """What a file says of itself: sides in pixels after turning by `orientation`, size in bytes, content hash."""

    width: int
    height: int
    orientation: int
    bytes: int
    sha256: str
    format: str


def probe(path: Path, *, max_megapixels: float = 100.0, orientation: str = "exif") -> Probe:
    """Size and content of a picture without decoding its pixels.

    Raises:
        PictureError: not a picture, too large, or unreadable; its text names the file and the reason.
    """
    content = _bytes(path)
    with _opened(path, content, max_megapixels) as picture:
        turn = _orientation(picture) if orientation == "exif" else 1
        width, height = picture.size
        kind = picture.format or "unknown"
    if turn in _TURNED:
        width, height = height, width
    sha256 = hashlib.sha256(content).hexdigest()
    return Probe(width=width, height=height, orientation=turn, bytes=len(content), sha256=sha256, format=kind)


def read(path: Path, *, orientation: str = "exif", max_megapixels: float = 100.0) -> np.ndarray:
    """(H, W, 3) uint8 RGB.

    Args:
        orientation: `exif` turns the picture as its tag says, `stored` leaves it.
    Raises:
        PictureError: as `probe`; also where the pixels are cut short.
    """
    with _opened(path, _bytes(path), max_megapixels) as picture:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of odd metadata, which does not concern the pixels
                if orientation == "exif":
                    picture = ImageOps.exif_transpose(picture)
                return _rgb(picture)
        except (OSError, ValueError, SyntaxError, EOFError, IndexError, MemoryError) as error:
            raise PictureError(f"{path}: cannot be decoded: {error}. The file is damaged or cut short") from error


def _rgb(picture: Image.Image) -> np.ndarray:
    """Any mode of Pillow's to (H, W, 3) uint8."""
    if picture.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        values = np.asarray(picture).astype(np.float64)
        # Integers are 16 bits wide in every format that gives these modes; floats are taken as they come, 0..1 or 0..255.
        top = 65535.0 if picture.mode != "F" else (1.0 if np.nanmax(values, initial=0) <= 1 else 255.0)
        grey = np.rint(np.clip(np.nan_to_num(values) / top, 0, 1) * 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(ground, picture)
    return np.array(picture.convert("RGB"))


def _bytes(path: Path) -> bytes:
    if Path(path).suffix.lower() in (".heic", ".heif"):
        _allow_heic(path)
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise PictureError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not content:
        raise PictureError(f"{path}: is empty (0 bytes)")
    return content


def _opened(path: Path, content: bytes, max_megapixels: float) -> Image.Image:
    """The picture with its header read; Pillow's own check for bombs stays on."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(io.BytesIO(content))
    except UnidentifiedImageError:
        raise PictureError(f"{path}: is no picture, whatever its name says") from None
    except Image.DecompressionBombError as error:
        raise PictureError(f"{path}: too large: {error}") from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError) as error:
        raise PictureError(f"{path}: cannot be opened: {error}") from error
    megapixels = picture.width * picture.height / 1e6
    if megapixels > max_megapixels:
        raise PictureError(
            f"{path}: has {megapixels:.0f} megapixels, above max_megapixels {max_megapixels:g}. Make it smaller or raise the setting"
        )
    return picture


def _orientation(picture: Image.Image) -> int:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            turn = picture.getexif().get(_EXIF_ORIENTATION, 1)
    except (OSError, ValueError, SyntaxError, KeyError):
        return 1
    return turn if turn in range(1, 9) else 1


def _allow_heic(path: Path) -> None:
    try:
        import pillow_heif
    except ImportError:
        raise PictureError(f"{path}: HEIC needs an extra: pip install 'maskdistill[heic]'") from None
    pillow_heif.register_heif_opener()
