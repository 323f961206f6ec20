"""Average precision and recall as COCO defines them, by mask or box, with clusters or without.

Computed by faster-coco-eval (equal to pycocotools to 3e-17). Ids of objects start at 1: an object of id 0 would
never count as found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from maskdistill.masks import rle
from maskdistill.masks.boxes import xywh

_NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def average_precision(
    truth: Mapping[int, Sequence[Mapping[str, Any]]],
    results: Mapping[int, Sequence[Mapping[str, Any]]],
    *,
    iou_type: Literal["segm", "bbox"] = "segm",
    class_agnostic: bool,
) -> dict[str, float]:
    """COCO's twelve numbers; nan where the truth has no object (of that size).

    Args:
        truth: picture id -> records with rle, box (xyxy), category, crowd, and area in pixels (else the mask's, which
            decides what is small, medium, large). A picture without objects is named too, with no record.
        results: picture id -> records with rle, box, category, score; pictures that the truth does not name are
            left out. At most 100 a picture count, the best. Their area is the box's, as pycocotools takes it.
        class_agnostic: all categories are one.
    """
    pictures = [{"id": number, **_size(rows)} for number, rows in truth.items()]
    annotations: list[dict[str, Any]] = []
    for number, rows in truth.items():
        for row in rows:
            category = 1 if class_agnostic else int(row["category"])
            annotations.append(
                {"id": len(annotations) + 1, "iscrowd": int(row["crowd"]), **_record(number, row, category, iou_type)}
            )
    found = [
        {"score": float(row["score"]), **_record(number, row, 1 if class_agnostic else int(row["category"]), iou_type)}
        for number, rows in results.items()
        if number in truth
        for row in rows
    ]
    if not annotations:
        return dict.fromkeys(_NAMES, float("nan"))
    categories = sorted({row["category_id"] for row in annotations} | {row["category_id"] for row in found})
    dataset = {
        "info": {},
        "images": pictures,
        "annotations": annotations,
        "categories": [{"id": number, "name": str(number)} for number in categories],
    }
    judged = COCO(dataset, print_function=_say_nothing)
    evaluation = COCOeval_faster(judged, judged.loadRes(found), iouType=iou_type, print_function=_say_nothing)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    values = [float(value) if value >= 0 else float("nan") for value in evaluation.stats[: len(_NAMES)]]
    return dict(zip(_NAMES, values, strict=True))


def _record(number: int, row: Mapping[str, Any], category: int, iou_type: str) -> dict[str, Any]:
    box = [float(edge) for edge in xywh(np.asarray(row["box"], np.float64).reshape(1, 4))[0]]
    area = float(row["area"] if "area" in row else rle.areas([row["rle"]])[0] if "rle" in row else box[2] * box[3])
    record: dict[str, Any] = {"image_id": number, "category_id": category, "bbox": box, "area": area}
    if iou_type == "segm":
        record["segmentation"] = {"size": list(row["rle"]["size"]), "counts": row["rle"]["counts"]}
    return record


def _say_nothing(*words: object) -> None:
    """A room does not print."""


def _size(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    height, width = rows[0]["rle"]["size"] if rows and "rle" in rows[0] else (1, 1)
    return {"height": int(height), "width": int(width)}
