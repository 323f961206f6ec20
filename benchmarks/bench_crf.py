"""Seconds a picture of the dense CRF and how far it is from pydensecrf's answer, side by side in one process.

    pip install pydensecrf2   # needs a compiler; without it the column is left out
    python benchmarks/bench_crf.py --threads 1 2 --kinds soft peaked --accuracies lattice close
    python benchmarks/bench_crf.py --exact           # how far from the exact sums, not how fast
    python benchmarks/bench_crf.py --folder 16       # pictures a second of one process, two, two threads
    python benchmarks/bench_crf.py --device cuda     # the same on a GPU, beside it the loops for the CPU

The picture is coffee, 375 x 500, of the reference data ($MASKDISTILL_REFERENCE/golden/crf). The answers take turns;
medians with the least and the largest, ratios are of medians. Compilation is not timed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
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
    field = (at[0] * (1 - right) + at[1] * right) * (1 - down) + (
        at[2] * (1 - right) + at[3] * right
    ) * down
    logits = 2 * field
    if kind == "peaked":
        labels = np.where(
            rng.random(size) < 0.1, rng.integers(0, classes, size), field.argmax(axis=0)
        )
        logits = 4.5 * (labels == np.arange(classes)[:, None, None]) + rng.standard_normal(
            field.shape
        )
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


def in_turn(
    calls: dict[str, Callable[[], np.ndarray]], runs: int
) -> tuple[dict[str, list[float]], dict]:
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
    print(
        f"{'setting':<12} {'classes':>7} {'kind':<7} {'what':<20} {'median s':>9} {'least':>7} {'most':>7}",
        end="",
    )
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
                            lambda p=p, setting=setting, accuracy=accuracy, threads=threads: (
                                crf.dense_crf(
                                    image, p, accuracy=accuracy, threads=threads, **setting
                                )
                            )
                        )
                    if given.device:
                        calls[f"{accuracy}, {given.device}"] = (
                            lambda p=p, setting=setting, accuracy=accuracy: on_device(
                                image, p, given.device, accuracy=accuracy, **setting
                            )
                        )
                seconds, answers = in_turn(calls, given.runs)
                base = next(iter(calls))
                for what, taken in seconds.items():
                    median = statistics.median(taken)
                    labels = (
                        100 * (answers[what].argmax(axis=0) != answers[base].argmax(axis=0)).mean()
                    )
                    print(
                        f"{name:<12} {classes:>7} {kind:<7} {what:<20} {median:>9.3f} {min(taken):>7.3f} "
                        f"{max(taken):>7.3f} {statistics.median(seconds[base]) / median:>6.2f} {labels:>9.4f} "
                        f"{np.abs(answers[what] - answers[base]).mean():>10.1e}",
                        flush=True,
                    )


def on_device(image: np.ndarray, given: np.ndarray, device: str, **arguments: object) -> np.ndarray:
    """There and back: both copies are part of the time, and wait for the device."""
    import torch

    found = crf.dense_crf(
        torch.from_numpy(image).to(device), torch.from_numpy(given).to(device), **arguments
    )
    return found.cpu().numpy()


def exactness() -> None:
    """Mean absolute difference and percent of labels to the exact sums after 10 iterations, where these are known."""
    described = json.loads((REFERENCE / "cases.json").read_text())
    rule: dict = {"np": np}
    exec(re.search(r"```python\n(.*?)```", (REFERENCE / "README.md").read_text(), re.S)[1], rule)  # type: ignore[index]
    rows = []
    for name, case in described["cases"].items():
        if name.startswith("full"):
            continue
        halved = name.startswith("half")
        stored = f"{case['picture'].split('_')[0]}_375x500" if halved else case["picture"]
        image = np.array(Image.open(REFERENCE / f"{stored}.png"))
        image = image[::2, ::2] if halved else image
        numbers = described["settings"][case["setting"]]
        setting = {
            "gaussian": (numbers["g_sxy"], numbers["g_compat"]),
            "bilateral": (numbers["b_sxy"], numbers["b_srgb"], numbers["b_compat"]),
        }
        p = by_rule(rule["field"], case, image.shape[:2])
        arrays = np.load(REFERENCE / f"{name}.npz")
        step = 4 if halved else 1
        q, exact = (
            arrays[f"{kind}10_grid4"] if halved else arrays[f"{kind}10_u16"] / 65535.0
            for kind in ("q", "exact")
        )
        row = [
            np.abs(q - exact).mean(),
            100 * (arrays["label10"] != arrays["exact_label10"]).mean(),
        ]
        for accuracy in ("lattice", "close"):
            found = crf.dense_crf(image, p, accuracy=accuracy, **setting)
            row += [
                np.abs(found[:, ::step, ::step] - exact).mean(),
                100 * (found.argmax(axis=0) != arrays["exact_label10"]).mean(),
            ]
        rows.append(row)
        print(
            f"{name:<36}" + "".join(f" {m:.5f} {n:6.3f} %" for m, n in np.reshape(row, (-1, 2))),
            flush=True,
        )
    print(
        f"{'mean':<36}"
        + "".join(f" {m:.5f} {n:6.3f} %" for m, n in np.mean(rows, axis=0).reshape(-1, 2))
    )
    print("columns: pydensecrf (as stored), lattice, close")


def by_rule(field: Callable[..., np.ndarray], case: dict, size: tuple[int, int]) -> np.ndarray:
    """Probabilities by the rule of the reference data's README."""
    classes, seed = case["classes"], case["seed"]
    if case["rule"] == "mask":
        mask = (field(seed, 1, *size, case["cell"])[0] > 0.3).astype(float)
        logits = np.stack([1 - mask, mask])
    else:
        logits = 2 * field(seed, classes, *size, case["cell"])
    if case["rule"] == "peaked":
        draw = np.random.RandomState(seed + 1)
        moved, to = draw.rand(*size) < 0.1, draw.randint(0, classes, size=size)
        labels = np.where(moved, to, logits.argmax(axis=0))
        logits = 4.5 * (labels == np.arange(classes)[:, None, None]) + draw.randn(classes, *size)
    raised = np.exp(logits - logits.max(axis=0))
    return (raised / raised.sum(axis=0)).astype(np.float32)


def folder(n: int) -> None:
    """A folder of pictures: one process, two, and two threads of one."""
    image = np.array(Image.open(REFERENCE / "coffee_375x500.png"))
    images = [np.roll(image, 31 * at, axis=1) for at in range(n)]
    given = [probabilities("soft", 21, image.shape[:2])] * n
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_one, images[:4], given[:4]))  # start, load, and warm
        _one(images[0], given[0])
        calls = {
            "one process": lambda: [_one(*pair) for pair in zip(images, given, strict=True)],
            "two processes": lambda: list(pool.map(_one, images, given)),
            "one process, two threads": lambda: crf.dense_crf_many(images, given, threads=2),
        }
        base = 0.0
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            taken = time.perf_counter() - began
            base = base or taken
            print(
                f"{name:<26} {n / taken:>7.2f} pictures/s  {base / taken:>5.2f} times", flush=True
            )


def _one(image: np.ndarray, given: np.ndarray) -> int:
    return int(crf.dense_crf(image, given).argmax(axis=0).sum())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--classes", type=int, nargs="+", default=[2, 21])
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--kinds", nargs="+", default=["soft"], choices=["soft", "peaked"])
    parser.add_argument(
        "--accuracies", nargs="+", default=["lattice"], choices=["lattice", "close"]
    )
    parser.add_argument("--exact", action="store_true", help="how far from the exact sums")
    parser.add_argument(
        "--folder", type=int, default=0, metavar="N", help="pictures a second over N pictures"
    )
    parser.add_argument("--device", default="", help="a device of torch's besides")
    given = parser.parse_args()
    if given.exact:
        exactness()
    elif given.folder:
        folder(given.folder)
    else:
        speed(given)


if __name__ == "__main__":
    main()
