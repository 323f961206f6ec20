"""label: confident detections -> one label map a picture.

In:   detect/detections.jsonl, recluster/clusters.jsonl if `cluster.again`
Out:  label/maps/<id>.png, coverage.json
"""

from __future__ import annotations

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
from maskdistill.runs.layout import LabelFolder
from maskdistill.settings import RunSettings, as_dict
from maskdistill.settings.label import LabelSettings
from maskdistill.types import Detections


def parts(settings: RunSettings) -> dict[str, Any]:
    """Return the settings that change the maps."""
    own = as_dict(settings.label)
    shape, unsure = own.pop("shape"), own.pop("unsure_score")
    # Maps are the same as before there were these settings.
    own |= {} if shape == "mask" else {"shape": shape}
    return own | ({} if unsure is None or unsure >= own["min_score"] else {"unsure_score": unsure})


def work(job: Job, folder: LabelFolder) -> Done:
    """Select detections and paint them, a picture at a time.

    A picture without any detection that counts gets no map.
    """
    settings = job.settings.label
    size_of = {image.id: image.size for image in job.images}
    atomic.make_folder(folder.maps)
    rows = clusterings.of_detections(job.folder, job.settings).rows()
    progress = job.progress.bar("label", total=len(job.images), unit="pictures")
    with Journal(folder.parts.path) as journal, progress as bar:
        for row in rows:
            if row["id"] not in journal:
                row["masks"] = [mask for mask in row.get("masks", []) if "left_out" not in mask]
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


def stage(settings: RunSettings) -> Stage:
    """Return the stage, which reads the clustering that its detections count in."""
    reads = tuple(dict.fromkeys(["scan", "detect", clusterings.counted_in(settings)]))
    return Stage(name="label", version=1, reads=reads, parts=parts, work=work)
