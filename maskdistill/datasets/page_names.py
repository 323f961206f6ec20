"""Page names: `stack.tif#2`, the one spelling of a page, in runs and in files of others.

In:       a path and the number of a page; a name
Out:      the name; path and number
"""

from __future__ import annotations

import re

_PAGE = re.compile(r"(?s)(.+)#([1-9][0-9]*)")


def name_of(path: str, page: int | None) -> str:
    """Return the name of a page: its file's path, and its number from the second one on.

    >>> name_of("a/stack.tif", 2), name_of("a/stack.tif", 1), name_of("a/b.jpg", None)
    ('a/stack.tif#2', 'a/stack.tif', 'a/b.jpg')
    """
    return path if page in (None, 1) else f"{path}#{page}"


def parted(name: str) -> tuple[str, int]:
    """Return the path and the number of the page that a name names; 1 where it names none.

    >>> parted("a/stack.tif#2"), parted("a/stack.tif#1"), parted("a/stack.tif"), parted("a#2/b.tif")
    (('a/stack.tif', 2), ('a/stack.tif', 1), ('a/stack.tif', 1), ('a#2/b.tif', 1))
    """
    found = _PAGE.fullmatch(name)
    return (found[1], int(found[2])) if found else (name, 1)
