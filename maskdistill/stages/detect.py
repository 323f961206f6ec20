"""detect: noisy masks and cluster ids -> a Mask R-CNN, and its detections in every picture.

In:   the pictures, propose/proposals.jsonl, cluster/clusters.jsonl
Out:  detect/train/ (model.safetensors, losses.jsonl), detect/detections.jsonl
"""

from __future__ import annotations

from typing import Any

import numpy as np

from maskdistill import detector
from maskdistill.artifacts import clusterings
from maskdistill.engine import networks
from maskdistill.engine.job import Image, Job
from maskdistill.engine.stage import Done, Stage
from maskdistill.errors import TrainingError
from maskdistill.masks import rle
from maskdistill.proposals import pixels
from maskdistill.runs import lines
from maskdistill.runs.layout import DetectFolder, RunFolder, TrainFolder
from maskdistill.runs.stages import DETECT_TRAIN
from maskdistill.settings import RunSettings
from maskdistill.stage_parts import device_batches, train_network
from maskdistill.stage_parts.training_masks import TrainedOn
from maskdistill.training import checkpoint
from maskdistill.types import Detections


def train_parts(settings: RunSettings) -> dict[str, Any]:
    """Return the settings that change the trained network."""
    own = settings.detect
    names = ("size", "short_side", "max_side", "min_proposal_score")
    sizes = {name: getattr(own, name) for name in names}
    return {
        **sizes,
        "train": train_network.parts(own.train),
        "precision": settings.precision,
        "seed": settings.seed_of_chain,
    }


def predict_parts(settings: RunSettings) -> dict[str, Any]:
    """Return the settings that change the detections of a trained network.

    Another threshold does not train again.
    """
    own = settings.detect
    names = ("min_score", "nms", "mask_nms", "mask_score", "pixels", "max_detections")
    return {name: getattr(own, name) for name in names}


def train(job: Job, folder: TrainFolder) -> Done:
    """Train on all training pictures that can be read.

    Those without masks are among them: they say what is no object.
    """
    own, given = job.settings.detect, TrainedOn(job)
    images = given.images
    if not len(given.clusters):
        raise TrainingError(f"{given.file.path}: holds no masks to train on")
    model = detector.build(
        size=own.size,
        n_clusters=clusterings.made_by(job.folder, "cluster").k,
        short_side=own.short_side,
        max_side=own.max_side,
        seed=job.settings.seed_of_chain,
    )
    train_network.fill_body(
        model.backbone.body, train_network.start_weights(job, "detect", tell=True)
    )

    def sample(position: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        image = images[position]
        masks, clusters = given.of(image)
        return (
            job.read_picture(image),
            rle.decode([mask["rle"] for mask in masks], size=image.size),
            clusters,
        )

    steps = train_network.steps_of(own.train, len(images), "detect")
    sizes = {"short_side": own.short_side, "max_side": own.max_side}
    batch_of = detector.batches(
        sample,
        n_pictures=len(images),
        batch=own.train.batch,
        seed=job.settings.seed_of_chain,
        ranges=train_network.ranges(own.train),
        **sizes,
    )
    loss_of = detector.losses(seed=job.settings.seed_of_chain)
    halved = train_network.train(
        job,
        folder,
        model,
        own.train,
        steps=steps,
        batch_of=batch_of,
        loss_of=loss_of,
        title="detect: train",
    )
    return Done(
        outputs=[folder.weights, folder.losses],
        counts={"steps": steps, "pictures": len(images)},
        mixed=halved,
    )


def detect(job: Job, folder: DetectFolder, *, batch: int | None = None) -> Done:
    """Show every picture, those of validation too, to the trained network.

    Args:
        batch: pictures of like size in one forward; None: `detect.gpu_batch` on a GPU, else one.
    """
    own, model = job.settings.detect, trained(job.folder, job.settings)
    size = device_batches.size_of(networks.device(job), own.gpu_batch) if batch is None else batch
    counts = {"detections": 0, "pictures": 0, "refused": 0, "without_detections": 0}

    def together(pictures: list[np.ndarray]) -> list[detector.Unpasted]:
        with device_batches.in_precision(model, job.settings):
            return detector.unpasted_many(model, pictures)

    def each(image: Image, rgb: np.ndarray, found: detector.Unpasted) -> dict[str, Any]:
        return {"masks": mask_rows(detector.pasted(found, rgb, **_pasting(job.settings)))}

    def rows() -> Any:
        for number, entry in journal.records():
            masks = entry.get("masks", [])
            counts["detections"] += len(masks)
            counts["pictures"] += 1
            counts["refused"] += "refused" in entry
            counts["without_detections"] += "refused" not in entry and not masks
            yield {"id": number, **entry}

    with device_batches.over_like_shapes(
        job,
        folder,
        shape_of=lambda image: detector.resized(
            image.size, short_side=own.short_side, max_side=own.max_side
        ),
        size=size,
        together=together,
        each=each,
        title="detect",
        behind=job.settings.workers if size > 1 else 0,
    ) as journal:
        lines.write(folder.masks, rows())
    # Said, not recorded: the masks are no part of the fingerprint. The page counts them anew.
    if (given := TrainedOn.of_run(job)) is not None:
        n_masks, n_met = given.found_again(folder.masks)
        job.progress.say(
            f"detect: the detector finds {n_met} of the {n_masks} masks that it was trained on"
        )
    return Done(outputs=[folder.masks], counts=counts)


def trained(folder: RunFolder, settings: RunSettings) -> Any:
    """Return the detector of a run, on its device, in eval mode.

    Its number of clusters is read off its weights.
    """
    own = settings.detect
    state = checkpoint.read_weights(folder.detect_train.weights)
    model = detector.build(
        size=own.size,
        n_clusters=len(state["roi_heads.box_predictor.cls_score.weight"]) - 1,
        short_side=own.short_side,
        max_side=own.max_side,
        min_score=own.min_score,
        nms=own.nms,
        max_detections=own.max_detections,
    )
    model.load_state_dict(state)
    return train_network.placed(model, networks.chosen(settings.device)).eval()


def predict(model: Any, rgb: np.ndarray, settings: RunSettings) -> Detections:
    """Return the detections of one picture (H, W, 3) uint8, in the run's precision."""
    with device_batches.in_precision(model, settings):
        return detector.predict(model, rgb, **_pasting(settings))


def _pasting(settings: RunSettings) -> dict[str, Any]:
    """Return what becomes of the masks that the network found, as the settings want them."""
    own = settings.detect
    return {
        "mask_score": own.mask_score,
        "mask_nms": own.mask_nms,
        "refine": pixels.refine if own.pixels == "refine" else None,
    }


def mask_rows(found: Detections) -> list[dict[str, Any]]:
    """Return detections as the records of a line."""
    areas = rle.areas(found.rles)
    return [
        {
            "rle": found.rles[row],
            "box": [float(edge) for edge in found.boxes_xyxy[row]],
            "area": int(areas[row]),
            "score": round(float(found.scores[row]), 6),
            "cluster": int(found.clusters[row]),
        }
        for row in range(len(found))
    ]


TRAIN = Stage(
    name=DETECT_TRAIN,
    version=2,
    reads=("scan", "propose", "cluster"),
    parts=train_parts,
    work=train,
    weights=lambda job: train_network.digest(job, "detect"),
)
PREDICT = Stage(
    name="detect",
    version=2,
    reads=("scan", DETECT_TRAIN),
    parts=predict_parts,
    work=detect,
    keeps=("train",),
)
