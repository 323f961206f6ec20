"""TIFFs written by hand, of any type of sample: Pillow writes few of them."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

_FORMATS = {"u": 1, "i": 2, "f": 3}


def write(path: Path, *pages: np.ndarray, order: str = "<", **how: Any) -> Path:
    """Write pages (H, W) or (H, W, bands) as one TIFF; `how` as `_page` takes it."""
    content = bytearray((b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 0))
    link = 4
    for page in pages:
        link = _page(content, link, page, order, **how)
    path.write_bytes(content)
    return path


def _page(
    content: bytearray,
    link: int,
    values: np.ndarray,
    order: str,
    *,
    photometric: int | None = None,
    extra: tuple[int, ...] | None = None,
    is_planar: bool = False,
    rows: int = 4,
    deflate: bool = False,
    predictor: int = 1,
    tags: dict[int, int] | None = None,
) -> int:
    """Append a page in strips, and return where the next one's place is to be written."""
    values = values[..., None] if values.ndim == 2 else values
    height, width, n_bands = values.shape
    if photometric is None:
        photometric = 2 if n_bands in (3, 4) else 1
    planes = np.moveaxis(values, -1, 0)[..., None] if is_planar else values[None]
    offsets, counts = [], []
    for plane in planes:
        for row in range(0, height, rows):
            strip = _predicted(plane[row : row + rows], predictor, order)
            strip = zlib.compress(strip) if deflate else strip
            offsets.append(len(content))
            counts.append(len(strip))
            content += strip
    kind = values.dtype
    fields: dict[int, tuple[str, tuple[int, ...]]] = {
        256: ("I", (width,)),
        257: ("I", (height,)),
        258: ("H", (kind.itemsize * 8,) * n_bands),
        259: ("H", (8 if deflate else 1,)),
        262: ("H", (photometric,)),
        273: ("I", tuple(offsets)),
        277: ("H", (n_bands,)),
        278: ("I", (rows,)),
        279: ("I", tuple(counts)),
        284: ("H", (2 if is_planar else 1,)),
        317: ("H", (predictor,)),
        339: ("H", (_FORMATS[kind.kind],) * n_bands),
    }
    if extra is not None:
        fields[338] = ("H", extra)
    fields |= {tag: ("H", (value,)) for tag, value in (tags or {}).items()}
    entries = b""
    for tag, (letter, numbers) in sorted(fields.items()):
        packed = struct.pack(f"{order}{len(numbers)}{letter}", *numbers)
        if len(packed) > 4:
            place = struct.pack(f"{order}I", len(content))
            content += packed
        else:
            place = packed.ljust(4, b"\0")
        entries += struct.pack(f"{order}HHI", tag, 3 if letter == "H" else 4, len(numbers)) + place
    content[link : link + 4] = struct.pack(f"{order}I", len(content))
    content += struct.pack(f"{order}H", len(fields)) + entries + bytes(4)
    return len(content) - 4


def _predicted(part: np.ndarray, predictor: int, order: str) -> bytes:
    """Return rows as they are stored: plain, as differences (2), or bytes apart (3)."""
    if predictor == 1:
        return part.astype(part.dtype.newbyteorder(order)).tobytes()
    stored = bytearray()
    for row in part:
        if predictor == 2:
            whole = row.view(f"u{part.dtype.itemsize}")
            before = np.concatenate([np.zeros_like(whole[:1]), whole[:-1]])
            stored += (whole - before).astype(whole.dtype.newbyteorder(order)).tobytes()
            continue
        size, depth = part.dtype.itemsize, part.shape[-1]
        flat = row.astype(part.dtype.newbyteorder(">")).tobytes()
        apart = [flat[at::size] for at in range(size)]  # the highest byte of each sample first
        joined = np.frombuffer(b"".join(apart), np.uint8).copy()
        joined[depth:] -= joined[:-depth].copy()
        stored += joined.tobytes()
    return bytes(stored)
