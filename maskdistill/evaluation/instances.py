"""Average precision and recall (AP, AR) as COCO defines them, by mask or box, of classes or of one.

In:       objects and masks of pictures, as records
Out:      COCO's twelve numbers, by faster-coco-eval (equal to pycocotools to 3e-16); with intervals
          they are in curves.py. Twin: tests/reference/instances.py
Differs:  objects are numbered from 1; the release's begin with 0, which pycocotools takes for "no
          object", so that its first object of VOC is never found
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from maskdistill import gc_paused
from maskdistill.evaluation.clusters import class_of_best
from maskdistill.evaluation.records import HIT, Records, boxes, solid
from maskdistill.masks import boxes as box_ops
from maskdistill.masks import rle

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
VOTES = {  # rules of `votes` in the words of protocols
    "overlap": "masks with mask IoU >= 0.5 to an object vote",
    "release": "every mask votes for the object of highest box IoU",
}


@gc_paused.paused()
def average_precision(
    truth: Records,
    results: Records,
    *,
    iou_type: Literal["segm", "bbox"] = "segm",
    class_agnostic: bool,
    areas: Literal["box", "mask"] = "box",
) -> dict[str, float]:
    """Return COCO's twelve numbers; nan where the truth has no object (of that size).

    Args:
        truth: picture id -> records with rle, box (xyxy), category, crowd, and area in pixels (else
            the mask's, which decides what is small, medium, large). A picture without objects is
            named too, with no record.
        results: picture id -> records with rle, box, category, score; pictures that the truth does
            not name are left out. At most 100 a picture and class count, the best.
        class_agnostic: all categories are one.
        areas: of the results, for the numbers by size: of their boxes, as pycocotools takes them
            where a file of results has boxes; or of their masks, as it does where a file has none.
    Raises:
        ValueError: another iou_type or another word for areas.
    """
    if iou_type not in ("segm", "bbox"):
        raise ValueError(f"iou_type: wanted segm or bbox, got {iou_type!r}")
    if areas not in ("box", "mask"):
        raise ValueError(f"areas: wanted box or mask, got {areas!r}")
    pictures = [{"id": number, **_size(rows)} for number, rows in truth.items()]
    annotations = [
        {**record, "id": 1 + place, "iscrowd": int(row["crowd"])}
        for place, (record, row) in enumerate(_records(truth, truth, iou_type, class_agnostic))
    ]
    found = [
        {**record, "score": float(row["score"])}
        for record, row in _records(results, truth, iou_type, class_agnostic, sizes_matter=False)
    ]
    if not annotations:
        return dict.fromkeys(NAMES, float("nan"))
    categories = sorted(
        {row["category_id"] for row in annotations} | {row["category_id"] for row in found}
    )
    dataset = {
        "info": {},
        "images": pictures,
        "annotations": annotations,
        "categories": [{"id": number, "name": str(number)} for number in categories],
    }
    judged = COCO(dataset, print_function=_say_nothing)
    loaded = judged.loadRes(found)
    if areas == "mask":
        for row, area in zip(
            found, rle.areas([row["segmentation"] for row in found]).tolist(), strict=True
        ):
            row["area"] = area
    evaluation = COCOeval_faster(judged, loaded, iouType=iou_type, print_function=_say_nothing)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    values = [
        float(value) if value >= 0 else float("nan") for value in evaluation.stats[: len(NAMES)]
    ]
    return dict(zip(NAMES, values, strict=True))


def most_confident(
    truth: Records, results: Records
) -> tuple[dict[int, list[Any]], dict[int, list[Any]]]:
    """Return each picture's best mask and the object it is compared with: the protocol `single`.

    The mask of highest score (of equal ones the first) is paired with the object of highest box
    IoU, whatever the class, the first if all are 0; crowds are objects here. For this alone the
    corners of the object's box are rounded, halves to even. All other masks and objects are left
    out, so that what was not found costs nothing: not comparable with AP of other papers. Pictures
    without masks or without objects have neither.

    Args:
        truth, results: as for `average_precision`.
    Returns:
        Truth and results of the same pictures as in `truth`, none or one record each.
    """
    objects: dict[int, list[Any]] = {number: [] for number in truth}
    masks: dict[int, list[Any]] = {number: [] for number in truth}
    for number, rows in truth.items():
        found = results.get(number, ())
        if len(rows) and len(found):
            best = max(found, key=lambda row: row["score"])  # the first of equals
            rounded = np.round(boxes(rows))
            overlap = box_ops.iou(np.asarray(best["box"], np.float64)[None], rounded)[0]
            objects[number], masks[number] = [rows[int(overlap.argmax())]], [best]
    return objects, masks


def votes(
    truth: Records,
    results: Records,
    *,
    n_clusters: int,
    n_classes: int,
    rule: Literal["release", "overlap"] = "release",
) -> np.ndarray:
    """Return the votes of masks for classes (n_clusters, n_classes) int64, to name clusters by.

    `matching.hungarian` of these names the clusters. Crowds are no objects here; masks of pictures
    without objects have no vote.

    Args:
        truth: records with rle, box, category (0 .. n_classes - 1), crowd.
        results: records with rle, box, cluster.
        rule: `release`: for the class of the object of highest box IoU, the first if all are 0, so
            that a mask on nothing votes too. `overlap`: for that of highest mask IoU (by box in
            pictures where an object has no mask), if it is at least 0.5.
    Raises:
        ValueError: another rule.
    """
    if rule not in ("release", "overlap"):
        raise ValueError(f"rule: wanted release or overlap, got {rule!r}")
    counts = np.zeros((n_clusters, n_classes), np.int64)
    for number, rows in truth.items():
        objects, found = solid(rows), results.get(number, ())
        if not objects or not len(found):
            continue
        if rule == "release":
            iou, at_least = box_ops.iou(boxes(found), boxes(objects)), 0.0
        else:
            by_mask = all("rle" in row for row in objects)
            iou = (
                rle.iou([row["rle"] for row in found], [row["rle"] for row in objects])
                if by_mask
                else box_ops.iou(boxes(found), boxes(objects))
            )
            at_least = HIT
        classes = class_of_best(
            iou, np.array([row["category"] for row in objects]), at_least=at_least
        )
        for mask, which in zip(found, classes, strict=True):
            if which >= 0:
                counts[mask["cluster"], which] += 1
    return counts


def named(results: Records, mapping: Mapping[int, int], *, without: int) -> dict[int, list[Any]]:
    """Return the results with the class of their cluster as category.

    Args:
        results: records with cluster. mapping: {cluster: class}.
        without: category of clusters that have no class; no object may have it.
    """
    return {
        number: [{**row, "category": mapping.get(row["cluster"], without)} for row in rows]
        for number, rows in results.items()
    }


def _records(
    of: Records, truth: Records, iou_type: str, class_agnostic: bool, *, sizes_matter: bool = True
) -> list[tuple[dict[str, Any], Mapping[str, Any]]]:
    """Return COCO's records of all pictures that the truth names, each with its own row.

    Args:
        sizes_matter: fill in the area of the mask where none is given.
    """
    placed = [(number, row) for number, rows in of.items() if number in truth for row in rows]
    xywh = boxes([row for _, row in placed])
    xywh[:, 2:] -= xywh[:, :2]
    records = []
    for (number, row), box in zip(placed, xywh.tolist(), strict=True):
        record: dict[str, Any] = {
            "image_id": number,
            "category_id": 1 if class_agnostic else int(row["category"]),
            "bbox": box,
        }
        if "area" in row:
            record["area"] = float(row["area"])
        elif sizes_matter and "rle" in row:
            record["area"] = float(rle.areas([row["rle"]])[0])
        else:
            record["area"] = box[2] * box[3]
        if "rle" in row:
            record["segmentation"] = {
                "size": list(row["rle"]["size"]),
                "counts": row["rle"]["counts"],
            }
        records.append((record, row))
    return records


def _say_nothing(*words: object) -> None:
    """Print nothing: a room does not print."""


def _size(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    height, width = rows[0]["rle"]["size"] if rows and "rle" in rows[0] else (1, 1)
    return {"height": int(height), "width": int(width)}
