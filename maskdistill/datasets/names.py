"""Names: which picture a file of others means, by relative path, else file name, else stem.

In:       names as files have them: with folders or none, with "/" or Windows' backslash
Out:      pairs of names that are nobody else's
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from maskdistill.datasets import streamed
from maskdistill.datasets.page_names import parted
from maskdistill.errors import GroundTruthError

_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}")  # of the picture, in a page's label map


def join(keys: Sequence[str], paths: Sequence[str]) -> dict[str, str]:
    """Find each picture's key: by relative path, else by file name, else by name without extension.

    A page of a file goes by `stack.tif#2`, as a label map also by `stack#2.png`; the first one by
    the path alone too.

    A name counts only if it is unique among all keys and among all paths: of two pictures that
    share one, neither is given a key by it, even where the other was joined by its path. A
    backslash is read as the border of a folder, and accents are compared composed (NFC), as macOS
    does not write them.

    Args:
        keys: of the truth. paths: of the pictures.
    Returns:
        {path: key}; keys and paths without a partner are left out.

    >>> join(["a/x.png", "b/y.png", "c/y.png"], ["a/x.png", "y.jpg"])
    {'a/x.png': 'a/x.png'}
    >>> join(["a/x.png", "b/y.png"], ["other/x.png", "y.jpg"])
    {'other/x.png': 'a/x.png', 'y.jpg': 'b/y.png'}
    >>> join(["set\\\\x.png"], ["set/x.png"])
    {'set/x.png': 'set\\\\x.png'}
    """
    found: dict[str, str] = {}
    for name_of in (str, as_path, _first_page, _file_name, _stem):
        key_of, path_of = _unique(keys, name_of), _unique(paths, name_of)
        for name, path in path_of.items():
            key = key_of.get(name)
            if key is not None and path not in found:
                found[path] = key
    return found


def as_path(name: str) -> str:
    """Return a name with "/" between folders, without a leading "./", its accents composed.

    >>> as_path(".\\\\set\\\\x.jpg")
    'set/x.jpg'
    """
    plain = name.replace("\\", "/")
    plain = plain if plain.isascii() else unicodedata.normalize("NFC", plain)
    return plain.removeprefix("./")


def read_list(source: Path) -> list[str]:
    """Read a list of names, one a line, in any encoding, packed by gzip or not; skip empty lines.

    Raises:
        GroundTruthError: no such file, no text, no name in it.
    """
    try:
        with streamed.opened(source) as file:
            text = file.read().decode()
    except (OSError, ValueError) as error:
        raise GroundTruthError(f"{source}: cannot be read as a list of names: {error}") from error
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if not names:
        raise GroundTruthError(f"{source}: holds no name. Wanted: one a line")
    return names


def _first_page(path: str) -> str:
    """Return the path by which a first page goes: that of its file."""
    file, page = parted(as_path(path))
    return file if page == 1 else as_path(path)


def _file_name(path: str) -> str:
    return PurePosixPath(_first_page(path)).name


def _stem(path: str) -> str:
    """Return the file name without extension; of a page with its number: `stack#2`.

    >>> _stem("a/stack.tif#2"), _stem("stack.tif#2.png"), _stem("stack#2.png"), _stem("b/x.y.jpg")
    ('stack#2', 'stack#2', 'stack#2', 'x.y')
    """
    file, page = parted(as_path(path))
    stem = PurePosixPath(file).stem
    if page == 1 and (inner := parted(stem))[0] != stem:  # a label map named after a page
        file, page = inner
        bare = PurePosixPath(file)
        stem = bare.stem if _SUFFIX.fullmatch(bare.suffix) else file
    return stem if page == 1 else f"{stem}#{page}"


def _unique(paths: Sequence[str], name_of: Callable[[str], str]) -> dict[str, str]:
    names = [name_of(path) for path in paths]
    counts = Counter(names)
    return {name: path for name, path in zip(names, paths, strict=True) if counts[name] == 1}
