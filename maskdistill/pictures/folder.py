"""Which files of a folder are pictures: recursive, in the order of their paths' bytes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from maskdistill.errors import PictureError

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".heic", ".heif"}
)


def find(folder: Path, *, exclude: Iterable[Path] = ()) -> list[str]:
    """Relative paths with `/`, sorted by their bytes in UTF-8.

    Hidden files and folders, the folders of runs and those of `exclude` are passed over; a folder that is reached a
    second time through a link is not searched again.

    Raises:
        PictureError: not a folder, or none of its files is a picture.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise PictureError(f"{folder}: not a folder. Give the folder that holds your pictures")
    left_out = {Path(each).resolve() for each in exclude}
    seen: set[Path] = set()
    found: list[str] = []
    n_files = 0
    for place, folders, files in os.walk(folder, followlinks=True):
        real = Path(place).resolve()
        if real in seen or (real in left_out and real != folder.resolve()):
            folders.clear()
            continue
        seen.add(real)
        if real != folder.resolve() and "config.yaml" in files and "images.jsonl" in files:
            folders.clear()  # the folder of a run
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            n_files += 1
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                found.append((Path(place) / name).relative_to(folder).as_posix())
    if not found:
        what = "is empty" if n_files == 0 else f"holds {n_files} files, but none of them is a picture"
        raise PictureError(f"{folder}: {what}. Pictures are files ending in {', '.join(sorted(SUFFIXES))}")
    return sorted(found, key=lambda path: path.encode("utf-8", "surrogateescape"))
