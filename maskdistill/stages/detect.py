"""detect: noisy masks and cluster ids -> a Mask R-CNN, and its detections in every picture.

In:   the pictures, or their tokens (`detect.size backbone`); proposals.jsonl, clusters.jsonl
Out:  detect/train/ (model.safetensors, losses.jsonl), detect/detections.jsonl, found_again.json;
      clusters.json of detections that are all of one cluster
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from maskdistill import detector
from maskdistill.artifacts import clusterings, kept_tokens
from maskdistill.artifacts.kept_tokens import Pending
from maskdistill.artifacts.token_views import TokenViews
from maskdistill.engine import networks
from maskdistill.engine.job import Image, Job
from maskdistill.engine.stage import Done, Stage
from maskdistill.errors import TrainingError, setting
from maskdistill.features.tokens import Tokens
from maskdistill.masks import rle
from maskdistill.proposals import pixels
from maskdistill.runs import atomic, lines
from maskdistill.runs.layout import DetectFolder, RunFolder, TrainFolder
from maskdistill.runs.stages import DETECT_TRAIN
from maskdistill.settings import RunSettings
from maskdistill.stage_parts import device_batches, train_network
from maskdistill.stage_parts.training_masks import TrainedOn
from maskdistill.training import checkpoint
from maskdistill.types import Detections

# What a stage learns with: the network, its batches by step, its losses of a batch.
Learning = tuple[
    Any,
    Callable[[int], list[Any]],
    Callable[[nn.Module, list[Any], int], Mapping[str, Tensor]],
]
# A picture (H, W, 3) uint8 and, on tokens, these or what they are computed of.
Loaded = tuple[np.ndarray, Tokens | Pending | None]


def train_parts(settings: RunSettings) -> dict[str, Any]:
    """Return the settings that change the trained network."""
    own = settings.detect
    if own.on_tokens:
        counted = {
            "size": own.size,
            "clusters": own.clusters,
            "drop_loss": own.drop_loss,
            "min_proposal_score": own.min_proposal_score,
            "tokens": {**kept_tokens.seen_by(settings), "blocks": list(own.blocks)},
            "train": train_network.parts_on_tokens(own.train),
        }
    else:
        names = ("size", "short_side", "max_side", "min_proposal_score")
        counted = {name: getattr(own, name) for name in names}
        counted["train"] = train_network.parts(own.train)
    return {
        **counted,
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
    if not any(len(given.of(image)[0]) for image in images):
        raise TrainingError(
            f"{given.file.path}: none of the masks of {len(images)} training pictures is trained "
            f"on: they score less than {own.min_proposal_score}, or are left out as noise. Lower "
            f"{setting('detect.min_proposal_score')}, or leave nothing out "
            f"({setting('cluster.drop')})"
        )
    model, batch_of, loss_of = (_on_tokens if own.on_tokens else _on_pictures)(job, given)
    steps = train_network.steps_of(own.train, len(images), "detect", on_tokens=own.on_tokens)
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


def _on_pictures(job: Job, given: TrainedOn) -> Learning:
    """Return a network that sees pictures, its batches and losses."""
    own, images, seed = job.settings.detect, given.images, job.settings.seed_of_chain
    sizes = {"short_side": own.short_side, "max_side": own.max_side}
    k = clusterings.made_by(job.folder, "cluster").k
    model = detector.build(size=own.size, n_clusters=k, seed=seed, **sizes)
    train_network.fill_body(
        model.backbone.body, train_network.start_weights(job, "detect", tell=True)
    )

    def sample(position: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        image = images[position]
        return job.read_picture(image), *_decoded(given, image)

    batch_of = detector.batches(
        sample,
        n_pictures=len(images),
        batch=own.train.batch,
        seed=seed,
        ranges=train_network.ranges(own.train),
        **sizes,
    )
    return model, batch_of, detector.losses(seed=seed)


def _on_tokens(job: Job, given: TrainedOn) -> Learning:
    """Return heads that see tokens of the network that proposes, their batches and losses."""
    own, images, seed = job.settings.detect, given.images, job.settings.seed_of_chain
    views, named = TokenViews(job), own.clusters == "proposals"
    model = detector.build_on_tokens(
        channels=views.channels,
        n_clusters=clusterings.made_by(job.folder, "cluster").k if named else 1,
        drop=own.drop_loss,
        seed=seed,
    )

    def sample(position: int, mirrored: bool) -> tuple[detector.View, np.ndarray, np.ndarray]:
        image = images[position]
        return views.of(image, mirrored=mirrored), *_decoded(given, image)

    batch_of = detector.token_batches(
        sample,
        n_pictures=len(images),
        batch=own.train.batch,
        seed=seed,
        flip=own.train.augment.flip,
        with_clusters=named,
    )
    return model, batch_of, detector.token_losses(seed=seed)


def _decoded(given: TrainedOn, image: Image) -> tuple[np.ndarray, np.ndarray]:
    """Return the training masks (n, H, W) bool of a picture, and their clusters (n,) int64."""
    masks, clusters = given.of(image)
    return rle.decode([mask["rle"] for mask in masks], size=image.size), clusters


def detect(job: Job, folder: DetectFolder, *, batch: int | None = None) -> Done:
    """Show every picture, those of validation too, to the trained network.

    Args:
        batch: pictures of like size in one forward; None: `detect.gpu_batch` on a GPU, else one.
    """
    own, model = job.settings.detect, trained(job.folder, job.settings)
    size = device_batches.size_of(networks.device(job), own.gpu_batch) if batch is None else batch
    counts = {"detections": 0, "pictures": 0, "refused": 0, "without_detections": 0}

    views = TokenViews(job) if own.on_tokens else None

    def load(image: Image) -> Loaded:
        return job.read_picture(image), None if views is None else views.ahead(image)

    def together(loaded: list[Loaded]) -> list[detector.Unpasted]:
        pictures = [rgb for rgb, _ in loaded]
        if views is None:
            with device_batches.in_precision(model, job.settings):
                return detector.unpasted_many(model, pictures)
        # Tokens come of the network as the proposals did, whatever precision the heads work in.
        shown = views.together([seen for _, seen in loaded if seen is not None])
        with device_batches.in_precision(model, job.settings):
            sizes = [(rgb.shape[0], rgb.shape[1]) for rgb in pictures]
            return detector.unpasted_of_views(model, shown, sizes)

    def each(image: Image, loaded: Loaded, found: detector.Unpasted) -> dict[str, Any]:
        return {"masks": mask_rows(detector.pasted(found, loaded[0], **_pasting(job.settings)))}

    def shape_of(image: Image) -> tuple[int, int]:
        if views is not None:
            return views.grid(image)
        return detector.resized(image.size, short_side=own.short_side, max_side=own.max_side)

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
        load=load,
        shape_of=shape_of,
        size=size,
        together=together,
        each=each,
        title="detect",
        behind=job.settings.workers if size > 1 else 0,
    ) as journal:
        lines.write(folder.masks, rows())
    outputs, numbers = [folder.masks], dict[str, float | None]()
    # Not among the counts: who predicts without the proposals and clusters that were trained on has
    # the same detections, and no such number.
    if (given := TrainedOn.of_run(job)) is not None:
        n_masks, n_met = given.found_again(folder.masks)
        job.progress.say(
            f"detect: the detector finds {n_met} of the {n_masks} masks that it was trained on"
        )
        atomic.write_json(folder.found_again, {"masks": n_masks, "found": n_met})
        outputs.append(folder.found_again)
        numbers["found_again"] = n_met / n_masks if n_masks else None
    if own.brings_clusters:
        clustering = job.folder.own_clusters
        atomic.write_json(clustering.about, {"k": 1, "categories": []})
        outputs.append(clustering.about)
    return Done(outputs=outputs, counts=counts, numbers=numbers)


def trained(folder: RunFolder, settings: RunSettings) -> Any:
    """Return the detector of a run, on its device, in eval mode.

    Its number of clusters is read off its weights.
    """
    own = settings.detect
    state = checkpoint.read_weights(folder.detect_train.weights)
    n_clusters = len(state["roi_heads.box_predictor.cls_score.weight"]) - 1
    kept = {name: getattr(own, name) for name in ("min_score", "nms", "max_detections")}
    model: nn.Module
    if own.on_tokens:
        channels = state["backbone.reduce.weight"].shape[1]
        model = detector.build_on_tokens(channels=channels, n_clusters=n_clusters, **kept)
    else:
        sizes = {"short_side": own.short_side, "max_side": own.max_side}
        model = detector.build(size=own.size, n_clusters=n_clusters, **sizes, **kept)
    model.load_state_dict(state)
    return train_network.placed(model, networks.chosen(settings.device)).eval()


def predict(
    model: Any, rgb: np.ndarray, settings: RunSettings, *, seen: Tokens | None = None
) -> Detections:
    """Return the detections of one picture (H, W, 3) uint8, in the run's precision.

    Args:
        seen: tokens of the picture, of `settings.blocks_seen`; a detector on pictures needs none.
    """
    if not settings.detect.on_tokens:
        with device_batches.in_precision(model, settings):
            return detector.predict(model, rgb, **_pasting(settings))
    assert seen is not None, "a detector on tokens wants them"
    network = networks.kept(Job.alone(settings), "propose", settings.propose.backbone)
    places = [settings.blocks_seen.index(block) for block in settings.detect.blocks]
    view = detector.view(seen.patches[places], seen.scaled, patch=network.patch)
    with device_batches.in_precision(model, settings):
        (found,) = detector.unpasted_of_views(model, [view], [seen.size])
    return detector.pasted(found, rgb, **_pasting(settings))


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


def weights(job: Job) -> str:
    """Return the digest of what the training starts from; on tokens of what gives them."""
    on_tokens = job.settings.detect.on_tokens
    return kept_tokens.weights(job) if on_tokens else train_network.digest(job, "detect")


TRAIN = Stage(
    name=DETECT_TRAIN,
    version=2,
    reads=("scan", "propose", "cluster"),
    parts=train_parts,
    work=train,
    weights=weights,
)
PREDICT = Stage(
    name="detect",
    version=2,
    reads=("scan", DETECT_TRAIN),
    parts=predict_parts,
    work=detect,
    keeps=("train",),
)
