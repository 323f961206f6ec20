"""Pictures of a folder: found by suffix in all folders below, in the order of their paths' bytes.

In:       a folder
Out:      relative paths, and how many files were passed over, by suffix
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from maskdistill.errors import PictureError
from maskdistill.pictures.formats import how_to_read, suffixes
from maskdistill.runs.layout import RunFolder

_OF_A_RUN = frozenset({RunFolder.config.name, RunFolder.images.name})
# What systems put beside pictures, in lower case; nobody misses these.
_OF_A_SYSTEM = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
_MOST_TOLD = 8  # suffixes in one sentence
_LONGEST = 12  # characters of a suffix, its dot included; more is a part of a name with a dot


@dataclass(frozen=True)
class Found:
    """Files of a folder.

    Attributes:
        paths: of the pictures, relative with `/`, sorted by their bytes in UTF-8.
        passed_over: suffix in lower case, "" where a file has none -> the number of files that
            were passed over for it. Hidden files, those of a system (Thumbs.db) and those in the
            folders of runs are not counted.
    """

    paths: list[str]
    passed_over: Mapping[str, int]


def find(folder: Path, *, exclude: Iterable[Path] = ()) -> list[str]:
    """Return the pictures of a folder: `search` without what was passed over."""
    return search(folder, exclude=exclude).paths


def search(folder: Path, *, exclude: Iterable[Path] = (), may_be_empty: bool = False) -> Found:
    """Return the pictures of a folder as relative paths with `/`, sorted by their bytes in UTF-8.

    Passed over: hidden files and folders, files of other suffixes, the folders of runs (they hold
    config.yaml and images.jsonl) and those of `exclude`. A link to a folder is followed, but no
    folder is searched twice: its own path goes before a link's, a link's before that of a later
    one. A link to a file counts as a file.

    Args:
        folder: searched with all folders below it.
        exclude: folders, by any path that leads to them.
        may_be_empty: a folder without a picture is no error.
    Returns:
        Found, with at least one path unless `may_be_empty`.
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
    passed_over: Counter[str] = Counter()
    known = suffixes()
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
            for name in files:
                suffix = Path(name).suffix.lower()
                if is_of_a_system(name):
                    continue
                if suffix in known:
                    found.append((here / name).relative_to(folder).as_posix())
                else:
                    passed_over[shown(suffix)] += 1
    if not found and not may_be_empty:
        what = (
            "is empty"
            if n_files == 0
            else f"holds {n_files} files, but none of them is a picture"
            + (f": {_by_suffix(passed_over)}" if passed_over else "")
        )
        raise PictureError(
            f"{folder}: {what}. Pictures are files ending in {', '.join(sorted(known))}"
        )
    check_names(folder, found)
    return Found(sorted(found, key=lambda path: path.encode("utf-8")), passed_over)


def told(passed_over: Mapping[str, int]) -> str:
    """Return what was passed over as a sentence, the most frequent suffix first; "" for nothing.

    >>> told({".txt": 1, "": 3, ".dcm": 2})
    '6 files passed over: 3 without suffix, 2 .dcm, 1 .txt'
    """
    n_files = sum(passed_over.values())
    if not n_files:
        return ""
    return f"{n_files} {'file' if n_files == 1 else 'files'} passed over: {_by_suffix(passed_over)}"


def is_of_a_system(name: str) -> bool:
    """Return whether a file's name is hidden, or one of those that systems put beside pictures."""
    return name.startswith(".") or name.lower() in _OF_A_SYSTEM


def of_a_run(folder: Path) -> bool:
    """Return whether a path is the folder of a run."""
    return all((folder / name).is_file() for name in _OF_A_RUN)


def _by_suffix(passed_over: Mapping[str, int]) -> str:
    """Return the number of files of each suffix in words, with what would read them."""
    ordered = sorted(passed_over.items(), key=lambda entry: (-entry[1], entry[0]))
    words = []
    for suffix, n_files in ordered[:_MOST_TOLD]:
        how = how_to_read(suffix)
        words.append(f"{n_files} {suffix or 'without suffix'}" + (f" ({how})" if how else ""))
    if others := ordered[_MOST_TOLD:]:
        words.append(f"{sum(n_files for _, n_files in others)} of {len(others)} other suffixes")
    return ", ".join(words)


def shown(suffix: str) -> str:
    """Return a suffix, or "" for what is none: long, with a space, or not to be printed."""
    is_one = len(suffix) <= _LONGEST and suffix.isprintable() and " " not in suffix
    return suffix if is_one else ""


def _unreadable(error: OSError) -> NoReturn:
    """Raise PictureError for a folder that os.walk would pass over in silence."""
    raise PictureError(
        f"{error.filename}: cannot be searched: {error.strerror}. "
        "Make it readable, or take it out of the folder"
    ) from error


def check_names(folder: Path, paths: list[str]) -> None:
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
