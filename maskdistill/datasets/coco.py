"""COCO instances: ground truth by its own ids and categories, to score what others predicted.

In:       an instances JSON (polygons, plain or compressed run lengths, crowds); a list of names
Out:      Instances: objects by image id, with what was found odd; what does not fit is refused
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from maskdistill.datasets import streamed, walk
from maskdistill.datasets.truth import join, mask_of
from maskdistill.errors import GroundTruthError, listed
from maskdistill.masks import rle

Record = dict[str, Any]


@dataclass(frozen=True)
class Instances:
    """Hold the ground truth of an instances file.

    Attributes:
        files: image id -> file name.
        sizes: image id -> (height, width), px.
        names: category id -> name, of all categories of the file.
        objects: image id -> one record an object, of all images in the order of their ids; may be
            empty. A record has id, box (xyxy, px), category, crowd (bool), area (px), and rle
            unless the file has boxes alone.
        notes: what is odd and was counted nevertheless, a sentence each.
    """

    source: Path
    files: dict[int, str]
    sizes: dict[int, tuple[int, int]]
    names: dict[int, str]
    objects: dict[int, list[Record]]
    notes: list[str] = field(default_factory=list)

    @property
    def has_masks(self) -> bool:
        """Return whether every object has a mask; True of no object at all."""
        return all("rle" in row for rows in self.objects.values() for row in rows)


def read(source: Path, *, objects_of: Sequence[str] | None = None) -> Instances:
    """Read an instances file, a record at a time.

    Args:
        objects_of: names as `only` takes them. The objects of these images alone are read; of those
            of other images the ids are looked at. Images, sizes and categories are those of the
            whole file.
    Raises:
        GroundTruthError: no such file, another format, ids that stand twice or point to nothing.
    """
    if not source.is_file():
        raise GroundTruthError(f"{source}: no such file")
    files: dict[int, str] = {}
    sizes: dict[int, tuple[int, int]] = {}
    objects: dict[int, list[Record]] = {}
    chosen: set[int] | None = None
    ids: list[Any] = []
    first_of: dict[Any, Any] = {}  # category id -> id of its first annotation
    empty: list[Any] = []

    def begin(images: list[Record]) -> None:
        nonlocal chosen
        _refuse_twice(source, "image", (row["id"] for row in images))
        files.update({int(row["id"]): str(row["file_name"]) for row in images})
        sizes.update({int(row["id"]): (int(row["height"]), int(row["width"])) for row in images})
        objects.update({number: [] for number in sorted(files)})
        chosen = None if objects_of is None else set(_numbers(source, files, objects_of))

    def take(row: Record) -> None:
        ids.append(row["id"])
        first_of.setdefault(row["category_id"], row["id"])
        if row["image_id"] not in files:
            raise GroundTruthError(
                f"{source}: annotation {row['id']} has image_id {row['image_id']}, "
                "which is not listed"
            )
        if chosen is not None and row["image_id"] not in chosen:
            return
        record = _object(source, row, files[row["image_id"]], sizes[row["image_id"]])
        if record is None:
            empty.append(row["id"])
        else:
            objects[row["image_id"]].append(record)

    try:
        categories = walk.instances(source, begin=begin, take=take)
        names = {int(row["id"]): str(row["name"]) for row in categories}
        _refuse_twice(source, "category", (row["id"] for row in categories))
        _refuse_twice(source, "annotation", ids)
        for category, first in first_of.items():
            if category not in names:
                raise GroundTruthError(
                    f"{source}: annotation {first} has category_id {category}, which is not listed"
                )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise GroundTruthError(
            f"{source}: not a COCO instances file ({type(error).__name__}: {error}). "
            "Wanted: an object with images, annotations, categories"
        ) from error
    notes = []
    if empty:
        notes.append(
            f"{listed(empty)}: {len(empty)} annotations of the ground truth have "
            "neither mask nor box"
        )
    if any(row["id"] == 0 for rows in objects.values() for row in rows):
        notes.append(
            "the ground truth has an object of id 0, which pycocotools never counts as found; "
            "here it counts"
        )
    return Instances(source, files, sizes, names, objects, notes)


def only(instances: Instances, wanted: Sequence[str]) -> Instances:
    """Keep the images of a list of names, and no others.

    Args:
        wanted: paths or file names, with or without extension, joined as `truth.join` does.
    Raises:
        GroundTruthError: a name stands twice, or no image or several go by it.
    """
    kept = _numbers(instances.source, instances.files, wanted)
    return replace(
        instances,
        files={number: instances.files[number] for number in kept},
        sizes={number: instances.sizes[number] for number in kept},
        objects={number: instances.objects[number] for number in kept},
    )


def _numbers(source: Path, files: dict[int, str], wanted: Sequence[str]) -> list[int]:
    """Return the ids of the named images, sorted; GroundTruthError where a name has none."""
    twice = [name for name, times in Counter(wanted).items() if times > 1]
    if twice:
        raise GroundTruthError(
            f"{listed(twice)}: {len(twice)} names stand twice in the list. Give each once"
        )
    number_of = {name: number for number, name in files.items()}
    found = join(list(number_of), list(wanted))
    missing = [name for name in wanted if name not in found]
    if missing:
        raise GroundTruthError(
            f"{source}: {len(missing)} of {len(wanted)} names of the list are no image of it, "
            f"or of several: {listed(missing)}. Give the instances file that the list was made for"
        )
    return sorted(number_of[key] for key in found.values())


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


def _object(source: Path, row: dict[str, Any], name: str, size: tuple[int, int]) -> Record | None:
    """Return the record of an annotation of an image; None where it has neither mask nor box."""
    record: Record = {
        "id": row["id"],
        "category": int(row["category_id"]),
        "crowd": bool(row.get("iscrowd", 0)),
    }
    if row.get("segmentation"):
        try:
            mask = mask_of(row["segmentation"], size, row.get("bbox"))
        except (ValueError, RuntimeError, KeyError, TypeError) as error:
            raise GroundTruthError(
                f"{source}: annotation {row['id']} holds no mask that can be read: {error} "
                f"(image {name})"
            ) from error
        if mask is not None:
            if tuple(mask["size"]) != size:
                raise GroundTruthError(
                    f"{source}: annotation {row['id']} has a mask of "
                    f"{mask['size'][1]} x {mask['size'][0]} px, its image is {size[1]} x {size[0]}"
                )
            record["rle"] = mask
    if not row.get("bbox") and "rle" not in record:
        return None
    record["box"] = xyxy(row["bbox"]) if row.get("bbox") else rle.boxes([record["rle"]])[0].tolist()
    if "area" in row:
        record["area"] = float(row["area"])
    else:
        x1, y1, x2, y2 = record["box"]
        record["area"] = (
            float(rle.areas([record["rle"]])[0]) if "rle" in record else (x2 - x1) * (y2 - y1)
        )
    return record


def xyxy(bbox: Sequence[float]) -> list[float]:
    """Return the corners [x1, y1, x2, y2] of COCO's x, y, width, height, in px.

    Raises:
        ValueError: not four finite numbers, a width or height below 0.
    """
    x, y, width, height = map(float, bbox)
    if not (math.isfinite(x + y + width + height) and width >= 0 and height >= 0):
        raise ValueError(f"bbox {list(bbox)}: wanted x, y, width, height")
    return [x, y, x + width, y + height]


def _refuse_twice(source: Path, what: str, ids: Iterable[Any]) -> None:
    twice = [number for number, times in Counter(ids).items() if times > 1]
    if twice:
        raise GroundTruthError(
            f"{source}: {len(twice)} {what} ids stand more than once: {listed(twice)}"
        )
