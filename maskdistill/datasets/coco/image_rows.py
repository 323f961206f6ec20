"""Images of COCO's files as people list them: ids, file names, sizes; one reading for all readers.

In:       the list `images` of a dataset
Out:      Listed: names and sizes by number; what was assumed is told
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskdistill.datasets.coco import fields
from maskdistill.datasets.coco.fields import Key, Size
from maskdistill.datasets.coco.segmentations import mask_of
from maskdistill.datasets.findings import Findings
from maskdistill.errors import GroundTruthError, PredictionError, listed
from maskdistill.types import Rle

FOLDERS = "{n} file names have backslashes: read as folders"
TWICE = "{n} images stand twice in the list: taken once"


@dataclass(frozen=True)
class Listed:
    """Hold the images of a file.

    Attributes:
        number_of: id -> number: itself, or 1, 2, ... in the order of the file where an id is a
            name.
        files: number -> file name.
        sizes: number -> (height, width), px; None where the file does not say.
        ignored: number -> pixels that no label map counts (ours).
    """

    number_of: dict[Key, int]
    files: dict[int, str]
    sizes: dict[int, Size | None]
    ignored: dict[int, Rle]


def listed_images(
    source: Path,
    rows: Sequence[Any],
    found: Findings,
    error_of: type[GroundTruthError] | type[PredictionError],
) -> Listed:
    """Read the list of images.

    Args:
        found: is told what was assumed.
        error_of: what is raised.
    Raises:
        error_of: an image without an id or file name, a size that is none, an id or a file name
            that two images have.
    """
    names: dict[Key, str] = {}
    sizes: dict[Key, Size | None] = {}
    ignored: dict[Key, Rle] = {}
    twice: list[Key] = []
    for place, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise error_of(f"{source}: image number {place} of its list is no object")
        try:
            number = row.get("id")
            number = number if type(number) is int else fields.key(number)
        except ValueError as error:
            raise error_of(
                f"{source}: image number {place} of its list has no id that can be read: {error}"
            ) from error
        name = row.get("file_name")
        if not isinstance(name, str) or not name.strip():
            raise error_of(f"{source}: image {number} has no file_name")
        try:
            size = fields.size(row.get("height"), row.get("width"))
        except ValueError as error:
            raise error_of(f"{source}: image {number} ({name}) has {error}") from error
        if number in names:
            if (names[number], sizes[number]) == (name, size):
                found.add(TWICE, name)
                continue
            twice.append(number)
            continue
        if "\\" in name:
            found.add(FOLDERS, name)
        names[number], sizes[number] = name, size
        if row.get("ignored"):
            ignored[number] = _ignored(source, row["ignored"], number, size, error_of)
    of_two = [name for name, times in Counter(names.values()).items() if times > 1]
    for what, values in (("image ids", twice), ("file names", of_two)):
        if values:
            raise error_of(
                f"{source}: {len(values)} {what} stand more than once: {listed(values)}. Give each "
                "image an id and a relative path of its own"
            )
    numbered = fields.numbers(names)
    return Listed(
        numbered,
        {numbered[key]: name for key, name in names.items()},
        {numbered[key]: size for key, size in sizes.items()},
        {numbered[key]: mask for key, mask in ignored.items()},
    )


def _ignored(
    source: Path,
    shape: Any,
    number: Key,
    size: Size | None,
    error_of: type[GroundTruthError] | type[PredictionError],
) -> Rle:
    """Return an image's `ignored` (ours): pixels that no label map counts, as the void of VOC."""
    try:
        mask = mask_of(shape, size or (1, 1))
    except (ValueError, TypeError, RuntimeError) as error:
        raise error_of(
            f"{source}: image {number}: `ignored` is no mask that can be read: {error}"
        ) from error
    if mask is None or (size is not None and tuple(mask["size"]) != size):
        raise error_of(f"{source}: image {number}: `ignored` is of another size than the image")
    return mask
