"""The README's picture: some validation pictures of a run, with what each stage made of them.

make demo && .venv/bin/python docs/figure.py runs/demo/run docs/demo.png
"""

import argparse
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from maskdistill.artifacts import label_maps
from maskdistill.artifacts.mask_lines import with_clusters
from maskdistill.masks import rle
from maskdistill.pictures import read
from maskdistill.report import overlays
from maskdistill.runs import lines

LEAST = 0.3  # score of the detections that are shown
GAP = 4  # px between tiles


def tiles(run: Path, count: int) -> list[list[np.ndarray]]:
    """For each of the first pictures with objects in all stages: itself, proposals, detections, prediction."""
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    found = []
    proposals = with_clusters(
        run / "propose" / "proposals.jsonl", run / "cluster" / "clusters.jsonl"
    )
    detections = with_clusters(
        run / "detect" / "detections.jsonl", run / "recluster" / "clusters.jsonl"
    )
    for image, proposed, detected in zip(
        lines.read(run / "images.jsonl"), proposals, detections, strict=True
    ):
        sure = [mask for mask in detected["masks"] if mask["score"] >= LEAST]
        if image["split"] != "validation" or len(proposed["masks"]) < 3 or len(sure) < 3:
            continue
        rgb = read(Path(config[image["root"]]) / image["path"])
        row = [rgb, *(_overlaid(rgb, masks) for masks in (proposed["masks"], sure))]
        row.append(
            overlays.overlay_label_map(
                rgb, label_maps.read(run / "segment/predictions" / f"{image['id']}.png")
            )
        )
        found.append(row)
        if len(found) == count:
            break
    return found


def _overlaid(rgb: np.ndarray, masks: list[dict]) -> np.ndarray:
    layers = rle.decode([mask["rle"] for mask in masks])
    clusters = np.array([mask["cluster"] for mask in masks])
    return overlays.overlay_masks(
        rgb, layers, clusters, np.array([mask["score"] for mask in masks])
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=4)
    given = parser.parse_args()
    rows = [
        np.concatenate(
            [np.pad(tile, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for tile in row],
            axis=1,
        )
        for row in tiles(given.run, given.count)
    ]
    Image.fromarray(np.concatenate(rows)).quantize(256).save(given.out, optimize=True)


if __name__ == "__main__":
    main()
