"""How fast masks become clusters: crops through a ViT together, k-means beside scikit-learn's, in how much memory.

    python benchmarks/bench_clusters.py crops --crops 1000 --packs 256
    python benchmarks/bench_clusters.py kmeans
    python benchmarks/bench_clusters.py streamed
    python benchmarks/bench_clusters.py memory

Each part prints a table of docs/results.md, its baseline in the same process. `crops`: boxes of proposals, sides 32
to 320 px, on the photographs of the reference data ($MASKDISTILL_REFERENCE), through DINO's ViT-S/8 with drawn weights:
one at a time, and packed. `kmeans`: 100 000 x 384 into 80, the same start. `streamed`: 1 000 000 x 384 in a memory map
(1.5 GB in a temporary folder, removed afterwards), peak of anonymous memory, agreement with k-means in memory.
`memory`: peak of the stage `cluster` by the number of masks.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score
from threadpoolctl import threadpool_limits

from maskdistill.clusters import crops, kmeans, streamed
from maskdistill.datasets import truth as truths
from maskdistill.discovery.recipe import recipe_of
from maskdistill.engine.job import Image, Job
from maskdistill.features import normalised, padded, vit
from maskdistill.masks import rle
from maskdistill.masks.boxes import boxes_from_masks
from maskdistill.pictures import read
from maskdistill.runs import arrays, lines
from maskdistill.runs.journal import Journal
from maskdistill.runs.layout import RunFolder
from maskdistill.runs.ledger import Ledger
from maskdistill.runs.progress import Progress
from maskdistill.settings import load, resolve
from maskdistill.stages import cluster

REFERENCE = Path(os.environ.get("MASKDISTILL_REFERENCE", "../shared"))


def photographs() -> list[Path]:
    """Pictures of both sets of the reference data, in the order of their names."""
    folders = (
        REFERENCE / "data" / "coco-dev" / "images",
        REFERENCE / "data" / "voc-dev" / "VOC2012" / "JPEGImages",
    )
    return sorted(path for folder in folders for path in folder.iterdir())


def boxes_of_objects() -> Iterator[tuple[Path, np.ndarray]]:
    """Boxes of the objects of those of the pictures that have them as COCO."""
    objects = truths.read(REFERENCE / "data" / "coco-dev" / "instances.json").objects
    for path in photographs():
        if found := objects.get(path.name):
            yield path, np.array(rle.boxes(found.rles)).reshape(-1, 4)


def boxes_of_proposals() -> Iterator[tuple[Path, np.ndarray]]:
    """Boxes of the masks of four methods, up to six a picture, on tokens and keys of DeiT-Tiny's last two blocks."""
    import bench_embeddings as network

    own = {"backbone": network.NETWORK, "pixels": "nearest"}
    recipes = [
        recipe_of(
            resolve(
                load({"propose": {**own, **seen, "method": method, "centre_keys": centre}})
            ).propose
        )
        for seen in (
            {"facet": facet, "block": block} for facet in ("tokens", "keys") for block in (-2, -1)
        )
        for method, centre in (
            ("tokencut", "no"),
            ("maskdistill", "yes"),
            ("lost", "no"),
            ("maskcut", "no"),
        )
    ]
    for path in photographs():
        rgb, found = read(path), []
        for recipe in recipes:
            masks = network.discovered(rgb, network.network(), recipe)
            found.append(boxes_from_masks(masks[masks.any(axis=(1, 2))]))
        yield path, np.unique(np.concatenate(found), axis=0)


def cut(given: argparse.Namespace) -> list[crops.Crop]:
    """Crops whose sides are within what is asked for, every nth, in the order of the pictures."""
    boxes_of = {"objects": boxes_of_objects, "proposals": boxes_of_proposals}[given.of]
    boxes = [(path, box) for path, found in boxes_of() for box in found]
    sides = np.array([(box[2] - box[0], box[3] - box[1]) for _, box in boxes])
    low, high = given.sides
    within = np.flatnonzero((sides.min(axis=1) >= low) & (sides.max(axis=1) <= high))
    chosen = within[np.linspace(0, len(within) - 1, min(given.crops, len(within))).astype(int)]
    print(
        f"{len(boxes)} boxes of {given.of}, {len(within)} within {low} .. {high} px, {len(chosen)} taken",
        flush=True,
    )
    rows = [boxes[place] for place in chosen]
    return [
        crops.crops(read(path), np.array([box]), min_side=given.min_side)[0][0]
        for path, box in rows
    ]


def of_crops(given: argparse.Namespace) -> None:
    """Crops a second, one at a time and packed; and how far the vectors move."""
    views = cut(given)
    backbone = vit.load("dino_vits8", weights="none", device=given.device)
    half = vit.load("dino_vits8", weights="none", device=given.device, dtype=torch.bfloat16)
    # On a CPU the seconds of this process alone; of a GPU those that pass until the vectors are on the CPU.
    clock = time.process_time if given.device == "cpu" else time.perf_counter

    def prepare(pixels: np.ndarray) -> torch.Tensor:
        return padded(normalised(pixels, mean=backbone.mean, std=backbone.std), backbone.patch)

    patches = np.array(
        [-(-view.pixels.shape[0] // 8) * -(-view.pixels.shape[1] // 8) for view in views]
    )
    print(
        f"{len(views)} crops, patches: quartiles {np.percentile(patches, [25, 50, 75]).astype(int).tolist()}, "
        f"mean {patches.mean():.0f}, most {patches.max()}"
    )

    def whole(part: list[list[crops.Crop]]) -> np.ndarray:
        tokens = [
            backbone.features(prepare(one.pixels)[None], want=("tokens",))[0].tokens
            for (one,) in part
        ]
        return np.stack([each[0].numpy() for each in tokens])

    def by(network: Any, pack: int) -> Callable[[list[list[crops.Crop]]], np.ndarray]:
        return lambda part: crops.embed(part, backbone=network, prepare=prepare, pack=pack)

    ways = {"one at a time, all tokens": whole, "one at a time, class token alone": by(backbone, 0)}
    ways |= {f"pack {pack}": by(backbone, pack) for pack in given.packs}
    ways["bfloat16, pack 256"] = by(half, 256)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    apart = dict.fromkeys(ways, 0.0)
    # In slices, the ways after each other on each: what else the machine does then weighs on all of them alike.
    for first in range(0, len(views), given.slice):
        part = [[view] for view in views[first : first + given.slice]]
        wanted = whole(part)
        for name, way in ways.items():
            least = np.inf
            for _ in range(given.repeats):
                began = clock()
                found = way(part)
                least = min(least, clock() - began)
            seconds[name].append(least)
            apart[name] = max(apart[name], float(np.abs(found - wanted).max()))
    print(
        "\n| way | crops a second | times the first | of slices: least to most | largest difference |"
    )
    print("| --- | --- | --- | --- | --- |")
    plain = np.array(next(iter(seconds.values())))
    for name, own in seconds.items():
        ratios = plain / np.array(own)
        print(
            f"| {name} | {len(views) / sum(own):.2f} | {plain.sum() / sum(own):.2f} | "
            f"{ratios.min():.2f} to {ratios.max():.2f} | {apart[name]:.1e} |"
        )


def blobs(
    n: int, width: int, kinds: int, *, apart: float, seed: int = 0
) -> Callable[[int], tuple[Any, Any]]:
    """From a chunk's number to its rows (10 000 or what is left, width) float32 and kinds: Gaussians of deviation 1."""
    middles = apart * np.random.default_rng([seed, 1]).standard_normal((kinds, width)).astype(
        np.float32
    )

    def chunk(number: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([seed, 2, number])
        own = rng.integers(kinds, size=min(10_000, n - 10_000 * number))
        return middles[own] + rng.standard_normal((len(own), width), np.float32), own

    return chunk


def of_kmeans(given: argparse.Namespace) -> None:
    """Seconds of so many of Lloyd's iterations from one start, scikit-learn's and ours in turn, by threads."""
    n = given.rows or 100_000
    chunk = blobs(n, 384, 80, apart=given.apart)
    rows = np.concatenate([chunk(number)[0] for number in range(-(-n // 10_000))])
    start = rows[np.random.default_rng(0).choice(n, 80, replace=False)]
    print(f"{n} x 384 into 80, {given.iterations} iterations, {given.repeats} times each in turn\n")
    head = [
        "threads",
        "scikit-learn, s, least",
        "ours, s, least",
        "times",
        "of pairs: median (all)",
    ]
    head += ["iterations", "same ids", "inertia"]
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for threads in (1, 2):
        # One thread: of this process alone, so that what else the machine does weighs less; two spin while they wait.
        clock = time.process_time if threads == 1 else time.perf_counter
        seconds: dict[str, list[float]] = {"sklearn": [], "torch": []}
        for _ in range(given.repeats):
            began = clock()
            with threadpool_limits(threads):
                theirs = KMeans(80, init=start, n_init=1, max_iter=given.iterations, tol=0).fit(
                    rows
                )
            seconds["sklearn"].append(clock() - began)
            began = clock()
            ours = streamed.lloyd(
                rows, start[None], rounds=given.iterations, tolerance=0, threads=threads
            )
            seconds["torch"].append(clock() - began)
        least = {name: min(each) for name, each in seconds.items()}
        ratios = np.array(seconds["sklearn"]) / np.array(seconds["torch"])
        same = (kmeans.assign(rows, ours.centroids[0]) == theirs.labels_).mean()
        print(
            f"| {threads} | {least['sklearn']:.2f} | {least['torch']:.2f} | "
            f"{least['sklearn'] / least['torch']:.2f} | "
            f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f}) | "
            f"{theirs.n_iter_}, {ours.rounds[0]} | "
            f"{100 * same:.3f} % | {ours.inertia[0] / theirs.inertia_ - 1:+.1e} |",
            flush=True,
        )


class Peak(threading.Thread):
    """The most anonymous memory that this process has while the block runs, looked at every 5 ms."""

    def __enter__(self) -> Peak:
        self.stop, self.most, self.before = threading.Event(), 0.0, anonymous_mib()
        self.start()
        return self

    def run(self) -> None:
        while not self.stop.wait(0.005):
            self.most = max(self.most, anonymous_mib())

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.join()


def anonymous_mib() -> float:
    """RssAnon of this process: what is not the pages of a file."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(text.partition("RssAnon:")[2].split()[0]) / 1024


def apart_from_this_process(part: str, *words: str) -> dict[str, Any]:
    """What a part of this file prints, as JSON, in a process of its own."""
    command = [sys.executable, __file__, part, *words]
    return dict(
        json.loads(
            subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[
                -1
            ]
        )
    )


def of_streamed(given: argparse.Namespace) -> None:
    """A memory map of many rows: seconds, peak, and what the ids have to do with those of k-means in memory."""
    n, few = given.rows or 1_000_000, (given.rows or 1_000_000) // 5
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        chunk = blobs(n, 384, 80, apart=given.apart)
        kinds = []
        with arrays.writing(folder / "rows.npy", n) as writer:
            for number in range(-(-n // 10_000)):
                rows, own = chunk(number)
                writer.add(rows)
                kinds.append(own)
        truth = np.concatenate(kinds)
        found = apart_from_this_process(
            "streamed-one", "--folder", name, "--threads", str(given.threads)
        )
        ids = np.load(folder / "ids.npy")
        print(
            f"{n} x 384, {len(set(ids.tolist()))} clusters, {given.threads} threads: {json.dumps(found)}",
            flush=True,
        )
        print(f"NMI to the truth: {normalized_mutual_info_score(ids, truth):.4f}", flush=True)
        places = np.sort(np.random.default_rng(1).choice(n, few, replace=False))
        rows = np.array(arrays.mapped(folder / "rows.npy")[places])
        inside = KMeans(80, init=np.load(folder / "start.npy"), n_init=1).fit(rows)
    nmi = normalized_mutual_info_score(inside.labels_, truth[places])
    print(f"in memory, {few} rows: {nmi:.4f}, {inside.n_iter_} iterations")
    print(
        f"NMI of ours to it on those rows: {normalized_mutual_info_score(ids[places], inside.labels_):.4f}"
    )


def of_streamed_one(given: argparse.Namespace) -> None:
    """k-means of rows.npy in the folder: start.npy, ids.npy; a line of JSON."""
    folder, began = Path(given.folder), time.perf_counter()
    with Peak() as peak:
        # The steps of streamed.fit, so that k-means in memory can begin at the same start.
        rows = arrays.mapped(folder / "rows.npy")
        start = streamed.drawn(rows, k=kmeans.checked(rows, 80))
        found = streamed.lloyd(rows, start, threads=given.threads)
        ids = kmeans.by_size(rows, kmeans.reseeded(rows, found.centroids[0])).ids
    np.save(folder / "ids.npy", ids)
    np.save(folder / "start.npy", start[0])
    values = {
        "seconds": time.perf_counter() - began,
        "CPU seconds": time.process_time(),
        "rounds": found.rounds[0],
    }
    values |= {"anonymous MiB before": peak.before, "peak": peak.most}
    print(json.dumps({name: round(float(value), 1) for name, value in values.items()}))


def of_memory(given: argparse.Namespace) -> None:
    """Peak of the stage `cluster` behind the network: embeddings of 384 numbers in its journal, ten masks a picture."""
    print(
        "| masks | k-means by | seconds | anonymous MiB before | peak |\n| --- | --- | --- | --- | --- |"
    )
    for masks in given.masks:
        with tempfile.TemporaryDirectory(dir=given.folder) as name:
            _write_journal(Path(name) / "cluster" / "parts", Path(name) / "propose", masks)
            for solver in ("sklearn", "torch"):
                found = apart_from_this_process("memory-one", "--folder", name, "--solver", solver)
                print(
                    f"| {masks} | {solver} | "
                    + " | ".join(str(each) for each in found.values())
                    + " |",
                    flush=True,
                )


def _write_journal(parts: Path, propose: Path, masks: int) -> None:
    chunk, box = blobs(masks, 384, 20, apart=0.2), [4.0, 4.0, 12.0, 12.0]
    mask = {"rle": {"size": [16, 16], "counts": "0" * 200}, "box": box, "area": 64, "score": 0.5}
    propose.mkdir(parents=True)
    lines.write(
        propose / "proposals.jsonl",
        ({"id": 1 + at, "masks": [mask] * 10} for at in range(masks // 10)),
    )
    with Journal(parts) as journal:
        for number in range(-(-masks // 10_000)):
            rows = chunk(number)[0].reshape(-1, 10, 384)
            for place, own in enumerate(rows.tolist()):
                journal.add(1 + 1000 * number + place, {"values": own})


def of_memory_one(given: argparse.Namespace) -> None:
    """The stage on what `memory` wrote; a line of JSON."""
    root = Path(given.folder)
    wanted = {
        "cluster": {"solver": given.solver},
        "propose": {"backbone": "handcrafted"},
        "device": "cpu",
    }
    job = Job.alone(resolve(load(wanted)))
    job.folder, job.ledger, job.progress = (
        RunFolder(root),
        Ledger(root / "ledger.jsonl"),
        Progress(quiet=True),
    )
    with (root / "propose" / "proposals.jsonl").open("rb") as file:
        count = sum(1 for _ in file)
    job._images = [Image(1 + at, f"{at}.png", 16, 16, 1, 1, "", "train") for at in range(count)]
    began = time.perf_counter()
    with Peak() as peak:
        cluster.work(job, root / "cluster")
    values = {"seconds": time.perf_counter() - began, "before": peak.before, "peak": peak.most}
    print(json.dumps({name: round(value, 1) for name, value in values.items()}))


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "crops": of_crops,
    "kmeans": of_kmeans,
    "streamed": of_streamed,
    "streamed-one": of_streamed_one,
    "memory": of_memory,
    "memory-one": of_memory_one,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--crops", type=int, default=1000)
    parser.add_argument(
        "--of",
        choices=["proposals", "objects"],
        default="proposals",
        help="whose boxes are cut out",
    )
    parser.add_argument(
        "--sides", type=int, nargs=2, default=[32, 320], help="px, least and most of a crop"
    )
    parser.add_argument(
        "--min-side", type=int, default=0, help="px that crops are enlarged to; 0: native"
    )
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="of crops"
    )
    parser.add_argument("--slice", type=int, default=20)
    parser.add_argument("--packs", type=int, nargs="+", default=[256])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--rows", type=int, default=0, help="of kmeans and streamed; 0: 100 000 and 1 000 000"
    )
    parser.add_argument(
        "--apart", type=float, default=0.215, help="deviation of the blobs' middles"
    )
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--folder", default=None, help="for files of several GB; the system's temporary one"
    )
    parser.add_argument("--masks", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--solver", choices=["sklearn", "torch"], default="sklearn")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    PARTS[given.part](given)


if __name__ == "__main__":
    main()
