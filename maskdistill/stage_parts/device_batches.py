"""Batches of a trained network: pictures of like size together, as many at a time as fit.

In:   the pictures of a run, what a network makes of a batch
Out:  a journal, a record a picture; refused is only the picture that does not fit alone
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, TypeVar

import torch
from torch import nn

from maskdistill.engine.job import Image, Job
from maskdistill.engine.picture_loop import Record, over_batches
from maskdistill.memory import in_halves
from maskdistill.pictures import of_like_shape
from maskdistill.runs.journal import Journal
from maskdistill.runs.layout import StageFolder
from maskdistill.settings import RunSettings

Made = TypeVar("Made")


def size_of(device: torch.device, gpu_batch: int) -> int:
    """Return how many pictures a device sees together: `gpu_batch` on a GPU, on a CPU one.

    A CPU gains nothing from several (docs/log/training.md), and its results would depend on which
    they are.
    """
    return 1 if device.type == "cpu" else gpu_batch


def in_precision(model: nn.Module, settings: RunSettings) -> torch.autocast:
    """Return the context in which a network works in the run's precision."""
    device = next(model.parameters()).device.type
    return torch.autocast(device, torch.bfloat16, enabled=settings.precision == "bfloat16")


def over_like_shapes(
    job: Job,
    folder: StageFolder,
    *,
    shape_of: Callable[[Image], Hashable],
    size: int,
    together: Callable[[list[Any]], list[Made]],
    each: Callable[[Image, Any, Made], Record],
    title: str,
    behind: int,
    load: Callable[[Image], Any] | None = None,
) -> Journal:
    """Return the complete journal of a stage that shows every picture of the run to a network.

    The ledger says which batches had to be halved.

    Args:
        shape_of: from an image to what pictures of one batch have in common.
        size: pictures of a batch at most; the batches are planned over all pictures.
        together: from what was loaded of pictures to what the device makes of each.
        each: from an image, what was loaded and what was made of it to its record.
        title, behind: as `over_batches` takes them.
        load: from an image to what the network is shown of it, as `over_batches` takes it; None:
            the picture (H, W, 3) uint8.
    """
    plan = of_like_shape([shape_of(image) for image in job.images], size=size)

    def halved(n_pictures: int) -> None:
        if n_pictures > 1:
            what = "a batch did not fit into memory: in halves"
            job.ledger.write("halved", stage=title, what=what, pictures=n_pictures)

    def fitting(loaded: list[Any]) -> list[Made | None]:
        return in_halves(loaded, lambda some: together(list(some)), on_halved=halved)

    alone = Lock()

    def record(image: Image, loaded: Any, made: Made | None) -> Record:
        if made is not None:
            (found,) = in_halves([image], lambda _: [each(image, loaded, made)])
            if found is not None:
                return found
        # Memory may have been short because of the pictures that others were drawing.
        with alone:
            (found,) = in_halves([image], lambda _: [each(image, loaded, together([loaded])[0])])
        return {"refused": _reason(job, image)} if found is None else found

    return over_batches(
        job,
        folder,
        [[job.images[position] for position in batch] for batch in plan],
        load=load or job.read_picture,
        together=fitting,
        each=record,
        title=title,
        behind=behind,
    )


def _reason(job: Job, image: Image) -> str:
    """Return why a picture is refused that does not fit into memory alone."""
    return (
        f"{job.picture_path(image)}: {image.width} x {image.height} px do not fit into memory, "
        "even alone. Do the stage again with --redo where more is free, or on another device"
    )
