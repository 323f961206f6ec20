"""An instances JSON of COCO's size: how long it takes to open, and how much memory.

    python benchmarks/bench_datasets.py make --out runs/coco-size.json
    python benchmarks/bench_datasets.py open runs/coco-size.json
    python benchmarks/bench_datasets.py doors runs/coco-size.json

`make` draws 118 000 images with 860 000 objects: polygons of as many points as COCO's have (mean about 28), one in
eight in two parts, one object in 85 a crowd with plain run lengths: about as many bytes as instances_train2017.json
(470 MB). `open` reads it in a process of its own each time, the ways that `score instances`,
`evaluate` and plain json do, and prints seconds (by the clock, and of the
processor: other work beside it does not count there) and peak memory (resident, of the whole process).
`doors` reads it with and without the checks at the door in turn, in one process, and prints what they add.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

N_CATEGORIES = 80


def make(out: Path, n_images: int, n_objects: int, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    began = time.perf_counter()
    heights, widths = rng.integers(360, 641, n_images), rng.integers(360, 641, n_images)
    ids = (
        np.sort(rng.choice(581_930, n_images, replace=False))
        if n_images < 581_930
        else np.arange(n_images)
    )
    owners = np.sort(rng.integers(0, n_images, n_objects))
    with out.open("w", encoding="utf-8") as file:
        file.write('{"info": {"description": "made"}, "licenses": [], "images": [')
        for place in range(n_images):
            name = f"{ids[place]:012d}.jpg"
            row = {
                "license": 3,
                "file_name": name,
                "coco_url": f"http://images.cocodataset.org/train2017/{name}",
            }
            row |= {
                "height": int(heights[place]),
                "width": int(widths[place]),
                "date_captured": "2013-11-14 11:18:45",
            }
            row |= {
                "flickr_url": f"http://farm9.staticflickr.com/8186/8119368305_{name}",
                "id": int(ids[place]),
            }
            file.write(("" if place == 0 else ", ") + json.dumps(row))
        file.write('], "annotations": [')
        for number, place in enumerate(owners.tolist()):
            height, width = int(heights[place]), int(widths[place])
            side = float(np.clip(rng.lognormal(4.0, 0.9), 4, 0.9 * min(height, width)))
            x, y = rng.uniform(0, width - side), rng.uniform(0, height - side)
            crowd = number % 85 == 0
            row = {
                "segmentation": _counts(rng, height, width)
                if crowd
                else _polygons(rng, x, y, side),
                "area": round(side * side * 0.6, 4),
                "iscrowd": int(crowd),
                "image_id": int(ids[place]),
                "bbox": [round(x, 2), round(y, 2), round(side, 2), round(side, 2)],
                "category_id": 1 + number % N_CATEGORIES,
                "id": number + 1,
            }
            file.write(("" if number == 0 else ", ") + json.dumps(row, separators=(",", ":")))
        categories = [
            {"supercategory": "thing", "id": k + 1, "name": f"class {k + 1}"}
            for k in range(N_CATEGORIES)
        ]
        file.write(f'], "categories": {json.dumps(categories)}}}')
    print(f"{out}: {out.stat().st_size / 1e6:.0f} MB in {time.perf_counter() - began:.0f} s")


def _polygons(rng: np.random.Generator, x: float, y: float, side: float) -> list[list[float]]:
    found = []
    for part in range(2 if rng.random() < 0.125 else 1):
        n = int(np.clip(rng.lognormal(3.0, 0.7), 4, 300))
        turn = np.linspace(0, 2 * math.pi, n, endpoint=False)
        radius = side / 2 * rng.uniform(0.5, 1.0, n) / (1 + part)
        points = np.stack(
            [x + side / 2 + radius * np.cos(turn), y + side / 2 + radius * np.sin(turn)], 1
        )
        found.append(np.round(points.ravel(), 2).tolist())
    return found


def _counts(rng: np.random.Generator, height: int, width: int) -> dict[str, object]:
    n = int(rng.integers(100, 500))
    edges = np.sort(rng.choice(height * width - 1, n, replace=False) + 1)
    return {
        "counts": np.diff([0, *edges.tolist(), height * width]).tolist(),
        "size": [height, width],
    }


def open_one(source: Path, how: str) -> None:
    began, used = time.perf_counter(), time.process_time()
    if how == "json":
        loaded = json.loads(source.read_text(encoding="utf-8"))
        n_images, n_objects = len(loaded["images"]), len(loaded["annotations"])
    elif how == "score":
        from maskdistill.datasets.coco import instances_file

        began, used = time.perf_counter(), time.process_time()
        instances = instances_file.read(source)
        n_images, n_objects = len(instances.files), sum(map(len, instances.objects.values()))
    else:
        from maskdistill.datasets import truth

        began, used = time.perf_counter(), time.process_time()
        known = truth.read(source)
        n_images, n_objects = (
            len(known.objects),
            sum(len(each.records) for each in known.objects.values()),
        )
    seconds, of_processor = time.perf_counter() - began, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"| {how} | {n_images} | {n_objects} | {seconds:.1f} s | {of_processor:.1f} s | {peak:.2f} GiB |",
        flush=True,
    )


def doors(source: Path, rounds: int) -> None:
    """Print processor seconds of reading with and without the checks, a round each, and the ratio.

    Without: no object is looked for twice, no box looked at, no mask asked whether it is empty.
    """
    from unittest import mock

    from maskdistill.datasets.coco import checks, instances_file

    names = {"objects": None, "is_empty": False, "is_of_fractions": False}
    ratios = []
    for number in range(rounds):
        seconds = {}
        for is_on in (True, False) if number % 2 else (False, True):
            off = {name: lambda *_, value=value: value for name, value in names.items()}
            as_is = {name: getattr(checks, name) for name in names}
            with mock.patch.multiple(checks, **(as_is if is_on else off)):
                began = time.process_time()
                found = instances_file.read(source)
                seconds[is_on] = time.process_time() - began
        n_objects = sum(map(len, found.objects.values()))
        ratios.append(seconds[True] / seconds[False])
        print(
            f"{len(found.files)} images, {n_objects} objects: {seconds[True]:.1f} s with the checks, "
            f"{seconds[False]:.1f} s without, ratio {ratios[-1]:.3f}",
            flush=True,
        )
    print(f"median {np.median(ratios):.3f} (lowest {min(ratios):.3f}, highest {max(ratios):.3f})")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="what", required=True)
    making = commands.add_parser("make")
    making.add_argument("--out", type=Path, required=True)
    making.add_argument("--images", type=int, default=118_000)
    making.add_argument("--objects", type=int, default=860_000)
    opening = commands.add_parser("open")
    opening.add_argument("source", type=Path)
    opening.add_argument("--how", nargs="+", default=["json", "score", "evaluate"])
    opening.add_argument(
        "--alone", action="store_true", help="in this process; else each in one of its own"
    )
    checking = commands.add_parser("doors")
    checking.add_argument("source", type=Path)
    checking.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    if given.what == "doors":
        doors(given.source, given.rounds)
    elif given.what == "make":
        make(given.out, given.images, given.objects)
    elif given.alone:
        for how in given.how:
            open_one(given.source, how)
    else:
        print(
            "| how | images | objects | time | of the processor | peak memory |\n| --- | --- | --- | --- | --- | --- |",
            flush=True,
        )
        for how in given.how:
            words = [sys.executable, __file__, "open", str(given.source), "--how", how, "--alone"]
            subprocess.run(words, check=True)


if __name__ == "__main__":
    main()
