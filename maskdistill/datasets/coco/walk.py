"""Walk: an instances JSON of any size, images first, then each annotation, whatever their order.

In:       an instances JSON; functions that take the images, and each annotation
Out:      the categories; what else is kept is the caller's
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from maskdistill import gc_paused
from maskdistill.datasets.streamed import records

NEEDED = ("images", "annotations")
LISTS = (*NEEDED, "categories")
# URLs and dates of 118 000 images are 100 MB.
_OF_IMAGE = ("id", "file_name", "height", "width", "ignored")
Record = dict[str, Any]


def instances(
    source: Path, *, begin: Callable[[list[Record]], object], take: Callable[[Record], object]
) -> list[Record]:
    """Hand out the images of a file, once, then each annotation; return the categories.

    An annotation is held no longer than `take` holds it: a file of 860 000 needs the memory of what
    is kept. Annotations that stand before the images are held until then.

    Args:
        begin: takes all images, each with its id, file_name, height, width and ignored alone.
        take: takes one annotation.
    Returns:
        The categories; none where the file has no list of them.
    Raises:
        ValueError: no JSON, cut short, no object, images twice, no list of images or of
            annotations. OSError: cannot be read.
    """
    images: list[Record] = []
    categories: list[Record] = []
    early: list[Record] = []
    begun, seen = False, set[str]()
    with gc_paused.paused():
        for key, row in records(source, LISTS, seen=seen):
            if key == "images":
                if begun:
                    raise ValueError("images stand twice")
                if isinstance(row, dict):  # what is none is refused by name, not here
                    row = {name: row[name] for name in _OF_IMAGE if name in row}
                images.append(row)
            elif key == "categories":
                categories.append(row)
            elif images:
                if not begun:
                    begin(images)
                    begun = True
                take(row)
            else:
                early.append(row)
    if missing := [key for key in NEEDED if key not in seen]:
        raise ValueError(f"there is no list {' and no list '.join(missing)}")
    if not begun:
        begin(images)
    for row in early:
        take(row)
    return categories
