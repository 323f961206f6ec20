"""Rows of metrics.json: the one place that builds them, and the one place that rounds them.

In:   measures (a number of a stage with its protocol), samples of the pictures
Out:  rows {"stage", "name", "split", "value", "interval", "pictures", "protocol"}; of two results
      also "other", "difference", "p"; over seeds also "seeds", "spread", "of", "by_seed". Numbers
      are whole until `rounded`, which each writer of a file calls
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from maskdistill.evaluation import bootstrap
from maskdistill.evaluation.bootstrap import Statistic

Row = dict[str, Any]

# Behind the point: one pixel of a megapixel. The narrowest intervals that are not 0 are 0.0012 wide
# on the demo, 0.00001 on 20 photographs (docs/log/evaluation.md, 2026-11-30): more digits say
# nothing.
DIGITS = 6
REPEATED = {
    "chain": "everything after the proposals made anew with each",
    "clusters": "k-means alone made anew with each: a spread of clusters alone understates that "
    "of the whole chain",
}
_FRACTIONS = ("value", "other", "difference", "p", "spread")


@dataclass(frozen=True)
class Measure:
    """One number of a stage.

    Attributes:
        stage, name: as metrics.json has them.
        protocol: in words, how the number is made.
        statistic: from samples (samples, pictures) of the pictures to (samples,) values.
    """

    stage: str
    name: str
    protocol: str
    statistic: Statistic


def built(measures: Iterable[Measure], samples: np.ndarray, *, split: str) -> list[Row]:
    """Return the row of each measure, with its interval.

    Args:
        samples: (samples, pictures) int64 of `bootstrap.draws`; with no sample rows have no
            interval.
        split: of the pictures.
    """
    made = []
    for each in measures:
        value = bootstrap.value(each.statistic, samples.shape[1])
        made.append(
            row(
                each.stage,
                each.name,
                split=split,
                value=value,
                interval=bootstrap.spread(each.statistic(samples), around=value)
                if len(samples)
                else None,
                pictures=samples.shape[1],
                protocol=each.protocol,
            )
        )
    return made


def row(
    stage: str,
    name: str,
    *,
    split: str,
    value: float,
    interval: tuple[float, float] | None,
    pictures: int,
    protocol: str,
) -> Row:
    """Return one row; a value that is nan becomes None, and has no interval."""
    known = not math.isnan(value)
    return {
        "stage": stage,
        "name": name,
        "split": split,
        "value": float(value) if known else None,
        "interval": list(interval) if known and interval is not None else None,
        "pictures": pictures,
        "protocol": protocol,
    }


def compared(first: Measure, second: Measure, samples: np.ndarray, *, split: str) -> Row:
    """Return the row of two results on the same pictures; its interval is that of the difference.

    Args:
        first, second: the same number of both; where their protocols differ, the row has both.
        samples: (samples, pictures) int64, whose pictures are in one order for both.
    """
    found = bootstrap.paired(first.statistic, second.statistic, samples)
    protocols = dict.fromkeys([first.protocol, second.protocol])
    made = row(
        first.stage,
        first.name,
        split=split,
        value=bootstrap.value(first.statistic, samples.shape[1]),
        interval=found.interval,
        pictures=samples.shape[1],
        protocol=f"{' / '.join(protocols)}; pictures drawn for both runs alike",
    )
    other = bootstrap.value(second.statistic, samples.shape[1])
    return made | {
        "other": None if math.isnan(other) else other,
        "difference": None if math.isnan(found.difference) else found.difference,
        "p": found.p,
    }


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
                **row(
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


def same_for_all(stage: str) -> bool:
    """Return whether no seed changes a stage: trivial answers, and proposals, made once."""
    return stage.startswith("baseline:") or stage == "propose"


def rounded(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return the rows as files have them: every fraction with six digits behind the point."""
    return [
        {
            **each,
            **{name: number(each[name]) for name in _FRACTIONS if name in each},
            "interval": [number(edge) for edge in each["interval"]] if each["interval"] else None,
        }
        for each in rows
    ]


def number(value: float | None) -> float | None:
    """Return a fraction with six digits behind the point; None for nan and None.

    >>> number(2 / 3), number(float("nan"))
    (0.666667, None)
    """
    return None if value is None or math.isnan(value) else round(float(value), DIGITS)
