"""How well clusters agree with classes: by embedding, whitening and k-means, on features and pictures with truth.

    python benchmarks/bench_embeddings.py golden

Prints the tables of docs/results.md as Markdown. `golden`: the paper's pipeline on the stored features of the reference
data ($MASKDISTILL_REFERENCE).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskdistill.clusters import kmeans, whitening
from maskdistill.evaluation import clusters, matching

REFERENCE = Path(os.environ.get("MASKDISTILL_REFERENCE", "../shared"))
KMEANS: tuple[tuple[Any, int], ...] = (("minibatch", 1), ("full", 10), ("spherical", 10))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table in Markdown."""
    print(f"\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def mean(values: Sequence[float]) -> str:
    """Mean and deviation over the seeds."""
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}"


def golden(seeds: int) -> None:
    """Accuracy, NMI, ARI on the stored features, and ARI to the clusters that the original found."""
    stored = np.load(REFERENCE / "golden" / "evaluation" / "kmeans.npz")
    rows, labels = stored["features"].astype(np.float32), stored["labels"]
    normalised = whitening.normalise(rows, whitening.scale_of(rows))
    lines = []
    for k, rule in ((20, matching.hungarian), (40, matching.majority)):
        for algorithm, restarts in KMEANS:
            found = [
                kmeans.fit(normalised, k=k, algorithm=algorithm, restarts=restarts, seed=seed).ids
                for seed in [1234, *range(seeds)]
            ]
            of = [scores(ids, labels, rule) for ids in found]
            to = [clusters.ari(ids, stored[f"clusters_{k}"]) for ids in found]
            lines.append(
                [f"{k}, {algorithm}, {restarts} starts", f"{of[0][0]:.4f}"]
                + [mean(column) for column in zip(*of[1:], strict=True)]
                + [f"{to[0]:.3f}", mean(to[1:])]
            )
    table(
        [
            "clusters, k-means",
            "accuracy, the original's seed",
            "accuracy",
            "NMI",
            "ARI",
            "ARI to the original's clusters, its seed",
            "other seeds",
        ],
        lines,
    )


def scores(ids: np.ndarray, labels: np.ndarray, rule: Callable[..., dict[int, int]] = matching.hungarian) -> tuple:
    """Accuracy, NMI, ARI."""
    counts = clusters.table(ids, labels, n_clusters=int(ids.max()) + 1, n_classes=int(labels.max()) + 1)
    return clusters.accuracy(counts, rule(counts)), clusters.nmi(ids, labels), clusters.ari(ids, labels)


PARTS: dict[str, Callable[[int], None]] = {"golden": golden}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    for part in given.parts:
        PARTS[part](given.seeds)


if __name__ == "__main__":
    main()
