"""Finished stages of one run, read back: masks with clusters, label maps, whether they are current.

In:   the outputs and stage.json of the stages
Out:  lines of masks, label maps (H, W) uint8, a sentence about stages that are stale
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Literal

import numpy as np

from maskdistill.artifacts import clusterings, freshness, label_maps
from maskdistill.artifacts.clusterings import Clustering, NotLearnt
from maskdistill.engine.job import Image, Job
from maskdistill.labels import IGNORE
from maskdistill.runs import lines, record
from maskdistill.runs.stages import RECLUSTER, STAGES
from maskdistill.settings.segment import BEST


class Outputs:
    """Finished stages of one run, with the settings that the run has now."""

    def __init__(self, job: Job) -> None:
        self.folder, self.settings = job.folder, job.settings

    def complete(self, stage: str) -> bool:
        """Return whether a stage is finished, and was made from what is there now."""
        return record.read(self.folder.stage(stage).record) is not None and not self.others(stage)

    def others(self, stage: str) -> list[str]:
        """Return the stages that a finished one was made from and that are others now."""
        found = freshness.others(self.folder, stage)
        if not found and stage in ("label", "segment"):
            label = record.read(self.folder.label.record)
            counted_in = self.clustering("label maps").stage
            if label is not None and counted_in not in label.parts["reads"]:
                found = [counted_in]  # the maps count in the clusters of another stage
        return found

    def stale(self) -> str:
        """Return a sentence about stages that are stale, "" where there are none."""
        names = [entry.name for entry in STAGES if entry.name in freshness.SHOWN]
        without = clusterings.nothing_to_cluster(self.folder, self.settings)
        if not self.settings.cluster.again or without:
            names.remove(RECLUSTER)
        found = {name: self.others(name) for name in names}
        stale = [name for name, others in found.items() if others]
        every = dict.fromkeys(other for name in stale for other in found[name])
        return freshness.sentence(self.folder, stale, list(every)) if stale else ""

    def chosen_by_truth(self) -> bool:
        """Return whether the segmenter's weights scored best on the truth it is reported on."""
        entry = record.read(self.folder.segment_train.record)
        return entry is not None and entry.parts["settings"].get("keep") == BEST

    def masks(self, stage: str, ids: Container[int]) -> dict[int, list[dict[str, Any]]]:
        """Return the masks of some pictures, by picture id; an empty list for a refused picture.

        Args:
            stage: propose, or detect, whose masks have the clusters that the label maps count in.
            ids: of the pictures that are wanted.
        """
        if stage == "detect":
            rows = self.clustering("detections").rows()
        else:
            rows = lines.read(self.folder.propose.masks)
        return {row["id"]: row.get("masks", []) for row in rows if row["id"] in ids}

    def label_map(self, stage: str, image: Image) -> np.ndarray:
        """Return a picture's label map (H, W) uint8 of `label` or `segment`; zeros without one.

        What `label` ignored as unsure is background here: it was not painted.
        """
        folder = self.folder.label if stage == "label" else self.folder.segment
        path = folder.map_of(image.id)
        found = label_maps.read(path) if path.exists() else np.zeros(image.size, np.uint8)
        return np.where(found == IGNORE, 0, found).astype(np.uint8) if stage == "label" else found

    def n_clusters(self, stage: str) -> int:
        """Return the number of clusters that the masks or label maps of a stage count in."""
        of_masks: Literal["proposals", "detections"] = (
            "proposals" if stage == "cluster" else "detections"
        )
        return self.clustering("label maps" if stage in ("label", "segment") else of_masks).k

    def not_learnt(self) -> NotLearnt | None:
        """Return the detector in place of whose detections proposals are painted, if so it is."""
        return clusterings.not_learnt(self.folder, self.settings)

    def clustering(self, of: Literal["proposals", "detections", "label maps"]) -> Clustering:
        """Return the clustering that is counted in: a second one only while it is current."""
        if of == "proposals":
            return clusterings.made_by(self.folder, "cluster")
        again = self.settings.cluster.again and self.complete(RECLUSTER)
        if of == "label maps":
            return clusterings.of_label_maps(self.folder, self.settings, again=again)
        return clusterings.of_detections(self.folder, self.settings, again=again)
