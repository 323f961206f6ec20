"""Shown: an opened picture of any kind as RGB, its levels as asked for.

In:       Opened; levels: full, stretch, or the black and white of a whole set
Out:      (H, W, 3) uint8 as it lies in the file, not turned
Differs:  transparent pixels are laid on white; colour profiles are not applied; a picture of 8 bits
          is not stretched: whoever made it chose its levels
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from maskdistill.errors import PictureError
from maskdistill.pictures import levels, tiff, tiff_samples
from maskdistill.pictures.opened import DEEP_GREY, LOW_BYTES, Opened

Levels = str | levels.Limits  # full | stretch, or what a stretch of the whole set takes

_SIXTEEN = ("PNG", "PPM")  # whose greys of 32 bits were 16, white at 65535
_SEE_THROUGH = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})
_PREMULTIPLIED = 1  # ExtraSamples: colours are multiplied by their alpha


@dataclass(frozen=True)
class Samples:
    """Samples of a picture that has more in it than 8 bits a colour.

    Attributes:
        values: (H, W, 1 or 3) integers or floats.
        bits: of the format's white; None where it names none.
        is_inverted: white is zero.
        each_band: the bands are measures of their own, each with its levels.
        alpha: (H, W) uint8, 255 is seen whole; None: all is.
    """

    values: np.ndarray
    bits: int | None
    is_inverted: bool = False
    each_band: bool = False
    alpha: np.ndarray | None = None
    is_premultiplied: bool = False


def rgb(source: Opened, wanted: Levels) -> np.ndarray:
    """Return an opened picture as (H, W, 3) uint8 RGB."""
    if source.picture is not None:
        source.picture.load()
        if wanted == levels.FULL and source.picture.mode not in DEEP_GREY:
            return _of_eight_bits(source.picture)
    found = samples(source)
    if found is None:
        assert source.picture is not None
        return _of_eight_bits(source.picture)
    n_bands = found.values.shape[2]
    if not isinstance(wanted, str) and len(wanted) not in (1, n_bands):
        raise PictureError(
            f"{source.path}: shows {n_bands} bands, and the levels of the set are of "
            f"{len(wanted)}. Choose its own levels: --levels stretch"
        )
    made = eight_bits(found, wanted)
    return np.repeat(made, 3, axis=2) if made.shape[2] == 1 else np.ascontiguousarray(made)


def samples(source: Opened) -> Samples | None:
    """Return what an opened picture holds beyond 8 bits a colour; None where it holds no more."""
    picture = source.picture
    if picture is None:
        return _of_tiff(source)
    if picture.mode in DEEP_GREY:
        bits = 16 if picture.mode.startswith("I;16") or picture.format in _SIXTEEN else None
        picture.load()
        return Samples(np.asarray(picture)[..., None], bits)
    if picture.format == "PNG" and source.is_deep:
        return _of_deep_png(source)
    return None


def eight_bits(found: Samples, wanted: Levels) -> np.ndarray:
    """Return samples as (H, W, 1 or 3) uint8 at the levels asked for, on white.

    Raises:
        ValueError: limits of another number of bands.
    """
    if wanted == levels.FULL:
        made = levels.eight_bits(found.values, bits=found.bits)
    elif found.bits == 8 and not found.each_band:
        made = found.values  # as every picture of 8 bits
    elif isinstance(wanted, str):
        limits = levels.limits_of(found.values, each_band=found.each_band)
        made = levels.stretched(found.values, limits)
    else:
        made = levels.stretched(found.values, wanted)
    if found.is_inverted:
        made = 255 - made
        if found.values.dtype.kind == "f":
            made[np.isnan(found.values)] = 0
    if found.alpha is None:
        return made
    alpha = found.alpha[..., None].astype(np.uint32)
    whole = made.astype(np.uint32) * (255 if found.is_premultiplied else alpha)
    return np.minimum((whole + 255 * (255 - alpha) + 127) // 255, 255).astype(np.uint8)


def _of_tiff(source: Opened) -> Samples:
    """Return the samples of a TIFF that Pillow would not read right."""
    page = source.page
    assert page is not None
    bands = source.bands
    shown = tuple(range(page.n_shown)) if bands is None else bands
    with_alpha = bands is None and page.has_alpha
    read = tiff_samples.samples(
        source.path, source.file, page, (*shown, page.n_shown) if with_alpha else shown
    )
    bits = page.bits[0] if read.dtype.kind == "u" and page.bits[0] <= 16 else None
    alpha = None
    if with_alpha:
        # Its white is that of its type, also where the colours' levels are stretched.
        opaque = 1.0 if read.dtype.kind == "f" else float(np.iinfo(read.dtype).max)
        with np.errstate(invalid="ignore"):
            part = np.nan_to_num(read[..., -1].astype(np.float64) / opaque)
        alpha = np.rint(np.clip(part, 0, 1) * 255).astype(np.uint8)
        if not alpha.any():  # a band that nobody filled: all would be white
            alpha = None
    return Samples(
        read[..., : len(shown)],
        bits,
        is_inverted=page.photometric == tiff.WHITE_IS_ZERO,
        each_band=bands is not None,
        alpha=alpha,
        is_premultiplied=page.extra[:1] == (_PREMULTIPLIED,),
    )


def _of_deep_png(source: Opened) -> Samples:
    """Return a PNG's 16-bit colours: Pillow gives the high bytes, and the low ones on request.

    Its raw mode of the other byte order takes the other byte of each two.
    """
    assert source.picture is not None
    source.picture.load()
    high: np.ndarray = np.asarray(source.picture).astype(np.uint16)
    source.file.seek(0)
    with Image.open(source.file, formats=("PNG",)) as picture:
        first: Any = picture
        first.tile = [part._replace(args=LOW_BYTES[str(part.args)]) for part in first.tile]
        low = np.asarray(picture)
    both: Any = (high << 8) | low
    n_bands = both.shape[-1]
    alpha = (both[..., 3] >> 8).astype(np.uint8) if n_bands == 4 else None
    return Samples(both[..., :3], 16, alpha=alpha)


def _of_eight_bits(picture: Image.Image) -> np.ndarray:
    """Return a picture of any of Pillow's modes but deep greys as (H, W, 3) uint8."""
    picture.load()
    if picture.mode in _SEE_THROUGH or "transparency" in picture.info:
        picture = picture.convert("RGBA") if picture.format != "TIFF" else _seen(picture)
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return np.array(picture.convert("RGB"))


def _seen(picture: Image.Image) -> Image.Image:
    """Return a TIFF with alpha as RGBA; whole where its alpha is 0 everywhere: nobody filled it."""
    made = picture.convert("RGBA")
    if not np.asarray(made)[..., 3].any():
        stored = picture.convert("RGB") if picture.mode != "RGBa" else made.convert("RGB")
        stored.putalpha(255)
        return stored
    return made
