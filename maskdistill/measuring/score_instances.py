"""score instances: a COCO results file against an instances file, anybody's; protocols: docs/reproduce.md.

In:   results JSON, instances JSON, by their own image and category ids
Out:  Score; what does not fit is refused by name, what is odd stands beside the numbers
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from maskdistill.datasets import coco, coco_results
from maskdistill.errors import SettingsError
from maskdistill.evaluation import (
    baselines,
    bootstrap,
    corloc,
    instances,
    label_map_counts,
    matching,
)
from maskdistill.evaluation.bootstrap import Statistic
from maskdistill.evaluation.curves import NAMES, Curves
from maskdistill.masks import rle
from maskdistill.masks.boxes import boxes_from_masks
from maskdistill.measuring.run_measures import VOTES
from maskdistill.measuring.score_files import Score, row_of, rows_of

# Ids are names: from here on their ranks are counted, so that an id of 10^9 is one row of votes. Below
# it an id is its own row, and one without a mask an empty row: equal sums are matched by rows.
SMALL_ID = 10_000


def score(
    predictions: Path,
    ground_truth: Path,
    *,
    rule: Literal["none", "overlap", "release"],
    only: Path | None,
    resamples: int,
    seed: int,
) -> Score:
    """A COCO results file against an instances file: by mask and box, class-aware and agnostic, all and single.

    Args:
        rule: none: the category ids are those of the truth; else they are clusters, named by votes and Hungarian.
    Raises:
        GroundTruthError, PredictionError: what does not fit, how many and which.
    """
    names = None if only is None else coco.read_list(only)
    everything = coco.read(ground_truth, objects_of=names)
    truth = everything if names is None else coco.only(everything, names)
    found = coco_results.read(
        predictions,
        everything,
        same_categories=rule == "none",
        kept=None if names is None else truth.files,
    )
    notes = [*truth.notes, *found.notes]
    kinds = [("segm", "mask")] if found.has_masks and truth.has_masks else []
    if found.has_masks and not truth.has_masks:
        notes.append("the ground truth has no masks: compared by box alone")
    if truth.has_masks and not found.has_masks:
        notes.append("the results have no masks: compared by box alone")
    kinds.append(("bbox", "box"))
    if rule == "overlap" and len(kinds) == 1:
        raise SettingsError(
            "matching: overlap needs masks in both files; give release, which votes by box"
        )
    categories = {which: number for number, which in enumerate(sorted(truth.names))}
    objects = {
        number: [{**row, "category": categories[row["category"]]} for row in rows]
        for number, rows in truth.objects.items()
    }
    results = _named(found.records, objects, categories, rule)
    clusters = (
        "category ids are classes"
        if rule == "none"
        else f"clusters to classes one to one, {VOTES[rule]}"
    )
    areas: Literal["box", "mask"] = "box" if found.has_boxes else "mask"
    everywhere = _whole_pictures(truth)
    rows: list[dict[str, Any]] = []
    for iou_type, by in kinds:
        for agnostic in (False, True):
            text = f"COCO by {by}, all predictions, {'one class' if agnostic else clusters}"
            name = (lambda word: f"{word}_agnostic") if agnostic else str
            if agnostic:
                rows += _instance_rows(
                    "baseline:whole",
                    objects,
                    everywhere,
                    iou_type,
                    agnostic,
                    name,
                    text,
                    resamples,
                    seed,
                )
            rows += _instance_rows(
                "score",
                objects,
                results,
                iou_type,
                agnostic,
                name,
                text,
                resamples,
                seed,
                areas=areas,
            )
            single = instances.most_confident(objects, results)
            text = text.replace(
                "all predictions", "the most confident of a picture against one object"
            )
            rows += _instance_rows(
                "score",
                *single,
                iou_type,
                agnostic,
                lambda word, name=name: f"{name(word)}_single",
                text,
                resamples,
                seed,
                kept=("AP", "AP50", "AP75"),
                areas=areas,
            )
    measures = [
        _corloc(stage, objects, masks)
        for stage, masks in (("baseline:whole", everywhere), ("score", results))
    ]
    return Score([*rows, *rows_of(measures, len(objects), resamples, seed)], notes)


def _corloc(
    stage: str,
    objects: Mapping[int, list[dict[str, Any]]],
    results: Mapping[int, list[dict[str, Any]]],
) -> tuple[str, str, str, Statistic]:
    """As `evaluate` has it: the best-scored result of each picture with objects, the first of equals."""
    best = [max(results[number], key=lambda row: row["score"], default=None) for number in objects]
    solid = [[row["box"] for row in rows if not row["crowd"]] for rows in objects.values()]
    boxes = [np.array(each, np.float64).reshape(-1, 4) for each in solid]
    hits = np.array(
        corloc.hits([None if row is None else np.asarray(row["box"]) for row in best], boxes), float
    )
    has_objects = np.array([len(each) > 0 for each in boxes])
    text = "box IoU >= 0.5 of the best-scored result with any object; pictures with objects, crowds are none"
    return stage, "CorLoc", text, label_map_counts.ratio(hits * has_objects, has_objects)


def _instance_rows(
    stage: str,
    truth: instances.Records,
    results: instances.Records,
    iou_type: Any,
    agnostic: bool,
    name_of: Any,
    protocol: str,
    resamples: int,
    seed: int,
    *,
    kept: Sequence[str] = instances.NAMES,
    areas: Literal["box", "mask"] = "box",
) -> list[dict[str, Any]]:
    """COCO's numbers; AP, AP50, AP75 and AR100 with an interval."""
    values = instances.average_precision(
        truth, results, iou_type=iou_type, class_agnostic=agnostic, areas=areas
    )
    samples = bootstrap.draws(len(truth), resamples=resamples, seed=seed)
    drawn = Curves(truth, results, iou_type=iou_type, class_agnostic=agnostic).numbers(samples)
    prefix = "box_" if iou_type == "bbox" else ""
    return [
        row_of(
            stage,
            f"{prefix}{name_of(name)}",
            values[name],
            bootstrap.spread(drawn[name]) if name in NAMES else None,
            len(truth),
            protocol,
        )
        for name in kept
    ]


def _named(
    found: Mapping[int, list[dict[str, Any]]],
    objects: Mapping[int, list[dict[str, Any]]],
    categories: Mapping[int, int],
    rule: Literal["none", "overlap", "release"],
) -> dict[int, list[dict[str, Any]]]:
    """Results with their category as the place of a class; clusters without a class get one that no object has."""
    if rule == "none":
        return {
            n: [{**row, "category": categories[row["category"]]} for row in rows]
            for n, rows in found.items()
        }
    ids = sorted({row["category"] for rows in found.values() for row in rows})
    if ids[-1] < SMALL_ID:
        ids = list(range(1 + ids[-1]))
    place_of = {which: place for place, which in enumerate(ids)}
    clusters = {
        number: [{**row, "cluster": place_of[row["category"]]} for row in rows]
        for number, rows in found.items()
    }
    counts = instances.votes(
        objects, clusters, n_clusters=len(ids), n_classes=len(categories), rule=rule
    )
    mapping = matching.hungarian(counts)
    return {
        number: [{**row, "category": mapping.get(row["cluster"], len(categories))} for row in rows]
        for number, rows in clusters.items()
    }


def _whole_pictures(truth: coco.Instances) -> dict[int, list[dict[str, Any]]]:
    """The trivial answer: one mask a picture, all of it."""
    masks = {}
    for number, size in truth.sizes.items():
        mask = baselines.whole(size)[None]
        masks[number] = [
            {"rle": rle.encode(mask)[0], "box": boxes_from_masks(mask)[0], "score": 1.0}
        ]
    return masks
