"""The chain on photographs with heads on the frozen ViT that proposes: what each stage gives, in memory, no run.

    python benchmarks/bench_heads.py --out runs/heads                       # both sets, seed 0
    python benchmarks/bench_heads.py --out runs/heads --sets voc --seeds 3 --one-detector --crf
    python benchmarks/bench_heads.py --out runs/heads --sets coco --drop 0 --share 0.3

Prints a table of Markdown a set: proposals, detector, clustering of its detections, label maps, patch head, CRF, on
coco-dev and voc-dev of the reference data ($MASKDISTILL_REFERENCE). All pictures are learnt from and evaluated on; no
label is seen before the evaluation. The ViT is DeiT-Tiny with SUPERVISED weights: nothing here is said of
self-supervised ones. Tokens, proposals and trained detectors are kept in OUT and read again; seconds are of one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskdistill import crf, detector, labels, segmenter
from maskdistill.clusters import crops, kmeans, whitening
from maskdistill.datasets import truth as truths
from maskdistill.datasets import voc
from maskdistill.datasets.label_maps.map_folder import read_map
from maskdistill.discovery.find import discover
from maskdistill.discovery.recipe import Input, Recipe, recipe_of
from maskdistill.evaluation import (
    agreement,
    bootstrap,
    corloc,
    curves,
    label_map_counts,
    mean_best_iou,
    records,
    semantic,
)
from maskdistill.features import normalised, padded, vit
from maskdistill.masks import boxes as box_ops
from maskdistill.masks import rle
from maskdistill.pictures import read
from maskdistill.settings import load, resolve
from maskdistill.training import Plan, fit
from maskdistill.types import Detections

REFERENCE = Path(os.environ.get("MASKDISTILL_REFERENCE", "../shared"))
NETWORK = "timm/deit_tiny_patch16_224"  # vit_tiny's tensors, with the mean and deviation that these weights want
WEIGHTS = REFERENCE / "data" / "weights" / "vit_tiny_patch16_224_supervised_in1k.npz"
SHORT_SIDE, BLOCKS, PATCH = 480, (-4, -2, -1), 16
OF_DETECTOR = (-2, -1)
# Scores of detections: painted from the first on (docs/log/segmenter.md), clusters fitted on from the second,
# looked at from the third: between, 255.
PAINTED, FITTED, SEEN = 0.6, 0.5, 0.3
MASKS, MAPS = ("CorLoc", "AP50", "best IoU", "finds again", "agreement"), ("mIoU", "foreground")
Rows = list[dict[str, Any]]


@dataclass
class Photograph:
    """A picture, what is true of it, and what the stages make of it.

    views: of the picture and of the mirrored one: tokens (blocks, rows, columns, channels), class token, px shown.
    """

    rgb: np.ndarray
    objects: Rows
    truth: np.ndarray  # (H, W) uint8 of classes
    views: list[tuple[np.ndarray, np.ndarray, tuple[int, int]]] = field(default_factory=list)
    proposals: Rows = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        return self.rgb.shape[0], self.rgb.shape[1]


@cache
def network() -> Any:
    return vit.load(NETWORK, weights=WEIGHTS)


def coco() -> Iterator[Photograph]:
    """94 pictures with masks, their label maps of supercategories."""
    folder = REFERENCE / "data" / "coco-dev"
    found = truths.read(folder / "instances.json")
    categories = json.loads((folder / "instances.json").read_text(encoding="utf-8"))["categories"]
    above = {row["name"]: row["supercategory"] for row in categories}
    names = sorted(set(above.values()))
    number = np.full(256, 255, np.uint8)
    number[0] = 0
    for place, name in enumerate(found.names, 1):
        number[place] = 1 + names.index(above[name])
    for key, of in sorted(found.objects.items()):
        objects = [{**row, "category": 1} for row in of.masked]
        rgb = read(folder / "images" / key)
        yield Photograph(rgb, objects, number[found.label_map(key)])


def voc_dev() -> Iterator[Photograph]:
    """54 pictures with boxes, difficult ones left out, and label maps of 20 classes."""
    found = voc.find(REFERENCE / "data" / "voc-dev" / "VOC2012")
    for path in sorted((found.root / "JPEGImages").iterdir()):
        objects = [
            {"box": np.array(each.box), "crowd": False, "category": 1}
            for each in voc.boxes(found, path.stem)
            if not each.difficult
        ]
        truth = read_map(found.class_maps / f"{path.stem}.png")
        yield Photograph(read(path), objects, truth)


SETS: dict[str, tuple[Callable[[], Iterator[Photograph]], str, int, str]] = {
    # pictures; what AP is by; classes with background; rule of clusters to classes
    "coco": (coco, "segm", 13, "majority"),
    "voc": (voc_dev, "bbox", 21, "iou"),
}


@cache
def tokencut() -> Recipe:
    own = {
        "backbone": NETWORK,
        "method": "tokencut",
        "facet": "tokens",
        "block": -2,
        "centre_keys": "no",
        "tokencut": {"short_side": SHORT_SIDE},
    }
    return recipe_of(resolve(load({"propose": own})).propose)


def tokens_of(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Tokens of BLOCKS as float16, the class token of the last block, px shown; one forward."""
    net, ready = network(), Input(short_side=SHORT_SIDE).prepare(rgb, backbone=network())
    batch, found = ready.tensor[None], []
    with torch.inference_mode():
        grid = net.grid_of(batch)
        stream, rotations = net.embedded(batch, grid)
        for number in range(len(net.model.blocks)):
            stream = net.through(number, stream, rotations)
            if number - len(net.model.blocks) in BLOCKS:
                found.append(net.one_class(net.model.norm(stream).float(), dim=1)[0])
    patches = torch.stack([each[1:].reshape(*grid, -1) for each in found])
    return patches.half().numpy(), found[-1][0].half().numpy(), ready.content


def prepared(name: str, out: Path) -> list[Photograph]:
    """The photographs of a set with tokens and proposals, from OUT where they are there."""
    made, file = list(SETS[name][0]()), out / f"{name}.pt"
    if not file.exists():
        kept, seconds = [], [0.0, 0.0]
        for each in made:
            started = time.process_time()
            views = [tokens_of(rgb) for rgb in (each.rgb, each.rgb[:, ::-1])]
            between = time.process_time()
            found = discover(
                lambda rgb=each.rgb: rgb, size=each.size, backbone=network(), recipe=tokencut()
            )
            seconds[0] += between - started
            seconds[1] += time.process_time() - between
            best = found.best_first
            encoded = rle.encode(found.masks[best])
            kept.append((views, as_rows(encoded, found.scores[best])))
        print(f"{name}: {seconds[0]:.0f} s for two views each, {seconds[1]:.0f} s for proposals")
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(kept, file)
    for each, (views, proposals) in zip(made, torch.load(file, weights_only=False), strict=True):
        each.views, each.proposals = views, proposals
    return made


def as_rows(rles: Sequence[Any], scores: np.ndarray) -> Rows:
    return [
        {"rle": each, "box": box, "score": float(score), "category": 1}
        for each, box, score in zip(rles, rle.boxes(list(rles)), scores, strict=True)
    ]


def decoded(each: Photograph, rows: Rows) -> np.ndarray:
    return rle.decode([row["rle"] for row in rows], size=each.size)


def trained_detector(
    name: str, photographs: list[Photograph], given: argparse.Namespace, seed: int
) -> Any:
    """The detector, class-agnostic, after `given.steps` steps of batch 4; from OUT where it is there."""

    def sample(position: int, mirrored: bool) -> tuple[detector.View, np.ndarray, np.ndarray]:
        each = photographs[position]
        masks = decoded(each, each.proposals)
        return view_of(each, mirrored), masks, np.zeros(len(masks), np.int64)

    channels = len(OF_DETECTOR) * photographs[0].views[0][0].shape[3]
    model = detector.build_on_tokens(channels=channels, drop=given.drop, seed=seed)
    file = given.out / f"{name}-detector-{given.steps}-{given.drop:g}-{seed}.pt"
    if file.exists():
        model.load_state_dict(torch.load(file, weights_only=True))
        return model
    plan = {"optimiser": "adamw", "learning_rate": 1e-3, "warm_up": 20, "decay": "cosine"}
    fit(
        model,
        Plan(steps=given.steps, clip_norm=5.0, average=0.99, seed=seed, **plan),
        batch_of=detector.token_batches(sample, n_pictures=len(photographs), batch=4, seed=seed),
        loss_of=detector.token_losses(seed=seed),
    )
    torch.save(model.state_dict(), file)
    return model


def view_of(each: Photograph, mirrored: bool) -> detector.View:
    tokens, _, shown = each.views[int(mirrored)]
    blocks = [BLOCKS.index(block) for block in OF_DETECTOR]
    return detector.view(tokens[blocks], shown, patch=PATCH)


def detected(model: Any, each: Photograph, *, mirrored: bool = False) -> Detections:
    """Detections of a picture, or of the mirrored one (in its own px)."""
    rgb = each.rgb[:, ::-1] if mirrored else each.rgb
    (found,) = detector.unpasted_of_views(model, [view_of(each, mirrored)], [each.size])
    return detector.pasted(found, rgb, mask_score=True, mask_nms=0.5)


def embedded(each: Photograph, rows: Rows) -> np.ndarray:
    """(n, width): the class token of each mask's crop."""
    net = network()
    if not rows:
        return np.zeros((0, net.width), np.float32)

    def prepare(pixels: np.ndarray) -> torch.Tensor:
        return padded(normalised(pixels, mean=net.mean, std=net.std), net.patch)

    boxes = np.array([row["box"] for row in rows])
    views = crops.crops(each.rgb, boxes, min_side=224, max_side=512)
    return crops.embed(views, backbone=net, prepare=prepare, pack=256)


def named(vectors: np.ndarray, fitted_on: np.ndarray, *, k: int, seed: int) -> np.ndarray:
    """The cluster of each vector, of a clustering of some of them."""
    scale = whitening.scale_of(vectors[fitted_on])
    rows = whitening.normalise(vectors, scale)
    found = kmeans.fit(rows[fitted_on], k=k, algorithm="full", restarts=10, seed=seed)
    return kmeans.assign(rows, found.centroids)


def painted(each: Photograph, rows: Rows, clusters: np.ndarray) -> np.ndarray:
    scores = np.array([row["score"] for row in rows])
    return labels.paint(decoded(each, rows), clusters, scores, each.size, overlap="below")


def training_map(each: Photograph, rows: Rows, clusters: np.ndarray) -> np.ndarray:
    """Sure detections painted (the best one else), 255 where unsure ones lie and nothing is painted."""
    scores = np.array([row["score"] for row in rows])
    sure = labels.select(scores, min_score=PAINTED)
    label_map = painted(each, rows[: len(sure)], clusters[: len(sure)])
    unsure = rows[len(sure) :]
    covered = decoded(each, unsure).any(axis=0) if unsure else np.zeros(each.size, bool)
    return np.where(covered & (label_map == 0), 255, label_map).astype(np.uint8)


def trained_head(
    photographs: list[Photograph],
    maps: list[np.ndarray],
    given: argparse.Namespace,
    *,
    k: int,
    seed: int,
) -> Any:
    """The patch head after 8 passes over the patches of both views."""

    def views() -> Iterator[segmenter.patches.LabelledView]:
        for each, label_map in zip(photographs, maps, strict=True):
            for (tokens, class_token, shown), seen in zip(
                each.views, (label_map, label_map[:, ::-1]), strict=True
            ):
                yield (
                    tokens,
                    class_token,
                    segmenter.soft_labels.shares(seen, shown, n_classes=1 + k),
                )

    sizes = [
        tokens[0].shape[0] * tokens[0].shape[1]
        for each in photographs
        for tokens, _, _ in each.views
    ]
    patches = segmenter.patches.drawn(views(), sizes, share=given.share, seed=seed)
    model = segmenter.build_on_patches(
        channels=patches.tokens.shape[1],
        width=patches.class_tokens.shape[1],
        n_classes=1 + k,
        hidden=given.hidden,
        seed=seed,
    )
    plan = {"optimiser": "adamw", "learning_rate": 1e-3, "weight_decay": 1e-3, "decay": "cosine"}
    fit(
        model,
        Plan(steps=segmenter.patches.steps(len(patches)), seed=seed, **plan),
        batch_of=segmenter.patches.patch_batches(len(patches), seed=seed),
        loss_of=segmenter.patches.patch_losses(patches),
    )
    return model


def segmented(
    model: Any, each: Photograph, *, mirrored: bool = False, drawn: bool = False
) -> np.ndarray:
    """The label map of a picture; `drawn`: with the CRF. Of the mirrored one turned back."""
    tokens, class_token, shown = each.views[int(mirrored)]
    rgb = np.ascontiguousarray(each.rgb[:, ::-1]) if mirrored else each.rgb
    logits = segmenter.logits_of_view(model, tokens, class_token)
    found = segmenter.label_map(
        logits,
        rgb,
        covered=(shown[0] / PATCH, shown[1] / PATCH),
        crf=partial(crf.dense_crf, **crf.MASKDISTILL) if drawn else None,
    )
    return found[:, ::-1] if mirrored else found


def of_masks(photographs: list[Photograph], rows: list[Rows], by: str) -> dict[str, float]:
    """CorLoc, AP50 and mean best IoU of masks, as shares."""
    truth = {number: each.objects for number, each in enumerate(photographs)}
    found = dict(enumerate(rows))
    solid = {number: records.solid(each) for number, each in truth.items()}
    if by == "segm":
        ious = records.ious(truth, found)
    else:
        ious = [
            box_ops.iou(records.boxes(found[number]), records.boxes(solid[number]))
            for number in truth
        ]
    of = curves.Curves(truth, found, iou_type=by, class_agnostic=True)
    made = {
        "CorLoc": corloc.statistic(truth, found),
        "AP50": of.statistic("AP50"),
        "best IoU": mean_best_iou.statistic(ious),
    }
    return {name: bootstrap.value(each, len(truth)) for name, each in made.items()}


def of_maps(
    photographs: list[Photograph], maps: list[np.ndarray], name: str, k: int
) -> dict[str, float]:
    """mIoU after matching clusters with classes, and IoU of the foreground."""
    _, _, n_classes, rule = SETS[name]
    counts = [
        semantic.confusion(found, each.truth, n_classes, columns=1 + k)
        for found, each in zip(maps, photographs, strict=True)
    ]
    whole = label_map_counts.LabelMaps(counts, rule=rule)
    summed = np.sum(counts, axis=0)
    objects = summed[1:, 1:].sum() / (summed[1:].sum() + summed[0, 1:].sum())
    return {"mIoU": bootstrap.value(whole.mean_iou(), len(counts)), "foreground": float(objects)}


@dataclass
class Looked:
    """What the detector of a seed found: detections, those from SEEN on and their embeddings, numbers; CPU seconds."""

    rows: list[Rows]
    seen: list[Rows]
    vectors: np.ndarray
    of_proposals: np.ndarray
    numbers: dict[str, float]
    seconds: dict[str, float]


class Laps(dict[str, float]):
    """CPU seconds by what was done."""

    def __init__(self) -> None:
        super().__init__()
        self.started = time.process_time()

    def end(self, what: str) -> None:
        now = time.process_time()
        self[what], self.started = round(now - self.started, 1), now


def looked(
    name: str, photographs: list[Photograph], given: argparse.Namespace, seed: int
) -> Looked:
    """Train the detector, and show it every picture and every mirrored one."""
    laps, proposals = Laps(), [each.proposals for each in photographs]
    model = trained_detector(name, photographs, given, seed)
    laps.end("detector")
    rows = [as_rows(each.rles, each.scores) for each in (detected(model, p) for p in photographs)]
    laps.end("detections")
    numbers = of_masks(photographs, rows, SETS[name][1])
    mirrored = [turned_back(detected(model, each, mirrored=True), each) for each in photographs]
    seen, turned = (
        [[row for row in each if row["score"] >= SEEN] for each in found]
        for found in (rows, mirrored)
    )
    ious = [rle_iou(*pair) for pair in zip(seen, turned, strict=True)]
    numbers["agreement"] = bootstrap.value(agreement.of_masks(ious), len(ious))
    met = [
        agreement.found_again(rle_iou(wanted, best[: len(wanted)]))
        for wanted, best in zip(proposals, rows, strict=True)
    ]
    numbers["finds again"] = sum(met) / sum(map(len, proposals))
    laps.end("numbers of detections")
    vectors, of_proposals = (
        np.concatenate([embedded(*pair) for pair in zip(photographs, found, strict=True)])
        for found in (seen, proposals)
    )
    laps.end("crops")
    return Looked(rows, seen, vectors, of_proposals, numbers, laps)


def chain(
    name: str,
    photographs: list[Photograph],
    of: Looked,
    given: argparse.Namespace,
    seed: int,
) -> dict[str, dict[str, float]]:
    """The numbers of each stage."""
    k, laps, proposals = 20, Laps(), [each.proposals for each in photographs]
    ids = named(of.of_proposals, np.arange(len(of.of_proposals)), k=k, seed=seed)
    clusters = split(ids, proposals)
    maps = [painted(*each) for each in zip(photographs, proposals, clusters, strict=True)]
    numbers = {
        "proposals": of_masks(photographs, proposals, SETS[name][1])
        | of_maps(photographs, maps, name, k),
        "detections": of.numbers,
    }
    # One clustering of proposals and sure detections names both: more crops to fit on.
    scores = np.array([row["score"] for each in of.seen for row in each])
    every = np.concatenate([of.of_proposals, of.vectors])
    fitted_on = np.flatnonzero(np.concatenate([np.ones(len(ids), bool), scores >= FITTED]))
    clusters = split(named(every, fitted_on, k=k, seed=seed)[len(ids) :], of.seen)
    labelled = [training_map(*each) for each in zip(photographs, of.seen, clusters, strict=True)]
    plain = [np.where(each == 255, 0, each).astype(np.uint8) for each in labelled]
    numbers["label maps"] = of_maps(photographs, plain, name, k)
    laps.end("clusterings, label maps")
    head = trained_head(photographs, labelled, given, k=k, seed=seed)
    laps.end("patch head")
    maps = [segmented(head, each) for each in photographs]
    laps.end("predictions")
    numbers["patch head"] = of_maps(photographs, maps, name, k)
    others = [segmented(head, each, mirrored=True) for each in photographs]
    right, pixels = np.sum(
        [agreement.equal(*pair) for pair in zip(maps, others, strict=True)], axis=0
    )
    numbers["patch head"]["agreement"] = right / pixels
    laps.end("predictions of mirrored pictures")
    if given.crf:
        drawn = [segmented(head, each, drawn=True) for each in photographs]
        numbers["patch head, CRF"] = of_maps(photographs, drawn, name, k)
        laps.end("CRF")
    print(f"{name}, seed {seed}, CPU seconds: {of.seconds | laps}", flush=True)
    return numbers


def split(values: np.ndarray, rows: Sequence[Rows]) -> list[np.ndarray]:
    return np.split(values, np.cumsum([len(each) for each in rows])[:-1])


def turned_back(found: Detections, each: Photograph) -> Rows:
    masks = rle.decode(found.rles, size=each.size)[:, :, ::-1]
    return as_rows(rle.encode(np.ascontiguousarray(masks)), found.scores)


def rle_iou(one: Rows, other: Rows) -> np.ndarray:
    return rle.iou([row["rle"] for row in one], [row["rle"] for row in other])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=tuple(SETS), default=tuple(SETS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=400, help="of the detector")
    parser.add_argument("--drop", type=float, default=0.01, help="IoU of DropLoss")
    parser.add_argument("--share", type=float, default=1.0, help="of the patches of each view")
    parser.add_argument(
        "--hidden", type=int, default=384, help="width of the patch head, 0: linear"
    )
    parser.add_argument("--one-detector", action="store_true", help="that of seed 0 for all seeds")
    parser.add_argument("--crf", action="store_true", help="the CRF behind the patch head too")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.sets:
        photographs = prepared(name, given.out)
        made, of = [], None
        for seed in range(given.seeds):
            if of is None or not given.one_detector:
                of = looked(name, photographs, given, seed)
            made.append(chain(name, photographs, of, given, seed))
        print(f"\n{name}, {len(photographs)} pictures, {given.seeds} seeds, SUPERVISED DeiT-Tiny\n")
        print(f"| stage | {' | '.join((*MASKS, *MAPS))} |\n{'| --- ' * (1 + len(MASKS + MAPS))}|")
        for stage in made[0]:
            cells = [
                [of[stage][number] for of in made] if number in made[0][stage] else []
                for number in (*MASKS, *MAPS)
            ]
            print(f"| {stage} | {' | '.join(map(shown, cells))} |", flush=True)


def shown(values: list[float]) -> str:
    if len(values) < 2:
        return "".join(f"{value:.3f}" for value in values)
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}"


if __name__ == "__main__":
    main()
