"""segment.keep best_on_the_reported_data: weights that score best on the data that is reported on.

The release does this; its number is then the best of many looks, too high for a network that nobody
has looked at. This is the one place where ground truth reaches what is trained; it has to be asked
for by that name, and its numbers stand under it (measuring/run_measures.py).

In:   ground truth, the network under way
Out:  parts/best.safetensors; looks.jsonl (step, mIoU)
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from maskdistill.artifacts import ground_truth
from maskdistill.artifacts.ground_truth import Known
from maskdistill.datasets.label_maps import map_folder
from maskdistill.datasets.label_maps.map_files import NUMBERS
from maskdistill.engine.job import Image, Job
from maskdistill.errors import PictureError, SettingsError, setting
from maskdistill.evaluation import bootstrap, label_map_counts, semantic
from maskdistill.evaluation.rows import number
from maskdistill.runs import atomic, fingerprints, lines
from maskdistill.runs.layout import TrainFolder
from maskdistill.settings import RunSettings
from maskdistill.settings.segment import BEST
from maskdistill.training import checkpoint


def parts(settings: RunSettings) -> dict[str, Any]:
    """Return what the choice depends on, for the fingerprint; nothing where none is made."""
    if settings.segment.keep != BEST:
        return {}
    judged: dict[str, Any] = {
        "matching": settings.evaluate.matching,
        "protocol": settings.evaluate.protocol,
        "pixels": settings.segment.pixels,  # of what is looked at
    }
    if settings.evaluate.crowds != "ignored":
        judged["crowds"] = settings.evaluate.crowds
    truth = [_content(Path(source)) for source in settings.ground_truth]
    reading = ground_truth.reading(settings)
    if reading != NUMBERS:  # the usual one stays out, so that earlier runs are not stale
        judged |= {"label_values": reading.values, "void": reading.void}
    return {"keep": BEST, "looks": settings.segment.looks, **judged, "ground_truth": truth}


class Looks:
    """The looks of one training; the first of the best ones counts."""

    def __init__(
        self,
        job: Job,
        folder: TrainFolder,
        model: nn.Module,
        *,
        steps: int,
        n_clusters: int,
        predict: Callable[[nn.Module, Image], np.ndarray],
    ) -> None:
        """Join the ground truth to the pictures that are reported on, held-out ones if there are.

        Args:
            folder: of the stage; what is kept lies in its parts/.
            model: a network of the same shape, to look with: the one that is trained stays as it
                is.
            predict: from a network and a picture of the run to its label map (H, W) uint8.
        Raises:
            SettingsError: no ground truth fits the pictures that are reported on.
        """
        self.job, self.model, self.predict = job, model, predict
        self.settings, self.n_clusters = job.settings.evaluate, n_clusters
        self.steps, self.every = steps, -(-steps // job.settings.segment.looks)
        self.file, self.best = (
            folder.parts.looks,
            folder.parts.best,
        )
        self.said = folder.parts.best_look
        sources, self.names = ground_truth.read(job)
        splits = [
            ground_truth.join(job, sources, images)
            for images in reversed(job.in_splits().values())
            if images
        ]
        self.joined = next((found for found in splits if found), [])
        if not self.joined:
            raise SettingsError(
                f"segment.keep: {BEST} chooses by ground truth, and there is none for these "
                f"pictures. Give {setting('ground_truth')}, or {setting('segment.keep', 'average')}, "
                "which needs none"
            )

    def look(self, step: int, state_of: Callable[[], dict[str, Any]]) -> None:
        """Score the weights of a step that is one to look at; keep them where none were better."""
        if step % self.every and step != self.steps:
            return
        state = state_of()
        weights: dict[str, Tensor] = state["averaged"] or state["model"]
        self.model.load_state_dict(weights)
        self.model.eval()
        value = number(self._mean_iou())
        if value is None:
            raise SettingsError(
                f"segment.keep: {BEST}: every pixel of the ground truth of these pictures is "
                f"ignored, so that nothing can be chosen by it. Give another "
                f"{setting('ground_truth')}, or {setting('segment.keep', 'average')}"
            )
        before = (
            [row for row in lines.read(self.file) if row["step"] < step]
            if self.file.exists()
            else []
        )
        lines.write(self.file, [*before, {"step": step, "mIoU": value}])
        best = json.loads(self.said.read_text(encoding="utf-8")) if self.said.exists() else None
        if best is None or value > best["mIoU"]:
            # The weights first: after a kill between the two the step is looked at once more, and
            # written again.
            atomic.write_bytes(self.best, checkpoint.weights_bytes(weights))
            atomic.write_json(self.said, {"step": step, "mIoU": value})

    def chosen(self) -> tuple[int, dict[str, Tensor]]:
        """Return the step that was best, and its weights."""
        step = int(json.loads(self.said.read_text(encoding="utf-8"))["step"])
        return step, checkpoint.read_weights(self.best)

    def _mean_iou(self) -> float:
        counts, columns = [], self.n_clusters + 1
        for known in self.joined:
            counts.append(
                semantic.confusion(
                    self._predicted(known), known.label_map(), len(self.names) + 1, columns=columns
                )
            )
        of = label_map_counts.LabelMaps(counts, rule=self.settings.matching)
        return bootstrap.value(of.mean_iou(protocol=self.settings.protocol), len(counts))

    def _predicted(self, known: Known) -> np.ndarray:
        """Return the label map of a picture; of one that cannot be read all pixels are wrong."""
        try:
            return self.predict(self.model, known.image)
        except (
            PictureError
        ):  # as evaluate counts it: the look must give the number that is reported
            return np.full(known.image.size, semantic.NO_CLASS, np.uint8)


def _content(source: Path) -> str:
    """Return the digest of a ground truth: of its bytes, of a folder those of its label maps."""
    if source.is_file():
        return fingerprints.sha256_file(source)
    if not source.is_dir():
        return "missing"
    maps = {key: fingerprints.sha256_file(path) for key, path in map_folder.listed_in(source)}
    return fingerprints.digest(maps) if maps else "missing"
