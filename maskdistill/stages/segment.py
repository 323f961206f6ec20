"""segment: label maps -> a DeepLabv3, or a head on tokens, and its predictions for every picture.

In:   the pictures, label/maps/<id>.png; of size backbone the tokens of `propose`
Out:  segment/train/ (model.safetensors, losses.jsonl; looks.jsonl), segment/predictions/<id>.png
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from maskdistill import crf, detector, segmenter
from maskdistill.artifacts import clusterings, kept_tokens, label_maps, labelled_patches
from maskdistill.artifacts.kept_tokens import KeptTokens, Pending
from maskdistill.engine import networks
from maskdistill.engine.job import Image, Job
from maskdistill.engine.stage import Done, Stage
from maskdistill.errors import PictureError, TrainingError, setting
from maskdistill.features.tokens import Tokens
from maskdistill.proposals import pixels
from maskdistill.runs import atomic
from maskdistill.runs.layout import RunFolder, SegmentFolder, TrainFolder
from maskdistill.runs.stages import DETECT_TRAIN, SEGMENT_TRAIN
from maskdistill.settings import RunSettings, as_dict
from maskdistill.settings.segment import BACKBONE, BEST
from maskdistill.settings.training import TrainSettings
from maskdistill.stage_parts import best_on_truth, device_batches, train_network
from maskdistill.training import checkpoint

# What is loaded of a picture: itself (H, W, 3) uint8, and of size backbone its tokens.
Shown = tuple[np.ndarray, Tokens | Pending | None]
# Logits (1, classes, rows, cols) of a picture, and (rows, cols) of them that it covers; None: all.
Made = tuple[torch.Tensor, tuple[float, float] | None]
# Of a class that takes part in the CRF of a head on patches; docs/log/segmenter.md, 2026-12-01.
LEAST_PROBABLE = 0.05


@dataclass(frozen=True)
class _Training:
    """Hold what one training is made of: the network, its schedule, batches and losses by step."""

    model: Any
    schedule: TrainSettings
    steps: int
    batch_of: Callable[[int], list[Any]]
    loss_of: Callable[..., Any]
    counts: dict[str, int]


def train_parts(settings: RunSettings) -> dict[str, Any]:
    """Return the settings that change the trained network."""
    own = settings.segment
    shared = {"precision": settings.precision, "seed": settings.seed_of_chain}
    if own.size == BACKBONE:
        return {
            "size": own.size,
            "tokens": {"version": kept_tokens.VERSION, **kept_tokens.parts(settings)},
            "patches": own.patches,
            "head": as_dict(own.patch_head),
            **({"steps": own.train.steps} if own.train.steps else {}),
            **best_on_truth.parts(settings),
            **shared,
        }
    sizes = {
        "size": own.size,
        "side": own.side,
        "hardest": own.hardest,
        **best_on_truth.parts(settings),
    }
    return {**sizes, "train": train_network.parts(_schedule(settings)), **shared}


def _schedule(settings: RunSettings) -> TrainSettings:
    """Return the schedule; nothing is averaged where the last weights are kept."""
    own = settings.segment
    if own.size == BACKBONE:
        head = own.patch_head
        return TrainSettings(
            steps=own.train.steps,
            batch=head.batch,
            learning_rate=head.learning_rate,
            weight_decay=head.weight_decay,
            warm_up=0,
            clip_norm=0.0,
            average=0.0,
            checkpoint_seconds=own.train.checkpoint_seconds,
        )
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
    n_clusters = clusterings.of_label_maps(job.folder, job.settings).k
    of = (_on_patches if own.size == BACKBONE else _on_pictures)(job, images, 1 + n_clusters)
    looks = (
        _looks(job, folder, of.model, steps=of.steps, n_clusters=n_clusters)
        if own.keep == BEST
        else None
    )
    halved = train_network.train(
        job,
        folder,
        of.model,
        of.schedule,
        steps=of.steps,
        batch_of=of.batch_of,
        loss_of=of.loss_of,
        title="segment: train",
        looks=looks,
    )
    outputs, counts = [folder.weights, folder.losses], of.counts
    if looks is not None:
        atomic.write_bytes(folder.looks, looks.file.read_bytes())
        outputs, counts = [*outputs, folder.looks], {**counts, "kept_step": looks.chosen()[0]}
    return Done(outputs=outputs, counts=counts, mixed=halved)


def _on_pictures(job: Job, images: Sequence[Image], n_classes: int) -> _Training:
    """Return the training of a DeepLabv3 on batches of pictures."""
    own, seed = job.settings.segment, job.settings.seed_of_chain
    model = segmenter.build(size=own.size, n_classes=n_classes, seed=seed)
    if job.settings.weights_of("segment") == "detect":
        state = checkpoint.read_weights(job.folder.detect_train.weights)
        train_network.fill_body(
            model.backbone, detector.body_state(state, pyramid=own.size == "small")
        )
    else:
        train_network.fill_body(model.body, train_network.start_weights(job, "segment", tell=True))

    def sample(position: int) -> tuple[np.ndarray, np.ndarray]:
        image = images[position]
        return job.read_picture(image), label_maps.read(job.folder.label.map_of(image.id))

    steps = train_network.steps_of(own.train, len(images), "segment")
    batch_of = segmenter.batches(
        sample,
        n_pictures=len(images),
        batch=own.train.batch,
        seed=seed,
        side=own.side,
        ranges=train_network.ranges(own.train),
    )
    return _Training(
        model=model,
        schedule=_schedule(job.settings),
        steps=steps,
        batch_of=batch_of,
        loss_of=segmenter.losses(share=own.hardest),
        counts={"steps": steps, "pictures": len(images)},
    )


def _on_patches(job: Job, images: Sequence[Image], n_classes: int) -> _Training:
    """Return the training of a head on the shuffled patches of all pictures."""
    own, seed, schedule = job.settings.segment, job.settings.seed_of_chain, _schedule(job.settings)
    made = labelled_patches.drawn(
        job,
        KeptTokens(job),
        images,
        n_classes=n_classes,
        patch=_patch(job),
        most=own.patches,
        share=own.patch_head.share,
        together=device_batches.size_of(networks.device(job), own.gpu_batch),
        title="segment: patches",
    )
    model = segmenter.build_on_patches(
        channels=made.tokens.shape[1],
        width=made.class_tokens.shape[1],
        n_classes=n_classes,
        hidden=own.patch_head.hidden,
        seed=seed,
    )
    steps = schedule.steps or segmenter.patches.steps(
        len(made), passes=own.patch_head.passes, batch=schedule.batch
    )
    return _Training(
        model=model,
        schedule=schedule,
        steps=steps,
        batch_of=segmenter.patches.patch_batches(len(made), batch=schedule.batch, seed=seed),
        loss_of=segmenter.patches.patch_losses(made),
        counts={"steps": steps, "pictures": len(images), "patches": len(made)},
    )


def _looks(
    job: Job, folder: TrainFolder, model: Any, *, steps: int, n_clusters: int
) -> best_on_truth.Looks:
    """Return what chooses the weights by ground truth, with a network of its own."""
    job.ledger.write(
        "warning", stage=SEGMENT_TRAIN, what=f"weights are kept that are {BEST.replace('_', ' ')}"
    )
    twin = train_network.placed(copy.deepcopy(model), networks.device(job))
    reader = KeptTokens(job) if job.settings.segment.size == BACKBONE else None

    def predicted(network: Any, image: Image) -> np.ndarray:
        seen = reader.tokens(image.id) if reader is not None else None
        return predict(network, job.read_picture(image), job.settings, seen=seen)

    return best_on_truth.Looks(
        job, folder, twin, steps=steps, n_clusters=n_clusters, predict=predicted
    )


def segment(job: Job, folder: SegmentFolder, *, batch: int | None = None) -> Done:
    """Show every picture, those of validation too, to the trained network.

    Args:
        batch: pictures in one forward; None: `segment.gpu_batch` on a GPU, else one.
    """
    own, model = job.settings.segment, trained(job.folder, job.settings)
    reader = KeptTokens(job) if own.size == BACKBONE else None
    atomic.make_folder(folder.maps)

    def shape_of(image: Image) -> Any:
        # Of size backbone a grid of patches; else all are squeezed to one square.
        return reader.shown.grid(image.size, patch=_patch(job)) if reader is not None else own.side

    def load(image: Image) -> Shown:
        ahead = reader.ahead(image.id) if reader is not None else None
        return job.read_picture(image), ahead

    def together(loaded: list[Shown]) -> list[Made]:
        seen: list[Tokens] | None = None
        if reader is not None:
            try:
                seen = reader.together([ahead for _, ahead in loaded if ahead is not None])
            except PictureError as error:  # it does not fit, however small it is shown
                raise MemoryError(str(error)) from error
        return _logits(model, [rgb for rgb, _ in loaded], job.settings, seen)

    def each(image: Image, shown: Shown, made: Made) -> dict[str, Any]:
        logits, covered = made
        how = _drawing(job.settings, threads=1)
        label_map = segmenter.label_map(logits, shown[0], covered=covered, **how)
        label_maps.write(folder.map_of(image.id), label_map)
        return {"coverage": round(float((label_map > 0).mean()), 6)}

    with device_batches.over_like_shapes(
        job,
        folder,
        shape_of=shape_of,
        size=device_batches.size_of(networks.device(job), own.gpu_batch)
        if batch is None
        else batch,
        load=load,
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

    Its number of classes, and of a head its widths, are read off its weights.
    """
    state = checkpoint.read_weights(folder.segment_train.weights)
    size = settings.segment.size
    model: Any
    if size == BACKBONE:
        n_in = len(state["norm.weight"])
        # A token of each block, and the class token.
        width = n_in // (len(settings.features.blocks) + 1)
        model = segmenter.build_on_patches(
            channels=n_in - width,
            width=width,
            n_classes=len(state["classify.bias"]),
            hidden=len(state.get("hidden.0.bias", ())),
        )
    else:
        last = "classifier.classify.bias" if size == "small" else "classifier.4.bias"
        model = segmenter.build(size=size, n_classes=len(state[last]))
    model.load_state_dict(state)
    return train_network.placed(model, networks.chosen(settings.device)).eval()


def n_classes(model: Any) -> int:
    """Return the number of classes of a segmenter, background among them."""
    return int(list(model.state_dict().values())[-1].shape[0])


def predict(
    model: Any, rgb: np.ndarray, settings: RunSettings, *, seen: Tokens | None = None
) -> np.ndarray:
    """Return the label map (H, W) uint8 of one picture (H, W, 3) uint8, in the run's precision.

    Args:
        seen: the picture's tokens, those of `features.blocks` first; a segmenter of another size
            than backbone looks at the picture alone.
    """
    looked = [seen] if seen is not None and settings.segment.size == BACKBONE else None
    ((logits, covered),) = _logits(model, [rgb], settings, looked)
    how = _drawing(settings, threads=torch.get_num_threads())
    return segmenter.label_map(logits, rgb, covered=covered, **how)


def _logits(
    model: Any, pictures: list[np.ndarray], settings: RunSettings, seen: list[Tokens] | None
) -> list[Made]:
    """Return the logits of pictures, of a head by their tokens, in the run's precision."""
    with device_batches.in_precision(model, settings):
        if seen is None:
            found = segmenter.logits_many(model, pictures, side=settings.segment.side)
            return [(logits, None) for logits in found]
        patch, n_blocks = _patch(Job.alone(settings)), len(settings.features.blocks)
        return [
            (
                segmenter.logits_of_view(model, each.patches[:n_blocks], each.class_token),
                (each.scaled[0] / patch, each.scaled[1] / patch),
            )
            for each in seen
        ]


def _patch(job: Job) -> int:
    """Return the px of a side of a patch of the backbone that proposes."""
    return int(networks.kept(job, "propose", job.settings.propose.backbone).patch)


def _drawing(settings: RunSettings, *, threads: int) -> dict[str, Any]:
    """Return what moves the outlines of label maps, as the settings want them."""
    how = settings.segment.pixels
    # DeepLabv3's CRF is the paper's, with all classes.
    least = LEAST_PROBABLE if settings.segment.size == BACKBONE else 0.0
    return {
        "crf_least": least,
        "refine": pixels.refine if how == "refine" else None,
        "crf": partial(crf.dense_crf, **crf.MASKDISTILL, threads=threads) if how == "crf" else None,
    }


def train_stage(settings: RunSettings) -> Stage:
    """Return the training; it reads the detector too where it starts from its body."""
    reads: tuple[str, ...] = ("scan", "label")
    on_tokens = settings.segment.size == BACKBONE
    if settings.weights_of("segment") == "detect" and not on_tokens:
        reads = (*reads, DETECT_TRAIN)

    def weights(job: Job) -> str:
        """Return the digest of the backbone, or of what a DeepLabv3 starts from."""
        return kept_tokens.weights(job) if on_tokens else train_network.digest(job, "segment")

    return Stage(
        name=SEGMENT_TRAIN, version=3, reads=reads, parts=train_parts, work=train, weights=weights
    )


PREDICT = Stage(
    name="segment",
    version=2,
    reads=("scan", SEGMENT_TRAIN),
    parts=lambda settings: {"pixels": settings.segment.pixels},
    work=segment,
    keeps=("train",),
)
