"""Seconds a picture of the dense CRF and how far it is from pydensecrf's answer, side by side in one process.

    pip install pydensecrf2   # needs a compiler; without it the column is left out
    python benchmarks/bench_crf.py --threads 1 2
    python benchmarks/bench_crf.py --accuracy    # against the exact sums: $MASKDISTILL_REFERENCE/golden/crf

The picture is coffee, 375 x 500, of the reference data, its probabilities by the rules of the README there. The answers
take turns; medians with the least and the largest, ratios are of medians. Compilation is not timed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from maskdistill import crf

REFERENCE = Path(os.environ.get("MASKDISTILL_REFERENCE", "../shared")) / "golden" / "crf"
SETTINGS = {"maskdistill": crf.MASKDISTILL, "maskcut": crf.MASKCUT}


def probabilities(kind: str, classes: int, size: tuple[int, int]) -> np.ndarray:
    """Smooth random maps, or a label map with a tenth of its pixels wrong."""
    height, width = size
    rng = np.random.default_rng(classes)
    coarse = rng.standard_normal((classes, height // 40 + 2, width // 40 + 2))
    row, col = np.arange(height) / 40, np.arange(width) / 40
    down, right = (row % 1)[:, None], (col % 1)[None, :]
    at = [coarse[:, row.astype(int) + i][:, :, col.astype(int) + j] for i in (0, 1) for j in (0, 1)]
    field = (at[0] * (1 - right) + at[1] * right) * (1 - down) + (at[2] * (1 - right) + at[3] * right) * down
    logits = 2 * field
    if kind == "peaked":
        labels = np.where(rng.random(size) < 0.1, rng.integers(0, classes, size), field.argmax(axis=0))
        logits = 4.5 * (labels == np.arange(classes)[:, None, None]) + rng.standard_normal(field.shape)
    raised = np.exp(logits - logits.max(axis=0))
    return (raised / raised.sum(axis=0)).astype(np.float32)


def usual(image: np.ndarray, given: np.ndarray, setting: crf.mean_field.Setting) -> np.ndarray:
    """The answer of pydensecrf, from the same arguments: its whole call."""
    import pydensecrf.densecrf as dcrf

    classes, height, width = given.shape
    model = dcrf.DenseCRF2D(width, height, classes)
    model.setUnaryEnergy(-np.log(np.clip(given, 1e-5, 1)).reshape(classes, -1))
    model.addPairwiseGaussian(sxy=setting["gaussian"][0], compat=setting["gaussian"][1])
    std_px, std_grey, weight = setting["bilateral"]
    model.addPairwiseBilateral(sxy=std_px, srgb=std_grey, rgbim=image, compat=weight)
    return np.array(model.inference(setting["iterations"])).reshape(given.shape)


def in_turn(calls: dict[str, Callable[[], np.ndarray]], runs: int) -> tuple[dict[str, list[float]], dict]:
    """Seconds of each call and its answer; each is called once before."""
    answers = {name: call() for name, call in calls.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(runs):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
    return seconds, answers


def speed(given: argparse.Namespace) -> None:
    image = np.array(Image.open(REFERENCE / "coffee_375x500.png"))
    try:
        import pydensecrf  # noqa: F401

        with_usual = True
    except ImportError:
        with_usual = False
        print("pydensecrf2 is not installed: its column is left out")
    print(f"{'setting':<12} {'classes':>7} {'kind':<7} {'what':<20} {'median s':>9} {'least':>7} {'most':>7}", end="")
    print(f" {'times':>6} {'labels %':>9} {'mean |dq|':>10}")
    for name in given.settings:
        setting = SETTINGS[name]
        for classes in given.classes:
            for kind in given.kinds:
                p = probabilities(kind, classes, image.shape[:2])
                calls: dict[str, Callable[[], np.ndarray]] = {}
                if with_usual:
                    calls["pydensecrf"] = lambda p=p, setting=setting: usual(image, p, setting)
                for accuracy in given.accuracies:
                    for threads in given.threads:
                        calls[f"{accuracy}, {threads} thread{'s' * (threads > 1)}"] = (
                            lambda p=p, setting=setting, accuracy=accuracy, threads=threads: crf.dense_crf(
                                image, p, accuracy=accuracy, threads=threads, **setting
                            )
                        )
                seconds, answers = in_turn(calls, given.runs)
                base = next(iter(calls))
                for what, taken in seconds.items():
                    median = statistics.median(taken)
                    labels = 100 * (answers[what].argmax(axis=0) != answers[base].argmax(axis=0)).mean()
                    print(
                        f"{name:<12} {classes:>7} {kind:<7} {what:<20} {median:>9.3f} {min(taken):>7.3f} "
                        f"{max(taken):>7.3f} {statistics.median(seconds[base]) / median:>6.2f} {labels:>9.4f} "
                        f"{np.abs(answers[what] - answers[base]).mean():>10.1e}",
                        flush=True,
                    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--classes", type=int, nargs="+", default=[2, 21])
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--kinds", nargs="+", default=["soft"], choices=["soft", "peaked"])
    parser.add_argument("--accuracies", nargs="+", default=["lattice"])
    speed(parser.parse_args())


if __name__ == "__main__":
    main()
