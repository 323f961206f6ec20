"""score instances: a COCO results file against an instances file, anybody's.

In:   results JSON, instances JSON, by their own image and category ids
Out:  Score; what does not fit is refused by name, what is odd stands beside the numbers; protocols:
      docs/reproduce.md
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from maskdistill.datasets.coco import instances_file, results_file
from maskdistill.datasets.names import read_list
from maskdistill.errors import SettingsError
from maskdistill.evaluation import (
    baselines,
    bootstrap,
    corloc,
    instances,
    matching,
    records,
    rows,
)
from maskdistill.evaluation.curves import NAMES, Curves
from maskdistill.evaluation.records import Records
from maskdistill.evaluation.rows import Measure
from maskdistill.measuring.score_files import Score

# Ids are names: from here on their ranks are counted, so that an id of 10^9 is one row of votes.
# Below it an id is its own row, and one without a mask an empty row: equal sums are matched by
# rows.
SMALL_ID = 10_000


def score(
    predictions: Path,
    ground_truth: Path,
    *,
    rule: Literal["none", "overlap", "release"],
    crowds: instances_file.Crowds,
    only: Path | None,
    resamples: int,
    seed: int,
) -> Score:
    """Score a COCO results file by mask and box, of classes and of one, all and single.

    Args:
        predictions: a COCO results file, JSON.
        ground_truth: a COCO instances file, JSON.
        rule: none: the category ids are those of the truth; else they are clusters, matched to
            classes one to one (Hungarian) by votes: overlap or release.
        crowds: of the truth: ignored, as COCO has it, or objects.
        only: a file with a list of file names: their images alone are scored; None: all.
        resamples: samples of images that each interval is made of; 0: no intervals.
        seed: of these samples.
    Returns:
        The rows, and notes about what is odd in the files.
    Raises:
        GroundTruthError, PredictionError: what does not fit, how many and which.
        SettingsError: overlap is asked for, and a file has no masks.
    """
    names = None if only is None else read_list(only)
    everything = instances_file.read(
        ground_truth, objects_of=names, crowds=crowds, taken="--crowds objects"
    )
    truth = everything if names is None else instances_file.only(everything, names)
    found = results_file.read(
        predictions,
        everything,
        same_categories=rule == "none",
        kept=None if names is None else truth.files,
    )
    notes = [*truth.notes, *found.notes]
    kinds: list[tuple[Literal["segm", "bbox"], str]] = []
    if found.has_masks and truth.has_masks:
        kinds.append(("segm", "mask"))
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
        number: [{**row, "category": categories[row["category"]]} for row in each]
        for number, each in truth.objects.items()
    }
    shaped = records.with_masks(objects) or {}
    results = _named(found.records, objects, categories, rule)
    clusters = (
        "category ids are classes"
        if rule == "none"
        else f"clusters to classes one to one, {instances.VOTES[rule]}"
    )
    areas: Literal["box", "mask"] = "box" if found.has_boxes else "mask"
    everywhere = {n: baselines.records(baselines.whole(size)) for n, size in truth.sizes.items()}
    samples = bootstrap.draws(len(objects), resamples=resamples, seed=seed)
    made: list[rows.Row] = []
    for (iou_type, by), agnostic in itertools.product(kinds, (False, True)):
        classes = "one class" if agnostic else clusters
        way = _Way(iou_type=iou_type, by=by, agnostic=agnostic, classes=classes)
        counted = shaped if iou_type == "segm" else objects
        if agnostic:
            made += _instance_rows("baseline:whole", way, counted, everywhere, samples)
        made += _instance_rows("score", way, counted, results, samples, areas=areas)
        best = instances.most_confident(counted, results)
        made += _instance_rows("score", replace(way, single=True), *best, samples, areas=areas)
    text = corloc.PROTOCOL.format(what="result")
    measures = [
        Measure(stage, "CorLoc", text, corloc.statistic(objects, masks))
        for stage, masks in (("baseline:whole", everywhere), ("score", results))
    ]
    return Score([*made, *rows.built(measures, samples, split="all")], notes)


@dataclass(frozen=True, kw_only=True)
class _Way:
    """A way to compare results with objects: by mask or box, of classes or of one, all or best."""

    iou_type: Literal["segm", "bbox"]
    by: str
    agnostic: bool
    classes: str
    single: bool = False

    @property
    def protocol(self) -> str:
        """Return the way in words."""
        which = "the most confident of a picture against one object"
        return f"COCO by {self.by}, {which if self.single else 'all predictions'}, {self.classes}"

    def name(self, number: str) -> str:
        """Return the name of a row: box_AP50_agnostic_single for AP50."""
        prefix = "box_" if self.iou_type == "bbox" else ""
        suffix = "_agnostic" if self.agnostic else ""
        return f"{prefix}{number}{suffix}{'_single' if self.single else ''}"


def _instance_rows(
    stage: str,
    way: _Way,
    truth: Records,
    results: Records,
    samples: np.ndarray,
    *,
    areas: Literal["box", "mask"] = "box",
) -> list[rows.Row]:
    """Return COCO's numbers; AP, AP50, AP75 and AR100 have an interval."""
    values = instances.average_precision(
        truth, results, iou_type=way.iou_type, class_agnostic=way.agnostic, areas=areas
    )
    drawn = Curves(truth, results, iou_type=way.iou_type, class_agnostic=way.agnostic).numbers(
        samples
    )
    return [
        rows.row(
            stage,
            way.name(name),
            split="all",
            value=values[name],
            interval=bootstrap.spread(drawn[name], around=values[name]) if name in NAMES else None,
            pictures=len(truth),
            protocol=way.protocol,
        )
        for name in (("AP", "AP50", "AP75") if way.single else instances.NAMES)
    ]


def _named(
    found: Mapping[int, list[dict[str, Any]]],
    objects: Mapping[int, list[dict[str, Any]]],
    categories: Mapping[int, int],
    rule: Literal["none", "overlap", "release"],
) -> dict[int, list[dict[str, Any]]]:
    """Return the results with the place of a class as category, by votes where they are clusters.

    Clusters without a class get a category that no object has.
    """
    if rule == "none":
        return {
            n: [{**row, "category": categories[row["category"]]} for row in each]
            for n, each in found.items()
        }
    ids = sorted({row["category"] for each in found.values() for row in each})
    if ids[-1] < SMALL_ID:
        ids = list(range(1 + ids[-1]))
    place_of = {which: place for place, which in enumerate(ids)}
    clusters = {
        number: [{**row, "cluster": place_of[row["category"]]} for row in each]
        for number, each in found.items()
    }
    counts = instances.votes(
        objects, clusters, n_clusters=len(ids), n_classes=len(categories), rule=rule
    )
    return instances.named(clusters, matching.hungarian(counts), without=len(categories))
