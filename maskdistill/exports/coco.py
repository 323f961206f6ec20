"""Masks as a COCO dataset, written as a stream: never more than a picture in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any


def write(
    file: IO[str], images: Iterable[Mapping[str, Any]], lines: Iterable[Mapping[str, Any]], names: Sequence[str]
) -> None:
    """{"images", "annotations", "categories"} into an open text file.

    Args:
        images: rows with id, path, width, height.
        lines: a picture each: id and masks with rle, box (half-open xyxy), area, score, and cluster or none (then 0).
        names: of the clusters; category ids are 1 + cluster.
    """
    file.write('{"info": {"description": "masks found without labels by maskdistill"},\n"images": [')
    _rows(file, ({"id": r["id"], "file_name": r["path"], "width": r["width"], "height": r["height"]} for r in images))
    file.write('],\n"annotations": [')
    _rows(file, _annotations(lines))
    file.write('],\n"categories": [')
    _rows(file, ({"id": number, "name": name} for number, name in enumerate(names, 1)))
    file.write("]}\n")


def _annotations(lines: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    number = 0
    for line in lines:
        for mask in line.get("masks", []):
            number += 1
            x1, y1, x2, y2 = mask["box"]
            yield {
                "id": number,
                "image_id": line["id"],
                "category_id": 1 + mask.get("cluster", 0),
                "segmentation": mask["rle"],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": mask["area"],
                "iscrowd": 0,
                "score": mask["score"],
            }


def _rows(file: IO[str], rows: Iterable[Mapping[str, Any]]) -> None:
    for number, row in enumerate(rows):
        file.write((",\n" if number else "\n") + json.dumps(row, ensure_ascii=False))
