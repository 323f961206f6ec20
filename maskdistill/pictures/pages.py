"""Pages: how many pictures a file holds, of which the first alone is read.

In:       an opened picture of Pillow's
Out:      the number of its pages: slices of a stack, frames of an animation, pictures of an MPO
Differs:  what shows the first page again, smaller, or only where it is seen through, is no page
"""

from __future__ import annotations

from typing import Any

from PIL import Image

_SUBFILE = 254  # TIFF's NewSubfileType
_SMALLER_OR_MASK = (
    0b101  # of it: a reduced resolution (a pyramid, a thumbnail), a transparency mask
)
_ENTRIES = 0xB002  # of an MPO's index


def n_pages(picture: Image.Image) -> int:
    """Return the number of pages of an opened picture, at least 1; pixels are not decoded.

    A file whose later pages are damaged counts those before: the first one may well be in order.
    The picture may stand at another page afterwards.
    """
    try:
        if picture.format == "TIFF":
            return _of_tiff(picture)
        if picture.format == "MPO":
            entries = picture.mpinfo[_ENTRIES]  # type: ignore[attr-defined]
            return 1 + sum(not _is_preview(entry) for entry in entries[1:])
        return max(1, int(getattr(picture, "n_frames", 1)))
    except Exception:  # Pillow's parsers raise whatever they stumble on
        return 1


def _of_tiff(picture: Image.Image) -> int:
    """Return the number of a TIFF's pages, leaving out pyramids, thumbnails and masks."""
    count = 1
    try:
        for page in range(1, picture.n_frames):  # type: ignore[attr-defined]
            picture.seek(page)
            kind = int(picture.tag_v2.get(_SUBFILE, 0))  # type: ignore[attr-defined]
            count += not kind & _SMALLER_OR_MASK
    except Exception:  # a damaged page ends the count
        return count
    return count


def _is_preview(entry: Any) -> bool:
    """Return whether an entry of an MPO's index is the large thumbnail that cameras put there."""
    return str(entry["Attribute"]["MPType"]).startswith("Large Thumbnail")
