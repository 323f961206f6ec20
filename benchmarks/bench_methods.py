"""Seconds a picture of each proposal method, from given features, beside the dense eigensolver where there is one.

    python benchmarks/bench_methods.py --threads 1

Features follow the rule of the reference data's README ($MASKDISTILL_REFERENCE/golden/proposals). One process: a method
and its baseline take turns, the least time of each is printed with the median, and ratios are of least times.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy import linalg
from threadpoolctl import threadpool_limits

from maskdistill.proposals import affinity, graphs, lost, maskcut, maskdistill, normalized_cut, tokencut
from maskdistill.types import Features

CASES = ("g28_a", "g30_multi", "g40x53_a", "g60_a")  # 784, 900, 2120, 3600 patches
REFERENCE = Path(os.environ.get("MASKDISTILL_REFERENCE", "../shared"))


def read(name: str) -> Features:
    """A case of the reference data, made by its rule."""
    folder = REFERENCE / "golden" / "proposals"
    rule: dict = {}
    exec(re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)[1], rule)  # type: ignore[index]
    arguments = json.loads((folder / "cases.json").read_text())["rule_cases"][name]
    queries, keys = rule["features"](**arguments)
    rows, cols = arguments["rows"], arguments["cols"]
    return Features(grid=(rows, cols), patch=16, queries=torch.from_numpy(queries), keys=torch.from_numpy(keys))


def eigh(graph: graphs.TwoValued) -> np.ndarray:
    """The originals' call: the dense generalised eigenproblem."""
    weights = graph.dense()
    degrees = np.diag(weights.sum(axis=1))
    return linalg.eigh(degrees - weights, degrees, subset_by_index=[1, 2])[1][:, 0]


def timed(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each call, in turn."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(repeats):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            found[name].append(time.perf_counter() - began)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cases", nargs="+", default=list(CASES))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"{'case':<10} {'patches':>7} {'what':<28} {'least ms':>9} {'median ms':>9} {'of eigh':>8}")
    with threadpool_limits(given.threads):
        for name in given.cases:
            features = read(name)
            graph = affinity.two_valued(affinity.joined(features), threshold=0.2, floor=1e-5)
            calls: dict[str, Callable[[], object]] = {
                "eigh of (D - A, D)": lambda graph=graph: eigh(graph),
                "second_eigenvector": lambda graph=graph: normalized_cut.second_eigenvector(graph),
                "maskdistill.discover": lambda features=features: maskdistill.discover(features),
                "lost.discover": lambda features=features: lost.discover(features),
                "tokencut.discover": lambda features=features: tokencut.discover(features),
                "maskcut.discover": lambda features=features: maskcut.discover(features),
            }
            seconds = timed(calls, given.repeats)
            base = min(seconds["eigh of (D - A, D)"])
            for what, taken in seconds.items():
                least, median = min(taken), statistics.median(taken)
                n_patches = features.grid[0] * features.grid[1]
                print(
                    f"{name:<10} {n_patches:>7} {what:<28} {least * 1e3:>9.2f} {median * 1e3:>9.2f} "
                    f"{base / least:>8.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
