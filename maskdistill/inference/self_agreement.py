"""Self-agreement: what each stage says of itself, its networks on mirrored pictures too.

A stage is compared with itself on the mirror images of some pictures: no ground truth is in it.

In:   what a stage just left; its networks, pictures or kept tokens of the mirrored ones
Out:  the numbers of its stage.json (measuring/stage_numbers.py)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from maskdistill.artifacts import clusterings, label_maps
from maskdistill.artifacts.kept_tokens import KeptTokens
from maskdistill.artifacts.mask_lines import MaskFile
from maskdistill.engine.job import Image, Job
from maskdistill.engine.stage import Done, Stage
from maskdistill.errors import PictureError, RunError
from maskdistill.evaluation import agreement
from maskdistill.features.tokens import Tokens
from maskdistill.labels import IGNORE, select
from maskdistill.masks import rle
from maskdistill.measuring import stage_numbers
from maskdistill.measuring.stage_numbers import Numbers
from maskdistill.memory import in_halves
from maskdistill.runs import lines
from maskdistill.runs.stages import RECLUSTER
from maskdistill.settings.label import LabelSettings
from maskdistill.settings.segment import BACKBONE
from maskdistill.stages import cluster, detect, label, segment
from maskdistill.types import Detections

# From a picture, it mirrored (H, W, 3) uint8 and maybe tokens of that to what is found in it.
Predict = Callable[[np.ndarray, Tokens | None], Any]


def with_numbers(stage: Stage) -> Stage:
    """Return a stage whose record gets its numbers; another than those of NAMES as it is."""
    take = _TAKE.get(stage.name)
    if take is None:
        return stage

    def numbers(job: Job, done: Done) -> Numbers:
        return stage_numbers.rounded({**done.numbers, **take(job)})

    return replace(stage, numbers=numbers)


def taken(job: Job, stage: str) -> Numbers:
    """Return the numbers of a complete stage, for runs that were made before stages had any.

    Those of a stage's own pass are not among them: the agreement of proposals, and the share of
    the training masks that detections find again.

    Args:
        stage: one of `stage_numbers.NAMES`.
    """
    return stage_numbers.rounded(_TAKE[stage](job))


def _of_proposals(job: Job) -> Numbers:
    """Return the numbers of the proposals, but for the agreement, which is taken in their pass."""
    return stage_numbers.of_masks(lines.read(job.folder.propose.masks), job.images)


def _of_clusters(stage: str) -> Callable[[Job], Numbers]:
    """Return the function that takes the numbers of a clustering."""
    return lambda job: stage_numbers.of_sizes(
        clusterings.made_by(job.folder, stage).about()["sizes"]
    )


def _of_detections(job: Job) -> Numbers:
    """Return the numbers of the detections that are painted; found again is taken by the stage."""
    path, own = job.folder.detect.masks, job.settings.label

    def painted(masks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        scores = np.array([mask["score"] for mask in masks], np.float32)
        return [masks[place] for place in _chosen(scores, own)]

    numbers: Numbers = {"min_score": own.min_score}
    numbers |= stage_numbers.of_masks(lines.read(path), job.images, painted)
    if not _has_detector(job):
        return numbers
    file = MaskFile(path)

    def compared(image: Image, found: Detections) -> list[int]:
        there = [found.rles[place] for place in _chosen(found.scores, own)]
        back = rle.decode(there, size=image.size)[..., ::-1]
        return stage_numbers.met(painted(file.masks(image.id)), back)

    return numbers | _on_mirrored(job, _detector(job), compared, blocks=_blocks(job))


def _of_painted(job: Job) -> Numbers:
    """Return the numbers of the label maps; mirrored detections are named by the clustering."""
    folder, own = job.folder.label, job.settings.label
    counted_in = clusterings.of_label_maps(job.folder, job.settings)
    numbers = stage_numbers.of_label_maps(
        [(folder.map_of(image.id), image) for image in job.images], n_clusters=counted_in.k
    )
    if not _has_detector(job) or counted_in.of == "proposals":
        return numbers  # of proposals that are painted in place of detections there is no agreement
    find = _detector(job)
    named = None
    if counted_in.stage == RECLUSTER:
        named = cluster.assigner(Job.alone(job.settings), counted_in)

    def predict(rgb: np.ndarray, seen: Tokens | None) -> np.ndarray:
        found: Detections = find(rgb, seen)
        chosen = _chosen(found.scores, own)
        found = replace(
            found,
            rles=[found.rles[place] for place in chosen],
            boxes_xyxy=found.boxes_xyxy[chosen],
            scores=found.scores[chosen],
            clusters=found.clusters[chosen],
        )
        if named is not None and len(found):
            found = replace(found, clusters=named(rgb, found))
        return label.painted(found, np.arange(len(found)), own)

    def compared(image: Image, found: np.ndarray) -> list[int]:
        return list(agreement.equal(_map(folder, image), found[:, ::-1]))

    return numbers | _on_mirrored(job, predict, compared, blocks=_blocks(job))


def _of_predictions(job: Job) -> Numbers:
    """Return the numbers of the segmenter's label maps."""
    folder, model = job.folder.segment, segment.trained(job.folder, job.settings)
    k = clusterings.of_label_maps(job.folder, job.settings).k
    paths = [(folder.map_of(image.id), image) for image in job.images]
    numbers = stage_numbers.of_label_maps(
        [(path, image) for path, image in paths if path.exists()], n_clusters=k
    )

    def predict(rgb: np.ndarray, seen: Tokens | None) -> np.ndarray:
        return segment.predict(model, rgb, job.settings, seen=seen)

    def compared(image: Image, found: np.ndarray) -> list[int] | None:
        if not folder.map_of(image.id).exists():  # it was refused
            return None
        return list(agreement.equal(_map(folder, image), found[:, ::-1]))

    on_tokens = job.settings.segment.size == BACKBONE
    blocks = job.settings.features.blocks if on_tokens else ()
    return numbers | _on_mirrored(job, predict, compared, blocks=blocks)


def _on_mirrored(
    job: Job,
    predict: Predict,
    compared: Callable[[Image, Any], list[int] | None],
    *,
    blocks: tuple[int, ...],
) -> Numbers:
    """Return the agreement of a stage with itself on mirrored pictures.

    A picture that cannot be read any more, or does not fit into memory, is left out.

    Args:
        compared: from a picture and what was found in its mirror image to what is equal, and all.
        blocks: whose tokens the network reads; none: it looks at the picture.
    """
    images = stage_numbers.sampled(job)
    kept = KeptTokens(job, blocks=blocks) if blocks and images else None

    def looked(image: Image) -> list[int] | None:
        rgb = np.ascontiguousarray(job.read_picture(image)[:, ::-1])
        seen = kept.tokens(image.id, mirrored=True) if kept is not None else None
        return compared(image, predict(rgb, seen))

    found = []
    title = "agreement with mirrored pictures"
    with (
        torch.inference_mode(),
        job.progress.bar(title, total=len(images), unit="pictures") as bar,
    ):
        for image in images:
            try:
                found += in_halves([image], lambda some: [looked(some[0])])
            except (PictureError, RunError):
                continue
            finally:
                bar.advance()
    return stage_numbers.agreement_of([each for each in found if each is not None])


def _detector(job: Job) -> Predict:
    """Return what finds detections in a picture by the run's detector."""
    model = detect.trained(job.folder, job.settings)
    return lambda rgb, seen: detect.predict(model, rgb, job.settings, seen=seen)


def _has_detector(job: Job) -> bool:
    """Return whether the run's detections are its own: imported ones find nothing more."""
    return not job.settings.detect.import_file and job.folder.detect_train.weights.exists()


def _blocks(job: Job) -> tuple[int, ...]:
    """Return the blocks whose tokens `detect.predict` takes; none of a detector on pictures."""
    return job.settings.blocks_seen if job.settings.detect.on_tokens else ()


def _chosen(scores: np.ndarray, own: LabelSettings) -> np.ndarray:
    """Return the positions of the detections of a picture that the run paints."""
    return select(scores, min_score=own.min_score, keep_best=own.keep_best)


def _map(folder: Any, image: Image) -> np.ndarray:
    """Return a label map as it is painted: zeros without one, and where it is ignored."""
    path = folder.map_of(image.id)
    found = label_maps.read(path) if path.exists() else np.zeros(image.size, np.uint8)
    return np.where(found == IGNORE, 0, found)


_TAKE: Mapping[str, Callable[[Job], Numbers]] = {
    "propose": _of_proposals,
    "cluster": _of_clusters("cluster"),
    "detect": _of_detections,
    RECLUSTER: _of_clusters(RECLUSTER),
    "label": _of_painted,
    "segment": _of_predictions,
}
