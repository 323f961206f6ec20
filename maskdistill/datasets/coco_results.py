"""COCO results: what others predicted, a list of records or a dataset with scores, to be scored.

In:       a results JSON; the truth that it is of; which images count
Out:      Results: records by image id, with what was found odd; what cannot be counted is refused
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskdistill.datasets import streamed
from maskdistill.datasets.coco import Instances, Record, xyxy
from maskdistill.datasets.truth import join, mask_of
from maskdistill.errors import PredictionError, listed
from maskdistill.masks import rle


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
            f"{n_all - len(rows)} of {n_all} results are of images that were not chosen, "
            "and not counted",
        )
    return Results(records, has_masks, has_boxes, notes)


def _by_name(
    source: Path, images: list[Record], rows: list[Record], truth: Instances, *, some: bool
) -> list[Record]:
    """Return the results with the image ids of the truth in place of their file's own, by file
    name.

    Where no image goes by a name of the truth, the ids are taken for those of the truth.

    Args:
        some: only some images count: results of images that the truth does not have are left out;
            else they are refused.
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
            f"{source}: has results of {len(unknown)} images that {truth.source.name} does not "
            f"have: {listed(unknown)}. Give --only with a list of those that count, or the ground "
            "truth of all"
        )
    of_truth = {number: number_of[found[name]] for number, name in names.items() if name in found}
    return [
        {**row, "image_id": of_truth[row["image_id"]]}
        for row in rows
        if row["image_id"] in of_truth
    ]


def _refuse_unknown(source: Path, rows: list[Any], truth: Instances, same_categories: bool) -> None:
    """Raise PredictionError where an image, score or category cannot be counted."""
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
        known = (
            f"which {truth.source.name} does not have "
            f"(its {len(truth.names)} ids: {listed(sorted(truth.names))})"
        )
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
                f"{source}: {len(wrong)} of {len(rows)} results have a {key} {why}: "
                f"{listed(values)}. They cannot be counted; take them out, or give the ground "
                "truth that they were made for"
            )


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
    place: int,
    row: dict[str, Any],
    truth: Instances,
    has_masks: bool,
    has_boxes: bool,
) -> Record:
    """Return the record of one result, number `place` of its file."""
    record: Record = {"category": row["category_id"], "score": float(row["score"])}
    if has_masks:
        size = truth.sizes[row["image_id"]]
        try:
            mask = mask_of(row["segmentation"], size, row.get("bbox"))
        except (ValueError, RuntimeError, KeyError, TypeError) as error:
            raise PredictionError(
                f"{source}: result {place} holds no mask that can be read: {error} "
                f"(image {truth.files[row['image_id']]})"
            ) from error
        assert mask is not None  # an empty one is none at all
        if tuple(mask["size"]) != size:
            raise PredictionError(
                f"{source}: result {place} has a mask of {mask['size'][1]} x {mask['size'][0]} px, "
                f"its image {truth.files[row['image_id']]} is {size[1]} x {size[0]}. "
                "Resize masks to their images first"
            )
        record["rle"] = mask
    record["box"] = xyxy(row["bbox"]) if has_boxes else rle.boxes([record["rle"]])[0].tolist()
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


def _load(source: Path) -> Any:
    """Return a JSON file's value; PredictionError where it cannot be read."""
    if not source.is_file():
        raise PredictionError(f"{source}: no such file")
    try:
        with streamed.opened(source) as file:
            return json.load(file)
    except ValueError as error:
        raise PredictionError(f"{source}: no JSON, or cut short: {error}") from error
