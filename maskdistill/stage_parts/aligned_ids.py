"""Aligned ids: a clustering's ids in line with another's, by the pixels that their masks share.

In:   our masks and ids, another clustering over the same pictures
Out:  the new id of each of our clusters
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from maskdistill.artifacts import clusterings
from maskdistill.artifacts.clusterings import Clustering
from maskdistill.artifacts.mask_lines import MaskFile
from maskdistill.clusters.alignment import aligned
from maskdistill.engine.job import Image, Job
from maskdistill.masks import rle
from maskdistill.runs.layout import RunFolder
from maskdistill.runs.stages import RECLUSTER
from maskdistill.settings import RunSettings


def by_first_clustering(settings: RunSettings) -> bool:
    """Return whether the second clustering takes the ids of the first one of the same run.

    Not where the ids of another run are asked for, and not of imported detections, which are of no
    proposals.
    """
    return not settings.cluster.align_to and not settings.detect.import_file


def with_proposals(settings: RunSettings) -> bool:
    """Return whether the second clustering is fitted on the proposals too.

    Not where detections are imported, which are of no proposals.
    """
    return settings.cluster.again_with == "proposals" and not settings.detect.import_file


def model_of(job: Job, stage: str) -> Clustering | None:
    """Return the clustering that `cluster` or `recluster` takes its ids from, None for its own.

    The run `cluster.align_to` comes first; detections else take those of the run's proposals, so
    that a colour means the same on both.
    """
    if job.settings.cluster.align_to:
        return clusterings.made_by(RunFolder(Path(job.settings.cluster.align_to)), "cluster")
    if stage == RECLUSTER and by_first_clustering(job.settings):
        return clusterings.made_by(job.folder, "cluster")
    return None


def names_as(
    images: list[Image], file: MaskFile, ids: np.ndarray, k: int, model: Clustering
) -> np.ndarray:
    """Return the new id of each of our clusters, by pixels shared with those of another clustering.

    Args:
        file: our masks. ids: (n,) the cluster of each, in file order. k: our clusters.
        model: a clustering over the same pictures; of more clusters than k its ids close up, as
            `aligned` says.
    Returns:
        (k,) int64: 0 .. k - 1, each once.
    """
    other, their_ids = MaskFile(model.masks), model.ids()
    overlap = np.zeros((k, model.k))
    for image in images:
        own, seen = file.masks(image.id), other.masks(image.id)
        if not own or not seen:
            continue
        iou = rle.iou([mask["rle"] for mask in own], [mask["rle"] for mask in seen])
        areas = (
            np.array([mask["area"] for mask in own])[:, None]
            + np.array([mask["area"] for mask in seen])[None]
        )
        shared = iou * areas / (1 + iou)  # px of the intersections
        rows = (
            ids[file.first[image.id] :][: len(own)],
            their_ids[other.first[image.id] :][: len(seen)],
        )
        np.add.at(overlap, np.ix_(*rows), shared)
    return aligned(overlap)
