"""How well clusters agree with classes: by embedding, whitening and k-means, on features and pictures with truth.

    python benchmarks/bench_embeddings.py golden
    python benchmarks/bench_embeddings.py drawn number coco --out runs/embeddings

Prints the tables of docs/results.md as Markdown. `golden`: the paper's pipeline on the stored features of the reference
data ($MASKDISTILL_REFERENCE). `drawn`: the demo's pictures, drawn with five seeds, masks of the truth and proposals.
`number`: which number of clusters `auto` chooses on those of 3, 5 and 8 kinds. `coco`: photographs of that
data, masks of the truth and proposals; `voc`: boxes of others.
The network is SUPERVISED: nothing is said of self-supervised ones. Embeddings are kept in OUT, a file a set.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score

from maskdistill.clusters import crops, descriptors, kmeans, number, whitening
from maskdistill.datasets import truth as truths
from maskdistill.datasets import voc
from maskdistill.discovery.find import discover
from maskdistill.discovery.recipe import Recipe, recipe_of
from maskdistill.evaluation import clusters, matching
from maskdistill.features import handcrafted, normalised, padded, vit
from maskdistill.masks import rle
from maskdistill.masks.boxes import boxes_from_masks
from maskdistill.pictures import read
from maskdistill.settings import load, resolve
from maskdistill.workflows import demo_pictures

REFERENCE = Path(os.environ.get("MASKDISTILL_REFERENCE", "../shared"))
NETWORK = "timm/deit_tiny_patch16_224"  # vit_tiny's tensors, with the mean and deviation that these weights want
WEIGHTS = REFERENCE / "data" / "weights" / "vit_tiny_patch16_224_supervised_in1k.npz"
KMEANS: tuple[tuple[Any, int], ...] = (("minibatch", 1), ("full", 10), ("spherical", 10))
SIDES = (96, 128, 160, 224, 320, 448)  # px that small crops are enlarged to
MET = 0.5  # IoU from which a proposal counts as one of an object

Pictures = Iterator[
    tuple[np.ndarray, np.ndarray, np.ndarray]
]  # rgb, masks (n, H, W) bool, classes (n,)


@dataclass(frozen=True)
class Way:
    """An embedding by the network: arguments of `crops.crops`, and what is read."""

    read: Any = "class_token"
    background: Any = "keep"
    scales: tuple[float, ...] = (1.0,)
    flips: bool = False
    blur: float = 0.1
    min_side: int = 0


WAYS: dict[str, Way | None] = {
    "descriptors": None,
    "class_token": Way(),
    "class_token, scale 2": Way(scales=(2.0,)),
    "class_token, scales 1 2, flips": Way(scales=(1.0, 2.0), flips=True),
    "class_token, background blurred": Way(background="blur"),
    "class_token, background filled": Way(background="fill"),
    "patch_mean": Way("patch_mean"),
    "patch_mean, scale 2": Way("patch_mean", scales=(2.0,)),
    **{f"class_token, {side} px at least": Way(min_side=side) for side in SIDES},
    **{f"patch_mean, {side} px at least": Way("patch_mean", min_side=side) for side in SIDES},
    "class_token, 224 px at least, flips": Way(min_side=224, flips=True),
    "class_token, 224 px at least, background blurred": Way(min_side=224, background="blur"),
    "class_token, 224 px at least, background filled": Way(min_side=224, background="fill"),
    "patch_mean, 224 px at least, flips": Way("patch_mean", min_side=224, flips=True),
}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table in Markdown."""
    print(f"\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def mean(values: Sequence[float]) -> str:
    """Mean and deviation over the seeds."""
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}"


def golden(given: argparse.Namespace) -> None:
    """Accuracy, NMI, ARI on the stored features, and ARI to the clusters that the original found."""
    stored = np.load(REFERENCE / "golden" / "evaluation" / "kmeans.npz")
    rows, labels = stored["features"].astype(np.float32), stored["labels"]
    lines = []
    for k, rule in ((20, matching.hungarian), (40, matching.majority)):
        for algorithm, restarts in KMEANS:
            found = [
                kmeans.fit(
                    spaced(rows, "deviation"),
                    k=k,
                    algorithm=algorithm,
                    restarts=restarts,
                    seed=seed,
                ).ids
                for seed in [1234, *range(given.seeds)]
            ]
            of = [scores(ids, labels, rule) for ids in found]
            to = [adjusted_rand_score(stored[f"clusters_{k}"], ids) for ids in found]
            each = [mean(column) for column in zip(*of[1:], strict=True)]
            lines.append(
                [
                    f"{k}, {algorithm}, {restarts} starts",
                    f"{of[0][0]:.4f}",
                    *each,
                    f"{to[0]:.3f}",
                    mean(to[1:]),
                ]
            )
    head = ["clusters, k-means", "accuracy, the original's seed", "accuracy", "NMI", "ARI"]
    table([*head, "ARI to the original's clusters, its seed", "other seeds"], lines)


def scores(
    ids: np.ndarray, labels: np.ndarray, rule: Callable[..., dict[int, int]] = matching.hungarian
) -> tuple:
    """Accuracy, NMI, ARI."""
    counts = clusters.table(
        ids, labels, n_clusters=int(ids.max()) + 1, n_classes=int(labels.max()) + 1
    )
    return (
        clusters.accuracy(counts, rule(counts)),
        clusters.nmi(counts),
        clusters.ari(counts),
    )


def spaced(rows: np.ndarray, how: str) -> np.ndarray:
    """Rows as k-means takes them: whitened by deviation, by principal components (pca-64), or not (none)."""
    if how.startswith("pca"):
        return whitening.projected(rows, whitening.principal(rows, dims=int(how.partition("-")[2])))
    return whitening.normalise(rows, whitening.scale_of(rows, whiten=how == "deviation"))


@cache
def network() -> Any:
    return vit.load(NETWORK, weights=WEIGHTS)


def prepare(pixels: np.ndarray) -> torch.Tensor:
    return padded(normalised(pixels, mean=network().mean, std=network().std), network().patch)


def embedded(rgb: np.ndarray, masks: np.ndarray, way: Way | None) -> np.ndarray:
    """(n, d) of the masks of a picture."""
    if way is None:
        return descriptors(rgb, masks, max_side=512)
    cut = {"background": way.background, "blur": way.blur, "scales": way.scales, "flips": way.flips}
    cut |= {"min_side": way.min_side, "max_side": 512}
    views = crops.crops(rgb, boxes_from_masks(masks), masks, colour=network().mean, **cut)
    return crops.embed(views, backbone=network(), prepare=prepare, read=way.read, pack=256)


def drawn(seed: int, n_kinds: int, of: str) -> Pictures:
    """The demo's 96 pictures of a seed; masks of the truth, or proposals with the kind they meet (-1: none)."""
    backbone, recipe = handcrafted.load(), recipe_of(resolve(load(preset_name="demo")).propose)
    for index in range(1, 97):
        picture = demo_pictures.draw(seed, index, n_kinds=n_kinds)
        if of == "truth":
            yield picture.rgb, picture.masks, picture.kinds
        else:
            masks = discovered(picture.rgb, backbone, recipe)
            yield picture.rgb, masks, met(masks, rle.encode(picture.masks), picture.kinds)


def discovered(rgb: np.ndarray, backbone: Any, recipe: Recipe) -> np.ndarray:
    """Return the masks (n, H, W) bool of a picture, in the order of discovery."""
    return discover(lambda: rgb, size=rgb.shape[:2], backbone=backbone, recipe=recipe).masks


@cache
def tokencut() -> Recipe:
    own = {
        "backbone": NETWORK,
        "method": "tokencut",
        "facet": "tokens",
        "block": -2,
        "centre_keys": "no",
    }
    return recipe_of(resolve(load({"propose": own})).propose)


def photographs(of: str) -> Pictures:
    """94 pictures of coco-dev: masks of the objects that are no crowds, or proposals with the class they meet."""
    folder = REFERENCE / "data" / "coco-dev"
    for key, found in sorted(truths.read(folder / "instances.json").objects.items()):
        rgb = read(folder / "images" / key)
        solid = [place for place, crowd in enumerate(found.crowds) if not crowd]
        rles, classes = (
            [found.rles[place] for place in solid],
            np.array(found.classes, np.int64)[solid],
        )
        if of == "truth":
            large = (
                [place for place, area in enumerate(rle.areas(rles)) if area >= 32**2]
                if rles
                else []
            )
            yield rgb, rle.decode([rles[place] for place in large], size=found.size), classes[large]
        else:
            masks = discovered(rgb, network(), tokencut())
            masks = masks[masks.any(axis=(1, 2))]
            yield rgb, masks, met(masks, rles, classes)


def boxed(of: str) -> Pictures:
    """54 pictures of voc-dev: boxes of their objects as masks, but difficult ones; or proposals that they meet."""
    found = voc.find(REFERENCE / "data" / "voc-dev" / "VOC2012")
    for path in sorted((found.root / "JPEGImages").iterdir()):
        rgb, boxes = (
            read(path),
            [each for each in voc.boxes(found, path.stem) if not each.difficult],
        )
        masks = filled([each.box for each in boxes], rgb.shape[:2])
        classes = np.array([each.category for each in boxes], np.int64)
        if of == "proposals":
            proposals = discovered(rgb, network(), tokencut())
            proposals = proposals[proposals.any(axis=(1, 2))]
            frames = filled(boxes_from_masks(proposals), rgb.shape[:2])
            yield rgb, proposals, met(frames, rle.encode(masks), classes)
        else:
            yield rgb, masks, classes


def filled(boxes: Any, size: tuple[int, ...]) -> np.ndarray:
    """(n, H, W) bool: all of each box."""
    masks = np.zeros((len(boxes), *size), bool)
    for mask, box in zip(masks, boxes, strict=True):
        left, top, right, bottom = (round(float(side)) for side in box)
        mask[top:bottom, left:right] = True
    return masks


def met(masks: np.ndarray, objects: list[Any], classes: np.ndarray) -> np.ndarray:
    """(n,) class of the object that each mask overlaps most, -1 where none by half."""
    iou = (
        rle.iou(rle.encode(masks), objects) if len(masks) and objects else np.zeros((len(masks), 0))
    )
    return clusters.class_of_best(iou, classes, at_least=MET)


def kept(
    given: argparse.Namespace, name: str, pictures: Callable[[], Pictures], ways: Sequence[str]
) -> dict[str, Any]:
    """Embeddings by way, classes, and the picture of each mask; made once, then read from OUT."""
    path = given.out / f"{name}.npz"
    found: dict[str, Any] = dict(np.load(path)) if path.exists() else {}
    if missing := [way for way in ways if way not in found]:
        rows: dict[str, list[np.ndarray]] = {way: [] for way in missing}
        classes, owners = [], []
        for place, (rgb, masks, own) in enumerate(pictures()):
            classes.append(own)
            owners.append(np.full(len(own), place))
            for way in missing:
                rows[way].append(embedded(rgb, masks, WAYS[way]))
        found |= {way: np.concatenate(each) for way, each in rows.items()}
        found |= {"classes": np.concatenate(classes), "owners": np.concatenate(owners)}
        given.out.mkdir(parents=True, exist_ok=True)
        np.savez(path, **found)
    return found


def variants(given: argparse.Namespace, pca: Sequence[int]) -> list[tuple[str, str, Any]]:
    """Each embedding as the default has it; of one of them the other whitenings and k-means too."""
    one = given.variants_of or given.ways[0]
    return [
        *((way, "deviation", "full") for way in given.ways),
        *((one, how, "full") for how in ("none", *(f"pca-{dims}" for dims in pca))),
        *((one, "deviation", algorithm) for algorithm in ("minibatch", "spherical")),
    ]


def of_drawn(given: argparse.Namespace) -> None:
    """Accuracy, NMI, ARI by embedding, whitening, k-means; k = 5, as many as kinds; proposals: of those that meet."""
    lines = []
    for way, how, algorithm in variants(given, pca=(16, 32)):
        line = [f"{way}; {how}; {algorithm}"]
        for of in ("truth", "proposals"):
            each = []
            for seed in range(given.seeds):
                found = kept(
                    given,
                    f"drawn-5-{seed}-{of}",
                    lambda seed=seed, of=of: drawn(seed, 5, of),
                    given.ways,
                )
                restarts = dict(KMEANS)[algorithm]
                ids = kmeans.fit(
                    spaced(found[way], how), k=5, algorithm=algorithm, restarts=restarts, seed=seed
                ).ids
                meets = found["classes"] >= 0
                each.append(scores(ids[meets], found["classes"][meets]))
            line += [mean(column) for column in zip(*each, strict=True)]
        lines.append(line)
    names = [
        f"{of}: {name}" for of in ("truth", "proposals") for name in ("accuracy", "NMI", "ARI")
    ]
    table(["embedding; whitening; k-means", *names], lines)


def of_number(given: argparse.Namespace) -> None:
    """What `auto` chooses among 2 to 16."""
    lines = []
    for of in given.masks:
        near = 0
        for n_kinds in (3, 5, 8):
            found = []
            for seed in range(given.first, given.first + given.seeds):
                name, of_seed = (
                    f"drawn-{n_kinds}-{seed}-{of}",
                    lambda s=seed, k=n_kinds, of=of: drawn(s, k, of),
                )
                path = given.out / f"curve-{name}.json"
                if not path.exists():
                    rows = spaced(
                        kept(given, name, of_seed, ["descriptors"])["descriptors"], "deviation"
                    )
                    path.write_text(
                        json.dumps(number.curve(rows, range(2, 17), seed=seed)), encoding="utf-8"
                    )
                found.append(number.chosen(json.loads(path.read_text(encoding="utf-8"))))
            near += sum(abs(k - n_kinds) <= 1 for k in found)
            lines.append([of, str(n_kinds), " ".join(map(str, found)), ""])
        lines[-1][-1] = f"{near} of {3 * given.seeds}"
    table(["masks", "kinds", "chosen, by seed", "within 1 of the kinds"], lines)


def of_photographs(given: argparse.Namespace, sets: dict[str, Callable[[], Pictures]]) -> None:
    """As `of_drawn`, k the number of classes that occur; and the nearest neighbour in another picture."""
    lines = []
    for way, how, algorithm in variants(given, pca=(16, 32, 64)):
        line = [f"{way}; {how}; {algorithm}"]
        for name, pictures in sets.items():
            found = kept(given, name, pictures, given.ways)
            meets = found["classes"] >= 0
            labels = np.unique(found["classes"][meets], return_inverse=True)[1]
            k = int(labels.max()) + 1
            rows = spaced(found[way], how)[meets]
            each = [
                scores(
                    kmeans.fit(
                        rows, k=k, algorithm=algorithm, restarts=dict(KMEANS)[algorithm], seed=seed
                    ).ids,
                    labels,
                )
                for seed in range(given.seeds)
            ]
            line += [
                f"{purity(rows, labels, found['owners'][meets]):.3f}",
                *(mean(column) for column in zip(*each, strict=True)),
            ]
            if not lines:
                print(f"{name}: {len(labels)} masks of {k} classes")
        lines.append(line)
    names = [f"{name}: {what}" for name in sets for what in ("neighbour", "accuracy", "NMI", "ARI")]
    table(["embedding; whitening; k-means", *names], lines)


def of_coco(given: argparse.Namespace) -> None:
    sets = {f"coco-{of}": lambda of=of: photographs(of) for of in given.masks}
    of_photographs(given, sets)


def of_voc(given: argparse.Namespace) -> None:
    """Other photographs, without masks: what was chosen on those of coco-dev is judged here."""
    sets = {"truth": "voc-boxes", "proposals": "voc-proposals"}
    of_photographs(given, {sets[of]: lambda of=of: boxed(of) for of in given.masks})


def purity(rows: np.ndarray, labels: np.ndarray, owners: np.ndarray) -> float:
    """Share of masks whose nearest one of another picture (by cosine) is of the same class."""
    alike = rows @ rows.T
    alike[owners[:, None] == owners[None]] = -np.inf
    return float((labels[alike.argmax(axis=1)] == labels).mean())


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "golden": golden,
    "drawn": of_drawn,
    "number": of_number,
    "coco": of_coco,
    "voc": of_voc,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="seed of `number`'s pictures")
    parser.add_argument(
        "--masks", nargs="+", choices=["truth", "proposals"], default=["truth", "proposals"]
    )
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument(
        "--variants-of", choices=WAYS, help="the embedding of other whitenings; the first of --ways"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/embeddings"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    for part in given.parts:
        PARTS[part](given)


if __name__ == "__main__":
    main()
