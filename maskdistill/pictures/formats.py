"""Formats of pictures: those that are read here, by suffix in a folder, by content in a file.

In:       what the Pillow that is installed can decode; the first bytes of a file
Out:      suffixes, Pillow's names of formats, and what would read a format that is not
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import BinaryIO

from PIL import Image, features

from maskdistill.errors import PictureError

# Not all that Pillow knows: a PostScript file named .jpg would start an interpreter.
_ALWAYS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "DIB", "GIF", "PPM")
# Formats that a Pillow may be built without: its name of the feature, and what brings it.
_OPTIONAL = {
    "AVIF": ("avif", "read by Pillow 11.3 and later: pip install -U pillow"),
    "JPEG2000": ("jpg_2000", "read by a Pillow with OpenJPEG: pip install -U pillow"),
}
_SUFFIXES = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **dict.fromkeys((".png", ".apng"), "PNG"),
    ".webp": "WEBP",
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **dict.fromkeys((".bmp", ".dib"), "BMP"),
    ".gif": "GIF",
    ".mpo": "JPEG",
    **dict.fromkeys((".pbm", ".pgm", ".ppm", ".pnm"), "PPM"),
    # Listed without their package too: each is then refused with the words that install it.
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIF"),
    **dict.fromkeys((".avif", ".avifs"), "AVIF"),
    **dict.fromkeys((".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"), "JPEG2000"),
}
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_MOST_BRANDS = 64  # bytes of a file's head in which its brands are looked for


@cache
def decoded() -> tuple[str, ...]:
    """Return the formats that are read here, HEIC aside, by Pillow's names."""
    there = (name for name, (feature, _) in _OPTIONAL.items() if _has(feature, name))
    return (*_ALWAYS, *there)


@cache
def suffixes() -> frozenset[str]:
    """Return the suffixes of pictures, in lower case with their dot."""
    known = {*decoded(), "HEIF"}
    return frozenset(suffix for suffix, name in _SUFFIXES.items() if name in known)


def how_to_read(suffix: str) -> str:
    """Return what would read a format that the Pillow installed does not; "" where nothing would.

    Args:
        suffix: in lower case with its dot.
    """
    return _OPTIONAL.get(_SUFFIXES.get(suffix, ""), ("", ""))[1]


def of_file(path: Path, file: BinaryIO) -> tuple[str, ...]:
    """Return the formats that a file may be in: HEIC or AVIF alone for one that is, else all.

    Args:
        path: for the error.
        file: at its start, where it stands again afterwards.
    Raises:
        PictureError: HEIC or AVIF without what reads it.
    """
    head = file.read(_MOST_BRANDS)
    file.seek(0)
    if head[4:8] != b"ftyp":
        return decoded()
    # Its major brand, a version, then the others that it agrees with, as far as the box goes.
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[start : start + 4] for start in range(16, end - 3, 4))}
    if head[8:12] in _AVIF_BRANDS or (head[8:12] in (b"mif1", b"msf1") and brands & _AVIF_BRANDS):
        if "AVIF" not in decoded():
            raise PictureError(f"{path}: AVIF, {_OPTIONAL['AVIF'][1]}")
        return ("AVIF",)
    if head[8:12] not in _HEIC_BRANDS:
        return decoded()
    try:
        import pillow_heif
    except ImportError:
        raise PictureError(
            f"{path}: HEIC, as iPhones write it, needs a package more: pip install pillow-heif, "
            "then give the same command again (over a run with --from scan)"
        ) from None
    pillow_heif.register_heif_opener()
    return ("HEIF",)


def _has(feature: str, name: str) -> bool:
    """Return whether Pillow was built with a feature, and opens the format that needs it."""
    try:
        if not features.check(feature):
            return False
    except ValueError:  # a Pillow that does not know the word
        return False
    Image.init()
    return name in Image.OPEN
