"""Page sources: everything that the page reads of a run, without what is stale.

In:   the folders of all finished stages
Out:  plain values, for page_pictures.py and stages/report.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np

from maskdistill.artifacts import clusterings, freshness, label_maps
from maskdistill.artifacts.finished_stages import Outputs
from maskdistill.artifacts.mask_lines import MaskFile
from maskdistill.datasets.page_names import name_of
from maskdistill.engine.job import Image, Job
from maskdistill.errors import MaskDistillError
from maskdistill.measuring import stage_numbers, tables
from maskdistill.report.measured import where_by_class
from maskdistill.runs import lines, record
from maskdistill.runs.stages import RECLUSTER, STAGES
from maskdistill.stage_parts.training_masks import TrainedOn

SHOWN = tuple(entry.name for entry in STAGES if entry.does)  # stages that the page shows


class PageSources:
    """A run's folder, read for the page.

    Attributes:
        records: stage -> its record; None where it is not complete, stale, or not asked for.
        stale: stages that were made from others than are there.
        files: propose, detect -> masks; None where there are none.
        not_learnt: the detector in place of whose detections proposals are painted; None: they are.
        found_again: how many masks the detector was trained on, and how many of them it finds.
        ids: propose, detect -> {(picture id, number of the mask): cluster}.
        events: of the ledger, in order.
    """

    def __init__(self, job: Job) -> None:
        self.job, self.folder = job, job.folder
        self.outputs = Outputs(job)
        self.records = {name: record.read(self.folder.stage(name).record) for name in SHOWN}
        self.stale = {
            name for name in freshness.SHOWN if self.records[name] and self.outputs.others(name)
        }
        for name in self.stale:
            self.records[name] = None
        without = clusterings.nothing_to_cluster(self.folder, job.settings)
        if not job.settings.cluster.again or without:
            self.records[RECLUSTER] = None  # what is there is an old one
        self.events = list(job.ledger.read())
        self.files = {
            "propose": self._masks("propose", self.folder.propose.masks),
            "detect": self._masks("detect", self.folder.detect.masks),
        }
        given = TrainedOn.of_run(job) if self.records["detect"] else None
        self.found_again = None if given is None else given.found_again(self.folder.detect.masks)
        self.not_learnt = self.outputs.not_learnt()
        self.ids = {"propose": self._ids("proposals"), "detect": self._ids("detections")}

    def refused(self) -> list[tuple[str, str]]:
        """Return the pictures that are left out now, each with its reason.

        The ledger also has those that were mended since.
        """
        path = self.folder.scan.refused
        found = (
            [(name_of(row["path"], row.get("page")), row["refused"]) for row in lines.read(path)]
            if path.exists()
            else []
        )
        path_of = {image.id: image.name for image in self.job.images}
        for file in self.files.values():
            reasons = file.reasons.items() if file else ()
            found += [(path_of[number], reason) for number, reason in reasons]
        return list(dict.fromkeys(found))

    def masks_per_picture(self) -> dict[str, list[int]]:
        """Return how many masks each picture has, by stage."""
        return {
            stage: [file.n_in(image.id) for image in self.job.images if not file.refused(image.id)]
            for stage, file in self.files.items()
            if file
        }

    def areas(self) -> dict[str, list[float]]:
        """Return the share of its picture that each mask covers, by stage."""
        size_of = {image.id: image.width * image.height for image in self.job.images}
        return {
            stage: [
                mask["area"] / size_of[row["id"]]
                for row in lines.read(file.path)
                for mask in row.get("masks", [])
            ]
            for stage, file in self.files.items()
            if file
        }

    def coverage(self) -> dict[str, list[float]]:
        """Return the share of each picture that label maps paint, by stage."""
        found: dict[str, list[float]] = {}
        if self.records["label"]:
            entries = json.loads(self.folder.label.coverage.read_text(encoding="utf-8"))
            shares = [entry["coverage"] for entry in entries.values()]
            found["label"] = [share for share in shares if share is not None]
        if self.records["segment"]:
            maps = (self.folder.segment.map_of(image.id) for image in self.job.images)
            found["segment"] = [
                float((label_maps.read(path) > 0).mean()) for path in maps if path.exists()
            ]
        return {stage: values for stage, values in found.items() if values}

    def losses(self) -> dict[str, list[dict[str, float]]]:
        """Return the losses of each training, a step a row."""
        places = {"detect": self.folder.detect_train, "segment": self.folder.segment_train}
        found = {
            stage: list(lines.read(folder.losses))
            for stage, folder in places.items()
            if folder.losses.exists()
        }
        return {stage: rows for stage, rows in found.items() if rows}

    def clusterings(self) -> dict[str, dict[str, Any]]:
        """Return what is known of the clusters of each clustering that is there."""
        return {
            stage: clusterings.made_by(self.folder, stage).about()
            for stage in ("cluster", RECLUSTER)
            if self.records[stage]
        }

    def numbers(self, stage: str) -> str:
        """Return what a stage says of itself without ground truth, as a line; "" where it is not.

        A stage that was made before there were such numbers has dashes.
        """
        entry = self.records[stage] if stage in stage_numbers.NAMES else None
        return "" if entry is None else stage_numbers.line(stage, entry.numbers)

    def evaluated(self, key: Literal["metrics", "steps", "published", "truth"]) -> list[Any]:
        """Return one list of metrics.json; older files have no figures of others."""
        path = self.folder.evaluate.metrics
        return json.loads(path.read_text(encoding="utf-8")).get(key, []) if path.exists() else []

    def confusion(self) -> tuple[str, list[str], np.ndarray] | None:
        """Return title, names and counts of the confusion that the bars by class are of."""
        place = where_by_class(self.evaluated("metrics"))
        if place is None:
            return None
        stage, split = place
        found = tables.read_confusion(self.folder.evaluate, split, stage)
        title = f"Where the pixels of each class went, per cent: {stage}, {split}"
        return (title, *found) if found else None

    def picture(self, image: Image) -> np.ndarray | None:
        """Return a picture (H, W, 3) uint8; None where it is refused, or was moved since."""
        try:
            rgb: np.ndarray = self.job.read_picture(image)
            return rgb
        except MaskDistillError:
            return None

    def imported(self, stage: str) -> str:
        """Return the file of others that a stage stands for, "" where it is ours."""
        own = getattr(self.job.settings, stage, None)
        return getattr(own, "import_file", "")

    def _masks(self, stage: str, path: Path) -> MaskFile | None:
        return MaskFile(path) if self.records[stage] else None

    def _ids(self, of: Literal["proposals", "detections"]) -> dict[tuple[int, int], int]:
        if not self.records["cluster" if of == "proposals" else "detect"]:
            return {}
        file = self.outputs.clustering(of).file
        rows = lines.read(file) if file else ()
        return {(row["id"], row["mask"]): row["cluster"] for row in rows}
