"""The stage `propose` with MaskDistill's method and ViT-S/16 at 640 x 848: where its time goes, what memory it needs.

    python benchmarks/bench_propose.py --counts 50 300

For each count a process of its own draws so many pictures, runs the stage on them and prints the share of its time
that the backbone's forward takes, and its peak memory. The weights are drawn at random: neither depends on them.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZE = (640, 848)


def measure(count: int, threads: int) -> dict[str, float]:
    """Seconds of the stage and of the backbone in it, peak memory in MiB before and after."""
    import torch

    from maskdistill import api
    from maskdistill.datasets import synthetic
    from maskdistill.features import vit

    inside = 0.0
    forward = vit.ViT.features

    def timed(self: vit.ViT, *args: object, **kwargs: object) -> object:
        nonlocal inside
        began = time.perf_counter()
        found = forward(self, *args, **kwargs)  # type: ignore[arg-type]
        inside += time.perf_counter() - began
        return found

    vit.ViT.features = timed  # type: ignore[method-assign,assignment]
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        pictures, out = Path(folder) / "pictures", Path(folder) / "run"
        synthetic.write(pictures, Path(folder) / "truth.json", n_pictures=count, seed=0, size=SIZE)
        settings = {
            "threads": threads,
            "weights": ["propose=none"],
            "propose": {"backbone": "dino_vits16", "method": "maskdistill", "maskdistill": {"short_side": SIZE[0]}},
        }
        api.run(pictures=pictures, out=out, settings=settings, until="scan", quiet=True)
        api.run(pictures=pictures, out=out, settings=settings, until="propose", quiet=True)
        events = [json.loads(line) for line in (out / "ledger.jsonl").read_text(encoding="utf-8").splitlines()]
    whole = next(event["seconds"] for event in events if event["event"] == "end" and event["stage"] == "propose")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"pictures": count, "threads": threads, "seconds": whole, "backbone": inside, "peak_mib": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[50, 300])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one, given.threads)))
        return
    print(f"{'pictures':>8} {'threads':>7} {'s a picture':>11} {'in backbone':>11} {'peak MiB':>9}")
    for count in given.counts:
        words = [sys.executable, __file__, "--one", str(count), "--threads", str(given.threads)]
        row = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        share, each = row["backbone"] / row["seconds"], row["seconds"] / row["pictures"]
        print(f"{count:>8} {row['threads']:>7} {each:>11.3f} {share:>11.1%} {row['peak_mib']:>9.0f}", flush=True)


if __name__ == "__main__":
    main()
