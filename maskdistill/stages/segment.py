"""segment: label maps -> a DeepLabv3, and its predictions for every picture.

In:   the pictures, label/maps/<id>.png
Out:  segment/train/ (model.safetensors, losses.jsonl; looks.jsonl), segment/predictions/<id>.png
"""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from maskdistill import crf, detector, segmenter
from maskdistill.artifacts import clusterings, label_maps
from maskdistill.engine import networks
from maskdistill.engine.job import Image, Job
from maskdistill.engine.stage import Done, Stage
from maskdistill.errors import TrainingError, setting
from maskdistill.proposals import pixels
from maskdistill.runs import atomic
from maskdistill.runs.layout import RunFolder, SegmentFolder, TrainFolder
from maskdistill.runs.stages import DETECT_TRAIN, SEGMENT_TRAIN
from maskdistill.settings import RunSettings
from maskdistill.settings.segment import BEST
from maskdistill.settings.training import TrainSettings
from maskdistill.stage_parts import best_on_truth, device_batches, train_network
from maskdistill.training import checkpoint


def train_parts(settings: RunSettings) -> dict[str, Any]:
    """Return the settings that change the trained network."""
    own = settings.segment
    sizes = {
        "size": own.size,
        "side": own.side,
        "hardest": own.hardest,
        **best_on_truth.parts(settings),
    }
    return {
        **sizes,
        "train": train_network.parts(_schedule(settings)),
        "precision": settings.precision,
        "seed": settings.seed_of_chain,
    }


def _schedule(settings: RunSettings) -> TrainSettings:
    """Return the schedule; nothing is averaged where the last weights are kept."""
    own = settings.segment
    return replace(own.train, average=0.0) if own.keep == "last" else own.train


def train(job: Job, folder: TrainFolder) -> Done:
    """Train on the label maps of training pictures; a picture without a map is not trained on."""
    own = job.settings.segment
    labels = job.folder.label
    coverage = json.loads(labels.coverage.read_text(encoding="utf-8"))
    images = [
        image for image in job.images if image.split == "train" and coverage[str(image.id)]["masks"]
    ]
    if not images:
        raise TrainingError(
            f"{labels.maps}: no training picture has a label map. "
            f"Lower {setting('label.min_score')}, "
            f"or keep the best detection ({setting('label.keep_best')})"
        )
    n_clusters = clusterings.of_detections(job.folder, job.settings).k
    model = segmenter.build(
        size=own.size, n_classes=1 + n_clusters, seed=job.settings.seed_of_chain
    )
    if job.settings.weights_of("segment") == "detect":
        state = checkpoint.read_weights(job.folder.detect_train.weights)
        train_network.fill_body(
            model.backbone, detector.body_state(state, pyramid=own.size == "small")
        )
    else:
        train_network.fill_body(model.body, train_network.start_weights(job, "segment", tell=True))

    def sample(position: int) -> tuple[np.ndarray, np.ndarray]:
        image = images[position]
        return job.read_picture(image), label_maps.read(labels.map_of(image.id))

    steps = train_network.steps_of(own.train, len(images), "segment")
    batch_of = segmenter.batches(
        sample,
        n_pictures=len(images),
        batch=own.train.batch,
        seed=job.settings.seed_of_chain,
        side=own.side,
        ranges=train_network.ranges(own.train),
    )
    loss_of = segmenter.losses(share=own.hardest)
    looks = (
        _looks(job, folder, model, steps=steps, n_clusters=n_clusters) if own.keep == BEST else None
    )
    halved = train_network.train(
        job,
        folder,
        model,
        _schedule(job.settings),
        steps=steps,
        batch_of=batch_of,
        loss_of=loss_of,
        title="segment: train",
        looks=looks,
    )
    outputs, counts = (
        [folder.weights, folder.losses],
        {"steps": steps, "pictures": len(images)},
    )
    if looks is not None:
        atomic.write_bytes(folder.looks, looks.file.read_bytes())
        outputs, counts = [*outputs, folder.looks], {**counts, "kept_step": looks.chosen()[0]}
    return Done(outputs=outputs, counts=counts, mixed=halved)


def _looks(
    job: Job, folder: TrainFolder, model: Any, *, steps: int, n_clusters: int
) -> best_on_truth.Looks:
    """Return what chooses the weights by ground truth, with a network of its own."""
    job.ledger.write(
        "warning", stage=SEGMENT_TRAIN, what=f"weights are kept that are {BEST.replace('_', ' ')}"
    )
    twin = train_network.placed(copy.deepcopy(model), networks.device(job))

    def predicted(network: Any, rgb: np.ndarray) -> np.ndarray:
        return predict(network, rgb, job.settings)

    return best_on_truth.Looks(
        job, folder, twin, steps=steps, n_clusters=n_clusters, predict=predicted
    )


def segment(job: Job, folder: SegmentFolder, *, batch: int | None = None) -> Done:
    """Show every picture, those of validation too, to the trained network.

    Args:
        batch: pictures in one forward; None: `segment.gpu_batch` on a GPU, else one.
    """
    own, model = job.settings.segment, trained(job.folder, job.settings)
    atomic.make_folder(folder.maps)

    def together(pictures: list[np.ndarray]) -> list[torch.Tensor]:
        with device_batches.in_precision(model, job.settings):
            return segmenter.logits_many(model, pictures, side=own.side)

    def each(image: Image, rgb: np.ndarray, logits: torch.Tensor) -> dict[str, Any]:
        label_map = segmenter.label_map(logits, rgb, **_drawing(job.settings, threads=1))
        label_maps.write(folder.map_of(image.id), label_map)
        return {"coverage": round(float((label_map > 0).mean()), 6)}

    with device_batches.over_like_shapes(
        job,
        folder,
        shape_of=lambda image: own.side,  # all are squeezed to one square
        size=device_batches.size_of(networks.device(job), own.gpu_batch)
        if batch is None
        else batch,
        together=together,
        each=each,
        title="segment",
        behind=job.settings.workers,
    ) as journal:
        entries = dict(journal.records())
    coverage = {
        number: entry["coverage"] for number, entry in entries.items() if "refused" not in entry
    }
    counts = {
        "predictions": len(coverage),
        "refused": len(entries) - len(coverage),
        "mean_coverage": round(float(np.mean(list(coverage.values()))), 4) if coverage else 0.0,
    }
    return Done(outputs=list(map(folder.map_of, coverage)), counts=counts)


def trained(folder: RunFolder, settings: RunSettings) -> Any:
    """Return the segmenter of a run, on its device, in eval mode.

    Its number of classes is read off its weights.
    """
    state = checkpoint.read_weights(folder.segment_train.weights)
    last = "classifier.classify.bias" if settings.segment.size == "small" else "classifier.4.bias"
    model = segmenter.build(size=settings.segment.size, n_classes=len(state[last]))
    model.load_state_dict(state)
    return train_network.placed(model, networks.chosen(settings.device)).eval()


def predict(model: Any, rgb: np.ndarray, settings: RunSettings) -> np.ndarray:
    """Return the label map (H, W) uint8 of one picture (H, W, 3) uint8, in the run's precision."""
    with device_batches.in_precision(model, settings):
        how = _drawing(settings, threads=torch.get_num_threads())
        return segmenter.predict(model, rgb, side=settings.segment.side, **how)


def _drawing(settings: RunSettings, *, threads: int) -> dict[str, Any]:
    """Return what moves the outlines of label maps, as the settings want them."""
    how = settings.segment.pixels
    return {
        "refine": pixels.refine if how == "refine" else None,
        "crf": partial(crf.dense_crf, **crf.MASKDISTILL, threads=threads) if how == "crf" else None,
    }


def train_stage(settings: RunSettings) -> Stage:
    """Return the training; it reads the detector too where it starts from its body."""
    reads: tuple[str, ...] = ("scan", "label")
    if settings.weights_of("segment") == "detect":
        reads = (*reads, DETECT_TRAIN)
    return Stage(
        name=SEGMENT_TRAIN,
        version=3,
        reads=reads,
        parts=train_parts,
        work=train,
        weights=lambda job: train_network.digest(job, "segment"),
    )


PREDICT = Stage(
    name="segment",
    version=2,
    reads=("scan", SEGMENT_TRAIN),
    parts=lambda settings: {"pixels": settings.segment.pixels},
    work=segment,
    keeps=("train",),
)
