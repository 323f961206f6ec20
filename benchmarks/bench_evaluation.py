"""Evaluation: counting label maps, matching clusters, average precision; each beside its usual way in the same process.

    python benchmarks/bench_evaluation.py semantic
    python benchmarks/bench_evaluation.py matching
    python benchmarks/bench_evaluation.py instances

`semantic`: the 1449 masks of VOC's validation set ($MASKDISTILL_REFERENCE/data/voc-val-masks) against a perturbed copy:
the loop over classes, ours, the bare decoding of both PNGs, and decoding with ours. `matching`: Hungarian and majority
on tables of VOC's and COCO's size. `instances`: coco-dev's objects, moved and doubled, in as many copies of them
as asked: pycocotools and ours from the same records. Calls take turns; medians, and the range in brackets. One thread.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

sys.path.insert(0, str(Path(__file__).parents[1]))  # the plain twins stand among the tests

from maskdistill.datasets.coco import instances_file
from maskdistill.evaluation import instances, matching, semantic
from maskdistill.masks import rle
from tests.reference import semantic as plain

REFERENCE = Path(os.environ.get("MASKDISTILL_REFERENCE", "../shared"))


def in_turn(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each call, one after the other, after a round that is not counted."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(repeats):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            found[name].append(time.perf_counter() - began)
    return found


def show(seconds: dict[str, list[float]], unit: float, word: str) -> dict[str, float]:
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    for name, each in seconds.items():
        low, high = min(each) * unit, max(each) * unit
        print(f"{name:<28} {medians[name] * unit:9.3f} {word} ({low:.3f} to {high:.3f})")
    return medians


def decoded(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.array(picture)


def of_semantic(repeats: int, limit: int) -> None:
    archive = zipfile.ZipFile(REFERENCE / "data" / "voc-val-masks" / "SegmentationClass_val.zip")
    names = sorted(name for name in archive.namelist() if name.endswith(".png"))[: limit or None]
    rng = np.random.default_rng(0)
    truths, predictions = [archive.read(name) for name in names], []
    for data in truths:
        label_map = decoded(data)
        moved = np.roll(label_map, tuple(rng.integers(-9, 10, 2)), (0, 1))
        moved[moved == 255] = 0
        blot = np.s_[: moved.shape[0] // 4, : moved.shape[1] // 3]
        moved[blot] = rng.integers(0, 21)
        picture = Image.fromarray(moved)
        picture.putpalette(Image.open(io.BytesIO(data)).getpalette() or [0, 0, 0])
        buffer = io.BytesIO()
        picture.save(buffer, format="PNG")
        predictions.append(buffer.getvalue())
    pairs = [(decoded(one), decoded(other)) for one, other in zip(predictions, truths, strict=True)]
    right, false, missed = sum(np.array(plain.loop_over_classes(*pair, 21)) for pair in pairs)
    counts = sum(semantic.confusion(*pair, 21) for pair in pairs)
    np.testing.assert_allclose(
        semantic.iou(counts), right / (right + false + missed), rtol=0, atol=1e-12
    )
    found = in_turn(
        {
            "loop over 21 classes": lambda: [plain.loop_over_classes(*pair, 21) for pair in pairs],
            "ours": lambda: [semantic.confusion(*pair, 21) for pair in pairs],
            "decoding both PNGs": lambda: [
                (decoded(a), decoded(b)) for a, b in zip(predictions, truths, strict=True)
            ],
            "decoding and ours": lambda: [
                semantic.confusion(decoded(a), decoded(b), 21)
                for a, b in zip(predictions, truths, strict=True)
            ],
        },
        repeats,
    )
    print(f"{len(pairs)} masks, {repeats} rounds, mIoU {semantic.mean_iou(counts):.4f} both ways")
    medians = show(found, 1, "s")
    print(
        f"ours against the loop: {medians['loop over 21 classes'] / medians['ours']:.1f} times as fast"
    )
    print(
        f"decoding and ours over decoding: {medians['decoding and ours'] / medians['decoding both PNGs']:.2f}"
    )


def of_matching(repeats: int) -> None:
    rng = np.random.default_rng(0)
    for clusters, classes in ((20, 20), (80, 80), (254, 80)):
        counts = rng.integers(0, 10**6, (clusters, classes))
        print(f"{clusters} clusters, {classes} classes, {repeats} rounds")
        show(
            in_turn(
                {
                    f"{rule.__name__} by {by}": lambda rule=rule, by=by, counts=counts: rule(
                        counts, by
                    )  # type: ignore[misc]
                    for rule in (matching.hungarian, matching.majority)
                    for by in ("count", "iou")
                },
                repeats,
            ),
            1e3,
            "ms",
        )


def of_instances(repeats: int, copies: int) -> None:
    source = REFERENCE / "data" / "coco-dev" / "instances.json"
    truth = instances_file.read(source)
    loaded = json.loads(source.read_text())
    rng = np.random.default_rng(0)
    objects: dict[int, list[dict]] = {}
    results: dict[int, list[dict]] = {}
    rows: list[dict] = []
    images: list[dict] = []
    annotations: list[dict] = []
    for copy in range(copies):
        for place, (number, own) in enumerate(truth.objects.items()):
            here = copy * len(truth.objects) + place + 1
            images.append(
                {"id": here, "height": truth.sizes[number][0], "width": truth.sizes[number][1]}
            )
            objects[here], results[here] = own, []
            for row in own:
                x1, y1, x2, y2 = row["box"]
                record = {
                    "id": len(annotations) + 1,
                    "image_id": here,
                    "category_id": row["category"],
                }
                record |= {
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": row["area"],
                    "segmentation": row["rle"],
                }
                annotations.append(record | {"iscrowd": int(row["crowd"])})
                mask = rle.decode([row["rle"]])[0]
                for _ in range(rng.integers(0, 5)):
                    moved = rle.encode(np.roll(mask, tuple(rng.integers(-9, 10, 2)), (0, 1))[None])[
                        0
                    ]
                    category = (
                        row["category"] if rng.random() < 0.8 else int(rng.choice([1, 3, 18]))
                    )
                    x1, y1, x2, y2 = map(float, rle.boxes([moved])[0])
                    found = {
                        "rle": moved,
                        "box": [x1, y1, x2, y2],
                        "category": category,
                        "score": float(rng.random()),
                    }
                    results[here].append(found)
                    row_of = {"image_id": here, "category_id": category, "segmentation": moved}
                    rows.append(
                        row_of | {"bbox": [x1, y1, x2 - x1, y2 - y1], "score": found["score"]}
                    )
    dataset = {
        "info": {},
        "images": images,
        "annotations": annotations,
        "categories": loaded["categories"],
    }

    def theirs(iou_type: str) -> np.ndarray:
        with contextlib.redirect_stdout(io.StringIO()):
            judge = COCO()
            judge.dataset = dataset
            judge.createIndex()
            copied = [row | {"segmentation": dict(row["segmentation"])} for row in rows]
            evaluation = COCOeval(judge, judge.loadRes(copied), iou_type)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return np.where(evaluation.stats < 0, np.nan, evaluation.stats)

    print(
        f"{len(images)} pictures, {len(annotations)} objects, {len(rows)} results, 80 categories, {repeats} rounds"
    )
    for iou_type, by in (("segm", "mask"), ("bbox", "box")):
        ours = lambda iou_type=iou_type: instances.average_precision(  # noqa: E731
            objects, results, iou_type=iou_type, class_agnostic=False
        )
        difference = np.nanmax(np.abs(theirs(iou_type) - np.array(list(ours().values()))))
        found = in_turn(
            {f"pycocotools, {by}": lambda i=iou_type: theirs(i), f"ours, {by}": ours}, repeats
        )  # type: ignore[misc]
        first, second = show(found, 1, "s").values()
        print(f"by {by}: {first / second:.1f} times as fast, largest difference {difference:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["semantic", "matching", "instances"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=int, default=0, help="of masks, for `semantic`; 0: all")
    parser.add_argument("--copies", type=int, default=10, help="of the pictures, for `instances`")
    given = parser.parse_args()
    if given.what == "semantic":
        of_semantic(given.repeats, given.limit)
    elif given.what == "matching":
        of_matching(given.repeats)
    else:
        of_instances(given.repeats, given.copies)


if __name__ == "__main__":
    main()
