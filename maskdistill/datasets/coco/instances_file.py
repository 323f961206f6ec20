"""COCO instances: the one reader of ground truth in COCO's JSON, for runs and for scores alike.

In:       an instances JSON (polygons, run lengths or boxes alone, crowds), as tools write it
Out:      Instances: objects by image, what was odd and what was assumed; what cannot be meant is
          refused by file, image and annotation
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from maskdistill.datasets.coco import checks, fields, walk
from maskdistill.datasets.coco.fields import Key, Size
from maskdistill.datasets.coco.image_rows import Listed, listed_images
from maskdistill.datasets.coco.segmentations import mask_of
from maskdistill.datasets.findings import Findings
from maskdistill.datasets.names import join
from maskdistill.errors import GroundTruthError, listed, setting
from maskdistill.masks import rle
from maskdistill.types import Rle

Record = dict[str, Any]
Crowds = Literal["ignored", "objects"]
WANTED = "Wanted: an object with images, annotations, categories"


@dataclass(frozen=True)
class Instances:
    """Hold the ground truth of an instances file.

    Images and categories go by their ids; where these are names and no numbers, by 1, 2, ... in the
    order of the file.

    Attributes:
        files: image -> file name.
        sizes: image -> (height, width), px, of each image whose objects were read.
        names: category -> name, of all categories of the file.
        objects: image -> one record an object, of all images in the order of their ids; may be
            empty. A record has id, box (xyxy, px), category, crowd (bool), area (px), and rle
            where the object has a mask of at least one pixel; else, where others have one, its box
            as a mask, the region.
        used: categories that an annotation has, of whatever image.
        ignored: image -> pixels that no label map counts; images without any have no entry.
        image_of, category_of: id in the file -> image, category.
        notes: what is odd and was counted nevertheless, or assumed, a sentence each.
    """

    source: Path
    files: dict[int, str]
    sizes: dict[int, Size]
    names: dict[int, str]
    objects: dict[int, list[Record]]
    used: frozenset[int] = frozenset()
    ignored: dict[int, Rle] = field(default_factory=dict)
    image_of: Mapping[Key, int] = field(default_factory=dict)
    category_of: Mapping[Key, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def has_masks(self) -> bool:
        """Return whether an object has a mask; True of no object at all."""
        return not any(self.objects.values()) or any(
            "rle" in row for rows in self.objects.values() for row in rows
        )


def read(
    source: Path,
    *,
    objects_of: Sequence[str] | None = None,
    pictures: Mapping[str, Size] | None = None,
    crowds: Crowds = "ignored",
    taken: str = setting("evaluate.crowds", "objects"),
) -> Instances:
    """Read an instances file, a record at a time.

    An object that stands twice (image, category and mask or box are the same) counts once.

    Args:
        objects_of: names as `only` takes them. The objects of these images alone are read; of those
            of other images the ids are looked at. Images and categories are those of the whole
            file.
        pictures: path -> (height, width), px, of pictures that are joined to the images: the
            objects of those alone are read, and an image without a size has its picture's.
        crowds: ignored: a crowd is none of the objects, as COCO has it; objects: it is one.
        taken: the setting that makes them objects, for the message.
    Raises:
        GroundTruthError: no such file, another format; images, categories or objects that cannot
            be meant, with how many and which; crowds alone, while these are ignored.
    """
    if not source.is_file():
        raise GroundTruthError(f"{source}: no such file")
    reader = _Reader(source, objects_of, pictures, crowds, taken)
    try:
        categories = walk.instances(source, begin=reader.begin, take=reader.take)
    except (OSError, ValueError) as error:
        raise GroundTruthError(
            f"{source}: not a COCO instances file ({error}). {WANTED}"
        ) from error
    return reader.done(categories)


def only(instances: Instances, wanted: Sequence[str]) -> Instances:
    """Keep the images of a list of names, and no others.

    Args:
        wanted: paths or file names, with or without extension, joined as `names.join` does.
    Raises:
        GroundTruthError: a name stands twice, or no image or several go by it.
    """
    kept = _numbers(instances.source, instances.files, wanted)
    return replace(
        instances,
        files={number: instances.files[number] for number in kept},
        sizes={n: instances.sizes[n] for n in kept if n in instances.sizes},
        objects={number: instances.objects[number] for number in kept},
    )


def _numbers(source: Path, files: Mapping[int, str], wanted: Sequence[str]) -> list[int]:
    """Return the images of names, sorted; GroundTruthError where a name has none."""
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


class _Reader:
    """Build Instances of the records of a file, in their order."""

    def __init__(
        self,
        source: Path,
        objects_of: Sequence[str] | None,
        pictures: Mapping[str, Size] | None,
        crowds: Crowds,
        taken: str,
    ) -> None:
        self.source, self.objects_of, self.pictures = source, objects_of, pictures
        self.crowds, self.taken = crowds, taken
        self.found = Findings()
        self.listed = Listed({}, {}, {}, {})
        self.objects: dict[int, list[Record]] = {}
        self.chosen: set[int] | None = None
        self.ids: Counter[Any] = Counter()
        self.first_of: dict[Key | None, str] = {}  # category id -> its first annotation
        self.n_rows = self.n_crowds = self.n_read = self.n_fractions = 0

    def begin(self, images: list[Record]) -> None:
        """Take the images."""
        self.listed = seen = listed_images(self.source, images, self.found, GroundTruthError)
        self.objects = {number: [] for number in sorted(seen.files)}
        if self.objects_of is not None:
            self.chosen = set(_numbers(self.source, seen.files, self.objects_of))
        if self.pictures is not None:
            number_of = {name: number for number, name in seen.files.items()}
            self.chosen = set()
            for path, name in join(list(number_of), list(self.pictures)).items():
                self.chosen.add(number_of[name])
                if seen.sizes.setdefault(number_of[name], self.pictures[path]) is None:
                    seen.sizes[number_of[name]] = self.pictures[path]

    def take(self, row: Any) -> None:
        """Take an annotation."""
        self.n_rows += 1
        if not isinstance(row, dict):
            raise GroundTruthError(f"{self.source}: annotation number {self.n_rows} is no object")
        number = row.get("id")
        self.ids[number if type(number) is int else str(number)] += 1
        image_id, category = row.get("image_id"), row.get("category_id")
        try:
            image_id = image_id if type(image_id) is int else fields.key(image_id)
            if category is not None and type(category) is not int:
                category = fields.key(category)
            crowd = row.get("iscrowd", 0)
            crowd = crowd == 1 if type(crowd) is int and 0 <= crowd <= 1 else fields.flag(crowd)
        except ValueError as error:
            raise self._wrong(row, f"its image_id, category_id or iscrowd: {error}") from error
        if category not in self.first_of:
            self.first_of[category] = self._named(row)
        image = self.listed.number_of.get(image_id)
        if image is None:
            raise self._wrong(row, f"has image_id {image_id}, which is not listed")
        self.n_crowds += crowd
        if self.chosen is not None and image not in self.chosen:
            return
        self.n_read += 1
        record: Record = {
            "id": number,
            "category": category,
            "crowd": crowd and self.crowds == "ignored",
        }
        if self._filled(record, row, image):
            self.objects[image].append(record)

    def done(self, categories: list[Any]) -> Instances:
        """Return what was read, checked whole."""
        names, category_of = self._categories(categories)
        for rows in self.objects.values():
            for row in rows:
                row["category"] = category_of[row["category"]]
        if self.n_rows and self.n_crowds == self.n_rows and self.crowds == "ignored":
            raise GroundTruthError(
                f"{self.source}: all {self.n_rows} annotations are crowds (iscrowd 1), which no "
                "number counts. Some tools write so for masks painted with a brush: "
                f"{self.taken} reads them as objects"
            )
        if self.n_read and self.n_fractions == self.n_read:
            raise GroundTruthError(
                f"{self.source}: none of its {self.n_read} masks covers more than a pixel of its "
                "picture: their coordinates seem to be fractions of width and height. Give them in "
                "pixels"
            )
        if self.n_crowds:
            told = "no objects" if self.crowds == "ignored" else "objects, as asked for"
            kind = f"{{n}} of {{annotations}} annotations are crowds, here {told}"
            self.found.add(kind, n=self.n_crowds)
        self._tell_ids()
        sizes = {
            number: size
            for number in self.objects
            if (size := self.listed.sizes.get(number)) is not None
        }
        checks.objects(self.source, self.objects, sizes, self.listed.files, self.found)
        n_objects = sum(map(len, self.objects.values()))
        return Instances(
            self.source,
            self.listed.files,
            sizes,
            names,
            self.objects,
            frozenset(category_of[key] for key in self.first_of),
            self.listed.ignored,
            self.listed.number_of,
            {key: number for key, number in category_of.items() if key is not None},
            self.found.sentences(objects=n_objects, annotations=self.n_rows),
        )

    def _filled(self, record: Record, row: Record, image: int) -> bool:
        """Put mask, box and area into a record; return whether there is something to count."""
        size, shape = self.listed.sizes.get(image), row.get("segmentation")
        kind = "mask"
        try:
            if size is None and isinstance(shape, dict) and (sides := shape.get("size")):
                size = self.listed.sizes[image] = fields.size(*sides)
                self.found.add(checks.SIZE_OF_MASK, self.listed.files[image])
            if size is None:
                raise self._wrong(
                    row,
                    f"is of image {self.listed.files[image]}, which has no height and width. Give "
                    "them in the list of images",
                )
            mask = mask_of(shape, size, row.get("bbox"), odd=self.found.add) if shape else None
            kind = "box"
            box = fields.box(row.get("bbox"))
        except (ValueError, TypeError, RuntimeError) as error:
            what = f"{error} (image {self.listed.files[image]})"
            raise self._wrong(row, f"holds no {kind} that can be read: {what}") from error
        if mask is not None and tuple(mask["size"]) != size:
            height, width = mask["size"]
            raise self._wrong(
                row,
                f"has a mask of {width} x {height} px, its image is {size[1]} x {size[0]}",
            )
        is_small = mask is not None and len(mask["counts"]) <= checks.FEW_SIGNS
        if mask is not None and is_small and checks.is_of_fractions(shape, mask):
            self.n_fractions += 1
        if mask is not None and is_small and checks.is_empty(mask):
            self.found.add(checks.EMPTY, self._named(row, short=True))
            mask = None
        elif mask is None and not row.get("bbox"):
            self.found.add(checks.NOTHING, self._named(row, short=True))
        if mask is not None:
            record["rle"] = mask
            if box is None or box[0] == box[2] or box[1] == box[3]:
                if box is not None:
                    self.found.add(checks.BOX_OF_MASK, self._named(row, short=True))
                box = rle.boxes([mask])[0].tolist()
        if box is None:
            return False
        record["box"] = box
        record["area"] = self._area(row, record)
        return True

    def _area(self, row: Record, record: Record) -> float:
        area = row.get("area")
        if type(area) not in (int, float):
            try:
                area = None if area is None else fields.number(area)
            except ValueError:
                area = -1.0
        if area is not None and area > 0 and area < float("inf"):
            return float(area)
        if area is not None:
            self.found.add(checks.AREA, self._named(row, short=True))
        x1, y1, x2, y2 = record["box"]
        return float(rle.areas([record["rle"]])[0]) if "rle" in record else (x2 - x1) * (y2 - y1)

    def _categories(self, rows: list[Any]) -> tuple[dict[int, str], dict[Key | None, int]]:
        """Return the names of the categories, and the number of each id in the file."""
        ids: dict[Key, str] = {}
        for place, row in enumerate(rows, 1):
            try:
                number = fields.key(row.get("id"))
            except (ValueError, AttributeError) as error:
                raise GroundTruthError(
                    f"{self.source}: category number {place} has no id that can be read: {error}"
                ) from error
            given = row.get("name")
            name = str(given) if given not in (None, "") else f"category {number}"
            if given in (None, ""):
                self.found.add("{n} categories have no name: called by their id", number)
            if ids.setdefault(number, name) != name:
                raise GroundTruthError(
                    f"{self.source}: category id {number} stands twice, as {ids[number]} and {name}"
                )
        if None in self.first_of:
            if len(self.first_of) > 1:
                raise GroundTruthError(
                    f"{self.source}: {self.first_of[None]} has no category_id, others have one. "
                    "Give it in all"
                )
            self.found.add("no annotation has a category_id: all objects are of one class")
            return {1: "object"}, {None: 1}
        if not rows and self.first_of:
            self.found.add("there is no list of categories: classes are called by their id")
            ids = {key: f"category {key}" for key in self.first_of if key is not None}
        by_name = {name: number for number, name in ids.items()}
        given_names = {
            category: by_name[category]
            for category in self.first_of
            if category not in ids and category in by_name and len(by_name) == len(ids)
        }
        for each in given_names:
            self.found.add("{n} categories are given by name in the annotations", each)
        for category, first in self.first_of.items():
            if category not in ids and category not in given_names:
                raise GroundTruthError(
                    f"{self.source}: {first} has category_id {category}, which is not listed"
                )
        number_of: dict[Key | None, int] = dict(fields.numbers(ids).items())
        for category, key in given_names.items():
            number_of[category] = number_of[key]
        order = sorted(ids, key=fields.sort_key)
        return {number_of[key]: ids[key] for key in order}, number_of

    def _tell_ids(self) -> None:
        if not self.n_rows:
            self.found.add("there is no annotation in it: no picture has an object")
        without = self.ids.pop("None", 0)
        if without:
            self.found.add("{n} of {annotations} annotations have no id", n=without)
        twice = [number for number, times in self.ids.items() if times > 1]
        for number in twice:
            self.found.add(
                "{n} annotation ids stand more than once: nothing goes by them here", number
            )
        if 0 in self.ids:
            self.found.add(
                "the ground truth has an object of id 0, which pycocotools never counts as found; "
                "here it counts"
            )

    def _named(self, row: Record, *, short: bool = False) -> str:
        if (number := row.get("id")) is not None:
            return str(number) if short else f"annotation {number}"
        return f"number {self.n_rows}" if short else f"annotation number {self.n_rows}"

    def _wrong(self, row: Record, what: str) -> GroundTruthError:
        return GroundTruthError(f"{self.source}: {self._named(row)} {what}")
