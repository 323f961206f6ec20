"""Trained run: the networks of a run as one object that predicts; `api.load` returns it.

In:   a run's folder
Out:  Model; of a picture a Prediction (instances, label map, names)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskdistill.artifacts import cluster_names, clusterings, freshness
from maskdistill.artifacts.mask_lines import detections
from maskdistill.engine.job import Job, reading_of
from maskdistill.engine.opening import settings_of
from maskdistill.errors import PictureError, RunError
from maskdistill.features.tokens import Tokens
from maskdistill.inference import run_backbone
from maskdistill.memory import in_halves
from maskdistill.pictures import as_rgb
from maskdistill.runs import record
from maskdistill.runs.layout import RunFolder
from maskdistill.runs.stages import DETECT_TRAIN, RECLUSTER, SEGMENT_TRAIN
from maskdistill.settings import Reading, RunSettings
from maskdistill.settings.segment import BACKBONE
from maskdistill.stages import cluster, detect, segment
from maskdistill.types import Detections, Prediction


class Model:
    """The networks of a run, on one device.

    Attributes:
        settings: those of the run.
        detector: None where the run's detections were imported.
        segmenter: None where the run has none yet.
        names: of the clusters of instances, by number.
        label_names: of the clusters of label maps, by number.
        assign: from a picture and the instances in it to their clusters (n,) int64, where label
            maps count in a second clustering; None: instances keep those of the detector.
        reading: how files are read: as the run's pictures were.
        look: from a picture to its tokens, for networks of size backbone; None: there is none.
    """

    def __init__(
        self,
        settings: RunSettings,
        detector: Any | None,
        segmenter: Any | None,
        names: list[str],
        assign: Callable[[np.ndarray, Detections], np.ndarray] | None = None,
        reading: Reading | None = None,
        look: Callable[[np.ndarray], Tokens] | None = None,
        *,
        label_names: list[str] | None = None,
    ) -> None:
        self.settings, self.detector, self.segmenter, self.names = (
            settings,
            detector,
            segmenter,
            names,
        )
        self.assign, self.look = assign, look
        self.label_names = names if label_names is None else label_names
        self.reading = settings.reading if reading is None else reading

    def predict(self, picture: np.ndarray | str | Path) -> Prediction:
        """Predict the instances and, with a segmenter, the label map of one picture.

        Args:
            picture: (H, W, 3) uint8 RGB, or a file.
        Returns:
            A Prediction of the picture's size; its label map is None without a segmenter.
        Raises:
            PictureError: the file cannot be decoded, or the picture does not fit into memory.
            ValueError: an array of another shape or dtype.
        """
        picture = as_rgb(picture, **self.reading)
        (made,) = in_halves([picture], lambda some: [self._predicted(some[0])])
        if made is None:
            height, width = picture.shape[:2]
            raise PictureError(
                f"a picture of {width} x {height} px does not fit into memory. "
                "Make it smaller, or predict on another device"
            )
        return made

    def _predicted(self, picture: np.ndarray) -> Prediction:
        size = picture.shape[:2]
        with torch.inference_mode():
            seen = self.look(picture) if self.look is not None else None
            if self.detector is None:
                instances = detections({}, size)
            else:
                instances = detect.predict(self.detector, picture, self.settings, seen=seen)
            if self.assign is not None and len(instances):
                instances = replace(instances, clusters=self.assign(picture, instances))
            label_map = None
            if self.segmenter is not None:
                label_map = segment.predict(self.segmenter, picture, self.settings, seen=seen)
        return Prediction(
            instances=instances,
            label_map=label_map,
            names=self.names,
            label_names=self.label_names,
        )


def load(root: Path, *, device: str = "auto", crf: bool = False) -> Model:
    """Load the networks of a run.

    Args:
        device: auto, cpu, cuda or cuda:N.
        crf: draw the segmenter's label maps to the edges of the picture by a dense CRF, whatever
            the run's setting.
    Raises:
        RunError: not a run, or its detector is not trained yet; `crf`, and there is no segmenter; a
            network counts in other clusters than those that are there now, or learnt on the tokens
            of other weights.
        SettingsError: the device is not there.
    """
    folder = RunFolder(root)
    if not folder.config.exists():
        raise RunError(f"{root}: not the folder of a run (no config.yaml)")
    settings = settings_of(folder, device=device)
    _check_clusters(folder, settings)
    segmenter = (
        segment.trained(folder, settings) if record.read(folder.segment_train.record) else None
    )
    detector, look = None, None
    if not settings.detect.import_file:
        if record.read(folder.detect_train.record) is None:
            raise RunError(
                f"{root}: has no trained detector. Train it first: maskdistill run --out {root}"
            )
        if settings.detect.on_tokens:
            run_backbone.check(folder, settings, DETECT_TRAIN)
            look = run_backbone.tokens_of(settings)
        detector = detect.trained(folder, settings)
    elif segmenter is None:
        raise RunError(
            f"{root}: its detections are imported, and it has no trained segmenter. Train it: --until segment"
        )
    if crf and segmenter is None:
        raise RunError(
            f"{root}: has no trained segmenter, whose label maps a CRF is for. Train it first: --until segment"
        )
    if segmenter is not None and settings.segment.size == BACKBONE:
        run_backbone.check(folder, settings, SEGMENT_TRAIN)
        look = run_backbone.tokens_of(settings)
    if crf:
        settings = replace(settings, segment=replace(settings.segment, pixels="crf"))
    assign = None
    own = clusterings.of_detections(folder, settings)
    if own.stage == RECLUSTER and detector is not None:
        # What is named of detections is named by that clustering of them.
        assign = cluster.assigner(Job.alone(settings), own)
    if own.folder.about.exists():
        words = cluster_names.of(own.folder)
    else:
        assert detector is not None  # what is imported has its clusters.json
        words = [
            f"cluster {number}"
            for number in range(len(detector.roi_heads.box_predictor.cls_score.bias) - 1)
        ]
    of_maps, label_names = clusterings.of_label_maps(folder, settings), words
    if of_maps.of == "proposals" and segmenter is not None:
        there = of_maps.folder.about.exists()  # else a model that was taken out of its run
        label_names = (
            cluster_names.of(of_maps.folder)
            if there
            else [f"cluster {number}" for number in range(segment.n_classes(segmenter) - 1)]
        )
    reading = reading_of(settings, folder)
    return Model(
        settings, detector, segmenter, words, assign, reading, look, label_names=label_names
    )


def _check_clusters(folder: RunFolder, settings: RunSettings) -> None:
    """Check that the networks were trained on the clusters that are there now.

    Raises:
        RunError: they count in others.
    """
    of_maps = clusterings.of_label_maps(folder, settings).stage
    trained = [(SEGMENT_TRAIN, "label"), ("label", of_maps)]
    if (
        clusterings.of_detections(folder, settings).stage == "cluster"
    ):  # else the detector's own clusters are not looked at
        trained.insert(0, (DETECT_TRAIN, "cluster"))
    for name, read in trained:
        if not freshness.is_of(folder, name, read):
            raise RunError(f"{folder.root}: {freshness.sentence(folder, [name], [read])}")
