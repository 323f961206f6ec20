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
from maskdistill.labels import paint, select
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
    shape = own.pop("shape")
    # Maps of masks are the same as before there was this setting.
    return own if shape == "mask" else {**own, "shape": shape}


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
    painted = [number for number, entry in entries.items() if entry["masks"]]
    coverage = [entries[number]["coverage"] for number in painted]
    counts = {
        "maps": len(painted),
        "without_map": len(entries) - len(painted),
        "masks": sum(entry["masks"] for entry in entries.values()),
        "mean_coverage": round(float(np.mean(coverage)), 4) if coverage else 0.0,
    }
    return Done(outputs=[folder.coverage, *map(folder.map_of, painted)], counts=counts)


def _painted(
    folder: LabelFolder, image_id: int, found: Detections, settings: LabelSettings
) -> dict[str, Any]:
    """Write the label map of one picture, if it has a detection; return its coverage and count.

    The share of its pixels that is painted lies in [0, 1], and is None without a map.
    """
    chosen = select(found.scores, min_score=settings.min_score, keep_best=settings.keep_best)
    if not len(chosen):
        return {"coverage": None, "masks": 0}
    if settings.shape == "box":
        masks = masks_from_boxes(found.boxes_xyxy[chosen], found.size)
    else:
        masks = rle.decode([found.rles[position] for position in chosen])
    label_map = paint(
        masks, found.clusters[chosen], found.scores[chosen], found.size, overlap=settings.overlap
    )
    label_maps.write(folder.map_of(image_id), label_map)
    return {"coverage": round(float((label_map > 0).mean()), 6), "masks": len(chosen)}


def stage(settings: RunSettings) -> Stage:
    """Return the stage, which reads the clustering that its detections count in."""
    reads = tuple(dict.fromkeys(["scan", "detect", clusterings.counted_in(settings)]))
    return Stage(name="label", version=1, reads=reads, parts=parts, work=work)
