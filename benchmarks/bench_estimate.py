"""The constants of workflows/estimate.py: work in units of one matrix product, so that they hold on any machine.

    python benchmarks/bench_estimate.py [--threads 2] [--runs 7]
    python benchmarks/bench_estimate.py --minutes [--product 0.0047]

Each piece of work and the product (768 x 768 x 768, float32) are timed in turn in one process; the least
ratio of `runs` is printed, with the greatest. A machine that is busy slows both. `--minutes` computes
the table of docs/guide.md from them: photographs of 640 x 480, `quick`, TokenCut on the tokens of block
-2; the product timed here with one thread, or as given. The training of the detector is taken to gain
nothing by more cores, all else to be divided by them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from maskdistill import detector, segmenter
from maskdistill.engine.job import Image, Job
from maskdistill.features import handcrafted, vit
from maskdistill.proposals import tokencut
from maskdistill.settings import load, resolve
from maskdistill.training import Plan, augment, fit
from maskdistill.workflows import estimate
from maskdistill.workflows.speed import SIDE, Speed, product_seconds


def seconds(work: Callable[[], object]) -> float:
    """Return how long one call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def vit_of(name: str, height: int, width: int) -> tuple[Callable[[], object], int]:
    """Return a forward pass of a drawn ViT, and its patches."""
    network = vit.load(name, weights="none")
    picture = torch.randn(1, 3, height, width)
    n = (height // network.patch) * (width // network.patch)

    def work() -> object:
        with torch.inference_mode():
            return network.features(picture)

    return work, n


def by_hand(height: int, width: int) -> tuple[Callable[[], object], int]:
    """Return the proposals of a picture by hand-crafted features, and its pairs of patches."""
    network = handcrafted.load()
    rng = np.random.default_rng(0)
    picture = torch.from_numpy(rng.normal(size=(1, 3, height, width)).astype(np.float32))
    n = (height // network.patch) * (width // network.patch)

    def work() -> object:
        with torch.inference_mode():
            found = network.features(picture, want=("keys",))[0]
            return tokencut.discover(found, affinity="gaussian", max_masks=1)

    return work, n * n


def drawn(position: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a picture (240, 320, 3), two masks and their clusters."""
    rng = np.random.default_rng(position)
    masks = np.zeros((2, 240, 320), bool)
    masks[0, 20:120, 30:150] = masks[1, 100:220, 160:300] = True
    return rng.integers(0, 255, (240, 320, 3)).astype(np.uint8), masks, np.array([0, 1])


def step_of(model: Any, samples: list[Any], loss_of: Any) -> Callable[[], object]:
    """Return one step of a training, on samples that are there already."""

    def work() -> object:
        return fit(
            model,
            Plan(steps=1, optimiser="adamw", learning_rate=1e-4, clip_norm=1.0),
            batch_of=lambda step: samples,
            loss_of=loss_of,
            state=None,
            on_step=lambda *given: None,
            on_halved=lambda *given: None,
            workers=0,
        )

    return work


def detector_step(batch: int) -> Callable[[], object]:
    """Return one step of the small detector over pictures of 256 x 341."""
    model = detector.build(size="small", n_clusters=5, short_side=256, max_side=512, seed=0)
    sizes = {"short_side": 256, "max_side": 512}
    batch_of = detector.batches(
        drawn, n_pictures=8, batch=batch, seed=0, ranges=augment.Ranges(), **sizes
    )
    samples = batch_of(0)
    loss_of = detector.losses(seed=0)
    return step_of(model, samples, loss_of)


def segmenter_step(batch: int) -> Callable[[], object]:
    """Return one step of the small segmenter over squares of 256."""
    model = segmenter.build(size="small", n_classes=6, seed=0)

    def sample(position: int) -> tuple[np.ndarray, np.ndarray]:
        rgb, masks, clusters = drawn(position)
        return rgb, (masks * (1 + clusters[:, None, None])).max(axis=0).astype(np.uint8)

    samples = segmenter.batches(
        sample, n_pictures=8, batch=batch, seed=0, side=256, ranges=augment.Ranges()
    )(0)
    loss_of = segmenter.losses(share=1.0)
    return step_of(model, samples, loss_of)


def prediction() -> Callable[[], object]:
    """Return the small detector's prediction of one picture."""
    sizes = {"short_side": 256, "max_side": 512, "seed": 0}
    model = detector.build(size="small", n_clusters=5, min_score=0.05, **sizes).eval()
    rgb, _, _ = drawn(0)

    def work() -> object:
        with torch.inference_mode():
            return detector.predict(model, rgb, mask_score=True, mask_nms=0.5)

    return work


def minutes(product: float) -> None:
    """Print the minutes of runs of three sizes, with two backbones, on 2 and 8 cores."""
    verbs = ["propose", "cluster", "detect", "label", "segment"]
    at = Speed(product)
    print(f"product: {1000 * product:.1f} ms, one thread; minutes; GB where all tokens are kept")
    for backbone in ("timm/deit_tiny_patch16_224", "dino_vits16"):
        for n in (100, 1000, 10_000):
            own = {"backbone": backbone, "method": "tokencut", "facet": "tokens", "block": -2}
            given = {"device": "cpu", "propose": own, "cluster": {"k": 20}}
            job = Job.alone(resolve(load({}, given)))
            shared: dict[str, Any] = {"width": 640, "height": 480, "orientation": 1, "bytes": 9}
            job._images = [
                Image(id=1 + each, path=f"{each}.jpg", sha256="", split="train", **shared)
                for each in range(n)
            ]
            hours, gigabytes = estimate.expected(job, verbs, at)
            trained = estimate.by_stage(job, verbs)["detect"].seconds(at) / 60
            rest = 60 * hours - trained
            by_cores = [f"{cores} cores {trained + rest / cores:.0f}" for cores in (2, 8)]
            print(f"{backbone}, {n} pictures: {', '.join(by_cores)}; {gigabytes:.1f} GB")


def main() -> None:
    """Print a row a piece of work: products a unit of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--minutes", action="store_true")
    parser.add_argument("--product", type=float, default=0.0, help="seconds; 0: timed here")
    given = parser.parse_args()
    if given.minutes:
        torch.set_num_threads(1)
        minutes(given.product or product_seconds())
        return
    torch.set_num_threads(given.threads)
    one, other = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    small, n_small = vit_of("dino_vits16", 480, 640)
    large, n_large = vit_of("dino_vits16", 960, 1280)
    hand, n_pairs = by_hand(160, 208)
    batch = 4
    rows = [
        (f"ViT-S, {n_small} patches, a patch", small, n_small),
        (f"ViT-S, {n_large} patches, a patch", large, n_large),
        ("by hand, a pair of patches", hand, n_pairs),
        ("detector, small, a step, a pixel", detector_step(batch), batch * 256 * 341),
        ("segmenter, small, a step, a pixel", segmenter_step(batch), batch * 256 * 256),
        ("detector, small, a prediction", prediction(), 1),
    ]
    print(f"{given.threads} threads, {given.runs} runs\n")
    print(
        "| work | products a unit: least | greatest | seconds a unit |\n| --- | --- | --- | --- |"
    )
    for name, work, units in rows:
        work()
        ratios, best = [], float("inf")
        for _ in range(given.runs):
            product = min(seconds(lambda: one @ other) for _ in range(5))
            took = seconds(work)
            ratios.append(took / product / units)
            best = min(best, took / units)
        print(f"| {name} | {min(ratios):.3g} | {max(ratios):.3g} | {best:.3g} |", flush=True)


if __name__ == "__main__":
    main()
