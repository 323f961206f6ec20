"""What the stages of a run made, read back: masks with their clusters, label maps, how many clusters they count in."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np

from maskdistill.artifacts import freshness, label_maps
from maskdistill.artifacts.mask_lines import (
    cluster_files,
    clustering_of_detections,
    clusters_in,
    with_clusters,
)
from maskdistill.engine.stage import Image, Job
from maskdistill.runs import record
from maskdistill.settings.segment import BEST


class Outputs:
    """The finished stages of one run."""

    def __init__(self, job: Job) -> None:
        self.folder, self.again = job.folder, job.settings.cluster.again
        self.settings = job.settings

    def complete(self, stage: str) -> bool:
        """Whether a stage is finished, and was made from what is there now."""
        return record.read(self.folder.stage(stage) / "stage.json") is not None and not self.others(
            stage
        )

    def others(self, stage: str) -> list[str]:
        """The stages that a finished one was made from and that are others now."""
        found = freshness.others(self.folder, stage)
        if not found and stage in ("label", "segment"):
            label = record.read(self.folder.stage("label") / "stage.json")
            if label is not None and self._clustering() not in label.parts["reads"]:
                found = [self._clustering()]  # the maps count in the clusters of another stage
        return found

    def stale(self) -> str:
        """What to tell of all finished stages that were made from others than are there; empty where there is none."""
        found = {
            stage: self.others(stage)
            for stage in freshness.ORDER
            if stage != "recluster" or self.again
        }
        stale = [stage for stage, others in found.items() if others]
        every = dict.fromkeys(name for stage in stale for name in found[stage])
        return freshness.sentence(self.folder, stale, list(every)) if stale else ""

    def chosen_by_truth(self) -> bool:
        """Whether the segmenter's weights are those that scored best on the ground truth it is reported on."""
        entry = record.read(self.folder.stage("segment/train") / "stage.json")
        return entry is not None and entry.parts["settings"].get("keep") == BEST

    def masks(self, stage: str, ids: Container[int]) -> dict[int, list[dict[str, Any]]]:
        """Picture id -> proposals, or detections with the clusters that the label maps count in, of some pictures."""
        file = self.cluster_file("detections") if stage == "detect" else None
        path = self.folder.stage(stage) / (
            "detections.jsonl" if stage == "detect" else "proposals.jsonl"
        )
        return {
            row["id"]: row.get("masks", []) for row in with_clusters(path, file) if row["id"] in ids
        }

    def label_map(self, stage: str, image: Image) -> np.ndarray:
        """(H, W) uint8 of `label` or `segment`; all background for a picture without any detection."""
        path = (
            self.folder.stage(stage)
            / ("maps" if stage == "label" else "predictions")
            / f"{image.id}.png"
        )
        return label_maps.read(path) if path.exists() else np.zeros(image.size, np.uint8)

    def n_clusters(self, stage: str) -> int:
        """How many clusters the masks or label maps of a stage count in."""
        if stage == "cluster":
            return clusters_in(self.folder.stage("cluster"))
        return clusters_in(self.folder.stage(self._clustering()))

    def cluster_file(self, of: str) -> Path | None:
        """The clusters.jsonl of proposals or detections; None where detections carry the detector's own."""
        return cluster_files(self.folder, of, again=self.again and self.complete("recluster"))

    def _clustering(self) -> str:
        """The stage whose clusters detections and label maps count in."""
        return clustering_of_detections(
            self.settings, again=self.again and self.complete("recluster")
        )
