"""Average precision on real annotations, crowds among them, against pycocotools."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskdistill.evaluation import instances
from maskdistill.evaluation.curves import Curves
from maskdistill.masks import rle


@pytest.fixture(scope="module")
def source(reference):
    return json.loads(
        (reference / "data" / "coco-dev" / "instances.json").read_text(encoding="utf-8")
    )


@pytest.fixture(scope="module")
def masks(source):
    """Annotation id -> run lengths, drawn by pycocotools."""
    return dict(_drawn(source))


def _drawn(source):
    judge = coco(source)
    for row in source["annotations"]:
        mask = judge.annToRLE(row)
        counts = mask["counts"].decode() if isinstance(mask["counts"], bytes) else mask["counts"]
        yield row["id"], {"size": list(mask["size"]), "counts": counts}


def coco(dataset):
    with contextlib.redirect_stdout(io.StringIO()):
        made = COCO()
        made.dataset = json.loads(json.dumps(dataset))
        made.createIndex()
    return made


def result(row, mask, score, category=None, box=None):
    return {
        "image_id": row["image_id"],
        "category_id": row["category_id"] if category is None else category,
        "segmentation": mask,
        "bbox": row["bbox"] if box is None else box,
        "score": score,
    }


def own(source, masks, rng):
    """The truth as its own result."""
    return [result(row, masks[row["id"]], 1.0) for row in source["annotations"]]


def perturbed(source, masks, rng):
    """Moved, doubled, left out, some of another class; on crowds too; scores with ties."""
    found = []
    for row in source["annotations"]:
        mask = rle.decode([masks[row["id"]]])[0]
        for _ in range(rng.integers(0, 4)):
            moved = rle.encode(np.roll(mask, tuple(rng.integers(-9, 10, 2)), (0, 1))[None])
            x1, y1, x2, y2 = map(float, rle.boxes(moved)[0])
            category = int(rng.choice([1, 3, 18])) if rng.random() < 0.2 else None
            box = [x1, y1, x2 - x1, y2 - y1]
            found.append(result(row, moved[0], round(float(rng.random()), 2), category, box))
    return found


def at_random(source, masks, rng):
    """Boxes anywhere, more than a hundred in some pictures."""
    found = []
    for number, picture in enumerate(source["images"]):
        height, width = picture["height"], picture["width"]
        for _ in range(130 if number % 20 == 0 else rng.integers(0, 8)):
            mask = np.zeros((1, height, width), bool)
            x, y = int(rng.integers(0, width - 20)), int(rng.integers(0, height - 20))
            mask[0, y : y + int(rng.integers(5, height)), x : x + int(rng.integers(5, width))] = (
                True
            )
            encoded = rle.encode(mask)
            x1, y1, x2, y2 = map(float, rle.boxes(encoded)[0])
            row = {
                "image_id": picture["id"],
                "category_id": int(rng.choice([1, 2, 3, 44, 62])),
                "bbox": None,
            }
            found.append(
                result(row, encoded[0], float(rng.random()), box=[x1, y1, x2 - x1, y2 - y1])
            )
    return found


@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
@pytest.mark.parametrize("class_agnostic", [True, False])
@pytest.mark.parametrize("make", [own, perturbed, at_random])
def test_the_twelve_numbers_equal_those_of_pycocotools(
    source, masks, rng, make, class_agnostic, iou_type
):
    found = make(source, masks, rng)
    truth = {picture["id"]: [] for picture in source["images"]}
    for row in source["annotations"]:
        x, y, width, height = row["bbox"]
        record = {
            "rle": masks[row["id"]],
            "box": [x, y, x + width, y + height],
            "area": row["area"],
        }
        truth[row["image_id"]].append(
            record | {"category": row["category_id"], "crowd": bool(row["iscrowd"])}
        )
    results = {}
    for row in found:
        x, y, width, height = row["bbox"]
        record = {
            "rle": row["segmentation"],
            "box": [x, y, x + width, y + height],
            "category": row["category_id"],
        }
        results.setdefault(row["image_id"], []).append(record | {"score": row["score"]})
    ours = instances.average_precision(
        truth, results, iou_type=iou_type, class_agnostic=class_agnostic
    )
    with contextlib.redirect_stdout(io.StringIO()):
        # As the release does it; pycocotools' own switch (useCats) sorts masks of equal scores by category.
        one = {"category_id": 1} if class_agnostic else {}
        judge = coco(source | {"annotations": [row | one for row in source["annotations"]]})
        copies = [row | {"segmentation": dict(row["segmentation"])} | one for row in found]
        evaluation = COCOeval(judge, judge.loadRes(copies), iou_type)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    theirs = [float("nan") if value < 0 else float(value) for value in evaluation.stats]
    np.testing.assert_allclose(list(ours.values()), theirs, rtol=0, atol=1e-12)
    numbers = Curves(truth, results, iou_type=iou_type, class_agnostic=class_agnostic).numbers(
        np.ones((1, 94), int)
    )
    for name, values in numbers.items():
        assert values[0] == pytest.approx(ours[name], abs=1e-12), name
    assert sum(row["iscrowd"] for row in source["annotations"]) == 10
    if make is own:
        assert ours["AP50"] > 0.98
