"""Notices: what a reader of pictures left out of them, in sentences that name the setting.

In:       the number of pages of each file; names of pictures whose levels are few
Out:      sentences, none where there is nothing to say
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from maskdistill.errors import PictureError, listed
from maskdistill.pictures.levels import FEW
from maskdistill.pictures.read import grey_levels


def pages_told(pages: Sequence[int]) -> list[str]:
    """Return what is said of pages that are left out.

    >>> pages_told([1, 20, 4])[0]
    '2 of 3 pictures have more pages: 22 pages left out, the first of each is read'

    Args:
        pages: of each file, at least 1.
    """
    n_left, n_files = sum(pages) - len(pages), sum(number > 1 for number in pages)
    if not n_left:
        return []
    return [
        f"{n_files} of {len(pages)} pictures {'has' if n_files == 1 else 'have'} more pages: "
        f"{n_left} {'page' if n_left == 1 else 'pages'} left out, the first of each is read",
        "Each page as a picture of its own: --pages all",
    ]


def few_told(names: Sequence[str], n_pictures: int) -> list[str]:
    """Return what is said of pictures that use few of the grey levels.

    Args:
        names: of these pictures.
        n_pictures: of all.
    """
    if not names:
        return []
    return [
        f"{len(names)} of {n_pictures} pictures {'uses' if len(names) == 1 else 'use'} fewer than "
        f"{FEW} of the 256 grey levels ({listed(names, 3)}): what they show is hardly seen. "
        "Stretch each: --levels stretch; or all alike: --levels stretch_all"
    ]


def has_few_levels(
    path: Path, *, page: int = 1, max_megapixels: float = 100.0, bands: Sequence[int] | None = None
) -> bool:
    """Return whether a deep picture is shown with few levels, and a stretch would double them.

    Args:
        path: of the file; the others as `read` takes them.
    Returns:
        False of a picture of 8 bits, and of one that cannot be read: whoever needs it will say so.
    """
    try:
        full, stretched = grey_levels(path, page=page, max_megapixels=max_megapixels, bands=bands)
    except PictureError:
        return False
    return full < FEW and stretched >= 2 * full
