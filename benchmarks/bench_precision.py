"""How far bfloat16 moves the masks of each proposal method, against float32, on the photographs of the reference data.

    python benchmarks/bench_precision.py

Prints, for each method on tokens and on centred keys of the last block but one: the share of pictures whose masks are
the same on every patch, the mean IoU of a float32 mask with the most like one of bfloat16, and the mean difference of
the scores of the first masks. The network is the SUPERVISED DeiT-Tiny of $MASKDISTILL_REFERENCE/data/weights.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch

from maskdistill.discovery.find import features_of, masks_on_grid
from maskdistill.discovery.recipe import METHODS, Input, Recipe
from maskdistill.features import vit
from maskdistill.pictures import read
from maskdistill.types import Found

REFERENCE = Path(os.environ.get("MASKDISTILL_REFERENCE", "../shared"))
FIELDS = ("queries", "keys", "tokens")
SQUARE, SHORT = Input(square=480), Input(short_side=480)
WEIGHTS = REFERENCE / "data" / "weights" / "vit_tiny_patch16_224_supervised_in1k.npz"


def agreement(one: Found, other: Found) -> tuple[bool, float, float]:
    """Whether all masks are the same, the mean best IoU of the first's masks, the difference of the first scores."""
    masks, others = ([each.mask.numpy() for each in found.masks] for found in (one, other))
    same = len(masks) == len(others) and all(
        np.array_equal(a, b) for a, b in zip(masks, others, strict=True)
    )
    if not masks or not others:
        return same, float(same), 0.0
    best = [max((a & b).sum() / (a | b).sum() for b in others) for a in masks]
    return same, float(np.mean(best)), abs(one.masks[0].score - other.masks[0].score)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--max-masks", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    paths = sorted((REFERENCE / "data" / "coco-dev" / "images").iterdir())[: given.pictures]
    networks = [
        vit.load("timm/deit_tiny_patch16_224", weights=WEIGHTS, dtype=dtype)
        for dtype in (torch.float32, torch.bfloat16)
    ]
    trials = [
        (method, facet, centred)
        for method in METHODS
        for facet, centred in (("tokens", False), ("keys", True))
    ]
    rows: dict[tuple[str, str, bool], list[tuple[bool, float, float]]] = {
        trial: [] for trial in trials
    }
    for path in paths:
        rgb = read(path)
        # bfloat16 is slow where the processor has no instructions for it: each network sees an input once.
        seen = {
            shown: [
                features_of([shown.prepare(rgb, backbone=each)], each, block=-2, want=FIELDS)[0]
                for each in networks
            ]
            for shown in (SQUARE, SHORT)
        }
        for trial in trials:
            method, facet, centred = trial
            shown = SQUARE if method == "maskcut" else SHORT
            recipe = Recipe(
                method, shown, facet=facet, centre_keys=centred, max_masks=given.max_masks
            )
            rows[trial].append(
                agreement(*(masks_on_grid(each.features, recipe) for each in seen[shown]))
            )
    print(
        f"{'method':<12} {'compared by':<13} {'same':>6} {'mean IoU':>9} {'score':>7}   ({len(paths)} pictures)"
    )
    for (method, facet, centred), found in rows.items():
        same, overlap, score = (float(np.mean(column)) for column in zip(*found, strict=True))
        print(
            f"{method:<12} {'centred keys' if centred else facet:<13} {same:>6.2f} {overlap:>9.3f} {score:>7.3f}"
        )


if __name__ == "__main__":
    main()
