"""Result files: masks that others found, read a record at a time, to go on with in a run.

In:       a COCO results list; a COCO dataset (polygons, plain or compressed run lengths); a folder
          of JSON files, one a picture, as `maskdistill masks` or Segment Anything's data set have
          them
Out:      Images: what the file says of pictures and categories; Found: a mask, in the file's order
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskdistill.datasets import streamed
from maskdistill.datasets.coco import checks, fields
from maskdistill.datasets.coco.fields import Key, Size
from maskdistill.datasets.coco.image_rows import listed_images
from maskdistill.datasets.coco.instances_file import Crowds
from maskdistill.datasets.coco.record_faults import Boxes, Wrong
from maskdistill.datasets.coco.segmentations import mask_of
from maskdistill.datasets.findings import Findings
from maskdistill.errors import PredictionError, listed, setting
from maskdistill.masks import rle
from maskdistill.types import Rle

WANTED = "Wanted: a COCO results list or dataset, or a folder that `maskdistill masks` made"


@dataclass(frozen=True)
class Images:
    """Hold what a file says of pictures and categories.

    Attributes:
        paths: image id -> file name or relative path.
        sizes: image id -> (height, width), px, where the file has it.
        names: category id -> name; empty where the file has no categories.
        notes: what was assumed, a sentence each.
    """

    paths: dict[Key, str]
    sizes: dict[Key, Size]
    names: dict[int, str]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """Hold one mask.

    Attributes:
        image: id of its picture. area: of the mask, px, at least 1.
        box: xyxy, px, half-open; None: the file has none.
        category: id in the file; None: it has none. score: in [0, 1]; 1 where the file has none.
    """

    image: Key
    rle: Rle
    area: int
    box: list[float] | None
    category: int | None
    score: float


@dataclass
class Tally:
    """Count what was passed over while masks were read, and what is told of those that were not.

    Attributes:
        crowds, empty, elsewhere: masks passed over: crowds, without a pixel, of images not asked
            for.
        ids: how often each annotation id stands in the file.
        scored: the masks have scores.
        notes: what was assumed of masks, a sentence each.
    """

    crowds: int = 0
    empty: int = 0
    elsewhere: int = 0
    ids: Counter[Any] = field(default_factory=Counter)
    scored: bool = True
    notes: list[str] = field(default_factory=list)


def images(source: Path) -> Images | None:
    """Read the images and categories of a dataset or folder; None of a results list, without any.

    Raises:
        PredictionError: no such file, another format, cut short; ids or names that stand twice.
    """
    try:
        if source.is_dir():
            files = [
                (str(path), about["path"], about["size"]) for path, about in _of_folder(source)
            ]
            found = Images(
                {key: name for key, name, _ in files}, {key: size for key, _, size in files}, {}
            )
            _refuse_twice(source, "pictures", [name for _, name, _ in files])
            return found
        if streamed.is_list(source):
            return None
        rows: dict[str | None, list[Any]] = {"images": [], "categories": []}
        for key, row in streamed.records(source, ("images", "categories")):
            rows[key].append(row)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise _unreadable(source, error) from error
    if not rows["images"]:
        raise PredictionError(f"{source}: lists no image. {WANTED}")
    told = Findings()
    seen = listed_images(source, rows["images"], told, PredictionError)
    paths = {key: seen.files[number] for key, number in seen.number_of.items()}
    sizes = {key: seen.sizes[number] for key, number in seen.number_of.items()}
    return Images(
        paths,
        {key: size for key, size in sizes.items() if size is not None},
        _categories(source, rows["categories"]),
        told.sentences(),
    )


def _categories(source: Path, rows: list[Any]) -> dict[int, str]:
    names: dict[int, str] = {}
    twice = []
    for place, row in enumerate(rows, 1):
        number = fields.known_key(row.get("id")) if isinstance(row, dict) else None
        if not isinstance(number, int):
            raise PredictionError(f"{source}: category number {place} has no number as its id")
        if number in names:
            twice.append(number)
        names[number] = str(row.get("name") or f"category {number}")
    if twice:
        raise PredictionError(
            f"{source}: {len(twice)} category ids stand more than once: {listed(twice)}"
        )
    return names


def masks(
    source: Path,
    sizes: Mapping[Key, Size],
    *,
    known: Callable[[Key], bool],
    categories: Mapping[int, str] | None,
    crowds: Crowds = "ignored",
    taken: str = "propose.import_crowds",
) -> Iterator[Found | Tally]:
    """Yield the masks of the images in `sizes`, one at a time; last of all a Tally of the others.

    A record without a score has score 1, if none has one. Crowds and masks without a pixel are
    passed over.

    Args:
        sizes: image id -> (height, width), px, of the images whose masks are wanted; a mask must
            have the size of its image.
        known: returns whether an image id is one at all. Records of images that are known and not
            wanted are passed over.
        categories: category id -> name; a record's category must be one of the ids. Empty: any
            integer from 0. None: not looked at.
        crowds: ignored: they are passed over; objects: they are masks as others.
        taken: the setting that says so, for the message.
    Raises:
        PredictionError: what `images` raises; no record at all; records with an unknown image, a
            category or score out of range, without a mask, with one that cannot be read or is of
            another size: how many, and the first. It comes when the file was read to its end.
    """
    tally, wrong, told, n_rows, n_scored = Tally(), Wrong(), Findings(), 0, 0
    n_fractions, boxes = 0, Boxes()
    try:
        for place, row in enumerate(_rows(source)):
            n_rows += 1
            if not isinstance(row, dict):
                wrong.add("record", f"number {place}")
                continue
            if (number := row.get("id")) is not None:
                tally.ids[number if type(number) is int else str(number)] += 1
            n_scored += "score" in row
            image = fields.known_key(row.get("image_id"))
            if image is None or not known(image):
                wrong.add("image_id", row.get("image_id"))
                continue
            score = _share(row["score"]) if "score" in row else 1.0
            if score is None:
                wrong.add("score", row["score"])
                continue
            category = row.get("category_id")
            if categories is not None and category is not None:
                category = fields.known_key(category)
                if not _is_category(category, categories):
                    wrong.add("category_id", row["category_id"])
                    continue
            try:
                is_crowd = fields.flag(row.get("iscrowd"))
            except ValueError as error:
                wrong.add("iscrowd", f"number {place}: {error}")
                continue
            if image not in sizes:
                tally.elsewhere += 1
            elif is_crowd and crowds == "ignored":
                tally.crowds += 1
            elif (mask := _mask(row, image, place, sizes[image], wrong, told)) is not None:
                n_fractions += checks.is_of_fractions(row["segmentation"], mask)
                if checks.is_empty(mask):
                    tally.empty += 1
                    continue
                box = _box(row, place, wrong)
                if box is not None:
                    boxes.add(place, box, mask)
                whole = category if isinstance(category, int) else None
                area = int(rle.areas([mask])[0])
                yield Found(image, mask, area, box, whole, score)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise _unreadable(source, error) from error
    if not n_rows:
        raise PredictionError(
            f"{source}: holds no mask. Nothing was found, or the file was cut short"
        )
    if 0 < n_scored < n_rows:
        raise PredictionError(
            f"{source}: {n_scored} of {n_rows} masks have a score, the others not. Give it in all"
        )
    wrong.refuse(source, n_rows, categories)
    if tally.crowds == n_rows:
        raise PredictionError(
            f"{source}: all {n_rows} masks are crowds (iscrowd 1), which are left out. Some tools "
            f"write so for masks painted with a brush: take them with {setting(taken, 'objects')}"
        )
    if n_fractions == n_rows:
        raise PredictionError(
            f"{source}: none of its {n_rows} masks covers more than a pixel of its picture: their "
            "coordinates seem to be fractions of width and height. Give them in pixels"
        )
    boxes.check(source, told)
    tally.scored = n_scored > 0
    tally.notes = told.sentences(annotations=n_rows, objects=n_rows)
    yield tally


def _rows(source: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a file in COCO's words, whatever the format."""
    if source.is_dir():
        for path, about in _of_folder(source):
            for row in about["rows"]:
                yield {**row, "image_id": str(path)}
        return
    for _, row in streamed.records(source, ("annotations",)):
        yield row


def _of_folder(source: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield each file's relative path, and its picture's path, size and rows in COCO's words."""
    files = sorted(
        path.relative_to(source)
        for path in source.rglob("*.json")
        if not any(part.startswith(".") for part in path.relative_to(source).parts)
    )
    if not files:
        raise PredictionError(f"{source}: holds no .json. {WANTED}")
    for path in files:
        try:
            with streamed.opened(source / path) as file:
                about = json.load(file)
            yield path, _of_picture(about)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _unreadable(source / path, error) from error


def _of_picture(about: dict[str, Any]) -> dict[str, Any]:
    """Convert a file of `maskdistill masks`, or one of Segment Anything's data set (SA-1B)."""
    if "masks" in about:
        height, width = about["size"]
        rows = [{"segmentation": row["mask"], "score": row["score"]} for row in about["masks"]]
        return {"path": about["picture"], "size": (int(height), int(width)), "rows": rows}
    image = about["image"]
    # Its score is an IoU that a network predicts, which may be a little above 1.
    rows = [
        {"segmentation": row["segmentation"], "score": min(1.0, row["predicted_iou"])}
        for row in about["annotations"]
    ]
    return {
        "path": image["file_name"],
        "size": (int(image["height"]), int(image["width"])),
        "rows": rows,
    }


def _mask(
    row: dict[str, Any], image: Key, place: int, size: Size, wrong: Wrong, told: Findings
) -> Rle | None:
    if "segmentation" not in row:
        wrong.add("segmentation", f"number {place} (it has no segmentation)")
        return None
    try:
        mask = mask_of(row["segmentation"], size, row.get("bbox"), odd=told.add)
    except (ValueError, RuntimeError, TypeError) as error:
        wrong.add("segmentation", f"number {place} of image {image} ({error})")
        return None
    if mask is None:
        wrong.add("segmentation", f"number {place} (an empty one)")
    elif tuple(mask["size"]) != size:
        theirs = f"{mask['size'][1]} x {mask['size'][0]}"
        wrong.add("size", f"number {place}: {theirs} px, its picture {size[1]} x {size[0]}")
    else:
        return mask
    return None


def _box(row: dict[str, Any], place: int, wrong: Wrong) -> list[float] | None:
    try:
        return fields.box(row.get("bbox"))
    except ValueError:
        wrong.add("bbox", f"number {place}: {row['bbox']}")
        return None


def _share(value: Any) -> float | None:
    """Return a score in [0, 1]; None where it is none."""
    try:
        score = fields.number(value)
    except ValueError:
        return None
    return score if 0 <= score <= 1 else None


def _is_category(value: Key | None, names: Mapping[int, str]) -> bool:
    return isinstance(value, int) and (value in names if names else value >= 0)


def _refuse_twice(source: Path, what: str, values: list[Any]) -> None:
    twice = [value for value, times in Counter(values).items() if times > 1]
    if twice:
        raise PredictionError(
            f"{source}: {len(twice)} {what} stand more than once: {listed(twice)}"
        )


def _unreadable(source: Path, error: Exception) -> PredictionError:
    if isinstance(error, FileNotFoundError):
        return PredictionError(f"{source}: no such file or folder. {WANTED}")
    told = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    return PredictionError(f"{source}: cannot be read: {told}. {WANTED}")
