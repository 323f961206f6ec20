"""The embeddings of a clustering: of every mask of a file, and of what is found in a new picture.

In:   a mask file and the pictures, the settings of `cluster`
Out:  vectors (n, d) in file order, and whose they are; of a mask that fits into no memory none
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from maskdistill.artifacts.mask_lines import MaskFile
from maskdistill.engine.job import Image, Job
from maskdistill.engine.picture_loop import over_batches
from maskdistill.errors import TrainingError, setting
from maskdistill.masks import rle
from maskdistill.memory import in_halves
from maskdistill.runs import arrays
from maskdistill.runs.layout import ClusterFolder

# Pictures whose crops wait for the network together: of 6 masks each, at 512 px, 75 MB of pixels
# and 300 of tensors, and enough small ones to fill packs of 256 patches (docs/log/clusters.md). No
# setting: which crops are packed together moves last bits on every device.
TOGETHER = 16
Masks = list[dict[str, Any]]  # records with rle and box
Views = Sequence[Any]  # the crops of one mask


@dataclass(frozen=True)
class Embedded:
    """Hold the embeddings of n masks in file order.

    Attributes:
        values: (n, d) float32, a memory map; zeros where the embedding is not finite.
        owners: (n, 2) int64: picture id, number of the mask in its picture.
        finite: (n,) bool.
    """

    values: np.ndarray
    owners: np.ndarray
    finite: np.ndarray


@dataclass(frozen=True)
class Embedder:
    """Hold two steps from masks to vectors, so that crops of several pictures go together.

    Attributes:
        cut: a picture (H, W, 3) uint8 and its masks to what is needed of them, in threads ahead of
            the network.
        read: that of some pictures to (n, d) float32 of the n masks of each.
    """

    cut: Callable[[np.ndarray, Masks], Any]
    read: Callable[[list[Any]], list[np.ndarray]]

    def __call__(self, rgb: np.ndarray, masks: Masks) -> np.ndarray:
        """Return the vectors (n, d) float32 of a picture's n masks."""
        return self.read([self.cut(rgb, masks)])[0]


def of_masks(job: Job, folder: ClusterFolder, file: MaskFile) -> Embedded:
    """Return the embeddings of all masks of a file, also written to FOLDER/embeddings.npy.

    Args:
        folder: of the stage; its journal is there too.
    Raises:
        TrainingError: a picture that has masks cannot be read any more.
    """

    def halved(n_masks: int) -> None:
        event, what = "halved", "crops did not fit into memory: in halves"
        if n_masks == 1:
            event = "warning"
            what = (
                "the crops of a mask do not fit into memory, even alone: it has no embedding. "
                f"Make them smaller: {setting('cluster.max_side')}"
            )
        job.ledger.write(event, stage=folder.path.name, what=what, masks=n_masks)

    embed = embedder(job, on_halved=halved)

    def load(image: Image) -> Any:
        return embed.cut(job.read_picture(image), file.masks(image.id))

    def each(image: Image, cut: Any, values: np.ndarray) -> dict[str, Any]:
        # Half precision overflows, broken weights give nan, memory is full: one mask must not end
        # the run of all others.
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
                path = job.picture_path(job.images[number - 1])
                raise TrainingError(f"{path}: could be read before but not now: {entry['refused']}")
            for mask, row in enumerate(entry["values"]):
                owners[writer.written] = number, mask
                finite[writer.written] = row is not None
                if row is None:
                    writer.add_zeros()
                else:
                    writer.add(np.array([row], np.float32))
    return Embedded(arrays.mapped(path), owners, finite)


def embedder(job: Job, *, on_halved: Callable[[int], None] = lambda n_masks: None) -> Embedder:
    """Return the embedding that the settings of `cluster` ask for.

    Args:
        on_halved: called with the number of masks whose crops did not fit into memory, each time.
    """
    if job.settings.cluster.embedding == "descriptors":
        return _by_hand(job)
    return _by_network(job, on_halved)


def _by_hand(job: Job) -> Embedder:
    """Return the embedding of masks by hand-made descriptors."""
    from maskdistill.clusters import descriptors

    longest = job.settings.cluster.max_side or None

    def cut(rgb: np.ndarray, masks: Masks) -> np.ndarray:
        one_by_one = (rle.decode([mask["rle"]], size=rgb.shape[:2])[0] for mask in masks)
        return descriptors(rgb, one_by_one, max_side=longest)

    return Embedder(cut=cut, read=lambda cuts: cuts)


def _by_network(job: Job, on_halved: Callable[[int], None]) -> Embedder:
    """Return the embedding of box crops by a backbone."""
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

    def embed(views: Sequence[Sequence[crops.Crop]]) -> np.ndarray:
        return crops.embed(views, backbone=network, prepare=prepare, read=what, pack=own.pack)

    def read(cuts: list[list[list[crops.Crop]]]) -> list[np.ndarray]:
        return within_memory(cuts, embed, width=network.width, on_halved=on_halved)

    return Embedder(cut=cut, read=read)


def within_memory(
    cuts: Sequence[Sequence[Views]],
    embed: Callable[[Sequence[Views]], np.ndarray],
    *,
    width: int,
    on_halved: Callable[[int], None],
) -> list[np.ndarray]:
    """Return the vectors (n, width) float32 of each picture's n masks, as many at once as fit.

    Args:
        cuts: of each picture the views of each of its masks.
        embed: from the views of m masks to their vectors (m, width) float32.
        on_halved: called with the number of masks that did not fit, each time.
    Returns:
        An array a picture; a row of nan for a mask whose views do not fit alone.
    """
    made = in_halves(
        [views for cut in cuts for views in cut],
        lambda some: list(embed(some)),
        on_halved=on_halved,
    )
    rows = [np.full(width, np.nan, np.float32) if row is None else row for row in made]
    values = np.stack(rows) if rows else np.zeros((0, width), np.float32)
    return np.split(values, np.cumsum([len(cut) for cut in cuts])[:-1]) if cuts else []
