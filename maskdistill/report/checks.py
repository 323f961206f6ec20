"""Degenerate stages: results that ran to the end and are worth nothing, told from counts alone.

In:       numbers that a stage has at hand: masks of each picture, areas, sizes, coverage, losses
Out:      stage -> alarms, each with what was seen and what to try; no stage without alarms
Differs:  flags in the advice are those of `maskdistill run` (--detect.train.steps), the command
          that the page names, not those of a stage's own verb
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from maskdistill.evaluation.agreement import has_learnt
from maskdistill.report.content import Alarm

ONE_CLUSTER = 0.8  # share of all masks
WHOLE_PICTURE = 0.9  # of a picture's area, for the median mask
MIN_ROWS = 20  # of losses, before anything is said of their course


def alarms(
    *,
    masks_per_picture: Mapping[str, Sequence[int]] | None = None,
    mask_areas: Mapping[str, Sequence[float]] | None = None,
    cluster_sizes: Mapping[str, Sequence[int]] | None = None,
    coverage: Mapping[str, Sequence[float]] | None = None,
    losses: Mapping[str, Sequence[Mapping[str, float]]] | None = None,
    found_again: tuple[int, int] | None = None,
    in_place: str = "",
    on_tokens: bool = False,
) -> dict[str, list[Alarm]]:
    """Return all that looks degenerate in a run; what was not handed in is not judged.

    Args:
        masks_per_picture: stage -> (pictures,) number of masks.
        mask_areas: stage -> (masks,) share of its picture that each covers, in [0, 1].
        cluster_sizes: stage (cluster, recluster) -> (k,) masks in each.
        coverage: stage (label, segment) -> (pictures,) share of pixels that are not background, in
            [0, 1].
        losses: stage (detect, segment) -> rows {"step", loss names}, by step.
        found_again: masks that the detector was trained on, and how many of them it finds.
        in_place: what is painted in place of the detections of one that has not learnt, "" where
            nothing is. on_tokens: the detector is of size backbone.
    Returns:
        stage -> alarms, of stages that have some, in the order in which they were handed in.
    """
    found: dict[str, list[Alarm]] = {}
    for stage, counts in (masks_per_picture or {}).items():
        found.setdefault(stage, []).extend(of_mask_counts(stage, counts))
    for stage, areas in (mask_areas or {}).items():
        found.setdefault(stage, []).extend(of_mask_areas(stage, areas))
    for stage, sizes in (cluster_sizes or {}).items():
        found.setdefault(stage, []).extend(of_cluster_sizes(sizes))
    for stage, rows in (losses or {}).items():
        found.setdefault(stage, []).extend(of_losses(stage, rows))
    if found_again is not None:
        found.setdefault("detect", []).extend(
            of_found_again(*found_again, in_place=in_place, on_tokens=on_tokens)
        )
    for stage, shares in (coverage or {}).items():
        found.setdefault(stage, []).extend(of_coverage(stage, shares))
    return {stage: some for stage, some in found.items() if some}


def of_mask_counts(stage: str, counts: Sequence[int]) -> list[Alarm]:
    """Return an alarm where no picture has a mask, or nine of ten have none.

    Nothing is said of a run without pictures.

    Args:
        stage: propose or detect.
        counts: (pictures,) number of masks.

    >>> of_mask_counts("propose", [0, 0])[0].what
    'No masks at all: 2 pictures, not one mask.'
    """
    if len(counts) == 0:
        return []
    n_without = sum(count == 0 for count in counts)
    if stage == "detect":
        advice = (
            "Train longer (--detect.train.steps), look at the loss curves and the proposals "
            "that it was trained on."
        )
    else:
        advice = "Lower --propose.min-score, or try another backbone (--propose.backbone) or method (--propose.method)."
    if n_without == len(counts):
        subject = "The detector predicts nothing" if stage == "detect" else "No masks at all"
        return [Alarm(what=f"{subject}: {len(counts)} pictures, not one mask.", advice=advice)]
    if n_without >= 0.9 * len(counts):
        return [Alarm(what=f"{n_without} of {len(counts)} pictures have no mask.", advice=advice)]
    return []


def of_mask_areas(stage: str, areas: Sequence[float]) -> list[Alarm]:
    """Return an alarm where the median mask covers the whole picture.

    Args:
        stage: propose or detect.
        areas: (masks,) share of its picture that each covers, in [0, 1].
    """
    if len(areas) == 0 or np.median(areas) < WHOLE_PICTURE:
        return []
    what = (
        f"The masks cover the whole picture: the median one has {np.median(areas):.0%} of its area."
    )
    if stage == "detect":
        return [
            Alarm(
                what=what,
                advice="Look at the proposals first: the detector learns the size of its masks from them.",
            )
        ]
    return [
        Alarm(
            what=what,
            advice="Keys that share a common component make every patch alike: try --propose.centre-keys yes, "
            "another method (--propose.method) or another backbone (--propose.backbone).",
        )
    ]


def of_cluster_sizes(sizes: Sequence[int]) -> list[Alarm]:
    """Return an alarm where one of several clusters holds nearly all masks.

    Args:
        sizes: (k,) masks in each cluster.
    """
    total = sum(sizes)
    if len(sizes) < 2 or total == 0 or max(sizes) < ONE_CLUSTER * total:
        return []
    largest = int(np.argmax(sizes))
    return [
        Alarm(
            what=f"Everything is in one cluster: cluster {largest} of {len(sizes)} holds {sizes[largest] / total:.0%} "
            f"of {total} masks.",
            advice="Try another embedding (--cluster.embedding), whitening (--cluster.whiten) or another number of "
            "clusters (--cluster.k), and look whether the masks hold objects at all.",
        )
    ]


def of_found_again(
    n_masks: int, n_found: int, *, in_place: str = "", on_tokens: bool = False
) -> list[Alarm]:
    """Return an alarm where a detector did not learn even the masks that it was trained on.

    Args:
        n_masks: masks that it was trained on; nothing is said of fewer than 20.
        n_found: of these, the masks that it finds.
        in_place: the sentence about what is painted in place of its detections, "" where these are.
        on_tokens: it is of size backbone, whose body nobody can train better.
    """
    if has_learnt(n_masks, n_found):
        return []
    seen = (
        f"it finds {n_found} of the {n_masks} masks that it was trained on. "
        "What comes after it, label maps and segmenter, is made of its guesses."
    )
    better = "from weights that somebody trained (--detect.size resnet50 --weights detect=dino_resnet50, for a GPU)"
    if on_tokens:
        better = "on other proposals (--propose.method)"
    advice = f"Train it longer (--detect.train.steps), on more pictures, or {better}. "
    advice += (
        "Detections alone are its guesses: the proposals are better masks, and `export` writes them too."
        if in_place
        else "The proposals may be better masks: --label.keep-best-stage paints these, `export` writes them too."
    )
    return [
        Alarm(
            what=f"The detector has not learnt: {in_place or seen}",
            advice=advice,
        )
    ]


def of_coverage(stage: str, shares: Sequence[float]) -> list[Alarm]:
    """Return an alarm where label maps are all background, or have no background left.

    Args:
        stage: label or segment.
        shares: (pictures,) share of pixels that are not background, in [0, 1].
    """
    if len(shares) == 0:
        return []
    if max(shares) == 0:
        advice = (
            "Lower --label.min-score, or let each picture keep its best detection (--label.keep-best)."
            if stage == "label"
            else "Look at the label maps that it was trained on, and train longer (--segment.train.steps)."
        )
        return [
            Alarm(
                what=f"All {len(shares)} label maps are background from edge to edge.",
                advice=advice,
            )
        ]
    if np.median(shares) >= WHOLE_PICTURE:
        what = f"Half of the label maps have no background left: {np.median(shares):.0%} of the median one is labelled."
        return [
            Alarm(
                what=what, advice="Raise --label.min-score, and look at the size of the proposals."
            )
        ]
    return []


def of_losses(stage: str, rows: Sequence[Mapping[str, float]]) -> list[Alarm]:
    """Return an alarm where a loss is not finite, or its last tenth is not below its first.

    Args:
        stage: detect or segment.
        rows: {"step", loss names}, by step; fewer than MIN_ROWS are judged as finite or not alone.
    """
    total = total_loss(rows)
    lost = [
        int(row["step"]) for row, value in zip(rows, total, strict=True) if not math.isfinite(value)
    ]
    if lost:
        return [
            Alarm(
                what=f"The loss is not finite from step {lost[0]} on ({len(lost)} of {len(rows)} rows).",
                advice=f"Lower --{stage}.train.learning-rate, and train in float32 (--precision float32).",
            )
        ]
    if len(rows) < MIN_ROWS:
        return []
    tenth = len(rows) // 10
    before, after = np.mean(total[:tenth]), np.mean(total[-tenth:])
    if after < before:
        return []
    return [
        Alarm(
            what=f"The loss does not fall: {before:.3g} at the start, {after:.3g} at the end.",
            advice=f"Try another --{stage}.train.learning-rate or more steps (--{stage}.train.steps).",
        )
    ]


def total_loss(rows: Sequence[Mapping[str, float]]) -> list[float]:
    """Return the loss of each row: `loss` or `total`, else the sum of all that start with `loss`.

    >>> total_loss([{"step": 1, "loss_mask": 0.5, "loss_box": 1.0}, {"step": 2, "loss": 2.0}])
    [1.5, 2.0]
    """
    totals = []
    for row in rows:
        named = next((row[name] for name in ("loss", "total") if name in row), None)
        parts = [value for name, value in row.items() if name.startswith("loss")]
        totals.append(float(named if named is not None else sum(parts)))
    return totals
