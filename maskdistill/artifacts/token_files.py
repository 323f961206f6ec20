"""Token files: the bytes of propose/features/, and the index that says where each picture stands.

In, out:  tokens.bin: of each kept picture its views (as it is, then mirrored), a view: the class
          token, then (blocks, rows, cols, channels), little-endian float16; index.json
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskdistill.features.tokens import Tokens
from maskdistill.runs import atomic

FORMAT = 1


class TokenFileError(ValueError):
    """A token file or its index that cannot be used, with the reason; never shown as it is."""


@dataclass(frozen=True)
class Row:
    """Hold where the tokens of one picture stand.

    Attributes:
        id: of the picture.
        offset: of its first byte.
        grid: (rows, cols) of its patches.
        scaled: (height, width) that the backbone saw, px.
        crc32: of the bytes of each view.
        content: SHA-256 of the picture's file where it was another one than was scanned, else "".
    """

    id: int
    offset: int
    grid: tuple[int, int]
    scaled: tuple[int, int]
    crc32: tuple[int, ...]
    content: str = ""


@dataclass(frozen=True)
class Index:
    """Hold what index.json says.

    Attributes:
        made_with: fingerprint of what the tokens were made with.
        blocks: whose tokens are there, in order.
        width: channels of a token.
        n_bytes: of the token file.
        rows: picture id -> Row; pictures that are not kept have none.
    """

    made_with: str
    blocks: tuple[int, ...]
    width: int
    n_bytes: int
    rows: dict[int, Row]


def n_bytes(grid: tuple[int, int], *, n_blocks: int, width: int) -> int:
    """Return the bytes of one view of a picture.

    >>> n_bytes((30, 40), n_blocks=3, width=192)
    1382784
    """
    return 2 * width * (1 + n_blocks * grid[0] * grid[1])


def encoded(tokens: Tokens) -> bytes:
    """Return the bytes of one view."""
    parts = (tokens.class_token.flatten(), tokens.patches.flatten())
    numbers: np.ndarray = torch.cat(parts).cpu().numpy()
    return numbers.astype("<f2", copy=False).tobytes()


def read_view(
    path: Path, index: Index, row: Row, view: int, *, size: tuple[int, int], places: Sequence[int]
) -> Tokens:
    """Return the Tokens of one view of a picture.

    Args:
        path: the token file.
        row: of the picture.
        view: 0 as it is, 1 mirrored.
        size: (height, width) of the picture.
        places: of the wanted blocks in `index.blocks`.
    Raises:
        TokenFileError: the file is gone, cut short or changed.
    """
    n = n_bytes(row.grid, n_blocks=len(index.blocks), width=index.width)
    try:
        # Opened each time: no position that threads would share, and a file that goes is noticed.
        with path.open("rb") as file:
            file.seek(row.offset + view * n)
            data = file.read(n)
    except OSError as error:
        raise TokenFileError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(data) != n:
        raise TokenFileError(f"{path}: was cut short")
    if zlib.crc32(data) != row.crc32[view]:
        raise TokenFileError(f"{path}: was changed")
    numbers = torch.from_numpy(np.frombuffer(data, "<f2").astype(np.float16))
    patches = numbers[index.width :].view(len(index.blocks), *row.grid, index.width)
    is_all = list(places) == list(range(len(index.blocks)))
    return Tokens(
        patches=patches if is_all else patches[list(places)],
        class_token=numbers[: index.width],
        size=size,
        scaled=row.scaled,
    )


def write_index(path: Path, index: Index) -> None:
    """Write index.json, the pictures by id: the whole file or nothing.

    Raises:
        RunError: the disk is full, or the folder cannot be written.
    """
    rows = [_plain(index.rows[number]) for number in sorted(index.rows)]
    told = {name: value for name, value in vars(index).items() if name != "rows"}
    atomic.write_json(path, {"format": FORMAT, **told, "pictures": rows})


def read_index(path: Path) -> Index:
    """Return what an index.json says.

    Raises:
        TokenFileError: not there, damaged, or of another format.
    """
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if told["format"] != FORMAT:
            raise ValueError(f"format {told['format']}, wanted {FORMAT}")
        rows = [
            Row(
                id=int(row["id"]),
                offset=int(row["offset"]),
                grid=(int(row["grid"][0]), int(row["grid"][1])),
                scaled=(int(row["scaled"][0]), int(row["scaled"][1])),
                crc32=tuple(map(int, row["crc32"])),
                content=str(row.get("content", "")),
            )
            for row in told["pictures"]
        ]
        return Index(
            made_with=str(told["made_with"]),
            blocks=tuple(map(int, told["blocks"])),
            width=int(told["width"]),
            n_bytes=int(told["n_bytes"]),
            rows={row.id: row for row in rows},
        )
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise TokenFileError(f"{path}: cannot be read: {error}") from error


def _plain(row: Row) -> dict[str, Any]:
    """Return a row as JSON, without a content that is that of the scan."""
    return {name: value for name, value in asdict(row).items() if value != ""}
