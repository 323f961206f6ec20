"""COCO's files of instances and of results, by their own ids and categories: to score what others predicted.

In:       an instances JSON (polygons, plain or compressed run lengths, crowds); a results JSON; a list of file names
Out:      Instances, Results: records by image id, with what was found odd; what cannot be counted is refused by name
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from maskdistill.datasets import streamed, walk
from maskdistill.datasets.truth import join, mask_of
from maskdistill.errors import GroundTruthError, PredictionError, listed
from maskdistill.masks import rle

Record = dict[str, Any]


@dataclass(frozen=True)
class Instances:
    """Ground truth.

    Attributes:
        files: image id -> file name. sizes: image id -> (height, width). names: category id -> name, all of the file.
        objects: image id, of all images in the order of their ids -> records with id, box (xyxy), category, crowd,
            area, and rle unless the file has boxes alone.
        notes: what is odd and was counted nevertheless.
    """

    source: Path
    files: dict[int, str]
    sizes: dict[int, tuple[int, int]]
    names: dict[int, str]
    objects: dict[int, list[Record]]
    notes: list[str] = field(default_factory=list)

    @property
    def has_masks(self) -> bool:
        return all("rle" in row for rows in self.objects.values() for row in rows)


@dataclass(frozen=True)
class Results:
    """Predictions: image id -> records with box, category, score, and rle if the file has masks.

    Attributes:
        has_boxes: the file has boxes; else they were made from its masks.
    """

    records: dict[int, list[Record]]
    has_masks: bool
    has_boxes: bool
    notes: list[str] = field(default_factory=list)


def read(source: Path, *, objects_of: Sequence[str] | None = None) -> Instances:
    """An instances file, a record at a time.

    Args:
        objects_of: names as `only` takes them: the objects of these images alone are read, those of the others are
            looked at for their ids alone. Images, sizes and categories are those of the whole file.
    Raises:
        GroundTruthError: not there, of another format, ids that are there twice or point to nothing.
    """
    if not source.is_file():
        raise GroundTruthError(f"{source}: no such file")
    files: dict[int, str] = {}
    sizes: dict[int, tuple[int, int]] = {}
    objects: dict[int, list[Record]] = {}
    chosen: set[int] | None = None
    ids: list[Any] = []
    first_of: dict[Any, Any] = {}  # category -> id of its first annotation
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
                f"{source}: annotation {row['id']} has image_id {row['image_id']}, which is not listed"
            )
        if chosen is not None and row["image_id"] not in chosen:
            return
        record = _object(source, row, sizes[row["image_id"]])
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
            f"{listed(empty)}: {len(empty)} annotations of the ground truth have neither mask nor box"
        )
    if any(row["id"] == 0 for rows in objects.values() for row in rows):
        notes.append(
            "the ground truth has an object of id 0, which pycocotools never counts as found; here it counts"
        )
    return Instances(source, files, sizes, names, objects, notes)


def only(instances: Instances, wanted: Sequence[str]) -> Instances:
    """The images of a list of names (paths, file names, with or without extension), and no others.

    Raises:
        GroundTruthError: names that are there twice, or that no image or several go by.
    """
    kept = _numbers(instances.source, instances.files, wanted)
    return replace(
        instances,
        files={number: instances.files[number] for number in kept},
        sizes={number: instances.sizes[number] for number in kept},
        objects={number: instances.objects[number] for number in kept},
    )


def _numbers(source: Path, files: dict[int, str], wanted: Sequence[str]) -> list[int]:
    """Ids of the images that names go by, sorted; GroundTruthError where one goes by none."""
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
    """Names, one a line, plain or gzipped; empty lines are passed over.

    Raises:
        GroundTruthError: not there, not text, without a name.
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


def read_results(
    source: Path, truth: Instances, *, same_categories: bool, kept: Container[int] | None = None
) -> Results:
    """A results file: a list of records with image_id, category_id, score, and segmentation, bbox or both.

    A dataset with scores, as `export --as coco` writes it, has image ids of its own: it is joined by file name.

    Args:
        same_categories: the category ids are those of the truth; else they are clusters, any integers from 0.
        kept: images that count; None: all. Results of the others are left out, and told.
    Raises:
        PredictionError: not there, of another format, empty; images or categories that the truth does not have,
            masks of another size, scores that are no numbers: how many, and the first of them.
    """
    loaded = _load(source)
    rows = loaded.get("annotations") if isinstance(loaded, dict) else loaded
    if not isinstance(rows, list):
        raise PredictionError(
            f"{source}: not a list of results. Wanted: [{{image_id, category_id, score, ...}}, ...]"
        )
    if not rows:
        raise PredictionError(
            f"{source}: holds no result. Nothing was predicted, or the file was cut short"
        )
    try:
        n_all = len(rows)
        if isinstance(loaded, dict) and "images" in loaded:
            rows = _by_name(source, loaded["images"], rows, truth, some=kept is not None)
        _refuse_unknown(source, rows, truth, same_categories)
        rows = [row for row in rows if kept is None or row["image_id"] in kept]
        if not rows:
            raise PredictionError(
                f"{source}: none of its {n_all} results is of the images that were chosen"
            )
        has_masks, has_boxes = (_all_or_none(source, rows, key) for key in ("segmentation", "bbox"))
        if not has_masks and not has_boxes:
            raise PredictionError(f"{source}: its records have neither segmentation nor bbox")
        records: dict[int, list[Record]] = {
            number: [] for number in truth.files if kept is None or number in kept
        }
        for place, row in enumerate(rows):
            record = _result(source, place, row, truth, has_masks, has_boxes)
            records[row["image_id"]].append(record)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise PredictionError(
            f"{source}: not a list of results ({type(error).__name__}: {error}). "
            "Wanted: [{image_id, category_id, score, segmentation or bbox}, ...]"
        ) from error
    notes = _odd(rows, records, truth, has_boxes)
    if len(rows) < n_all:
        notes.insert(
            0,
            f"{n_all - len(rows)} of {n_all} results are of images that were not chosen, and not counted",
        )
    return Results(records, has_masks, has_boxes, notes)


def _by_name(
    source: Path, images: list[Record], rows: list[Record], truth: Instances, *, some: bool
) -> list[Record]:
    """Results with the image ids of the truth in place of their file's own, by file name.

    Where no image goes by a name of the truth the ids are taken for the truth's, as in a list of results.

    Args:
        some: only some images count: results of images that the truth does not have are left out, else refused.
    """
    number_of = {name: number for number, name in truth.files.items()}
    names = {row["id"]: str(row["file_name"]) for row in images}
    found = join(list(number_of), list(names.values()))
    if not found:
        return rows
    unknown = sorted(
        {names[row["image_id"]] for row in rows if names[row["image_id"]] not in found}
    )
    if unknown and not some:
        raise PredictionError(
            f"{source}: has results of {len(unknown)} images that {truth.source.name} does not have: "
            f"{listed(unknown)}. Give --only with a list of those that count, or the ground truth of all"
        )
    of_truth = {number: number_of[found[name]] for number, name in names.items() if name in found}
    return [
        {**row, "image_id": of_truth[row["image_id"]]}
        for row in rows
        if row["image_id"] in of_truth
    ]


def _refuse_unknown(source: Path, rows: list[Any], truth: Instances, same_categories: bool) -> None:
    tests: list[tuple[str, Callable[[Any], bool], str]] = [
        (
            "image_id",
            lambda value: value in truth.files,
            f"which {truth.source.name} does not have",
        ),
        (
            "score",
            lambda value: isinstance(value, int | float) and math.isfinite(value),
            "which is no number",
        ),
    ]
    if same_categories:
        known = f"which {truth.source.name} does not have (its {len(truth.names)} ids: {listed(sorted(truth.names))})"
        tests.append(("category_id", lambda value: value in truth.names, known))
    else:
        tests.append(
            (
                "category_id",
                lambda value: isinstance(value, int) and value >= 0,
                "which is no cluster (0, 1, ...)",
            )
        )
    for key, is_right, why in tests:
        wrong = [row[key] for row in rows if not is_right(row[key])]
        if wrong:
            values = list(dict.fromkeys(map(str, wrong)))
            raise PredictionError(
                f"{source}: {len(wrong)} of {len(rows)} results have a {key} {why}: {listed(values)}. "
                "They cannot be counted; take them out, or give the ground truth that they were made for"
            )


def _all_or_none(source: Path, rows: list[Any], key: str) -> bool:
    n_with = sum(bool(row.get(key)) for row in rows)
    if 0 < n_with < len(rows):
        raise PredictionError(
            f"{source}: {n_with} of {len(rows)} results have {key}, the others not. Give it in all"
        )
    return n_with > 0


def _result(
    source: Path,
    place: int,
    row: dict[str, Any],
    truth: Instances,
    has_masks: bool,
    has_boxes: bool,
) -> Record:
    record: Record = {"category": row["category_id"], "score": float(row["score"])}
    if has_masks:
        size = truth.sizes[row["image_id"]]
        try:
            mask = mask_of(row["segmentation"], size)
        except (ValueError, RuntimeError, KeyError, TypeError) as error:
            raise PredictionError(
                f"{source}: result {place} holds no mask that can be read: {error}"
            ) from error
        assert mask is not None  # an empty one is none at all
        if tuple(mask["size"]) != size:
            raise PredictionError(
                f"{source}: result {place} has a mask of {mask['size'][1]} x {mask['size'][0]} px, its image "
                f"{truth.files[row['image_id']]} is {size[1]} x {size[0]}. Resize masks to their images first"
            )
        record["rle"] = mask
    record["box"] = _xyxy(row["bbox"]) if has_boxes else rle.boxes([record["rle"]])[0].tolist()
    return record


def _odd(
    rows: list[Any], records: dict[int, list[Record]], truth: Instances, has_boxes: bool
) -> list[str]:
    """What is counted, but should be known beside the number."""
    notes = []
    without = [truth.files[number] for number, found in records.items() if not found]
    if without:
        notes.append(
            f"{len(without)} of {len(records)} images have no prediction: nothing was found in them, their objects are "
            f"missed: {listed(without)}"
        )
    ids = Counter(row["id"] for row in rows if "id" in row)
    twice = [number for number, times in ids.items() if times > 1]
    if twice:
        notes.append(
            f"{len(twice)} ids of results stand more than once (all are counted): {listed(twice)}"
        )
    n_same = len(rows) - len(
        {json.dumps({k: v for k, v in row.items() if k != "id"}, sort_keys=True) for row in rows}
    )
    if n_same:
        notes.append(
            f"{n_same} results repeat another one in all but id: each counts as a false one"
        )
    if not has_boxes:
        notes.append(
            "the results have no boxes: they are made from the masks, sizes are those of the masks"
        )
    return notes


def _object(source: Path, row: dict[str, Any], size: tuple[int, int]) -> Record | None:
    record: Record = {
        "id": row["id"],
        "category": int(row["category_id"]),
        "crowd": bool(row.get("iscrowd", 0)),
    }
    if row.get("segmentation"):
        try:
            mask = mask_of(row["segmentation"], size)
        except (ValueError, RuntimeError, KeyError, TypeError) as error:
            raise GroundTruthError(
                f"{source}: annotation {row['id']} holds no mask that can be read: {error}"
            ) from error
        if mask is not None:
            if tuple(mask["size"]) != size:
                raise GroundTruthError(
                    f"{source}: annotation {row['id']} has a mask of {mask['size'][1]} x {mask['size'][0]} px, "
                    f"its image is {size[1]} x {size[0]}"
                )
            record["rle"] = mask
    if not row.get("bbox") and "rle" not in record:
        return None
    record["box"] = (
        _xyxy(row["bbox"]) if row.get("bbox") else rle.boxes([record["rle"]])[0].tolist()
    )
    if "area" in row:
        record["area"] = float(row["area"])
    else:
        x1, y1, x2, y2 = record["box"]
        record["area"] = (
            float(rle.areas([record["rle"]])[0]) if "rle" in record else (x2 - x1) * (y2 - y1)
        )
    return record


def _xyxy(bbox: Sequence[float]) -> list[float]:
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


def _load(source: Path) -> Any:
    if not source.is_file():
        raise PredictionError(f"{source}: no such file")
    try:
        with streamed.opened(source) as file:
            return json.load(file)
    except ValueError as error:
        raise PredictionError(f"{source}: no JSON, or cut short: {error}") from error
