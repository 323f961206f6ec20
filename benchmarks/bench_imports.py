"""`detect --import` of a results list of many pictures, beside json.load of the same file: time and memory.

    python benchmarks/bench_imports.py --pictures 100000

draws 60 ellipses of 640 x 480, writes a list of five of them a picture that is not sorted by picture (3 kB a picture),
and reads it in a process of its own each time. Seconds by the clock, and of the processor: other work beside it does
not count there. Memory: resident at the end of the work, less what the process had before.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from maskdistill.masks import rle

SIZE = (480, 640)
MASKS = 5  # a picture


def make(path: Path, n_pictures: int) -> None:
    """A results list; image ids are 1 .. n, in an order that jumps."""
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[: SIZE[0], : SIZE[1]]
    masks = []
    for _ in range(60):
        centre, radii = rng.uniform(100, 380, 2), rng.uniform(20, 150, 2)
        ring = ((rows - centre[0]) / radii[0]) ** 2 + ((cols - centre[1]) / radii[1]) ** 2
        masks.append(ring + 0.1 * np.sin(cols / 7) < 1)
    rles = rle.encode(np.array(masks))
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for number in range(MASKS * n_pictures):
            row = {
                "image_id": 1 + (number // MASKS * 7919) % n_pictures,
                "category_id": int(rng.integers(80)),
                "segmentation": rles[rng.integers(len(rles))],
                "bbox": [10.5, 20.25, 30.0, 40.0],
                "score": round(float(rng.random()), 4),
            }
            file.write(("," if number else "") + json.dumps(row))
        file.write("]")


def read(source: Path, n_pictures: int, how: str) -> None:
    """One way, in this process; a row of the table."""
    from maskdistill.engine.job import Image, Job
    from maskdistill.runs.layout import RunFolder
    from maskdistill.runs.ledger import Ledger
    from maskdistill.runs.progress import Progress
    from maskdistill.settings import load
    from maskdistill.stages import imported

    with tempfile.TemporaryDirectory() as out:
        folder = RunFolder(Path(out))
        folder.detect.parts.path.mkdir(parents=True)
        job = Job(
            settings=load({"detect": {"import_file": str(source)}}),
            folder=folder,
            ledger=Ledger(folder.ledger),
            progress=Progress(quiet=True),
            roots={},
        )
        paths = (f"{number:012d}.jpg" for number in range(1, n_pictures + 1))
        job._images = [
            Image(number, path, SIZE[1], SIZE[0], 1, 1, "", "train")
            for number, path in enumerate(paths, 1)
        ]
        before, began, used = peak(), time.perf_counter(), time.process_time()
        if how == "import":
            n_masks = int(imported.detect(job, folder.detect).counts["detections"])
        else:
            by_picture = defaultdict(list)
            for row in json.loads(source.read_text(encoding="utf-8")):
                by_picture[row["image_id"]].append(row)
            n_masks = sum(map(len, by_picture.values()))
        seconds, of_processor = time.perf_counter() - began, time.process_time() - used
    print(
        f"| {how} | {n_masks} | {seconds:.1f} s | {of_processor:.1f} s | {peak() - before:.0f} MiB |",
        flush=True,
    )


def peak() -> float:
    """MiB resident at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--how", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.source is not None:
        read(given.source, given.pictures, given.how)
        return
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "results.json"
        make(source, given.pictures)
        print(f"{given.pictures} pictures, {source.stat().st_size / 1e6:.0f} MB\n")
        print(
            "| how | masks | time | of the processor | memory |\n| --- | --- | --- | --- | --- |",
            flush=True,
        )
        for how in ("import", "json.load"):
            words = ["--source", str(source), "--how", how, "--pictures", str(given.pictures)]
            subprocess.run([sys.executable, __file__, *words], check=True)


if __name__ == "__main__":
    main()
