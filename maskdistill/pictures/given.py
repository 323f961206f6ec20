"""Pictures as they are given: a folder, a file, several of both, or patterns such as photos/*.jpg.

In:       one or several paths or patterns
Out:      the common folder, and the pictures as relative paths to it
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskdistill.errors import PictureError
from maskdistill.pictures.folder import check_names, is_of_a_system, of_a_run, search, told
from maskdistill.pictures.folder import shown as shown_suffix
from maskdistill.pictures.formats import suffixes

Pictures = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class Given:
    """Pictures that were given.

    Attributes:
        root: the folder itself, else the deepest that holds all, absolute.
        paths: relative to it with `/`, sorted by their bytes in UTF-8, each once.
        passed_over: as Found has it.
        is_folder: one folder was given, and nothing else.
    """

    root: Path
    paths: list[str]
    passed_over: Mapping[str, int]
    is_folder: bool


def check(pictures: Pictures) -> None:
    """Raise PictureError where nothing is given, or what is given is not there."""
    for each in _entries(pictures):
        _expanded(each)


def gather(pictures: Pictures, *, exclude: Iterable[Path] = ()) -> Given:
    """Return the pictures that are given.

    A folder is searched as `search` does. A file that is named is a picture whatever its suffix:
    what it holds decides when it is read. Of the files that a pattern names, those with a suffix of
    pictures are taken and the others counted; `**` in it stands for any folders below; hidden files
    and runs are passed over. A path that is there is taken as it is, also with `*` in its name.

    Args:
        pictures: a path or a pattern, or several, at least one.
        exclude: folders whose pictures do not count, as in `search`.
    Raises:
        PictureError: as `search`; what is given is not there, holds no picture, or is a file in a
            folder of `exclude`.
    """
    entries = _entries(pictures)
    exclude = list(exclude)
    if len(entries) == 1 and Path(entries[0]).is_dir():
        root = Path(entries[0])
        found = search(root, exclude=exclude)
        return Given(root, found.paths, found.passed_over, True)
    outside = [Path(each).resolve() for each in exclude]
    files: set[str] = set()
    starts: list[str] = []
    passed_over: dict[str, str] = {}  # by path: two patterns may name one file
    folders: dict[Path, Mapping[str, int]] = {}
    for entry in entries:
        places, by_pattern = _expanded(entry)
        for place in places:
            whole = Path(os.path.abspath(place))  # noqa: PTH100  a link keeps its own name
            if whole.is_dir():
                if (by_pattern and whole.resolve() in outside) or whole in folders:
                    continue
                found = search(whole, exclude=exclude, may_be_empty=True)
                folders[whole] = found.passed_over
                files |= {str(whole / path) for path in found.paths}
                starts.append(str(whole))
                continue
            is_outside = any(whole.resolve().is_relative_to(each) for each in outside)
            if is_outside and not by_pattern:
                raise PictureError(
                    f"{place}: lies in the folder that takes what is made of the pictures, or in "
                    "the run. Give another --out, or leave it out"
                )
            if is_outside or (by_pattern and is_of_a_system(whole.name)):
                continue
            if by_pattern and whole.suffix.lower() not in suffixes():
                passed_over[str(whole)] = shown_suffix(whole.suffix.lower())
                continue
            files.add(str(whole))
            starts.append(str(whole.parent))
    counts = Counter(
        suffix
        for file, suffix in passed_over.items()
        if not folders.keys() & set(Path(file).parents)
    )
    for folder, of_folder in folders.items():
        if not folders.keys() & set(folder.parents):  # it was counted with that one
            counts.update(of_folder)
    if not files:
        what = f" ({told(counts)})" if counts else ""
        raise PictureError(f"{', '.join(map(str, entries[:3]))}: holds no picture{what}")
    try:
        root = Path(os.path.commonpath(starts))
    except ValueError as error:
        raise PictureError(
            "The pictures lie on different drives. Give those of one drive at a time"
        ) from error
    paths = [Path(file).relative_to(root).as_posix() for file in files]
    check_names(root, paths)
    return Given(root, sorted(paths, key=lambda path: path.encode("utf-8")), counts, False)


def _entries(pictures: Pictures) -> list[str | Path]:
    """Return what is given as a list.

    Raises:
        PictureError: nothing is given.
    """
    entries = [pictures] if isinstance(pictures, str | Path) else list(pictures)
    if not entries:
        raise PictureError("no pictures are given. Give a folder, files, or a pattern")
    return entries


def _expanded(entry: str | Path) -> tuple[list[str], bool]:
    """Return the files and folders that an entry names, and whether it is a pattern.

    Raises:
        PictureError: it names none.
    """
    text = os.fspath(entry)
    if os.path.lexists(text):
        return [text], False
    if not glob.has_magic(text):
        raise PictureError(
            f"{text}: not a folder, nor a file. Give the folder that holds your pictures, files, "
            "or a pattern such as 'photos/*.jpg'"
        )
    of_run: dict[Path, bool] = {}
    # What stands before the first `*` was given by name, be it in a run or not.
    fixed = _parts_before_magic(Path(text))
    places = []
    for place in sorted(glob.glob(text, recursive=True)):  # noqa: PTH207  no hidden ones
        parts = Path(place).parts
        above = [Path(*parts[:end]) for end in range(len(fixed) + 1, len(parts) + 1)]
        if not any(of_run.setdefault(each, of_a_run(each)) for each in above):
            places.append(place)
    if not places:
        raise PictureError(f"{text}: no file is named by this pattern. See how it is written")
    return places, True


def _parts_before_magic(pattern: Path) -> list[str]:
    """Return the leading parts of a pattern that hold no `*`, `?` or `[`."""
    parts: list[str] = []
    for part in pattern.parts:
        if glob.has_magic(part):
            break
        parts.append(part)
    return parts
