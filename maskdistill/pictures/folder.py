"""Pictures of a folder: found by suffix in all folders below, in the order of their paths' bytes.

In:       a folder
Out:      relative paths
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from maskdistill.errors import PictureError
from maskdistill.runs.layout import RunFolder

_SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".webp",
        ".tif",
        ".tiff",
        ".bmp",
        ".gif",
        ".heic",
        ".heif",
    }
)
_OF_A_RUN = frozenset({RunFolder.config.name, RunFolder.images.name})


def find(folder: Path, *, exclude: Iterable[Path] = ()) -> list[str]:
    """Return the pictures of a folder as relative paths with `/`, sorted by their bytes in UTF-8.

    Passed over: hidden files and folders, files of other suffixes, the folders of runs (they hold
    config.yaml and images.jsonl) and those of `exclude`. A link to a folder is followed, but no
    folder is searched twice: its own path goes before a link's, a link's before that of a later
    one. A link to a file counts as a file.

    Args:
        folder: searched with all folders below it.
        exclude: folders, by any path that leads to them.
    Returns:
        At least one path.
    Raises:
        PictureError: not a folder, itself the folder of a run or in `exclude`, none of its files a
            picture, a folder in it that cannot be read, or a picture whose name is not UTF-8.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise PictureError(f"{folder}: not a folder. Give the folder that holds your pictures")
    left_out = {Path(each).resolve() for each in exclude}
    if folder.resolve() in left_out:
        raise PictureError(
            f"{folder}: holds the pictures and cannot take what is made of them too. "
            "Give another --out"
        )
    found: list[str] = []
    n_files = 0
    seen = set(left_out)
    # Links to folders wait here until all that is reached without them has been seen.
    starts = deque([folder])
    while starts:
        for place, names, files in os.walk(starts.popleft(), onerror=_unreadable):
            here = Path(place)
            real = here.resolve()
            if here == folder and set(files) >= _OF_A_RUN:
                raise PictureError(
                    f"{folder}: the folder of a run. Give the folder that holds the pictures"
                )
            if real in seen or set(files) >= _OF_A_RUN:
                names.clear()
                continue
            seen.add(real)
            names[:] = sorted((name for name in names if not name.startswith(".")), key=os.fsencode)
            starts.extend(here / name for name in names if (here / name).is_symlink())
            n_files += len(files)
            found += [
                (here / name).relative_to(folder).as_posix()
                for name in files
                if not name.startswith(".") and Path(name).suffix.lower() in _SUFFIXES
            ]
    if not found:
        what = (
            "is empty" if n_files == 0 else f"holds {n_files} files, but none of them is a picture"
        )
        raise PictureError(
            f"{folder}: {what}. Pictures are files ending in {', '.join(sorted(_SUFFIXES))}"
        )
    _check_names(folder, found)
    return sorted(found, key=lambda path: path.encode("utf-8"))


def _unreadable(error: OSError) -> NoReturn:
    """Raise PictureError for a folder that os.walk would pass over in silence."""
    raise PictureError(
        f"{error.filename}: cannot be searched: {error.strerror}. "
        "Make it readable, or take it out of the folder"
    ) from error


def _check_names(folder: Path, paths: list[str]) -> None:
    """Raise PictureError for names that are not UTF-8: the run's files cannot hold them."""
    odd = [
        os.fsencode(path)
        for path in paths
        if any("\ud800" <= letter <= "\udfff" for letter in path)
    ]
    if odd:
        raise PictureError(
            f"{folder}: {len(odd)} pictures have names that are not UTF-8, "
            f"the first: {min(odd)!r}. Rename them"
        )
