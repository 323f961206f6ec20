"""Clusterings: which one counts for the masks of a run, asked here and nowhere else.

Proposals have the clusters of `cluster`. Detections have those of a second clustering where the run
makes one (`cluster.again`), else those that they carry: of the clustering that the detector was
trained on, of the categories of imported detections, or the one of a detector that learnt none.
Label maps, and so the segmenter, count in what they are painted of: detections, or proposals where
the detector has not learnt (`label.keep_best_stage`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from maskdistill.artifacts.mask_lines import with_clusters
from maskdistill.evaluation import agreement
from maskdistill.runs import lines, record
from maskdistill.runs.layout import ClusterFolder, RunFolder
from maskdistill.runs.stages import RECLUSTER
from maskdistill.settings import RunSettings


@dataclass(frozen=True)
class Clustering:
    """The clusters of one file of masks.

    Attributes:
        stage: whose clusters they are: cluster | recluster | detect (detections that bring their
            own: imported ones, or all of one cluster).
        of: the masks that are counted in them.
        folder: where the clusters are described and named.
        masks: the file of the masks.
        file: the clusters.jsonl that gives each mask its cluster, in the order of `masks`; None:
            each mask carries its own.
    """

    stage: str
    of: Literal["proposals", "detections"]
    folder: ClusterFolder
    masks: Path
    file: Path | None

    @property
    def k(self) -> int:
        """Return the number of clusters."""
        return int(self.about()["k"])

    def about(self) -> dict[str, Any]:
        """Return what is known of the clusters: k, sizes, exemplars, ..."""
        return dict(json.loads(self.folder.about.read_text(encoding="utf-8")))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of the masks, a picture each, every mask with its cluster."""
        return with_clusters(self.masks, self.file)

    def ids(self) -> np.ndarray:
        """Return the cluster of each mask, (n,) int64 from 0, in file order.

        Only a clustering with a `file` has them apart from its masks.
        """
        assert self.file is not None
        return np.array([row["cluster"] for row in lines.read(self.file)], np.int64)


def made_by(folder: RunFolder, stage: str) -> Clustering:
    """Return the clustering that the stage `cluster` or `recluster` makes; it need not be there."""
    if stage == RECLUSTER:
        own = folder.recluster
        return Clustering(stage, "detections", own, folder.detect.masks, own.clusters)
    own = folder.cluster
    return Clustering(stage, "proposals", own, folder.propose.masks, own.clusters)


def of_proposals(folder: RunFolder) -> Clustering | None:
    """Return the clustering of the proposals, None where it is not complete."""
    return made_by(folder, "cluster") if record.read(folder.cluster.record) else None


def of_detections(
    folder: RunFolder, settings: RunSettings, *, again: bool | None = None
) -> Clustering:
    """Return the clustering that detections count in.

    Args:
        again: whether the second clustering counts where the settings ask for it; None: where it is
            complete.
    """
    if again is None:
        again = record.read(folder.recluster.record) is not None
    if again and settings.cluster.again and not nothing_to_cluster(folder, settings):
        return made_by(folder, RECLUSTER)
    stage = counted_in(settings, again=False)
    own = folder.own_clusters if stage == "detect" else folder.cluster
    return Clustering(stage, "detections", own, folder.detect.masks, None)


@dataclass(frozen=True)
class NotLearnt:
    """A detector that has not learnt, in place of whose detections proposals are painted.

    Attributes:
        masks: that it was trained on. found: of these, the masks that it finds.
    """

    masks: int
    found: int

    @property
    def sentence(self) -> str:
        """Return the sentence that ledger, progress, numbers and page have of it."""
        return (
            f"the detector finds {self.found} of the {self.masks} masks that it was trained on "
            "(below a quarter): label maps are painted from the clustered proposals"
        )


def not_learnt(folder: RunFolder, settings: RunSettings) -> NotLearnt | None:
    """Return the detector that label maps are not painted from; None: they are of detections.

    They are of detections where the detector has learnt, where `label.keep_best_stage` is off,
    where detections are imported, and where it is not known how many masks were found again.
    """
    path = folder.detect.found_again
    if not settings.label.keep_best_stage or settings.detect.import_file or not path.exists():
        return None
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        found = NotLearnt(int(known["masks"]), int(known["found"]))
    except (ValueError, KeyError, TypeError):
        # It is an output of detect: whatever reads detections says that it was changed, and `--from
        # detect`, which mends it, asks here too.
        return None
    return None if agreement.has_learnt(found.masks, found.found) else found


def nothing_to_cluster(folder: RunFolder, settings: RunSettings) -> bool:
    """Return whether no second clustering is made: a detector that learnt nothing finds nothing.

    Label maps, which are of proposals then, do without.
    """
    entry = record.read(folder.detect.record)
    n_found = None if entry is None else entry.counts.get("detections")
    return n_found == 0 and not_learnt(folder, settings) is not None


def of_label_maps(
    folder: RunFolder, settings: RunSettings, *, again: bool | None = None
) -> Clustering:
    """Return the clustering, with its masks, that label maps are painted from and count in.

    That of the proposals where the detector has not learnt, else that of the detections.

    Args:
        again: as `of_detections` has it.
    """
    if not_learnt(folder, settings) is not None:
        return made_by(folder, "cluster")
    return of_detections(folder, settings, again=again)


def counted_in(settings: RunSettings, *, again: bool = True) -> str:
    """Return the stage whose clusters detections count in once the run is made as settings ask.

    Args:
        again: False: of the clusters that detections carry themselves.
    """
    if again and settings.cluster.again:
        return RECLUSTER
    return "detect" if settings.detect.brings_clusters else "cluster"
