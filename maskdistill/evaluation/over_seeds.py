"""Mean and deviation over seeds: the same number of several runs that differ in nothing but the seed.

In:   rows of metrics.json of each seed
Out:  rows of the same form with `seeds`, `spread` and `by_seed`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

REPEATED = {
    "chain": "everything after the proposals made anew with each",
    "clusters": "k-means alone made anew with each: a spread of clusters alone understates that of the whole chain",
}


def same_for_all(stage: str) -> bool:
    """Whether no seed changes the numbers of a stage: trivial answers, and proposals, which are made once."""
    return stage.startswith("baseline:") or stage == "propose"


def over_seeds(
    rows_of: Mapping[int, Sequence[Mapping[str, Any]]], *, of: Literal["chain", "clusters"]
) -> list[dict[str, Any]]:
    """A row for each number of a stage that was made anew: what baselines and proposals have is one for all seeds.

    Args:
        rows_of: seed -> its rows {"stage", "name", "split", "value", "pictures", "protocol"}; those of the first seed
            say which there are.
        of: chain, or clusters: rows of the stage `cluster` alone.
    Returns:
        value: the mean of the seeds that have one. seeds: how many have. spread: the standard deviation of a sample
        (divided by n - 1), None of fewer than two. by_seed: {seed: value}. interval: None: pictures are not drawn anew.
    """
    if not rows_of:
        return []
    values: dict[tuple[str, str, str], dict[str, float | None]] = {}
    for seed, rows in rows_of.items():
        for row in rows:
            values.setdefault((row["stage"], row["name"], row["split"]), {})[str(seed)] = row[
                "value"
            ]
    made = []
    for row in next(iter(rows_of.values())):
        stage = row["stage"]
        if same_for_all(stage) or (of == "clusters" and stage != "cluster"):
            continue
        by_seed = values[stage, row["name"], row["split"]]
        known = np.array([value for value in by_seed.values() if value is not None], np.float64)
        made.append(
            {
                "stage": stage,
                "name": row["name"],
                "split": row["split"],
                "value": round(float(known.mean()), 6) if len(known) else None,
                "interval": None,
                "pictures": row["pictures"],
                "protocol": f"{row['protocol']}; mean over seeds, {REPEATED[of]}",
                "seeds": len(known),
                "spread": round(float(known.std(ddof=1)), 6) if len(known) > 1 else None,
                "of": of,
                "by_seed": by_seed,
            }
        )
    return made
