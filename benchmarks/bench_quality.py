"""How good the proposals are: four methods as in their papers and as here, on photographs and on drawn pictures.

    python benchmarks/bench_quality.py --out runs/quality

Prints the tables of docs/results.md as Markdown. One line a picture stands in OUT/*.jsonl: the same command goes on
where it was stopped, and one that was complete prints again. The photographs and the weights are those of the reference
data ($MASKDISTILL_REFERENCE); the network's weights are SUPERVISED, so nothing here is said of self-supervised ones.
Each picture goes through a backbone once an input size, for all methods.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).parents[1]))  # the plain twins stand among the tests

from maskdistill.datasets import truth as truths
from maskdistill.discovery.find import PictureFeatures, discover, features_of
from maskdistill.discovery.recipe import METHODS, Recipe, recipe_of
from maskdistill.evaluation import baselines, curves
from maskdistill.features import handcrafted, vit
from maskdistill.masks import boxes as box_ops
from maskdistill.masks import rle
from maskdistill.pictures import read
from maskdistill.settings import load, resolve
from maskdistill.settings.propose import ProposeSettings
from maskdistill.workflows import demo_pictures
from tests.reference.bootstrap import interval

REFERENCE = Path(os.environ.get("MASKDISTILL_REFERENCE", "../shared"))
NETWORK = "timm/deit_tiny_patch16_224"  # vit_tiny's tensors, with the mean and deviation that these weights want
WEIGHTS = REFERENCE / "data" / "weights" / "vit_tiny_patch16_224_supervised_in1k.npz"
PAPER = {
    "maskdistill": {"mass_rule": "signed"},
    "lost": {"rule": "paper"},
    "tokencut": {"rule": "paper", "affinity": "threshold"},
    "maskcut": {"rule": "paper"},
}
ALONE = {"maskdistill": 1, "lost": 1, "tokencut": 1, "maskcut": 3}  # masks a picture in the papers
VARIANTS = (
    "paper",
    "sound",
    "default",
)  # the last two are the first masks of one search without a stop
STOPS = (0.0, 0.02, 0.05, 0.1, 0.2)
SCORES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


@dataclass(frozen=True)
class Look:
    """What the methods are shown: a backbone, its block and facet; `centred` for the methods of signs, or for all."""

    name: str
    backbone: str
    block: int
    facet: Any
    centred: tuple[str, ...]


LOOKS = (
    Look("handcrafted", "handcrafted", -1, "keys", ()),
    Look(
        "supervised DeiT-Tiny, centred keys of the last block but one",
        NETWORK,
        -2,
        "keys",
        tuple(METHODS),
    ),
    Look(
        "supervised DeiT-Tiny, tokens of the last block but one",
        NETWORK,
        -2,
        "tokens",
        ("maskdistill", "lost"),
    ),
)


@dataclass(frozen=True)
class Picture:
    """rgb() (H, W, 3) uint8; truth boxes (n, 4); masks, or None where only boxes are known; which are crowds."""

    key: str
    rgb: Callable[[], np.ndarray]
    boxes: np.ndarray
    rles: list[Any] | None
    crowds: np.ndarray


def coco() -> list[Picture]:
    """94 pictures with masks."""
    folder = REFERENCE / "data" / "coco-dev"
    found = truths.read(folder / "instances.json").objects
    return [
        Picture(
            key,
            partial(read, folder / "images" / key, orientation="exif"),
            rle.boxes(of.rles),
            of.rles,
            np.array(of.crowds, bool),
        )
        for key, of in sorted(found.items())
    ]


def voc() -> list[Picture]:
    """54 pictures with boxes; its inclusive 1-based pixels as half-open edges."""
    folder = REFERENCE / "data" / "voc-dev" / "VOC2012"
    pictures = []
    for path in sorted((folder / "Annotations").glob("*.xml")):
        edges = [
            [
                float(each.findtext(f"bndbox/{name}", "nan"))
                for name in ("xmin", "ymin", "xmax", "ymax")
            ]
            for each in ElementTree.parse(path).iter("object")
        ]
        boxes = np.array(edges, np.float32).reshape(-1, 4) - np.array([1, 1, 0, 0], np.float32)
        rgb = partial(read, folder / "JPEGImages" / f"{path.stem}.jpg", orientation="exif")
        pictures.append(Picture(path.stem, rgb, boxes, None, np.zeros(len(boxes), bool)))
    return pictures


def drawn() -> Iterator[tuple[str, demo_pictures.Drawn]]:
    """The demo's pictures (96 to learn from, 64 held out), and 40 of another seed that show their ground alone."""
    for split, seed, count in (("learn", 0, 96), ("held out", 1, 64)):
        for number in range(1, count + 1):
            yield split, demo_pictures.draw(seed, number)
    number = found = 0
    while found < 40:
        number += 1
        each = demo_pictures.draw(50, number)
        if not len(each.masks):
            found += 1
            yield "empty", each


SETS = {"coco-dev": coco, "voc-dev": voc}


def settings_of(look_at: Look, method: str, *, paper: bool) -> ProposeSettings:
    """The stage's settings of the preset `quick`; the paper's rule and number of masks, or ours. Neither stops."""
    own = PAPER[method] if paper else {}
    given: dict[str, Any] = {
        "backbone": look_at.backbone,
        "method": method,
        method: own,
        "facet": look_at.facet,
    }
    given |= {"block": look_at.block, "centre_keys": "yes" if method in look_at.centred else "no"}
    settings = resolve(load({"propose": {**given, "stop_score": 0.0, "min_score": 0.0}})).propose
    return replace(settings, max_masks=ALONE[method]) if paper else settings


class Shown:
    """A picture's features, one pass of the backbone a block and input."""

    def __init__(self, rgb: np.ndarray, backbone: Any) -> None:
        self.rgb, self.backbone = rgb, backbone
        self.seen: dict[Any, Any] = {}

    def features(self, recipe: Recipe) -> PictureFeatures:
        key = recipe.block, recipe.shown
        if key not in self.seen:
            ready = recipe.shown.prepare(self.rgb, backbone=self.backbone)
            (self.seen[key],) = features_of(
                [ready], self.backbone, block=recipe.block, want=("queries", "keys", "tokens")
            )
        return self.seen[key]


def proposed(shown: Shown, look_at: Look) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(method/paper or method/search, masks (n, H, W) in the order of discovery, scores (n,)) of all."""
    for method in METHODS:
        for paper in (True, False):
            settings = settings_of(look_at, method, paper=paper)
            pixels = "refine" if settings.pixels == "refine" else "nearest"
            recipe = replace(recipe_of(settings), pixels=pixels)
            found = discover(
                lambda: shown.rgb,
                size=shown.rgb.shape[:2],
                backbone=shown.backbone,
                recipe=recipe,
                features=shown.features(recipe),
            )
            full = found.masks.any(axis=(1, 2))
            name = f"{method}/{'paper' if paper else 'search'}"
            yield name, found.masks[full], found.scores[full]


def until(scores: list[float], stop: float) -> int:
    """How many masks a search gives that stops below a score (tests/proposals/test_stop.py shows that it is so)."""
    return next((row for row, score in enumerate(scores) if score < stop), len(scores))


def rows_of(
    records: list[dict[str, Any]], method: str, variant: str
) -> tuple[list[dict[str, Any]], Callable[[Any], int]]:
    """A variant's records, and how many masks of each count."""
    if variant == "paper":
        return [each[f"{method}/paper"] for each in records], len
    every = [each[f"{method}/search"] for each in records]
    if variant == "sound":
        return every, lambda scores: min(len(scores), ALONE[method])
    return every, partial(until, stop=ProposeSettings().stop_score)


def compared(masks: np.ndarray, scores: np.ndarray, picture: Picture) -> dict[str, Any]:
    """What is kept of a picture's masks: scores and IoU with each object, by box and, where there are, by mask."""
    encoded = rle.encode(masks)
    row: dict[str, Any] = {
        "scores": scores.tolist(),
        "box": box_ops.iou(rle.boxes(encoded), picture.boxes).tolist(),
    }
    if picture.rles is not None:
        row["mask"] = rle.iou(encoded, picture.rles, crowd=picture.crowds).tolist()
    return row


def records(
    path: Path, keys: list[str], make: Callable[[int], dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """One record a key, those that the file holds read from it, the others made and appended."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = {row["key"]: row for row in map(json.loads, lines)}
    with path.open("a", encoding="utf-8") as file:
        for number, key in enumerate(keys):
            if key not in found:
                found[key] = {"key": key, **make(number)}
                file.write(json.dumps(found[key]) + "\n")
                file.flush()
    return {key: found[key] for key in keys}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="a folder for what was measured so far"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--backbones", nargs="+", default=["handcrafted", NETWORK])
    parser.add_argument("--resamples", type=int, default=500, help="of the 95 %% intervals")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    by_hand, network = handcrafted.load(), vit.load(NETWORK, weights=WEIGHTS)
    pictures = {name: read_set() for name, read_set in SETS.items()}
    measured: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for backbone in (by_hand, network):
        looks = [each for each in LOOKS if each.backbone == backbone.name]
        for name, own in pictures.items():

            def make(
                number: int, own: list[Picture] = own, looks: Any = looks, backbone: Any = backbone
            ) -> dict[str, Any]:
                shown = Shown(own[number].rgb(), backbone)
                return {
                    each.name: {
                        what: compared(masks, scores, own[number])
                        for what, masks, scores in proposed(shown, each)
                    }
                    for each in looks
                }

            if backbone.name in given.backbones:
                path = given.out / f"{name}-{backbone.name.replace('/', '-')}.jsonl"
                found = records(path, [each.key for each in own], make).values()
                measured |= {(each.name, name): [row[each.name] for row in found] for each in looks}
    trivial = {name: [_trivial(each) for each in own] for name, own in pictures.items()}
    _print_quality(measured, trivial, pictures, given.resamples)
    _print_differences(measured, pictures, given.resamples)
    _print_ranking(measured, pictures)
    _print_stops(measured, pictures)
    _print_drawn(given.out, by_hand)
    print(f"\n{time.perf_counter() - began:.0f} s, {given.threads} threads")


def _trivial(picture: Picture) -> dict[str, Any]:
    size = picture.rgb().shape[:2]
    shapes = {"whole picture": baselines.whole(size), "centre box": baselines.centre(size)}
    return {name: compared(mask[None], np.ones(1), picture) for name, mask in shapes.items()}


class _Numbers:
    """The numbers of one method on one set, from its records."""

    def __init__(
        self,
        rows: list[dict[str, Any]],
        pictures: list[Picture],
        *,
        keep: Callable[[Any], int] = len,
    ) -> None:
        self.hits, self.best, self.matches, self.counts = [], [], [], []
        for row, picture in zip(rows, pictures, strict=True):
            n_kept = keep(row["scores"])
            scores = np.array(row["scores"][:n_kept])
            solid = ~picture.crowds
            by_box = np.array(row["box"][:n_kept]).reshape(n_kept, len(solid))
            iou = np.array(row.get("mask", row["box"])[:n_kept]).reshape(n_kept, len(solid))
            first = by_box[int(np.argmax(scores)), solid] if n_kept else np.zeros(solid.sum())
            self.hits.append(float(first.max() >= 0.5) if solid.any() else np.nan)
            self.best.append(iou[:, solid].max(axis=0) if n_kept else np.zeros(solid.sum()))
            self.matches.append(curves.match(scores, iou, picture.crowds))
            self.counts.append(n_kept)

    def corloc(self, rows: np.ndarray) -> float:
        return float(np.nanmean(np.array(self.hits)[rows]))

    def mean_best_iou(self, rows: np.ndarray) -> float:
        return float(np.concatenate([self.best[row] for row in rows]).mean())

    def ap50(self, rows: np.ndarray) -> float:
        return average_precision([self.matches[row] for row in rows])

    def cells(self, resamples: int) -> list[str]:
        """CorLoc, mean best IoU and AP50, each with its interval."""
        return [
            _cell(statistic, len(self.counts), resamples)
            for statistic in (self.corloc, self.mean_best_iou, self.ap50)
        ]

    @property
    def met(self) -> int:
        return sum(int(each.hits.sum()) for each in self.matches)


def average_precision(pictures: list[curves.Matched]) -> float:
    """AP at the IoU of the matching, in [0, 1]; nan without objects."""
    once = np.ones(len(pictures), np.int64)
    return float(curves.Curve(pictures).values(once)[0].mean())


def area_under_curve(scores: list[float], hits: list[bool]) -> float:
    """Of the score against the hits: how often a hit scores above a miss; nan without either."""
    return float(roc_auc_score(hits, scores)) if 0 < sum(hits) < len(hits) else float("nan")


def _cell(
    statistic: Callable[[np.ndarray], float], n_pictures: int, resamples: int, sign: str = ""
) -> str:
    around = interval(statistic, n_pictures, resamples=resamples)
    edges = f" ({around[0]:{sign}.3f} to {around[1]:{sign}.3f})" if around else ""
    return f"{statistic(np.arange(n_pictures)):{sign}.3f}{edges}"


def _print_quality(
    measured: Any, trivial: Any, pictures: dict[str, list[Picture]], resamples: int
) -> None:
    head = [
        "",
        *(
            f"{what}, {name}"
            for name in pictures
            for what in ("CorLoc", "mean best IoU", "AP50", "masks", "none")
        ),
    ]
    for look_name in dict.fromkeys(name for name, _ in measured):
        print(f"\n### {look_name}\n")
        print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
        lines = [*itertools.product(METHODS, VARIANTS), ("whole picture", ""), ("centre box", "")]
        for method, variant in lines:
            cells = [f"{method}, {variant}" if variant else method]
            for name, own in pictures.items():
                if variant:
                    rows, keep = rows_of(measured[look_name, name], method, variant)
                else:
                    rows, keep = [each[method] for each in trivial[name]], len
                numbers = _Numbers(rows, own, keep=keep)
                n_none = sum(count == 0 for count in numbers.counts)
                cells += [*numbers.cells(resamples), f"{np.mean(numbers.counts):.2f}", str(n_none)]
            print(f"| {' | '.join(cells)} |", flush=True)


def _print_differences(measured: Any, pictures: dict[str, list[Picture]], resamples: int) -> None:
    """Ours less the paper's on the same drawn pictures: far narrower than the intervals of either."""
    print("\n### Differences to the paper's variant, both on the same pictures\n")
    head = [
        "",
        *(f"{what}, {name}" for name in pictures for what in ("CorLoc", "mean best IoU", "AP50")),
    ]
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for look_name, method, variant in itertools.product(
        dict.fromkeys(name for name, _ in measured), METHODS, VARIANTS[1:]
    ):
        cells = [f"{method}, {variant}, {look_name}"]
        for name, own in pictures.items():
            ours, paper = (
                _Numbers(rows, own, keep=keep)
                for rows, keep in (
                    rows_of(measured[look_name, name], method, each) for each in (variant, "paper")
                )
            )
            for statistic in ("corloc", "mean_best_iou", "ap50"):
                one, other = getattr(ours, statistic), getattr(paper, statistic)
                less = lambda rows, one=one, other=other: one(rows) - other(rows)  # noqa: E731
                cells.append(_cell(less, len(own), resamples, sign="+"))
        print(f"| {' | '.join(cells)} |", flush=True)


def _print_ranking(measured: Any, pictures: dict[str, list[Picture]]) -> None:
    """How well the score tells masks that meet an object from others, all masks of a search without a stop."""
    print("\n### AUC of the score against IoU >= 0.5 (masks that hit / all)\n")
    print(
        f"| | {' | '.join(f'{method}, {name}' for method in METHODS for name in pictures)} |\n|{' --- |' * 9}"
    )
    for look_name in dict.fromkeys(name for name, _ in measured):
        cells = [look_name]
        for method in METHODS:
            for name, own in pictures.items():
                scores, hits = [], []
                for row, picture in zip(measured[look_name, name], own, strict=True):
                    found = row[f"{method}/search"]
                    for score, iou in zip(
                        found["scores"], found.get("mask", found["box"]), strict=True
                    ):
                        scores.append(score)
                        hits.append(bool((np.array(iou)[~picture.crowds] >= 0.5).any()))
                value = area_under_curve(scores, hits)
                cells.append(f"{value:.2f} ({sum(hits)}/{len(hits)})")
        print(f"| {' | '.join(cells)} |")


def _print_stops(measured: Any, pictures: dict[str, list[Picture]]) -> None:
    """What a stop gives: masks a picture, pictures without any, objects met, the share of masks that meet one, AP50."""
    print(
        "\n### Up to six masks a picture, by stop_score: masks a picture / none / met / precision / AP50\n"
    )
    print(f"| | {' | '.join(f'{stop}, {name}' for name in pictures for stop in STOPS)} |")
    print(f"|{' --- |' * (1 + 2 * len(STOPS))}")

    for look_name in dict.fromkeys(name for name, _ in measured):
        for method in METHODS:
            cells = [f"{method}, {look_name}"]
            for name, own in pictures.items():
                rows = [row[f"{method}/search"] for row in measured[look_name, name]]
                for stop in STOPS:
                    numbers = _Numbers(rows, own, keep=partial(until, stop=stop))
                    total, ap50 = sum(numbers.counts), numbers.ap50(np.arange(len(own)))
                    none = sum(count == 0 for count in numbers.counts)
                    share = numbers.met / max(1, total)
                    cells.append(
                        f"{total / len(own):.1f} / {none} / {numbers.met} / {share:.2f} / {ap50:.3f}"
                    )
            print(f"| {' | '.join(cells)} |")


def _print_drawn(out: Path, by_hand: Any) -> None:
    """The demo's proposals: AP50, precision and the rate of false masks, by the least score that is kept."""
    kinds = list(drawn())
    recipe = recipe_of(resolve(load(preset_name="demo")).propose)

    def make(number: int) -> dict[str, Any]:
        split, each = kinds[number]
        found = discover(lambda: each.rgb, size=each.rgb.shape[:2], backbone=by_hand, recipe=recipe)
        truth = rle.encode(each.masks)
        picture = Picture(
            split, lambda: each.rgb, rle.boxes(truth), truth, np.zeros(len(truth), bool)
        )
        return {"split": split, **compared(found.masks, found.scores, picture)}

    rows = records(out / "drawn.jsonl", [str(number) for number in range(len(kinds))], make)
    print("\n### Drawn pictures, preset demo: by min_score\n")
    head = ["min_score", "AP50, held out", "precision", "AP50, to learn from", "precision"]
    head += ["pictures without objects: share with a mask", "masks a picture"]
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for least in SCORES:
        cells = [str(least)]
        matches: dict[str, list[curves.Matched]] = {"held out": [], "learn": []}
        false: list[int] = []
        for row, (split, each) in zip(rows.values(), kinds, strict=True):
            kept = np.array(row["scores"]) >= least
            iou = np.array(row["mask"]).reshape(len(kept), len(each.masks))[kept]
            if not len(each.masks):
                false.append(int(kept.sum()))
            if split != "empty":
                matches[split].append(
                    curves.match(
                        np.array(row["scores"])[kept], iou, np.zeros(len(each.masks), bool)
                    )
                )
        for of_split in matches.values():
            n_masks = sum(len(each.scores) for each in of_split)
            met = sum(int(each.hits.sum()) for each in of_split)
            cells += [
                f"{average_precision(of_split):.3f}",
                f"{met / max(1, n_masks):.2f}",
            ]
        cells += [f"{np.mean([n > 0 for n in false]):.2f} of {len(false)}", f"{np.mean(false):.2f}"]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
