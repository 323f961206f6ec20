"""Mean and deviation over seeds: the same number of runs that differ in nothing but the seed.

In:   rows of metrics.json of each seed
Out:  rows of the same form with `seeds`, `spread` and `by_seed`
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from maskdistill.evaluation import rows

REPEATED = {
    "chain": "everything after the proposals made anew with each",
    "clusters": "k-means alone made anew with each: a spread of clusters alone understates that "
    "of the whole chain",
}


def same_for_all(stage: str) -> bool:
    """Return whether no seed changes a stage: trivial answers, and proposals, made once."""
    return stage.startswith("baseline:") or stage == "propose"


def over_seeds(
    rows_of: Mapping[int, Sequence[Mapping[str, Any]]], *, of: Literal["chain", "clusters"]
) -> list[dict[str, Any]]:
    """Return a row for each number of a stage that each seed made anew.

    Args:
        rows_of: seed -> its rows {"stage", "name", "split", "value", "pictures", "protocol"}; those
            of the first seed say which there are.
        of: chain, or clusters: rows of the stage `cluster` alone.
    Returns:
        Rows with value: the mean of the seeds that have one; seeds: how many have; spread: the
        standard deviation of a sample (divided by n - 1), None of fewer than two; by_seed:
        {seed: value}; interval: None, pictures are not drawn anew.
    """
    if not rows_of:
        return []
    values: dict[tuple[str, str, str], dict[str, float | None]] = {}
    for seed, of_seed in rows_of.items():
        for each in of_seed:
            key = each["stage"], each["name"], each["split"]
            values.setdefault(key, {})[str(seed)] = each["value"]
    made = []
    for one in next(iter(rows_of.values())):
        stage = one["stage"]
        if same_for_all(stage) or (of == "clusters" and stage != "cluster"):
            continue
        by_seed = values[stage, one["name"], one["split"]]
        known = np.array([value for value in by_seed.values() if value is not None], np.float64)
        made.append(
            {
                **rows.row(
                    stage,
                    one["name"],
                    split=one["split"],
                    value=float(known.mean()) if len(known) else math.nan,
                    interval=None,
                    pictures=one["pictures"],
                    protocol=f"{one['protocol']}; mean over seeds, {REPEATED[of]}",
                ),
                "seeds": len(known),
                "spread": float(known.std(ddof=1)) if len(known) > 1 else None,
                "of": of,
                "by_seed": by_seed,
            }
        )
    return made
