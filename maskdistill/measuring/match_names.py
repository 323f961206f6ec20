"""Names for clusters: matched with classes of a few labelled pictures, after learning without them.

In:   a complete clustering, its masks, labelled pictures of the run (COCO JSON, or a folder of
      label maps)
Out:  names.json beside clusters.json; nothing that is trained reads it
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from maskdistill.artifacts import clusterings, freshness, ground_truth
from maskdistill.artifacts.cluster_names import unlike
from maskdistill.artifacts.clusterings import Clustering
from maskdistill.artifacts.mask_lines import MaskFile
from maskdistill.datasets import truth as truths
from maskdistill.engine.job import Job
from maskdistill.errors import GroundTruthError, RunError
from maskdistill.evaluation import clusters, matching
from maskdistill.evaluation.records import HIT
from maskdistill.masks import rle
from maskdistill.runs import atomic, record
from maskdistill.runs.stages import RECLUSTER

# IoU with an object, or share of the mask's pixels of one class, from which a mask counts: as for
# the accuracy of clusters, so that names and numbers are of the same masks.
MATCHED = HIT


def work(job: Job, labelled: list[Path]) -> list[dict[str, Any]]:
    """Name the clusters of each complete clustering.

    Args:
        labelled: COCO JSON files or folders of label maps, of pictures of the run.
    Returns:
        Rows for the command: stage, cluster, name, masks (that meet a label), agreed (with the
            name).
    Raises:
        GroundTruthError: no labelled picture is one of the run's. RunError: nothing is clustered
            yet.
    """
    sources, classes = ground_truth.read(job, [str(source) for source in labelled])
    joined = ground_truth.join(job, sources, job.images, partial=True)
    if not joined:
        raise GroundTruthError(
            f"{labelled[0]}: none of its pictures is one of the run's {len(job.images)}. "
            "Its file names must be their relative paths or names"
        )
    ground_truth.tell(job, sources, stage="cluster")
    rows: list[dict[str, Any]] = []
    for stage in ("cluster", RECLUSTER):
        clustering = clusterings.made_by(job.folder, stage)
        if record.read(clustering.folder.record) is None:
            continue
        if others := freshness.others(job.folder, stage):
            job.progress.say(
                f"{freshness.sentence(job.folder, [stage], others)}. Until then it is not named"
            )
            continue
        k = clustering.k
        counts = _counts(job, clustering, joined, k=k, n_classes=len(classes))
        partner = {
            row: which for row, which in matching.hungarian(counts).items() if counts[row, which]
        }
        names = unlike(
            [classes[partner[row]] if row in partner else f"cluster {row}" for row in range(k)]
        )
        seen = counts.sum(axis=1).tolist()
        agreed = [int(counts[row, partner[row]]) if row in partner else 0 for row in range(k)]
        atomic.write_json(
            clustering.folder.names,
            {
                "names": names,
                "by": f"Hungarian by count, masks that meet a labelled object by {MATCHED}",
                "labelled": [str(source) for source in labelled],
                "pictures": len(joined),
                "masks": seen,
                "agreed": agreed,
            },
        )
        job.ledger.write(
            "named", stage=stage, labelled=[str(source) for source in labelled], names=names
        )
        rows += [
            {
                "stage": stage,
                "cluster": row,
                "name": names[row],
                "masks": seen[row],
                "agreed": agreed[row],
            }
            for row in range(k)
        ]
    if not rows:
        raise RunError(
            f"{job.folder.root}: has no clusters yet. "
            f"Do it first: maskdistill cluster {job.folder.root}"
        )
    return rows


def _counts(
    job: Job, clustering: Clustering, joined: list[Any], *, k: int, n_classes: int
) -> np.ndarray:
    """Return (k, classes) int64: how often masks of each cluster meet each class."""
    file, ids = MaskFile(clustering.masks), clustering.ids()
    counts = np.zeros((k, n_classes), np.int64)
    for image, source, key in joined:
        rles = [mask["rle"] for mask in file.masks(image.id)]
        if not rles:
            continue
        own = ids[file.first[image.id] :][: len(rles)]
        met = _met(rles, source, key, image.size)
        counts += clusters.table(own[met > 0], met[met > 0] - 1, n_clusters=k, n_classes=n_classes)
    return counts


def _met(rles: list[Any], source: truths.Truth, key: str, size: tuple[int, int]) -> np.ndarray:
    """Return (n,) the class 1 .. C of each mask, 0 or less where it shows nothing labelled."""
    if key in source.objects:
        solid = [row for row in source.objects[key].masked if not row["crowd"]]
        iou = rle.iou(rles, [row["rle"] for row in solid])
        classes = np.array([row["category"] for row in solid], np.int64)
        return clusters.class_of_best(iou, classes, at_least=MATCHED)
    label_map = source.label_map(key)
    return np.array(
        [
            clusters.class_inside(label_map[mask], at_least=MATCHED)
            for mask in rle.decode(rles, size=size)
        ]
    )
