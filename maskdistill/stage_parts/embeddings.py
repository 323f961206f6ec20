"""The embeddings of a clustering: of every mask of a file, and of what a trained run finds in a new picture.

In:   a mask file and the pictures, the settings of `cluster`
Out:  vectors (n, d) in file order, and whose they are
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from maskdistill.artifacts.mask_lines import MaskFile
from maskdistill.engine.job import Image, Job
from maskdistill.engine.picture_loop import over_batches
from maskdistill.errors import TrainingError
from maskdistill.masks import rle
from maskdistill.runs import arrays
from maskdistill.runs.layout import ClusterFolder

TOGETHER = 16  # pictures whose crops may go through the network in one pass
Masks = list[dict[str, Any]]  # records with rle and box


@dataclass(frozen=True)
class Embedded:
    """values (n, d) float32, a memory map, 0 where not finite (n,); owners (n, 2): picture id, number of the mask."""

    values: np.ndarray
    owners: np.ndarray
    finite: np.ndarray


@dataclass(frozen=True)
class Embedder:
    """From masks to vectors in two steps, so that crops of several pictures can go through a network at once.

    Attributes:
        cut: a picture (H, W, 3) uint8 and its masks to what is needed of them, in threads ahead of the network.
        read: that of some pictures to (n, d) float32 of each, where one picture's n masks are.
    """

    cut: Callable[[np.ndarray, Masks], Any]
    read: Callable[[list[Any]], list[np.ndarray]]

    def __call__(self, rgb: np.ndarray, masks: Masks) -> np.ndarray:
        """(n, d) of one picture."""
        return self.read([self.cut(rgb, masks)])[0]


def of_masks(job: Job, folder: ClusterFolder, file: MaskFile) -> Embedded:
    """The embeddings of all masks of a file, journalled in `folder`, then written to its embeddings.npy."""
    embed = embedder(job)

    def load(image: Image) -> Any:
        return embed.cut(job.read_picture(image), file.masks(image.id))

    def each(image: Image, cut: Any, values: np.ndarray) -> dict[str, Any]:
        # Half precision overflows, broken weights give nan: one mask must not end the run of all others.
        return {
            "values": [
                [float(number) for number in row] if np.isfinite(row).all() else None
                for row in values
            ]
        }

    images = [image for image in job.images if file.n_in(image.id)]
    path = folder.embeddings
    if not file.n_masks:
        return Embedded(np.zeros((0, 1), np.float32), np.zeros((0, 2), np.int64), np.zeros(0, bool))
    owners = np.zeros((file.n_masks, 2), np.int64)
    finite = np.zeros(file.n_masks, bool)
    batches = [images[first : first + TOGETHER] for first in range(0, len(images), TOGETHER)]
    with (
        over_batches(
            job,
            folder,
            batches,
            load=load,
            together=embed.read,
            each=each,
            title=folder.path.name,
            behind=0,
        ) as made,
        arrays.writing(path, file.n_masks) as writer,
    ):
        for number, entry in made.records():
            if "refused" in entry:
                raise TrainingError(
                    f"{job.picture_path(job.images[number - 1])}: could be read before but not now: {entry['refused']}"
                )
            for mask, row in enumerate(entry["values"]):
                owners[writer.written] = number, mask
                finite[writer.written] = row is not None
                if row is None:
                    writer.add_zeros()
                else:
                    writer.add(np.array([row], np.float32))
    return Embedded(arrays.mapped(path), owners, finite)


def embedder(job: Job) -> Embedder:
    """The embedding that the settings of `cluster` ask for."""
    return _by_hand(job) if job.settings.cluster.embedding == "descriptors" else _by_network(job)


def _by_hand(job: Job) -> Embedder:
    from maskdistill.clusters import descriptors

    longest = job.settings.cluster.max_side or None

    def cut(rgb: np.ndarray, masks: Masks) -> np.ndarray:
        one_by_one = (rle.decode([mask["rle"]], size=rgb.shape[:2])[0] for mask in masks)
        return descriptors(rgb, one_by_one, max_side=longest)

    return Embedder(cut=cut, read=lambda cuts: cuts)


def _by_network(job: Job) -> Embedder:
    from maskdistill.clusters import crops
    from maskdistill.engine import networks
    from maskdistill.features import normalised, padded

    own = job.settings.cluster
    network = networks.backbone(job, "cluster", own.backbone)
    what: crops.Read = "patch_mean" if own.embedding == "patch_mean" else "class_token"
    needs_masks = what == "patch_mean" or own.background != "keep"

    def cut(rgb: np.ndarray, masks: Masks) -> list[list[crops.Crop]]:
        one_by_one = (rle.decode([mask["rle"]], size=rgb.shape[:2])[0] for mask in masks)
        return crops.crops(
            rgb,
            np.array([mask["box"] for mask in masks], np.float32).reshape(-1, 4),
            one_by_one if needs_masks else None,
            background=own.background,
            blur=own.blur,
            colour=network.mean,
            scales=own.scales,
            flips=own.flips,
            min_side=own.min_side,
            max_side=own.max_side or None,
        )

    def prepare(pixels: np.ndarray) -> torch.Tensor:
        return padded(normalised(pixels, mean=network.mean, std=network.std), network.patch)

    def read(cuts: list[list[list[crops.Crop]]]) -> list[np.ndarray]:
        views = [each for cut in cuts for each in cut]
        vectors = crops.embed(views, backbone=network, prepare=prepare, read=what, pack=own.pack)
        return np.split(vectors, np.cumsum([len(cut) for cut in cuts])[:-1]) if cuts else []

    return Embedder(cut=cut, read=read)
