"""Pages: the pictures that a file holds: slices of a stack, frames of an animation, of an MPO.

In:       an opened picture of Pillow's; names of pages
Out:      which of its frames are pages; `stack.tif#2`, the one spelling of a page's name
Differs:  what shows the first page again, smaller, or only where it is seen through, is no page
"""

from __future__ import annotations

import re
from typing import Any

from PIL import Image

_ENTRIES = 0xB002  # of an MPO's index
_PAGE = re.compile(r"(?s)(.+)#([1-9][0-9]*)")


def frames(picture: Image.Image) -> list[int]:
    """Return which frames of an opened picture are its pages, at least the first; none is decoded.

    Of a TIFF `tiff.pages` tells them.
    """
    try:
        n_frames = max(1, int(getattr(picture, "n_frames", 1)))
        if picture.format != "MPO":
            return list(range(n_frames))
        entries = picture.mpinfo[_ENTRIES]  # type: ignore[attr-defined]
        return [0] + [at for at in range(1, n_frames) if not _is_preview(entries[at])]
    except Exception:  # Pillow's parsers raise whatever they stumble on
        return [0]


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


def _is_preview(entry: Any) -> bool:
    """Return whether an entry of an MPO's index is the large thumbnail that cameras put there."""
    return str(entry["Attribute"]["MPType"]).startswith("Large Thumbnail")
