"""Measured numbers as a reader wants them: large figures, a row a stage, tables, IoU by class.

In:       rows of metrics.json {"stage", "name", "split", "value", "interval", "pictures",
          "protocol"}, maybe "seeds" and "spread"
Out:      rows ready to be laid out; an unknown name is shown as it is, a missing value as a dash
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BASELINES = ("baseline:background", "baseline:whole", "baseline:centre", "baseline:one_cluster")
CHOSEN = "segment:best_on_the_reported_data"
STAGES = (*BASELINES, "propose", "cluster", "detect", "recluster", "label", "segment", CHOSEN)
SPLITS = ("validation", "train")
HEADLINES = (  # at most one of each line, the first that was measured
    (("segment", "mIoU"), (CHOSEN, "mIoU"), ("label", "mIoU"), ("cluster", "mIoU")),
    (("detect", "AP50_agnostic"), ("detect", "AP50")),
    (("propose", "CorLoc"), ("propose", "mean_best_iou"), ("propose", "AP50_agnostic")),
    (("cluster", "cluster_accuracy"), ("cluster", "NMI")),
)
# The one number of a stage that the summary has, the first that was measured.
MAIN = {
    "propose": ("CorLoc", "mean_best_iou"),
    "cluster": ("cluster_accuracy", "mIoU"),
    "detect": ("AP50_agnostic",),
    "label": ("mIoU",),
    "segment": ("mIoU",),
    CHOSEN: ("mIoU",),
}
MEANS = {
    "CorLoc": "share of pictures whose box overlaps an object by half or more",
    "mean_best_iou": "overlap (IoU) of each true object with the best mask for it, on average",
    "AP": "average precision of the masks over overlaps from 0.5 to 0.95",
    "AP50": "average precision of the masks, right cluster and overlap of at least 0.5",
    "AP75": "average precision of the masks, right cluster and overlap of at least 0.75",
    "AP50_agnostic": "average precision of the masks whatever their cluster, overlap of at least 0.5",
    "AP50_single": "AP50 of the best mask of each picture against one object alone: the paper's protocol, easier",
    "AR100": "share of the objects found by at most 100 masks a picture",
    "mIoU": "overlap (IoU) of predicted and true regions, mean over the classes, clusters matched to classes",
    "pixel_accuracy": "share of the pixels with the right class",
    "cluster_accuracy": "share of the masks whose cluster is matched to their object's class",
    "NMI": "agreement of clusters and classes: 0 chance, 1 equal up to their names",
    "ARI": "agreement of pairs of masks: 0 chance, 1 equal up to their names",
    "false_mask_rate": "share of the pictures without objects in which a mask was found",
    "boundary_iou": "overlap of the masks' outlines with the true ones",
    "agreement": "share of the masks, or of the pixels of the label maps, on which two runs agree",
}


@dataclass(frozen=True)
class Row:
    """Metric as it is shown.

    Fields that end in _at are places on its bar in per cent, 0 to 100, None without a value.
    """

    name: str
    value: str
    interval: str
    value_at: float | None
    low_at: float | None
    high_at: float | None
    pictures: int | None
    protocol: str


@dataclass(frozen=True)
class Main:
    """Main number of a stage.

    Attributes:
        cells: split -> its row, None where it was not measured.
        seeds: split -> mean and deviation as text, "" without.
        trivial: split -> the best of the trivial answers by the same measure as text, "" without.
    """

    stage: str
    name: str
    cells: dict[str, Row | None]
    seeds: dict[str, str]
    trivial: dict[str, str]


@dataclass(frozen=True)
class Bar:
    """IoU of one class, in [0, 1].

    low and high are the ends of its interval, or of the deviation over seeds, None without.
    """

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Group:
    """Metrics of one stage on one split."""

    stage: str
    is_baseline: bool
    rows: list[Row]


def headlines(metrics: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Return (value as text, name, stage, split) of at most four metrics, of validation first."""
    known = _known(metrics)
    splits = _ordered({split for _, _, split in known}, SPLITS)
    chosen = []
    for wanted in HEADLINES:
        found = next(
            (
                known[(*pair, split)]
                for pair in wanted
                for split in splits
                if (*pair, split) in known
            ),
            None,
        )
        if found is not None:
            chosen.append((f"{found['value']:.3f}", found["name"], found["stage"], found["split"]))
    return chosen


def summary(metrics: Sequence[Mapping[str, Any]]) -> list[Main]:
    """Return a row a stage, in order; a stage whose main numbers were not measured has none."""
    known, over = _known(metrics), {_key(row): row for row in metrics if "seeds" in row}
    splits = _ordered({split for _, _, split in known}, SPLITS)
    found = []
    for stage, names in MAIN.items():
        name = next(
            (name for name in names for split in splits if (stage, name, split) in known), None
        )
        if name is None:
            continue
        cells = {split: known.get((stage, name, split)) for split in splits}
        trivial = {
            split: [
                known[each, name, split]["value"]
                for each in BASELINES
                if (each, name, split) in known
            ]
            for split in splits
        }
        found.append(
            Main(
                stage=stage,
                name=name,
                cells={split: _row(row) if row else None for split, row in cells.items()},
                seeds={split: _over_seeds(over.get((stage, name, split))) for split in splits},
                trivial={
                    split: f"{max(values):.3f}" if values else ""
                    for split, values in trivial.items()
                },
            )
        )
    return found


def gains(steps: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return what each stage gained over the one before it, a line a number, as text.

    Of a run with seeds the mean difference and its deviation; else the difference and its interval.
    A difference whose interval leaves out 0 is `sure`.
    """
    over = {(*_key(row), row["before"]) for row in steps if "seeds" in row}
    found = []
    for row in steps:
        is_over = "seeds" in row
        if not _is_number(row["difference"]) or is_over != ((*_key(row), row["before"]) in over):
            continue
        interval = row["interval"]
        around = "{:+.3f} – {:+.3f}".format(*interval) if interval else ""
        if row.get("spread") is not None:
            around = f"± {row['spread']:.3f} over {row['seeds']} seeds"
        found.append(
            {
                "stage": row["stage"],
                "before": row["before"],
                "name": row["name"],
                "split": row["split"],
                "difference": f"{row['difference']:+.3f}",
                "around": around,
                "sure": "yes" if interval and (interval[0] > 0 or interval[1] < 0) else "",
            }
        )
    return found


def tables(metrics: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Group]]]:
    """Return (split, stages with their rows), without IoU by class.

    Splits and stages stand in the order of SPLITS and STAGES, others after them.
    """
    whole = [row for row in metrics if not row["name"].startswith("IoU/")]
    shown = []
    for split in _ordered({row["split"] for row in whole}, SPLITS):
        of_split = [row for row in whole if row["split"] == split]
        groups = [
            Group(
                stage,
                stage.startswith("baseline:"),
                [_row(row) for row in of_split if row["stage"] == stage],
            )
            for stage in _ordered({row["stage"] for row in of_split}, STAGES)
        ]
        shown.append((split, groups))
    return shown


def explained(metrics: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return (name, meaning) of the metrics that occur, in the order of MEANS.

    Metrics by box are explained as those by mask: box_AP50 as AP50.
    """
    names = {row["name"] for row in metrics}
    return [
        (name, meaning)
        for name, meaning in MEANS.items()
        if name in names or f"box_{name}" in names
    ]


def class_iou(metrics: Sequence[Mapping[str, Any]]) -> tuple[str, dict[str, Bar]] | None:
    """Return (caption, class -> IoU) of the last stage that has some; None without any.

    Validation pictures go before those of training. Where there are seeds, the mean over them
    counts, and its deviation in place of the interval.
    """
    rows = [row for row in metrics if row["name"].startswith("IoU/") and _is_number(row["value"])]
    place = where_by_class(rows)
    if place is None:
        return None
    stage, split = place
    own = [row for row in rows if (row["stage"], row["split"]) == place]
    seeds = max((row["seeds"] for row in own if "seeds" in row), default=0)
    caption = f"IoU of each class: {stage}, {split}, "
    caption += f"mean and deviation over {seeds} seeds" if seeds > 1 else "with its interval"
    values = {}
    for row in own:
        if ("seeds" in row) != (seeds > 1):
            continue
        value, (low, high) = float(row["value"]), row.get("interval") or (None, None)
        if row.get("spread") is not None:
            low, high = value - row["spread"], value + row["spread"]
        values[row["name"].removeprefix("IoU/")] = Bar(value, low, high)
    return caption, values


def where_by_class(metrics: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    """Return the (stage, split) that the figures by class show, None without an IoU of a class.

    It is the last stage that has one, on validation pictures where these were measured.
    """
    rows = [row for row in metrics if row["name"].startswith("IoU/") and _is_number(row["value"])]
    if not rows:
        return None
    stage = _ordered({row["stage"] for row in rows}, STAGES)[-1]
    return stage, _ordered({row["split"] for row in rows if row["stage"] == stage}, SPLITS)[0]


def _key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["stage"], row["name"], row["split"]


def _known(metrics: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, str], Mapping[str, Any]]:
    """Return the run's own rows that have a value; means over seeds are not its own."""
    return {_key(row): row for row in metrics if _is_number(row["value"]) and "seeds" not in row}


def _over_seeds(row: Mapping[str, Any] | None) -> str:
    if row is None or not _is_number(row["value"]):
        return ""
    spread = f" ± {row['spread']:.3f}" if row.get("spread") is not None else ""
    return f"{row['value']:.3f}{spread} ({row['seeds']} seed{'s' if row['seeds'] != 1 else ''})"


def _row(row: Mapping[str, Any]) -> Row:
    value, interval = row["value"], row.get("interval")
    known = _is_number(value)
    low, high = interval if known and interval is not None else (None, None)
    spread = (
        f"± {row['spread']:.3f} over {row['seeds']} seeds"
        if row.get("spread") is not None and "seeds" in row
        else ""
    )
    return Row(
        name=row["name"],
        value=f"{value:.3f}" if known else "–",
        interval=f"{low:.3f} – {high:.3f}" if low is not None else spread,
        value_at=_percent(value) if known else None,
        low_at=_percent(low) if low is not None else None,
        high_at=_percent(high) if high is not None else None,
        pictures=row.get("pictures"),
        protocol=str(row.get("protocol") or ""),
    )


def _percent(value: float) -> float:
    return round(100 * min(max(value, 0.0), 1.0), 1)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _ordered(names: set[str], wanted: tuple[str, ...]) -> list[str]:
    return [name for name in wanted if name in names] + sorted(names - set(wanted))
