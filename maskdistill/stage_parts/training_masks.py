"""The masks that the detector is trained on, and how many of them it finds again.

In:   propose/proposals.jsonl, cluster/clusters.jsonl, detect/detections.jsonl
Out:  masks and clusters of a picture; counts
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from maskdistill.artifacts import clusterings
from maskdistill.artifacts.mask_lines import MaskFile
from maskdistill.engine.job import Image, Job
from maskdistill.engine.stage import identity
from maskdistill.evaluation import agreement
from maskdistill.masks import rle
from maskdistill.runs import record


class TrainedOn:
    """Proposals of training pictures, without those of low score and those left out as noise.

    Attributes:
        file: the proposals. clusters: (n,) int64 in their order.
        images: training pictures that can be read, those without masks too: they say what is no
            object.
    """

    @classmethod
    def of_run(cls, job: Job) -> TrainedOn | None:
        """Return the masks that the run's detector was trained on.

        None where there is no such detector, as with imported detections, and where the run has
        other masks or clusters now, or none: a trained detector predicts without.
        """
        trained = record.read(job.folder.detect_train.record)
        for name in ("propose", "cluster"):
            now = record.read(job.folder.stage(name).record)
            if trained is None or now is None or trained.parts["reads"][name] != identity(now):
                return None
        return cls(job)

    def __init__(self, job: Job) -> None:
        self.file = MaskFile(job.folder.propose.masks)
        rows = clusterings.made_by(job.folder, "cluster").rows()  # each mask with its own cluster
        masks = [mask for row in rows for mask in row.get("masks", [])]
        self.clusters = np.array([mask["cluster"] for mask in masks], np.int64)
        self._left_out = np.array(["left_out" in mask for mask in masks], bool)
        self._min_score = job.settings.detect.min_proposal_score or 0.0
        self.images = [
            image
            for image in job.images
            if image.split == "train" and not self.file.refused(image.id)
        ]

    def of(self, image: Image) -> tuple[list[dict[str, Any]], np.ndarray]:
        """Return the mask records of a picture, and their clusters (n,) int64."""
        rows = self.file.masks(image.id)  # says what is wrong where the file was cut short
        first = self.file.first[image.id]
        trusted = [
            number
            for number, mask in enumerate(rows)
            if mask["score"] >= self._min_score and not self._left_out[first + number]
        ]
        return [rows[number] for number in trusted], self.clusters[
            [first + number for number in trusted]
        ]

    def found_again(self, detections: Path) -> tuple[int, int]:
        """Return how many masks there are, and how many of them the best detections meet.

        Of a picture so many detections count as it has masks. No ground truth is in it: a detector
        that has learnt finds most of its own training masks, one that has not puts the same blot
        into every picture.
        """
        found, n_masks, n_met = MaskFile(detections), 0, 0
        for image in self.images:
            wanted, _ = self.of(image)
            best = found.masks(image.id)[: len(wanted)]  # detections are sorted by score
            n_masks += len(wanted)
            if best:
                iou = rle.iou([mask["rle"] for mask in wanted], [mask["rle"] for mask in best])
                n_met += agreement.found_again(iou)
        return n_masks, n_met
