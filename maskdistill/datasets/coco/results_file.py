"""COCO results: what others predicted, a list of records or a dataset with scores, to be scored.

In:       a results JSON; the truth that it is of; which images count
Out:      Results: records by image id, with what was found odd; what cannot be counted is refused
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskdistill.datasets import streamed
from maskdistill.datasets.coco import checks, fields
from maskdistill.datasets.coco.fields import Key
from maskdistill.datasets.coco.image_rows import Listed, listed_images
from maskdistill.datasets.coco.instances_file import Instances, Record
from maskdistill.datasets.coco.segmentations import mask_of
from maskdistill.datasets.findings import Findings
from maskdistill.datasets.names import join
from maskdistill.errors import PredictionError, listed
from maskdistill.masks import rle

WANTED = "Wanted: [{image_id, category_id, score, segmentation or bbox}, ...]"


@dataclass(frozen=True)
class Results:
    """Hold what was predicted.

    Attributes:
        records: image id -> one record a prediction, of all images that count; may be empty. A
            record has box (xyxy, px), category (an integer), score (finite), and rle if the file
            has masks.
        has_masks: every record has a mask; else none has.
        has_boxes: the file has boxes; else they were made from its masks.
        notes: what is odd and is counted nevertheless, a sentence each.
    """

    records: dict[int, list[Record]]
    has_masks: bool
    has_boxes: bool
    notes: list[str] = field(default_factory=list)


def read(
    source: Path, truth: Instances, *, same_categories: bool, kept: Container[int] | None = None
) -> Results:
    """Read a results file: records with image_id, category_id, score, segmentation or bbox or both.

    A dataset with scores, as `export --as coco` writes it, has image ids of its own: it is joined
    to the truth by file name.

    Args:
        same_categories: the category ids are those of the truth; else they are clusters, any
            integers from 0.
        kept: ids of the images that count; None: all. Results of the others are left out, and told.
    Raises:
        PredictionError: no such file, another format, no result; images or categories that the
            truth does not have, masks of another size, scores that are no finite numbers: how
            many, and the first of them.
    """
    loaded = _load(source)
    rows = loaded.get("annotations") if isinstance(loaded, dict) else loaded
    if not isinstance(rows, list):
        raise PredictionError(f"{source}: not a list of results. {WANTED}")
    if not rows:
        raise PredictionError(
            f"{source}: holds no result. Nothing was predicted, or the file was cut short"
        )
    n_all, found = len(rows), Findings()
    image_of: Mapping[Key, int] = truth.image_of
    elsewhere: frozenset[Key] = frozenset()
    if isinstance(loaded, dict) and isinstance(loaded.get("images"), list):
        images = listed_images(source, loaded["images"], found, PredictionError)
        image_of, elsewhere = _by_name(source, images, rows, truth, some=kept is not None)
    rows = _known(source, rows, truth, image_of, elsewhere, same_categories)
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
    for row in rows:
        records[row["image_id"]].append(_result(source, row, truth, has_masks, has_boxes, found))
    sizes = {number: truth.sizes[number] for number, each in records.items() if each}
    checks.boxes(source, records, sizes, found, PredictionError)
    notes = _odd(rows, records, truth, has_boxes)
    notes += [f"results: {sentence}" for sentence in found.sentences(objects=len(rows))]
    if len(rows) < n_all:
        notes.insert(
            0,
            f"{n_all - len(rows)} of {n_all} results are of images that were not chosen, "
            "and not counted",
        )
    return Results(records, has_masks, has_boxes, notes)


def _by_name(
    source: Path, images: Listed, rows: list[Any], truth: Instances, *, some: bool
) -> tuple[Mapping[Key, int], frozenset[Key]]:
    """Return the truth's image of each id of a dataset, by file name, and the ids that have none.

    Where no image goes by a name of the truth, the ids are taken for those of the truth.

    Args:
        some: only some images count: results of images that the truth does not have are left out;
            else they are refused.
    """
    number_of = {name: number for number, name in truth.files.items()}
    found = join(list(number_of), list(images.files.values()))
    if not found:
        return truth.image_of, frozenset()
    names = {key: images.files[number] for key, number in images.number_of.items()}
    elsewhere = frozenset(key for key, name in names.items() if name not in found)
    if elsewhere and not some:
        with_results = {
            fields.known_key(row.get("image_id")) for row in rows if isinstance(row, dict)
        }
        unknown = sorted({names[key] for key in elsewhere & with_results})
        if unknown:
            raise PredictionError(
                f"{source}: has results of {len(unknown)} images that {truth.source.name} does not "
                f"have: {listed(unknown)}. Give --only with a list of those that count, or the "
                "ground truth of all"
            )
    of_truth = {key: number_of[found[name]] for key, name in names.items() if name in found}
    return of_truth, elsewhere


def _known(
    source: Path,
    rows: list[Any],
    truth: Instances,
    image_of: Mapping[Key, int],
    elsewhere: Container[Key],
    same_categories: bool,
) -> list[Record]:
    """Return the results with images and categories of the truth, a float as score, their place.

    Raises:
        PredictionError: a record that is none, or whose image, score or category cannot be counted:
            how many, and the first of them.
    """
    wrong: dict[str, list[str]] = {"image_id": [], "score": [], "category_id": []}
    made: list[Record] = []
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            raise PredictionError(
                f"{source}: not a list of results: number {place} is none. {WANTED}"
            )
        if missing := [name for name in wrong if name not in row]:
            raise PredictionError(
                f"{source}: not a list of results: number {place} has no {missing[0]}. {WANTED}"
            )
        image_id, category = fields.known_key(row["image_id"]), fields.known_key(row["category_id"])
        if image_id in elsewhere:
            continue
        if same_categories:
            category = truth.category_of.get(category) if category is not None else None
        elif not isinstance(category, int) or category < 0:
            category = None
        try:
            score = fields.number(row["score"])
        except ValueError:
            wrong["score"].append(str(row["score"]))
            continue
        image = image_of.get(image_id) if image_id is not None else None
        if image is None:
            wrong["image_id"].append(str(row["image_id"]))
        elif category is None:
            wrong["category_id"].append(str(row["category_id"]))
        else:
            own = {"image_id": image, "category_id": category, "score": score, "place": place}
            made.append({**row, **own})
    name = truth.source.name
    why = {
        "image_id": f"which {name} does not have",
        "score": "which is no number",
        "category_id": (
            f"which {name} does not have "
            f"(its {len(truth.names)} ids: {listed(sorted(truth.names))})"
            if same_categories
            else "which is no cluster (0, 1, ...)"
        ),
    }
    for key, values in wrong.items():
        if values:
            article = "an" if key == "image_id" else "a"
            raise PredictionError(
                f"{source}: {len(values)} of {len(rows)} results have {article} {key} {why[key]}: "
                f"{listed(list(dict.fromkeys(values)))}. They cannot be counted; take them out, or "
                "give the ground truth that they were made for"
            )
    return made


def _all_or_none(source: Path, rows: list[Any], key: str) -> bool:
    """Return whether all results have a field, or none; PredictionError where some have it."""
    n_with = sum(bool(row.get(key)) for row in rows)
    if 0 < n_with < len(rows):
        raise PredictionError(
            f"{source}: {n_with} of {len(rows)} results have {key}, the others not. Give it in all"
        )
    return n_with > 0


def _result(
    source: Path,
    row: Record,
    truth: Instances,
    has_masks: bool,
    has_boxes: bool,
    found: Findings,
) -> Record:
    """Return the record of one result."""
    place, image = row["place"], row["image_id"]
    record: Record = {"id": place, "category": row["category_id"], "score": row["score"]}
    told = f"(image {truth.files[image]})"
    if image not in truth.sizes:
        raise PredictionError(
            f"{truth.source}: its image {truth.files[image]} has no height and width, which the "
            "results need. Give them in the list of images"
        )
    size = truth.sizes[image]
    what = "mask"
    try:
        if has_masks:
            mask = mask_of(row["segmentation"], size, row.get("bbox"), odd=found.add)
            if mask is None:
                raise ValueError("an empty one")
            record["rle"] = mask
        what = "box"
        box = fields.xyxy(row["bbox"]) if has_boxes else None
    except (ValueError, TypeError, RuntimeError) as error:
        raise PredictionError(
            f"{source}: result {place} holds no {what} that can be read: {error} {told}"
        ) from error
    if has_masks and tuple(record["rle"]["size"]) != size:
        height, width = record["rle"]["size"]
        raise PredictionError(
            f"{source}: result {place} has a mask of {width} x {height} px, "
            f"its image {truth.files[image]} is {size[1]} x {size[0]}. "
            "Resize masks to their images first"
        )
    record["box"] = box if box is not None else rle.boxes([record["rle"]])[0].tolist()
    return record


def _odd(
    rows: list[Any], records: dict[int, list[Record]], truth: Instances, has_boxes: bool
) -> list[str]:
    """Return what is counted, but should be known beside the number."""
    notes = []
    without = [truth.files[number] for number, found in records.items() if not found]
    if without:
        notes.append(
            f"{len(without)} of {len(records)} images have no prediction: nothing was found in "
            f"them, their objects are missed: {listed(without)}"
        )
    ids = Counter(str(row["id"]) for row in rows if "id" in row)
    twice = [number for number, times in ids.items() if times > 1]
    if twice:
        notes.append(
            f"{len(twice)} ids of results stand more than once (all are counted): {listed(twice)}"
        )
    n_same = len(rows) - len(
        {
            json.dumps({k: v for k, v in row.items() if k not in ("id", "place")}, sort_keys=True)
            for row in rows
        }
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


def _load(source: Path) -> Any:
    """Return a JSON file's value; PredictionError where it cannot be read."""
    if not source.is_file():
        raise PredictionError(f"{source}: no such file")
    try:
        with streamed.opened(source) as file:
            return json.load(file)
    except ValueError as error:
        raise PredictionError(f"{source}: no JSON, or cut short: {error}") from error
