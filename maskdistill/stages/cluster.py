"""cluster: masks -> cluster ids, fitted on the training pictures, assigned to all.

In:   propose/proposals.jsonl (or detect/detections.jsonl for recluster) and the pictures
Out:  embeddings.npy, clusters.jsonl (id, mask, cluster), centroids.npy, clusters.json (sizes, exemplars)
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskdistill.errors import TrainingError
from maskdistill.masks import rle
from maskdistill.runs import atomic, lines
from maskdistill.settings import RunSettings
from maskdistill.stages.masks_by_picture import MaskFile
from maskdistill.stages.passes import over_pictures
from maskdistill.stages.skeleton import Done, Image, Job, Stage
from maskdistill.types import Detections

SOURCES = {"cluster": Path("propose") / "proposals.jsonl", "recluster": Path("detect") / "detections.jsonl"}

HINTS = {
    "cluster": "Try a lower --propose.min-score, another --propose.method, or another backbone",
    "recluster": "The detector finds nothing: train it longer (--detect.train.steps), or lower --detect.min-score",
}


def parts(settings: RunSettings) -> dict[str, Any]:
    """Settings that change the ids."""
    own = settings.cluster
    counted: dict[str, Any] = {
        "embedding": own.embedding,
        "max_side": own.max_side,
        "k": own.k,
        "kmeans": own.kmeans,
        "restarts": own.restarts,
        "whiten": own.whiten,
    }
    if own.embedding == "class_token":
        counted |= {"backbone": own.backbone, "precision": settings.precision}
    return {**counted, "seed": settings.seed}


def again_parts(settings: RunSettings) -> dict[str, Any]:
    """Settings that change the ids of the detections."""
    return {**parts(settings), "again_min_score": settings.cluster.again_min_score}


def weights(job: Job) -> str | None:
    """Digest of the embedding's weights."""
    from maskdistill.stages import backbones

    own = job.settings.cluster
    return backbones.digest(job, "cluster", own.backbone) if own.embedding == "class_token" else None


def work(job: Job, folder: Path) -> Done:
    """Embed every mask, fit k-means on those of training pictures, assign the others."""
    from maskdistill.clusters import kmeans

    own = job.settings.cluster
    name = folder.name
    source = job.folder.root / SOURCES[name]
    file = MaskFile(source)
    n_masks = file.n_masks
    embeddings, owners = _embed(job, folder, file)
    is_train = np.array([image.split == "train" for image in job.images])[owners[:, 0] - 1]
    # Detections below the threshold of the label maps are assigned too, but would blur the centroids.
    fits = is_train & (_scores(file, job.images) >= own.again_min_score) if name == "recluster" else is_train
    if not fits.any() and is_train.any():
        fits = is_train
        what = f"no detection reaches {own.again_min_score}: fitted on all of them"
        job.ledger.write("warning", stage=name, what=what)
    n_train = int(fits.sum())
    if n_train == 0:
        raise TrainingError(
            f"{source}: no masks in the {len(job.images)} pictures, so there is nothing to cluster. {HINTS[name]}"
        )
    scale = kmeans.scale_of(embeddings[fits], whiten=own.whiten)
    normalised = kmeans.normalise(embeddings, scale)
    wanted = own.k or from_masks(n_train)
    fitted = kmeans.fit(normalised[fits], k=wanted, algorithm=own.kmeans, restarts=own.restarts, seed=job.settings.seed)
    k = len(fitted.centroids)
    if own.k and k < own.k:
        job.ledger.write(
            "warning", stage=name, what=f"fewer masks ({n_train}) than clusters ({own.k}): {k} clusters are used"
        )
        job.progress.say(f"{name}: only {n_train} masks, so {k} clusters in place of {own.k}")
    ids = kmeans.assign(normalised, fitted.centroids)
    _write_array(folder / "embeddings.npy", embeddings)
    _write_array(folder / "centroids.npy", fitted.centroids)
    rows = ({"id": int(i), "mask": int(m), "cluster": int(c)} for (i, m), c in zip(owners, ids, strict=True))
    lines.write(folder / "clusters.jsonl", rows)
    shown = kmeans.exemplars(normalised, ids, fitted.centroids, count=12, seed=job.settings.seed)
    summary = {
        "k": k,
        "sizes": np.bincount(ids, minlength=k).tolist(),
        "fitted_on": np.bincount(fitted.ids, minlength=k).tolist(),
        "inertia": round(float(fitted.inertia), 6),
        "scale": [float(value) for value in scale],
        "exemplars": [
            {kind: [[int(owners[row, 0]), int(owners[row, 1])] for row in rows] for kind, rows in one.items()}
            for one in shown
        ],
    }
    atomic.write_json(folder / "clusters.json", summary)
    counts = {"masks": n_masks, "clusters": k, "largest": int(max(summary["sizes"]))}
    return Done(outputs=["embeddings.npy", "clusters.jsonl", "centroids.npy", "clusters.json"], counts=counts)


def _scores(file: MaskFile, images: list[Image]) -> np.ndarray:
    """(n_masks,) scores in file order."""
    return np.array([mask["score"] for image in images for mask in file.masks(image.id)], np.float32)


def from_masks(n_masks: int) -> int:
    """Clusters when nobody said how many: about the square root of half the masks, 2 to 20."""
    return int(np.clip(round((n_masks / 2) ** 0.5), 2, 20))


def _embed(job: Job, folder: Path, file: MaskFile) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (n_masks, d) float32 and owners (n_masks, 2): picture id and number of the mask in it."""
    embed = embedder(job)

    def describe(image: Image, rgb: np.ndarray) -> dict[str, Any]:
        values = embed(rgb, file.masks(image.id))
        return {"values": [[float(number) for number in row] for row in values]}

    images = [image for image in job.images if file.n_in(image.id)]
    embeddings: np.ndarray | None = None
    owners = np.zeros((file.n_masks, 2), np.int64)
    with over_pictures(job, folder, images, describe, title=folder.name) as journal:
        for number, entry in journal.records():
            if "refused" in entry:
                raise TrainingError(
                    f"{job.picture_path(job.images[number - 1])}: could be read before but not now: {entry['refused']}"
                )
            values = np.array(entry["values"], np.float32)
            if embeddings is None:
                embeddings = np.zeros((file.n_masks, values.shape[1]), np.float32)
            start = file.first[number]
            embeddings[start : start + len(values)] = values
            owners[start : start + len(values)] = [(number, mask) for mask in range(len(values))]
    return (embeddings if embeddings is not None else np.zeros((0, 1), np.float32)), owners


def embedder(job: Job) -> Callable[[np.ndarray, list[dict[str, Any]]], np.ndarray]:
    """A function from a picture and its mask records to their embeddings (n, d) float32."""
    own = job.settings.cluster
    if own.embedding == "descriptors":
        from maskdistill.clusters import descriptors

        def describe(rgb: np.ndarray, masks: list[dict[str, Any]]) -> np.ndarray:
            one_by_one = (rle.decode([mask["rle"]], size=rgb.shape[:2])[0] for mask in masks)
            return descriptors(rgb, one_by_one, max_side=own.max_side or None)

        return describe
    from maskdistill.clusters import class_token_embeddings
    from maskdistill.features import normalised, padded
    from maskdistill.stages import backbones

    network = backbones.backbone(job, "cluster", own.backbone)

    def prepare(crop: np.ndarray) -> torch.Tensor:
        return padded(normalised(crop, mean=network.mean, std=network.std), network.patch)

    def embed(rgb: np.ndarray, masks: list[dict[str, Any]]) -> np.ndarray:
        boxes = np.array([mask["box"] for mask in masks], np.float32).reshape(-1, 4)
        return class_token_embeddings(rgb, boxes, backbone=network, prepare=prepare, max_side=own.max_side or None)

    return embed


def assigner(job: Job, folder: Path) -> Callable[[np.ndarray, Detections], np.ndarray]:
    """A function from a picture (H, W, 3) uint8 and detections in it to their clusters (n,) int64, by a clustering."""
    from maskdistill.clusters import kmeans

    embed = embedder(job)
    centroids = np.load(folder / "centroids.npy")
    scale = np.array(json.loads((folder / "clusters.json").read_text(encoding="utf-8"))["scale"], np.float32)

    def assign(rgb: np.ndarray, found: Detections) -> np.ndarray:
        masks = [{"rle": mask, "box": box.tolist()} for mask, box in zip(found.rles, found.boxes_xyxy, strict=True)]
        return kmeans.assign(kmeans.normalise(embed(rgb, masks), scale), centroids)

    return assign


def _write_array(path: Path, array: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array)
    atomic.write_bytes(path, buffer.getvalue())


STAGE = Stage(name="cluster", version=2, reads=("scan", "propose"), parts=parts, work=work, weights=weights)
AGAIN = Stage(name="recluster", version=2, reads=("scan", "detect"), parts=again_parts, work=work, weights=weights)
