"""How fast masks become clusters: crops through a ViT together, k-means beside scikit-learn's.

    python benchmarks/bench_clusters.py crops --crops 120 --packs 128 256 512

Each part prints a table of docs/results.md, its baseline in the same process. `crops`: boxes of objects, sides 32 to
320 px, on the photographs of the reference data ($MASKDISTILL_REFERENCE), through DINO's ViT-S/8 with drawn weights:
one at a time, and packed.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from maskdistill.clusters import crops
from maskdistill.datasets import truth as truths
from maskdistill.features import normalised, padded, vit
from maskdistill.masks import rle
from maskdistill.pictures import read

REFERENCE = Path(os.environ.get("MASKDISTILL_REFERENCE", "../shared"))


def object_crops(count: int, low: int, high: int) -> list[crops.Crop]:
    """Crops of objects whose sides are within low .. high px, every nth, in the order of the pictures."""
    folder = REFERENCE / "data" / "coco-dev"
    boxes = [
        (key, box)
        for key, found in sorted(truths.read(folder / "instances.json").objects.items())
        for box in rle.boxes(found.rles)
        if low <= min(box[2] - box[0], box[3] - box[1]) and max(box[2] - box[0], box[3] - box[1]) <= high
    ]
    chosen = [boxes[place] for place in np.linspace(0, len(boxes) - 1, count).astype(int)]
    return [crops.crops(read(folder / "images" / key), np.array([box]))[0][0] for key, box in chosen]


def of_crops(given: argparse.Namespace) -> None:
    """Crops a second, one at a time and packed; and how far the vectors move."""
    views = object_crops(given.crops, *given.sides)
    backbone = vit.load("dino_vits8", weights="none")

    def prepare(pixels: np.ndarray) -> torch.Tensor:
        return padded(normalised(pixels, mean=backbone.mean, std=backbone.std), backbone.patch)

    patches = np.array([-(-view.pixels.shape[0] // 8) * -(-view.pixels.shape[1] // 8) for view in views])
    print(
        f"{len(views)} crops, patches: quartiles {np.percentile(patches, [25, 50, 75]).astype(int).tolist()}, "
        f"mean {patches.mean():.0f}, most {patches.max()}"
    )
    ways = [0, *given.packs]
    seconds: dict[int, list[float]] = {pack: [] for pack in ways}
    vectors = {}
    # In slices, the ways after each other on each: what else the machine does then weighs on all of them alike.
    for first in range(0, len(views), given.slice):
        for pack in ways:
            part = [[view] for view in views[first : first + given.slice]]
            started = time.perf_counter()
            vectors[pack, first] = crops.embed(part, backbone=backbone, prepare=prepare, pack=pack)
            seconds[pack].append(time.perf_counter() - started)
    print("\n| pack | crops a second | times one at a time | a slice: least to most | largest difference |")
    print("| --- | --- | --- | --- | --- |")
    alone = np.array(seconds[0])
    for pack in ways:
        ratios = alone / np.array(seconds[pack])
        apart = max(np.abs(vectors[pack, at] - vectors[0, at]).max() for at in range(0, len(views), given.slice))
        print(
            f"| {pack or 'one at a time'} | {len(views) / sum(seconds[pack]):.2f} | "
            f"{alone.sum() / sum(seconds[pack]):.2f} | {ratios.min():.2f} to {ratios.max():.2f} | {apart:.1e} |"
        )


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {"crops": of_crops}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--crops", type=int, default=1000)
    parser.add_argument("--sides", type=int, nargs=2, default=[32, 320], help="px, least and most of a crop")
    parser.add_argument("--slice", type=int, default=20)
    parser.add_argument("--packs", type=int, nargs="+", default=[256])
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    PARTS[given.part](given)


if __name__ == "__main__":
    main()
