"""Result files: masks that others found, read a record at a time, to go on with in a run.

In:       a COCO results list; a COCO dataset (polygons, plain or compressed run lengths); a folder
          of JSON files, one a picture, as `maskdistill masks` or Segment Anything's data set have
          them
Out:      Images: what the file says of pictures and categories; Found: a mask, in the file's order
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskdistill.datasets import streamed
from maskdistill.datasets.truth import mask_of
from maskdistill.errors import PredictionError, listed
from maskdistill.masks import rle
from maskdistill.types import Rle

Key = int | str  # a picture's name in a file
Size = tuple[int, int]  # (height, width)
WANTED = "Wanted: a COCO results list or dataset, or a folder that `maskdistill masks` made"


@dataclass(frozen=True)
class Images:
    """Hold what a file says of pictures and categories.

    Attributes:
        paths: image id -> file name or relative path.
        sizes: image id -> (height, width), px, where the file has it.
        names: category id -> name; empty where the file has no categories.
    """

    paths: dict[Key, str]
    sizes: dict[Key, Size]
    names: dict[int, str]


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
    """

    crowds: int = 0
    empty: int = 0
    elsewhere: int = 0
    ids: Counter[Any] = field(default_factory=Counter)
    scored: bool = True


def images(source: Path) -> Images | None:
    """Read the images and categories of a dataset or folder; None of a results list, without any.

    Raises:
        PredictionError: no such file, another format, cut short; ids or names that stand twice.
    """
    try:
        if source.is_dir():
            rows = [(str(path), about["path"], about["size"]) for path, about in _of_folder(source)]
            found = Images(
                {key: name for key, name, _ in rows}, {key: size for key, _, size in rows}, {}
            )
            _refuse_twice(source, "pictures", [name for _, name, _ in rows])
            return found
        if streamed.is_list(source):
            return None
        listed_images, names = [], []
        for key, row in streamed.records(source, ("images", "categories")):
            if key == "images":
                size = (
                    (int(row["height"]), int(row["width"]))
                    if "height" in row and "width" in row
                    else None
                )
                listed_images.append((row["id"], str(row["file_name"]), size))
            else:
                names.append((int(row["id"]), str(row["name"])))
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise _unreadable(source, error) from error
    if not listed_images:
        raise PredictionError(f"{source}: lists no image. {WANTED}")
    _refuse_twice(source, "image ids", [key for key, _, _ in listed_images])
    _refuse_twice(source, "file names", [name for _, name, _ in listed_images])
    _refuse_twice(source, "category ids", [number for number, _ in names])
    return Images(
        {key: name for key, name, _ in listed_images},
        {key: size for key, _, size in listed_images if size is not None},
        dict(names),
    )


def masks(
    source: Path,
    sizes: Mapping[Key, Size],
    *,
    known: Callable[[Key], bool],
    categories: Mapping[int, str] | None,
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
    Raises:
        PredictionError: what `images` raises; no record at all; records with an unknown image, a
            category or score out of range, without a mask, with one that cannot be read or is of
            another size: how many, and the first. It comes when the file was read to its end.
    """
    tally, wrong, n_rows, n_scored = Tally(), _Wrong(), 0, 0
    try:
        for place, row in enumerate(_rows(source)):
            n_rows += 1
            if (number := row.get("id")) is not None:
                tally.ids[number] += 1
            n_scored += "score" in row
            if not known(row["image_id"]):
                wrong.add("image_id", row["image_id"])
                continue
            if "score" in row and not _is_share(row["score"]):
                wrong.add("score", row["score"])
                continue
            category = row.get("category_id")
            if (
                categories is not None
                and category is not None
                and not _is_category(category, categories)
            ):
                wrong.add("category_id", category)
                continue
            if row["image_id"] not in sizes:
                tally.elsewhere += 1
            elif row.get("iscrowd"):
                tally.crowds += 1
            elif (mask := _mask(row, place, sizes[row["image_id"]], wrong)) is not None:
                if not (area := int(rle.areas([mask])[0])):
                    tally.empty += 1
                    continue
                box = _box(row, place, wrong)
                yield Found(
                    row["image_id"], mask, area, box, category, float(row.get("score", 1.0))
                )
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
    tally.scored = n_scored > 0
    yield tally


class _Wrong:
    """Count records that cannot be used, by the field that is wrong, and keep its first values."""

    WHY: Mapping[str, str] = {
        "image_id": "an image_id that is not listed",
        "score": "a score that is no number in [0, 1]",
        "category_id": "a category_id out of range",
        "segmentation": "no mask that can be read",
        "bbox": "a bbox that is not x, y, width, height",
        "size": "a mask of another size than its picture",
    }

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.first: dict[str, dict[str, None]] = {}

    def add(self, key: str, value: Any) -> None:
        """Count one record whose field `key` is wrong."""
        self.counts[key] += 1
        values = self.first.setdefault(key, {})
        if len(values) < 6:
            values[str(value)] = None

    def refuse(self, source: Path, n_rows: int, categories: Mapping[int, str] | None) -> None:
        """Raise PredictionError if a record was counted."""
        if not self.counts:
            return
        lines = [
            f"{self.counts[key]} of {n_rows} masks have {why}: {listed(list(self.first[key]))}"
            for key, why in self.WHY.items()
            if self.counts[key]
        ]
        if self.counts["category_id"] and categories:
            lines.append(f"its {len(categories)} categories: {listed(sorted(categories))}")
        raise PredictionError(
            f"{source}: {'; '.join(lines)}. Mend them or take them out: nothing was imported"
        )


def _rows(source: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a file in COCO's words, whatever the format."""
    if source.is_dir():
        for path, about in _of_folder(source):
            for row in about["rows"]:
                yield {**row, "image_id": str(path)}
        return
    is_list = streamed.is_list(source)
    for _, row in streamed.records(source, ("annotations",)):
        if is_list or "image_id" in row:
            yield row
        else:
            raise ValueError(f"an annotation has no image_id: {listed(list(row))}")


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


def _mask(row: dict[str, Any], place: int, size: Size, wrong: _Wrong) -> Rle | None:
    try:
        mask = mask_of(row["segmentation"], size, row.get("bbox"))
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        told = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        wrong.add("segmentation", f"number {place} of image {row['image_id']} ({told})")
        return None
    if mask is None:
        wrong.add("segmentation", f"number {place} (an empty list of polygons)")
    elif tuple(mask["size"]) != size:
        theirs = f"{mask['size'][1]} x {mask['size'][0]}"
        wrong.add("size", f"number {place}: {theirs} px, its picture {size[1]} x {size[0]}")
    else:
        return mask
    return None


def _box(row: dict[str, Any], place: int, wrong: _Wrong) -> list[float] | None:
    if not row.get("bbox"):
        return None
    try:
        x, y, width, height = map(float, row["bbox"])
        if not all(map(math.isfinite, (x, y, width, height))) or width < 0 or height < 0:
            raise ValueError
    except (ValueError, TypeError):
        wrong.add("bbox", f"number {place}: {row['bbox']}")
        return None
    return [x, y, x + width, y + height]


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1  # nan fails


def _is_category(value: Any, names: Mapping[int, str]) -> bool:
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
