"""Ground truth: COCO instances or a folder of label maps, joined to pictures; only to evaluate.

In:       a JSON file, or a folder of label maps (map_folder.py)
Out:      Truth: objects or label maps by key; names.join says which key each picture has
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from maskdistill.datasets.coco import instances_file
from maskdistill.datasets.coco.fields import Size
from maskdistill.datasets.coco.instances_file import Crowds
from maskdistill.datasets.label_maps import map_folder
from maskdistill.datasets.label_maps.map_files import NUMBERS, Reading
from maskdistill.datasets.label_maps.map_folder import LabelMaps
from maskdistill.errors import GroundTruthError
from maskdistill.masks import rle
from maskdistill.types import MOST_IDS, Rle

Record = dict[str, Any]


@dataclass(frozen=True)
class Objects:
    """Hold the objects of one picture.

    Attributes:
        size: (height, width), px.
        records: one an object, maybe none: box (xyxy, px), category (1 .. C), crowd (bool), area
            (px), and rle where the object has a mask; else maybe its region, as
            `instances_file.read` has it. Label maps ignore crowds and regions.
        ignored: pixels that no label map counts; None: there are none.
    """

    size: Size
    records: list[Record]
    ignored: Rle | None = None

    @property
    def masked(self) -> list[Record]:
        """Return the objects that have a mask, crowds too."""
        return [row for row in self.records if "rle" in row]

    @property
    def rles(self) -> list[Rle]:
        """Return the masks of those that have one."""
        return [row["rle"] for row in self.masked]


@dataclass(frozen=True)
class Truth:
    """Hold what a source knows, by the key that its pictures go by (a relative path).

    Attributes:
        names: of the classes 1 .. C; class 0 is background.
        keys: of all pictures, in the order of the source.
        objects: key -> Objects, of a COCO file, of the pictures that were asked for; else empty.
        label_maps: of a folder; else None.
        used: classes that an object has.
        notes: what is odd and was counted nevertheless, or assumed, a sentence each.
    """

    source: Path
    names: list[str]
    keys: list[str]
    objects: dict[str, Objects] = field(default_factory=dict)
    label_maps: LabelMaps | None = None
    used: frozenset[int] = frozenset()
    notes: list[str] = field(default_factory=list)

    @property
    def has_masks(self) -> bool:
        """Return whether the shape of things is known: label maps, or an object with a mask."""
        with_objects = [each for each in self.objects.values() if each.records]
        return not with_objects or any(each.masked for each in with_objects)

    def size(self, key: str) -> Size:
        """Return (height, width), px.

        Raises:
            GroundTruthError: a label map that cannot be read.
        """
        if self.label_maps is not None:
            return self.label_maps.size(key)
        return self.objects[key].size

    def label_map(self, key: str) -> np.ndarray:
        """Return the label map of a picture: 0 background, 1 .. C the classes, 255 ignored.

        Of objects: first, as 255, crowds and the boxes of objects without a mask; then smaller ones
        lie on larger ones, of equal ones the later; what the image calls `ignored` last, as 255.
        Of boxes alone nothing is known: all is 255.

        Returns:
            (H, W) uint8; all 0 where the picture has no object.
        Raises:
            GroundTruthError: a label map that cannot be read.
        """
        if self.label_maps is not None:
            return self.label_maps.read(key)
        found = self.objects[key]
        if found.records and not self.has_masks:
            return np.full(found.size, 255, np.uint8)
        label_map = np.zeros(found.size, np.uint8)
        for region in rle.decode(
            [row["region"] for row in found.records if "region" in row], size=found.size
        ):
            label_map[region] = 255
        masks = rle.decode([row["rle"] for row in found.masked], size=found.size)
        crowds = [row["crowd"] for row in found.masked]
        areas = masks.sum(axis=(1, 2))
        for place in sorted(
            range(len(masks)), key=lambda place: (not crowds[place], -areas[place], place)
        ):
            value = 255 if crowds[place] else found.masked[place]["category"]
            label_map[masks[place]] = value
        if found.ignored is not None:
            label_map[rle.decode([found.ignored])[0]] = 255
        return label_map


def read(
    source: Path,
    reading: Reading = NUMBERS,
    *,
    pictures: Mapping[str, Size] | None = None,
    crowds: Crowds = "ignored",
) -> Truth:
    """Read a JSON whole, or look at all maps of a folder of label maps.

    Args:
        reading: how the values of label maps become class numbers.
        pictures: path -> (height, width), px: the objects of these pictures alone are read, and
            sizes that a JSON lacks are theirs; None: of all images.
        crowds: as `instances_file.read` takes it.
    Raises:
        GroundTruthError: no such file or folder, another format, what `instances_file.read`
            refuses, label maps that cannot be meant.
    """
    if source.is_dir():
        return _folder(source, reading)
    if not source.is_file():
        raise GroundTruthError(
            f"{source}: no such file or folder. "
            "Give a COCO instances JSON or a folder of label maps"
        )
    return _of_instances(instances_file.read(source, pictures=pictures, crowds=crowds))


def of_one_list(truths: Sequence[Truth]) -> tuple[list[str], list[Truth]]:
    """Return the classes 1 .. C of all sources, and the sources with these numbers.

    Classes that no object of any source has would only lengthen tables, and are left out; a folder
    of label maps may lack the last ones.

    Raises:
        GroundTruthError: a source whose list is not the beginning of the longest one; more classes
            than a label map holds.
    """
    longest = max((each.names for each in truths), key=len)
    for each in truths:
        if each.names != longest[: len(each.names)]:
            raise GroundTruthError(
                f"{each.source}: names other classes than another ground truth: "
                f"{', '.join(each.names[:5])}, ... and {', '.join(longest[:5])}, ... "
                "Give sources of one list of classes"
            )
    used = sorted(frozenset().union(*(each.used for each in truths)))
    if len(used) > MOST_IDS:
        raise GroundTruthError(
            f"{truths[0].source}: {len(used)} categories have objects, a label map holds {MOST_IDS}"
        )
    number_of = {old: new for new, old in enumerate(used, 1)}
    return [longest[old - 1] for old in used], [_numbered(each, number_of) for each in truths]


def _numbered(truth: Truth, number_of: Mapping[int, int]) -> Truth:
    """Return a truth with other numbers of its classes; label maps have all of theirs already."""
    objects = {
        key: replace(
            each,
            records=[{**row, "category": number_of[row["category"]]} for row in each.records],
        )
        for key, each in truth.objects.items()
    }
    return replace(truth, objects=objects)


def _of_instances(found: instances_file.Instances) -> Truth:
    class_of = {category: number for number, category in enumerate(sorted(found.names), 1)}
    objects = {
        found.files[image]: Objects(
            found.sizes[image],
            [{**row, "category": class_of[row["category"]]} for row in rows],
            found.ignored.get(image),
        )
        for image, rows in found.objects.items()
        if image in found.sizes
    }
    return Truth(
        source=found.source,
        names=[found.names[category] for category in sorted(found.names)],
        keys=list(found.files.values()),
        objects=objects,
        used=frozenset(class_of[category] for category in found.used),
        notes=found.notes,
    )


def _folder(source: Path, reading: Reading) -> Truth:
    maps = map_folder.whole(source, reading)
    numbers = range(1, maps.top + 1)
    return Truth(
        source=source,
        names=[f"class {number}" for number in numbers],
        keys=list(maps.files),
        label_maps=maps,
        used=frozenset(numbers),
        notes=list(maps.notes),
    )
