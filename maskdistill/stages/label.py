"""label: confident detections -> one label map a picture.

Proposals in place of detections where the detector has not learnt (`label.keep_best_stage`).

In:   detect/detections.jsonl, found_again.json, recluster/clusters.jsonl if `cluster.again`; else
      propose/proposals.jsonl, cluster/clusters.jsonl
Out:  label/maps/<id>.png, coverage.json
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from maskdistill.artifacts import clusterings, label_maps
from maskdistill.artifacts.mask_lines import detections
from maskdistill.engine.job import Job
from maskdistill.engine.stage import Done, Stage
from maskdistill.labels import IGNORE, ignoring, paint, select
from maskdistill.masks import rle
from maskdistill.masks.boxes import masks_from_boxes
from maskdistill.runs import atomic
from maskdistill.runs.journal import Journal
from maskdistill.runs.layout import LabelFolder, RunFolder
from maskdistill.settings import RunSettings, as_dict
from maskdistill.settings.label import LabelSettings
from maskdistill.types import Detections


def parts(settings: RunSettings) -> dict[str, Any]:
    """Return the settings that change maps that are painted from detections."""
    own = as_dict(settings.label)
    own.pop("keep_best_stage")  # what is painted is told by `parts_of_proposals`
    shape, unsure = own.pop("shape"), own.pop("unsure_score")
    # Maps are the same as before there were these settings.
    own |= {} if shape == "mask" else {"shape": shape}
    return own | ({} if unsure is None or unsure >= own["min_score"] else {"unsure_score": unsure})


def parts_of_proposals(settings: RunSettings) -> dict[str, Any]:
    """Return the settings that change maps that are painted from proposals.

    The least score of these is the detector's, which has been trained on them.
    """
    own = settings.label
    return {"keep_best_stage": True, "overlap": own.overlap, "shape": own.shape}


def work(job: Job, folder: LabelFolder) -> Done:
    """Select detections and paint them, a picture at a time.

    A picture without any detection that counts gets no map. Where the detector has not learnt,
    proposals are painted: all that count as training masks, of whatever score.
    """
    settings, least = job.settings.label, 0.0
    if (failed := clusterings.not_learnt(job.folder, job.settings)) is not None:
        least = job.settings.detect.min_proposal_score or 0.0
        # Scores of proposals are on another scale than the thresholds of detections.
        settings = replace(settings, min_score=0.0, unsure_score=None)
        job.ledger.write("warning", stage="label", what=failed.sentence)
        job.progress.say(f"label: {failed.sentence}")
    size_of = {image.id: image.size for image in job.images}
    atomic.make_folder(folder.maps)
    rows = clusterings.of_label_maps(job.folder, job.settings).rows()
    progress = job.progress.bar("label", total=len(job.images), unit="pictures")
    with Journal(folder.parts.path) as journal, progress as bar:
        for row in rows:
            if row["id"] not in journal:
                row["masks"] = [
                    mask
                    for mask in row.get("masks", [])
                    if "left_out" not in mask and (failed is None or mask["score"] >= least)
                ]
                if failed is not None:  # those of others need not be sorted; detections are
                    row["masks"].sort(key=lambda mask: -mask["score"])
                journal.add(
                    row["id"],
                    _painted(folder, row["id"], detections(row, size_of[row["id"]]), settings),
                )
            bar.advance()
        entries = dict(journal.records())
    atomic.write_json(folder.coverage, {str(number): entry for number, entry in entries.items()})
    mapped = [number for number, entry in entries.items() if entry["masks"]]
    coverage = [entries[number]["coverage"] for number in mapped]
    counts = {
        "maps": len(mapped),
        "without_map": len(entries) - len(mapped),
        "masks": sum(entry["masks"] for entry in entries.values()),
        "mean_coverage": round(float(np.mean(coverage)), 4) if coverage else 0.0,
    }
    if unsure := [entry["ignored"] for entry in entries.values() if "ignored" in entry]:
        counts["mean_ignored"] = round(float(np.mean(unsure)), 4)
    return Done(outputs=[folder.coverage, *map(folder.map_of, mapped)], counts=counts)


def _painted(
    folder: LabelFolder, image_id: int, found: Detections, settings: LabelSettings
) -> dict[str, Any]:
    """Write the label map of one picture, if it has a detection; return its coverage and count.

    The share of its pixels that is painted lies in [0, 1], and is None without a map; so does the
    share that is ignored, where unsure detections are.
    """
    chosen = select(found.scores, min_score=settings.min_score, keep_best=settings.keep_best)
    if not len(chosen):
        return {"coverage": None, "masks": 0}
    label_map = painted(found, chosen, settings)
    entry = {"coverage": round(float((label_map > 0).mean()), 6), "masks": len(chosen)}
    unsure_score = settings.unsure_score
    if unsure_score is not None and unsure_score < settings.min_score:
        unsure = _masks(found, np.flatnonzero(found.scores >= unsure_score), settings)
        label_map = ignoring(label_map, unsure)
        entry["ignored"] = round(float((label_map == IGNORE).mean()), 6)
    label_maps.write(folder.map_of(image_id), label_map)
    return entry


def painted(found: Detections, chosen: np.ndarray, settings: LabelSettings) -> np.ndarray:
    """Return the label map (H, W) uint8 of the detections of one picture at `chosen`."""
    assert settings.overlap != "auto"  # of resolved settings
    return paint(
        _masks(found, chosen, settings),
        found.clusters[chosen],
        found.scores[chosen],
        found.size,
        overlap=settings.overlap,
    )


def _masks(found: Detections, positions: np.ndarray, settings: LabelSettings) -> np.ndarray:
    """Return what is painted of some detections, (n, H, W) bool."""
    if settings.shape == "box":
        return masks_from_boxes(found.boxes_xyxy[positions], found.size)
    return rle.decode([found.rles[position] for position in positions], size=found.size)


def stage(settings: RunSettings, folder: RunFolder) -> Stage:
    """Return the stage, which reads the clustering that its maps count in.

    Args:
        folder: of the run, in which `detect` is complete, or not yet: it says what is painted.
    """
    if clusterings.not_learnt(folder, settings) is not None:
        return Stage(
            name="label",
            version=1,
            reads=("scan", "propose", "detect", "cluster"),
            parts=parts_of_proposals,
            work=work,
        )
    reads = tuple(dict.fromkeys(["scan", "detect", clusterings.counted_in(settings)]))
    return Stage(name="label", version=1, reads=reads, parts=parts, work=work)
