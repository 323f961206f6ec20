"""What keeping the backbone's tokens costs: seconds beside a run without, bytes a picture, memory.

    python benchmarks/bench_features.py time --pictures FOLDER --weights FILE --backbone NAME
    python benchmarks/bench_features.py memory --numbers 100 1500
    python benchmarks/bench_features.py chain --numbers 100 5000

`time` proposes the same pictures with features.keep none and all, with and without the mirrored
view, in one process, each run several times in turn; then reads all tokens back and computes them
again. `memory` draws pictures of 96 px and prints the peak memory of a process for each number;
`chain` does so after each stage from scan to report, a few steps of training on kept tokens.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from maskdistill import api
from maskdistill.artifacts.kept_tokens import KeptTokens
from maskdistill.engine.opening import opened, settings_of
from maskdistill.runs.layout import RunFolder
from maskdistill.workflows import demo_pictures

WAYS: dict[str, dict[str, Any]] = {
    "none": {"keep": "none"},
    "all, not mirrored": {"keep": "all", "mirrored": False},
    "all": {"keep": "all"},
}


def proposed(pictures: Path, out: Path, own: dict[str, Any], features: dict[str, Any]) -> float:
    """Return the seconds of `propose`, tokens included, over pictures that are scanned already."""
    given = {**own, "features": features}
    api.run(pictures=pictures, out=out, settings=given, until="scan", quiet=True)
    began = time.perf_counter()
    api.run(out=out, until="propose", quiet=True)
    return time.perf_counter() - began


def read(out: Path) -> float:
    """Return the seconds of the tokens of both views of all pictures, kept or computed again."""
    settings = settings_of(RunFolder(out))
    with opened(out, settings, pictures=None, quiet=True, keep_config=True) as job:
        kept = KeptTokens(job)
        kept.tokens(job.images[0].id)
        began = time.perf_counter()
        for image in job.images:
            for mirrored in (False, True):
                kept.tokens(image.id, mirrored=mirrored)
        return time.perf_counter() - began


def times(given: argparse.Namespace) -> None:
    own = {
        "threads": given.threads,
        "limit": given.limit,
        "weights": [f"propose={given.weights}"],
        "propose": {"backbone": given.backbone, "pixels": given.pixels},
    }
    took: dict[str, list[float]] = {name: [] for name in (*WAYS, "read", "compute again")}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(given.runs):
            for name, features in WAYS.items():
                out = Path(folder) / f"{turn} {name}"
                took[name].append(proposed(given.pictures, out, own, features))
                if name in ("none", "all"):
                    took["read" if name == "all" else "compute again"].append(read(out))
        kept = RunFolder(out).propose_features
        counts = json.loads(kept.record.read_text())["counts"]
    least = min(took["none"])
    print(f"{counts['pictures']} pictures, {torch.get_num_threads()} threads of torch outside")
    print(f"bytes a picture, both views: {counts['bytes'] / counts['pictures'] / 1e6:.2f} MB")
    for name, seconds in took.items():
        print(
            f"{name:20} {min(seconds):7.2f} s  (median {statistics.median(seconds):.2f})  "
            f"{min(seconds) / least:.2f} x none"
        )


def memory(given: argparse.Namespace) -> None:
    for number in given.numbers:
        for name in ("none", "all"):
            words = [sys.executable, __file__, "peak", str(number), name]
            done = subprocess.run(words, check=True, capture_output=True, text=True)
            print(f"{number:6} pictures, features.keep {name:5} {done.stdout.strip()}")


def peak(given: argparse.Namespace) -> None:
    own = {
        "threads": 1,
        "weights": ["propose=none"],
        "propose": {
            "backbone": "timm/test_vit",
            "pixels": "nearest",
            "maskdistill": {"short_side": 0},
        },
    }
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        demo_pictures.write(
            pictures, Path(folder) / "truth.json", n_pictures=given.number, seed=1, size=(96, 96)
        )
        seconds = proposed(pictures, Path(folder) / "run", own, {"keep": given.keep})
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{size:7.0f} MiB at most, {seconds:.1f} s")


def chain(given: argparse.Namespace) -> None:
    for number in given.numbers:
        with tempfile.TemporaryDirectory() as folder:
            pictures = Path(folder) / "pictures"
            demo_pictures.write(
                pictures,
                Path(folder) / "truth.json",
                n_pictures=number,
                seed=1,
                size=(96, 96),
            )
            words = [sys.executable, __file__, "chain-peak", folder]
            done = subprocess.run(words, check=True, capture_output=True, text=True)
        print(f"{number} pictures: MiB at most, up to and with the stage (seconds of the stage)")
        print(done.stdout, flush=True)


def chain_peak(given: argparse.Namespace) -> None:
    own: dict[str, Any] = {
        "threads": 1,
        "device": "cpu",
        "weights": ["propose=none"],
        "features": {"keep": "all"},
        "propose": {
            "backbone": "timm/test_vit",
            "method": "tokencut",
            "facet": "tokens",
            "block": -2,
            "pixels": "nearest",
        },
        "cluster": {"k": 5, "min_side": 96},
        "detect": {"max_detections": 5, "min_score": 0.0, "train": {"steps": 10}},
        "segment": {"pixels": "plain", "patches": 20_000},
        "label": {"min_score": 0.05},
    }
    out = Path(given.folder) / "run"
    for until in ("scan", "propose", "cluster", "detect", "label", "segment", "report"):
        began = time.perf_counter()
        if until == "scan":
            pictures = Path(given.folder) / "pictures"
            api.run(pictures=pictures, out=out, settings=own, until=until, quiet=True)
        else:
            api.run(out=out, until=until, quiet=True)
        size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{until:8} {size:7.0f} ({time.perf_counter() - began:.0f} s)", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(required=True)
    timed = parts.add_parser("time")
    timed.add_argument("--pictures", type=Path, required=True)
    timed.add_argument("--weights", required=True)
    timed.add_argument("--backbone", required=True)
    timed.add_argument("--pixels", default="crf")
    timed.add_argument("--limit", type=int, default=20)
    timed.add_argument("--threads", type=int, default=1)
    timed.add_argument("--runs", type=int, default=2)
    timed.set_defaults(do=times)
    sized = parts.add_parser("memory")
    sized.add_argument("--numbers", type=int, nargs="+", default=[100, 1500])
    sized.set_defaults(do=memory)
    whole = parts.add_parser("chain")
    whole.add_argument("--numbers", type=int, nargs="+", default=[100, 5000])
    whole.set_defaults(do=chain)
    by_stage = parts.add_parser("chain-peak")
    by_stage.add_argument("folder")
    by_stage.set_defaults(do=chain_peak)
    one = parts.add_parser("peak")
    one.add_argument("number", type=int)
    one.add_argument("keep")
    one.set_defaults(do=peak)
    given = parser.parse_args()
    given.do(given)


if __name__ == "__main__":
    main()
