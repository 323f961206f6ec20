"""The embeddings of a clustering: of every mask of a file, and of what a trained run finds in a new picture.

In:   a mask file and the pictures, the settings of `cluster`
Out:  vectors (n, d) in file order, and whose they are
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskdistill.errors import TrainingError
from maskdistill.masks import rle
from maskdistill.stages.masks_by_picture import MaskFile
from maskdistill.stages.passes import over_pictures
from maskdistill.stages.skeleton import Image, Job

Embedder = Callable[[np.ndarray, list[dict[str, Any]]], np.ndarray]  # picture, mask records -> (n, d) float32


@dataclass(frozen=True)
class Embedded:
    """values (n, d) float32, 0 where not finite; owners (n, 2): picture id, number of the mask in it; finite (n,)."""

    values: np.ndarray
    owners: np.ndarray
    finite: np.ndarray


def of_masks(job: Job, folder: Path, file: MaskFile) -> Embedded:
    """The embeddings of all masks of a file, journalled in `folder`."""
    embed = embedder(job)

    def describe(image: Image, rgb: np.ndarray) -> dict[str, Any]:
        values = embed(rgb, file.masks(image.id))
        # Half precision overflows, broken weights give nan: one mask must not end the run of all others.
        return {"values": [[float(number) for number in row] if np.isfinite(row).all() else None for row in values]}

    images = [image for image in job.images if file.n_in(image.id)]
    values = np.zeros((file.n_masks, 1), np.float32)
    owners = np.zeros((file.n_masks, 2), np.int64)
    finite = np.zeros(file.n_masks, bool)
    with over_pictures(job, folder, images, describe, title=folder.name) as journal:
        for number, entry in journal.records():
            if "refused" in entry:
                raise TrainingError(
                    f"{job.picture_path(job.images[number - 1])}: could be read before but not now: {entry['refused']}"
                )
            for mask, row in enumerate(entry["values"]):
                place = file.first[number] + mask
                owners[place] = number, mask
                if row is None:
                    continue
                if not finite.any():
                    values = np.zeros((file.n_masks, len(row)), np.float32)
                values[place], finite[place] = row, True
    return Embedded(values, owners, finite)


def embedder(job: Job) -> Embedder:
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
