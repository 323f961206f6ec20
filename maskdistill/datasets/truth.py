"""Ground truth: COCO instances or a folder of label maps, joined to pictures; only to evaluate.

In:       a JSON file, or a folder of PNG label maps (palette or grey; 255 ignored)
Out:      Truth: objects or label maps by key; `join` says which key each picture has
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from maskdistill.datasets import walk
from maskdistill.datasets.page_names import parted
from maskdistill.errors import GroundTruthError
from maskdistill.masks import rle, run_lengths
from maskdistill.types import MOST_IDS, Rle

_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}")  # of the picture, in a page's label map


@dataclass(frozen=True)
class Objects:
    """Hold the objects of one picture; rles, classes and crowds are of one length, may be empty.

    Attributes:
        size: (height, width), px. classes: 1 .. C.
        crowds: the object is a crowd, which label maps ignore.
        ignored: pixels that no label map counts; None: there are none.
    """

    size: tuple[int, int]
    rles: list[Rle]
    classes: list[int]
    crowds: list[bool]
    ignored: Rle | None = None


@dataclass(frozen=True)
class Truth:
    """Hold what a source knows, by the key that its pictures go by (a relative path).

    Attributes:
        names: of the classes 1 .. C; class 0 is background.
        objects: key -> Objects, of a COCO file; else empty.
        label_maps: key -> PNG, of a folder; else empty.
    """

    source: Path
    names: list[str]
    objects: dict[str, Objects] = field(default_factory=dict)
    label_maps: dict[str, Path] = field(default_factory=dict)

    @property
    def keys(self) -> list[str]:
        """Return the keys of all pictures, in the order of the source."""
        return [*self.objects, *self.label_maps]

    def size(self, key: str) -> tuple[int, int]:
        """Return (height, width), px; of a label map only the head of its file is read.

        Raises:
            GroundTruthError: a label map that cannot be read.
        """
        if key in self.objects:
            return self.objects[key].size
        try:
            with Image.open(self.label_maps[key]) as file:
                return file.height, file.width
        except (OSError, ValueError, SyntaxError) as error:
            raise GroundTruthError(
                f"{self.label_maps[key]}: cannot be read as a label map: {error}"
            ) from error

    def label_map(self, key: str) -> np.ndarray:
        """Return the label map of a picture: 0 background, 1 .. C the classes, 255 ignored.

        Of objects: crowds first, as 255; smaller ones lie on larger ones, of equal ones the later;
        what the image calls `ignored` last, as 255.

        Returns:
            (H, W) uint8; all 0 where the picture has no object.
        Raises:
            GroundTruthError: a label map that cannot be read.
        """
        if key in self.label_maps:
            return read_map(self.label_maps[key])
        found = self.objects[key]
        label_map = np.zeros(found.size, np.uint8)
        masks = rle.decode(found.rles, size=found.size)
        areas = masks.sum(axis=(1, 2))
        for row in sorted(
            range(len(masks)), key=lambda row: (not found.crowds[row], -areas[row], row)
        ):
            label_map[masks[row]] = 255 if found.crowds[row] else found.classes[row]
        if found.ignored is not None:
            label_map[rle.decode([found.ignored])[0]] = 255
        return label_map


def read(source: Path) -> Truth:
    """Read a JSON whole; of a folder of label maps read the names of its classes.

    Raises:
        GroundTruthError: no such file or folder, another format, more classes than a label map
            holds.
    """
    if source.is_dir():
        return _folder(source)
    if not source.is_file():
        raise GroundTruthError(
            f"{source}: no such file or folder. "
            "Give a COCO instances JSON or a folder of label maps"
        )
    try:
        return _coco(source)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GroundTruthError(
            f"{source}: not a COCO instances file ({type(error).__name__}: {error}). "
            "Wanted: an object with images, annotations, categories"
        ) from error


def join(keys: Sequence[str], paths: Sequence[str]) -> dict[str, str]:
    """Find each picture's key: by relative path, else by file name, else by name without extension.

    A page of a file goes by `stack.tif#2`, as a label map also by `stack#2.png`; the first one by
    the path alone too.

    A name counts only if it is unique among all keys and among all paths: of two pictures that
    share one, neither is given a key by it, even where the other was joined by its path.

    Args:
        keys: of the truth. paths: of the pictures.
    Returns:
        {path: key}; keys and paths without a partner are left out.

    >>> join(["a/x.png", "b/y.png", "c/y.png"], ["a/x.png", "y.jpg"])
    {'a/x.png': 'a/x.png'}
    >>> join(["a/x.png", "b/y.png"], ["other/x.png", "y.jpg"])
    {'other/x.png': 'a/x.png', 'y.jpg': 'b/y.png'}
    """
    found: dict[str, str] = {}
    for name_of in (str, _first_page, _file_name, _stem):
        key_of, path_of = _unique(keys, name_of), _unique(paths, name_of)
        for name, path in path_of.items():
            key = key_of.get(name)
            if key is not None and path not in found:
                found[path] = key
    return found


def _first_page(path: str) -> str:
    """Return the path by which a first page goes: that of its file."""
    file, page = parted(path)
    return file if page == 1 else path


def _file_name(path: str) -> str:
    return PurePosixPath(_first_page(path)).name


def _stem(path: str) -> str:
    """Return the file name without extension; of a page with its number: `stack#2`.

    >>> _stem("a/stack.tif#2"), _stem("stack.tif#2.png"), _stem("stack#2.png"), _stem("b/x.y.jpg")
    ('stack#2', 'stack#2', 'stack#2', 'x.y')
    """
    file, page = parted(path)
    stem = PurePosixPath(file).stem
    if page == 1 and (inner := parted(stem))[0] != stem:  # a label map named after a page
        file, page = inner
        bare = PurePosixPath(file)
        stem = bare.stem if _SUFFIX.fullmatch(bare.suffix) else file
    return stem if page == 1 else f"{stem}#{page}"


def _unique(paths: Sequence[str], name_of: Callable[[str], str]) -> dict[str, str]:
    counts = Counter(name_of(path) for path in paths)
    return {name_of(path): path for path in paths if counts[name_of(path)] == 1}


def _coco(source: Path) -> Truth:
    objects: dict[str, Objects] = {}
    objects_of: dict[int, Objects] = {}
    name_of: dict[int, str] = {}
    first_of: dict[Any, Any] = {}  # category id -> id of its first annotation

    def begin(images: list[dict[str, Any]]) -> None:
        for row in images:
            if row["file_name"] in objects:
                raise GroundTruthError(
                    f"{source}: two images are called {row['file_name']}. "
                    "Give each its relative path"
                )
            size = int(row["height"]), int(row["width"])
            objects_of[row["id"]] = Objects(size, [], [], [], _ignored(source, row, size))
            objects[row["file_name"]] = objects_of[row["id"]]
            name_of[row["id"]] = row["file_name"]

    def take(row: dict[str, Any]) -> None:
        first_of.setdefault(row["category_id"], row.get("id"))
        if row["image_id"] not in objects_of:
            raise GroundTruthError(
                f"{source}: annotation {row.get('id')} has image_id {row['image_id']}, "
                "which is not listed"
            )
        place = objects_of[row["image_id"]]
        try:
            mask = mask_of(row["segmentation"], place.size, row.get("bbox"))
        except (ValueError, RuntimeError) as error:
            raise GroundTruthError(
                f"{source}: annotation {row.get('id')} holds no mask that can be read: {error} "
                f"(image {name_of[row['image_id']]})"
            ) from error
        if mask is not None:
            if tuple(mask["size"]) != place.size:
                raise GroundTruthError(
                    f"{source}: annotation {row.get('id')} has a mask of "
                    f"{mask['size'][1]} x {mask['size'][0]} px, "
                    f"its image is {place.size[1]} x {place.size[0]}"
                )
            place.rles.append(mask)
            place.classes.append(row["category_id"])
            place.crowds.append(bool(row.get("iscrowd", 0)))

    # Classes that no object has would only lengthen tables; their number must fit a label map.
    found = walk.instances(source, begin=begin, take=take)
    categories = [row for row in sorted(found, key=lambda row: row["id"]) if row["id"] in first_of]
    if len(categories) > MOST_IDS:
        raise GroundTruthError(
            f"{source}: {len(categories)} categories have objects, a label map holds {MOST_IDS}"
        )
    class_of = {row["id"]: number for number, row in enumerate(categories, 1)}
    for category, first in first_of.items():
        if category not in class_of:
            raise GroundTruthError(
                f"{source}: annotation {first} has category_id {category}, which is not listed"
            )
    for each in objects.values():
        each.classes[:] = [class_of[category] for category in each.classes]
    return Truth(source=source, names=[row["name"] for row in categories], objects=objects)


def _ignored(source: Path, row: dict[str, Any], size: tuple[int, int]) -> Rle | None:
    """Return an image's `ignored` (ours): pixels that no label map counts, as the void of VOC."""
    if not row.get("ignored"):
        return None
    try:
        mask = mask_of(row["ignored"], size)
    except (ValueError, RuntimeError) as error:
        raise GroundTruthError(
            f"{source}: image {row['id']}: `ignored` is no mask that can be read: {error}"
        ) from error
    if mask is not None and tuple(mask["size"]) != size:
        raise GroundTruthError(
            f"{source}: image {row['id']}: `ignored` is of another size than the image"
        )
    return mask


def mask_of(segmentation: Any, size: tuple[int, int], bbox: Any = None) -> Rle | None:
    """Convert polygons, plain or compressed run lengths; None for an empty list of polygons.

    Args:
        segmentation: as COCO's files have it. size: (height, width), px, that polygons are drawn
            on; run lengths have their own.
        bbox: of the same object, x, y, width, height, if the file has it: tells run lengths that
            go row by row.
    Raises:
        ValueError: run lengths that `run_lengths.checked` refuses, neither these nor polygons.
        ValueError, RuntimeError, TypeError: polygons that cannot be read.
    """
    if isinstance(segmentation, list):
        if any(isinstance(part, dict) for part in segmentation):
            raise ValueError(
                f"a list of {len(segmentation)} masks; wanted one: an object with size and counts"
            )
        return rle.from_polygons(segmentation, size) if segmentation else None
    if not isinstance(segmentation, dict) or "counts" not in segmentation:
        raise ValueError("neither polygons nor run lengths (an object with size and counts)")
    return run_lengths.checked(segmentation["counts"], segmentation.get("size"), bbox)


def _folder(source: Path) -> Truth:
    files = {path.relative_to(source).as_posix(): path for path in sorted(source.rglob("*.png"))}
    if not files:
        raise GroundTruthError(
            f"{source}: holds no .png. Wanted: label maps (palette or grey), one a picture"
        )
    top = 0
    for path in files.values():
        label_map = read_map(path)
        inside = label_map[label_map != 255]
        top = max(top, int(inside.max()) if inside.size else 0)
    return Truth(
        source=source, names=[f"class {number}" for number in range(1, top + 1)], label_maps=files
    )


def read_map(path: Path) -> np.ndarray:
    """Read a label map, palette or grey -> (H, W) uint8, the values as they stand in the file.

    Raises:
        GroundTruthError: no picture, or one of another mode.
    """
    try:
        with Image.open(path) as picture:
            if picture.mode not in ("P", "L", "1"):
                raise GroundTruthError(
                    f"{path}: its mode is {picture.mode}. "
                    "A label map is a palette or grey PNG, 8 bit, of class numbers"
                )
            return np.array(picture, np.uint8)
    except (OSError, ValueError, SyntaxError) as error:
        raise GroundTruthError(f"{path}: cannot be read as a label map: {error}") from error
