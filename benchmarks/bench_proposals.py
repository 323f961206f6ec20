"""The stage `propose` and its methods: pictures a second, where the time goes, memory, and the cut beside eigh.

    python benchmarks/bench_proposals.py stage --threads 2
    python benchmarks/bench_proposals.py methods --threads 1
    python benchmarks/bench_proposals.py memory --counts 100 1000

`stage`: the whole stage on drawn pictures, in turn with the bare forward of the same network and with a plain
baseline (eager attention, one picture at a time, float32, the whole last block, the affinity formed); then the parts
of a picture, one after the other. `methods`: from given features by the rule of the reference data's README
($MASKDISTILL_REFERENCE/golden/proposals), beside the originals' dense eigenproblem. One process; calls take turns.
Weights are drawn at random: no time depends on them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import linalg, ndimage
from threadpoolctl import threadpool_limits

from maskdistill import api
from maskdistill.features import prepare, vit
from maskdistill.masks import rle
from maskdistill.pictures import read
from maskdistill.proposals import lost, maskcut, maskdistill, to_pixels, tokencut
from maskdistill.proposals.spectral import affinity, graphs, normalized_cut
from maskdistill.types import Features
from maskdistill.workflows import demo_pictures

METHODS = {
    "maskdistill": maskdistill.discover,
    "lost": lost.discover,
    "tokencut": tokencut.discover,
    "maskcut": maskcut.discover,
}
CASES = ("g28_a", "g30_multi", "g40x53_a", "g60_a")  # 784, 900, 2120, 3600 patches
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


def read_case(name: str) -> Features:
    """A case of the reference data, made by its rule."""
    folder = REFERENCE / "golden" / "proposals"
    rule: dict = {}
    exec(re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)[1], rule)  # type: ignore[index]
    arguments = json.loads((folder / "cases.json").read_text())["rule_cases"][name]
    queries, keys = rule["features"](**arguments)
    rows, cols = arguments["rows"], arguments["cols"]
    return Features(
        grid=(rows, cols), patch=16, queries=torch.from_numpy(queries), keys=torch.from_numpy(keys)
    )


def eigh(graph: graphs.TwoValued) -> np.ndarray:
    """The originals' call: the dense generalised eigenproblem."""
    weights = graph.dense()
    degrees = np.diag(weights.sum(axis=1))
    return linalg.eigh(degrees - weights, degrees, subset_by_index=[1, 2])[1][:, 0]


def methods(given: argparse.Namespace) -> None:
    print(
        f"{'case':<10} {'patches':>7} {'what':<28} {'least ms':>9} {'median ms':>9} {'of eigh':>8}  patches that differ"
    )
    with threadpool_limits(given.threads):
        for name in given.cases:
            features = read_case(name)
            graph = affinity.two_valued(affinity.joined(features), threshold=0.2, floor=1e-5)
            calls: dict[str, Callable[[], object]] = {
                "eigh of (D - A, D)": lambda graph=graph: eigh(graph),
                "second_eigenvector": lambda graph=graph: normalized_cut.second_eigenvector(graph),
                "keys to partition, float32": lambda features=features: partition(
                    features, bfloat16=False
                ),
                "keys to partition": lambda features=features: partition(features),
                **{
                    method: lambda method=method, features=features: METHODS[method](features)
                    for method in METHODS
                },
            }
            seconds = in_turn(calls, given.repeats)
            theirs = eigh(graph)
            wanted = theirs > theirs.mean()
            differ = {
                "second_eigenvector": differing(
                    normalized_cut.second_eigenvector(graph).vector, wanted
                ),
                "keys to partition": differing(partition(features), wanted),
            }
            base = min(seconds["eigh of (D - A, D)"])
            for what, taken in seconds.items():
                least, median = min(taken), statistics.median(taken)
                print(
                    f"{name:<10} {len(wanted):>7} {what:<28} {least * 1e3:>9.2f} {median * 1e3:>9.2f} "
                    f"{base / least:>8.1f}  {differ.get(what, '')}",
                    flush=True,
                )


def partition(features: Features, *, bfloat16: bool | None = None) -> np.ndarray:
    """A whole cut: from keys to the vector whose mean parts the patches; bfloat16 where the processor has it."""
    graph = affinity.two_valued(
        affinity.joined(features), threshold=0.2, floor=1e-5, bfloat16=bfloat16
    )
    return normalized_cut.second_eigenvector(graph).vector


def differing(vector: np.ndarray, wanted: np.ndarray) -> int:
    """Patches on the other side, whichever way the vector points."""
    ours = vector > vector.mean()
    return int(min((ours != wanted).sum(), (ours == wanted).sum()))


class Plain:
    """The baseline: eager attention, the whole network, the affinity formed, one picture at a time."""

    def __init__(self, backbone: str, method: str) -> None:
        import timm.layers

        before = timm.layers.config.use_fused_attn()
        timm.layers.set_fused_attn(False)
        self.network, self.method = vit.load(backbone, weights="none"), method
        timm.layers.set_fused_attn(bool(before))
        self.model: Any = self.network.model
        self.model.blocks[-1].attn.qkv.register_forward_hook(self._keep)

    def _keep(self, _: Any, __: Any, output: torch.Tensor) -> None:
        queries, keys, _values = output.unflatten(2, (3, self.network.heads, -1)).permute(
            2, 0, 3, 1, 4
        )
        self.queries, self.keys = queries[0], keys[0]

    def masks(self, path: Path, short_side: int | None) -> Any:
        rgb = read(path)
        ready = prepare(
            rgb,
            patch=self.network.patch,
            mean=self.network.mean,
            std=self.network.std,
            short_side=short_side,
        )
        with torch.inference_mode():
            self.model.forward_features(ready.tensor[None])
        grid = tuple(side // self.network.patch for side in ready.tensor.shape[1:])
        keys = self.keys[:, 1:].permute(1, 0, 2).flatten(1)
        products = keys @ keys.T
        if self.method == "lost":
            order = torch.argsort((products > 0).sum(dim=1), stable=True)
            seed, candidates = order[0], order[:100]
        else:
            attention = (self.queries[:-1, :1] @ self.keys[:-1, 1:].transpose(1, 2)).mean(dim=0)[0]
            order = torch.argsort(attention, descending=True, stable=True)
            seed, candidates = order[0], order[: int(0.4 * len(order))]
        sources = candidates[products[seed, candidates] > 0]
        like = (products[sources].sum(dim=0) > 0).reshape(*grid).numpy()
        labels, _ = ndimage.label(like)
        mask = labels == labels[divmod(int(seed), grid[1])]
        pixels = to_pixels(
            mask, patch=self.network.patch, content=ready.content, size=rgb.shape[:2]
        )
        return rle.encode(pixels[None])


def stage(given: argparse.Namespace) -> None:
    device = given.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    height, width = given.size
    network = vit.load(
        given.backbone, weights="none", device=device, dtype=getattr(torch, given.precision)
    )
    patch = network.patch
    tensor = torch.randn(1, 3, -(-height // patch) * patch, -(-width // patch) * patch)
    print(
        f"{given.backbone}, {height} x {width}, {given.precision}, {device}, {given.threads} threads; "
        f"pictures a second, median of {given.rounds} (least, most)"
    )
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        demo_pictures.write(
            pictures,
            Path(folder) / "truth.json",
            n_pictures=given.pictures,
            seed=0,
            size=(height, width),
        )
        paths = sorted(pictures.iterdir())
        for method in given.methods:
            plain = Plain(given.backbone, method) if method in ("maskdistill", "lost") else None
            rates: dict[str, list[float]] = {"stage": [], "bare forward": []} | (
                {"plain": []} if plain else {}
            )
            for number in range(given.rounds):
                rates["bare forward"].append(given.pictures / bare(network, tensor, given.pictures))
                rates["stage"].append(
                    whole(pictures, Path(folder) / f"{method}-{number}", method, given)
                )
                if plain:
                    few = max(1, given.pictures // 4)
                    began = time.perf_counter()
                    for path in paths[:few]:
                        plain.masks(path, None)
                    rates["plain"].append(few / (time.perf_counter() - began))
            for name, seen in rates.items():
                print(
                    f"{method:<12} {name:<14} {statistics.median(seen):8.3f} ({min(seen):.3f}, {max(seen):.3f})"
                )
            for other in list(rates)[1:]:
                ratios = [
                    ours / theirs for ours, theirs in zip(rates["stage"], rates[other], strict=True)
                ]
                print(
                    f"{method:<12} stage / {other}: {statistics.median(ratios):.2f} "
                    f"({min(ratios):.2f}, {max(ratios):.2f})"
                )
        for method in given.methods:
            split = parts(paths[: given.pictures // 2], network, method)
            print(
                f"{method:<12} ms a picture: "
                + ", ".join(f"{name} {ms:.1f}" for name, ms in split.items())
            )


def bare(network: vit.ViT, tensor: torch.Tensor, n_pictures: int) -> float:
    """Seconds of timm's own forward, one picture at a time on a CPU, 32 together on a GPU."""
    weight = network.model.patch_embed.proj.weight
    size = 1 if weight.device.type == "cpu" else 32
    batch = tensor.expand(size, -1, -1, -1).to(device=weight.device, dtype=weight.dtype)
    with torch.inference_mode():
        began = time.perf_counter()
        for _ in range(-(-n_pictures // size)):
            network.model.forward_features(batch)
        if size > 1:
            torch.cuda.synchronize()
    return (time.perf_counter() - began) * n_pictures / (-(-n_pictures // size) * size)


def settings_of(method: str, given: argparse.Namespace) -> dict[str, Any]:
    return {
        "threads": given.threads,
        "device": given.device,
        "precision": given.precision,
        "weights": ["propose=none"],
        "propose": {
            "backbone": given.backbone,
            "method": method,
            "pixels": "nearest",
            "max_masks": 3 if method == "maskcut" else 1,
            "maskdistill": {"short_side": 0},
        },
    }


def whole(pictures: Path, out: Path, method: str, given: argparse.Namespace) -> float:
    """Pictures a second of the stage, its backbone's loading left out."""
    settings = settings_of(method, given)
    api.run(pictures=pictures, out=out, settings=settings, until="scan", quiet=True)
    loaded = time.perf_counter()
    vit.load(given.backbone, weights="none")
    loading = time.perf_counter() - loaded
    api.run(pictures=pictures, out=out, settings=settings, until="propose", quiet=True)
    events = [
        json.loads(line) for line in (out / "ledger.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    seconds = next(
        event["seconds"]
        for event in events
        if event["event"] == "end" and event["stage"] == "propose"
    )
    return given.pictures / (seconds - loading)


def parts(paths: list[Path], network: vit.ViT, method: str) -> dict[str, float]:
    """Median milliseconds of each part of a picture, one after the other."""
    taken: dict[str, list[float]] = {
        name: [] for name in ("decode", "prepare", "forward", "method", "pixels", "encode")
    }

    def timed(name: str, call: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        made = call()
        taken[name].append(1e3 * (time.perf_counter() - began))
        return made

    want = ("queries", "keys") if method == "maskdistill" else ("keys",)
    for path in paths:
        rgb = timed("decode", lambda path=path: read(path))
        ready = timed(
            "prepare",
            lambda rgb=rgb: prepare(rgb, patch=network.patch, mean=network.mean, std=network.std),
        )
        (features,) = timed(
            "forward", lambda ready=ready: network.features(ready.tensor[None], want=want)
        )
        found = timed("method", lambda features=features: METHODS[method](features))
        place = {"patch": network.patch, "content": ready.content, "size": rgb.shape[:2]}
        masks = timed(
            "pixels",
            lambda found=found, place=place: np.array(
                [to_pixels(each.mask.numpy(), **place) for each in found.masks]
            ),
        )
        timed("encode", lambda masks=masks: rle.encode(masks))
    return {name: statistics.median(values) for name, values in taken.items()}


def memory(given: argparse.Namespace) -> None:
    if given.one:
        with tempfile.TemporaryDirectory() as folder:
            pictures = Path(folder) / "pictures"
            demo_pictures.write(
                pictures,
                Path(folder) / "t.json",
                n_pictures=given.one,
                seed=0,
                size=tuple(given.size),
            )
            given.pictures = given.one
            rate = whole(pictures, Path(folder) / "run", given.methods[0], given)
        print(json.dumps([rate, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
        return
    print(f"{'method':<12} {'pictures':>8} {'a second':>9} {'peak MiB':>9}")
    for method in given.methods:
        for count in given.counts:
            words = [sys.executable, __file__, "memory", "--one", str(count), "--methods", method]
            words += [
                "--threads",
                str(given.threads),
                "--size",
                *map(str, given.size),
                "--backbone",
                given.backbone,
            ]
            words += ["--precision", given.precision, "--device", given.device]
            made = subprocess.run(
                words, check=True, capture_output=True, text=True
            ).stdout.splitlines()[-1]
            rate, peak = json.loads(made)
            print(f"{method:<12} {count:>8} {rate:>9.3f} {peak:>9.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["stage", "methods", "memory"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5, help="of methods")
    parser.add_argument("--cases", nargs="+", default=list(CASES), help="of methods")
    parser.add_argument("--backbone", default="dino_vits16")
    parser.add_argument("--size", type=int, nargs=2, default=(640, 848))
    parser.add_argument(
        "--methods", nargs="+", default=["maskdistill", "lost"], choices=list(METHODS)
    )
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--pictures", type=int, default=16, help="of stage")
    parser.add_argument("--rounds", type=int, default=3, help="of stage")
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000], help="of memory")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    {"stage": stage, "methods": methods, "memory": memory}[given.what](given)


if __name__ == "__main__":
    main()
