"""Ground truth: COCO instances or a folder of label maps, joined to pictures by path. Only ever used to evaluate.

In:       a JSON file, or a folder of PNG label maps (palette or grey; 255 ignored)
Out:      Truth: objects and label maps by key; `join` says which picture each key is
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from maskdistill.errors import GroundTruthError
from maskdistill.masks import rle
from maskdistill.types import Rle

MOST_CLASSES = 254


@dataclass(frozen=True)
class Objects:
    """The objects of one picture: size (height, width), masks, classes 1 .. C, crowds."""

    size: tuple[int, int]
    rles: list[Rle]
    classes: list[int]
    crowds: list[bool]


@dataclass(frozen=True)
class Truth:
    """What a source knows, by the key that its pictures go by (a relative path).

    Attributes:
        names: of the classes 1 .. C; class 0 is background.
        objects: key -> Objects, of a COCO file. label_maps: key -> PNG, of a folder.
    """

    source: Path
    names: list[str]
    objects: dict[str, Objects] = field(default_factory=dict)
    label_maps: dict[str, Path] = field(default_factory=dict)

    @property
    def keys(self) -> list[str]:
        return [*self.objects, *self.label_maps]

    def label_map(self, key: str) -> np.ndarray:
        """(H, W) uint8: 0 background, 1 .. C, 255 ignored (crowds); of objects, smaller ones lie on larger ones."""
        if key in self.label_maps:
            return _read_map(self.label_maps[key])
        found = self.objects[key]
        label_map = np.zeros(found.size, np.uint8)
        masks = rle.decode(found.rles, size=found.size)
        areas = masks.sum(axis=(1, 2))
        for row in sorted(range(len(masks)), key=lambda row: (not found.crowds[row], -areas[row], row)):
            label_map[masks[row]] = 255 if found.crowds[row] else found.classes[row]
        return label_map


def read(source: Path) -> Truth:
    """Read a source whole (JSON) or list it (folder).

    Raises:
        GroundTruthError: not there, of another format, too many classes.
    """
    if source.is_dir():
        return _folder(source)
    if not source.is_file():
        raise GroundTruthError(f"{source}: no such file or folder. Give a COCO instances JSON or a folder of label maps")
    try:
        loaded = json.loads(source.read_text(encoding="utf-8"))
        return _coco(source, loaded)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GroundTruthError(
            f"{source}: not a COCO instances file ({type(error).__name__}: {error}). "
            "Wanted: an object with images, annotations, categories"
        ) from error


def join(keys: Sequence[str], paths: Sequence[str]) -> dict[str, str]:
    """Picture path -> key: by relative path, else by file name, else by name without extension, where it is unique."""
    found: dict[str, str] = {}
    left = set(keys)
    for name_of in (str, lambda key: PurePosixPath(key).name, lambda key: PurePosixPath(key).stem):
        by_name = _unique(sorted(left), name_of)
        of_paths = _unique([path for path in paths if path not in found], name_of)
        for name, path in of_paths.items():
            if name in by_name:
                found[path] = by_name[name]
        left -= set(found.values())
    return found


def _unique(names: Sequence[str], name_of: Any) -> dict[str, str]:
    counts = Counter(name_of(name) for name in names)
    return {name_of(name): name for name in names if counts[name_of(name)] == 1}


def _coco(source: Path, loaded: dict[str, Any]) -> Truth:
    categories = sorted(loaded["categories"], key=lambda row: row["id"])
    used = {row["category_id"] for row in loaded["annotations"]}
    # Classes that no object has would only lengthen tables; their number must fit a label map.
    categories = [row for row in categories if row["id"] in used]
    if len(categories) > MOST_CLASSES:
        raise GroundTruthError(f"{source}: {len(categories)} categories have objects, a label map holds {MOST_CLASSES}")
    class_of = {row["id"]: number for number, row in enumerate(categories, 1)}
    images = {row["id"]: row for row in loaded["images"]}
    objects = {
        row["file_name"]: Objects((int(row["height"]), int(row["width"])), [], [], []) for row in images.values()
    }
    for row in loaded["annotations"]:
        image = images[row["image_id"]]
        place = objects[image["file_name"]]
        mask = _rle(row["segmentation"], place.size)
        if mask is not None:
            place.rles.append(mask)
            place.classes.append(class_of[row["category_id"]])
            place.crowds.append(bool(row.get("iscrowd", 0)))
    return Truth(source=source, names=[row["name"] for row in categories], objects=objects)


def _rle(segmentation: Any, size: tuple[int, int]) -> Rle | None:
    """Polygons, plain or compressed run lengths; None for an empty list of polygons."""
    if isinstance(segmentation, list):
        return rle.from_polygons(segmentation, size) if segmentation else None
    if isinstance(segmentation["counts"], list):
        return rle.from_uncompressed(segmentation["counts"], size)
    return {"size": list(segmentation["size"]), "counts": segmentation["counts"]}


def _folder(source: Path) -> Truth:
    files = {path.relative_to(source).as_posix(): path for path in sorted(source.rglob("*.png"))}
    if not files:
        raise GroundTruthError(f"{source}: holds no .png. Wanted: label maps (palette or grey), one a picture")
    top = 0
    for path in files.values():
        label_map = _read_map(path)
        inside = label_map[label_map != 255]
        top = max(top, int(inside.max()) if inside.size else 0)
    return Truth(source=source, names=[f"class {number}" for number in range(1, top + 1)], label_maps=files)


def _read_map(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            if picture.mode not in ("P", "L", "1"):
                raise GroundTruthError(f"{path}: mode {picture.mode}; a label map is a palette or grey PNG of class numbers")
            return np.array(picture, np.uint8)
    except (OSError, ValueError, SyntaxError) as error:
        raise GroundTruthError(f"{path}: cannot be read as a label map: {error}") from error
