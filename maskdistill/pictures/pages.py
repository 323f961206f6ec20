"""Pages: the pictures that a file holds: slices of a stack, frames of an animation, of an MPO.

In:       an opened picture of Pillow's
Out:      which of its frames are pages
Differs:  what shows the first page again, smaller, or only where it is seen through, is no page
"""

from __future__ import annotations

from typing import Any

from PIL import Image

_ENTRIES = 0xB002  # of an MPO's index


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


def _is_preview(entry: Any) -> bool:
    """Return whether an entry of an MPO's index is the large thumbnail that cameras put there."""
    return str(entry["Attribute"]["MPType"]).startswith("Large Thumbnail")
