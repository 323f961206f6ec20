"""propose: pictures -> proposals.jsonl, the masks that a backbone's attention proposes.

In:   images.jsonl and the pictures
Out:  propose/proposals.jsonl
"""

from __future__ import annotations

from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from maskdistill.discovery.find import (
    FROM_PICTURE,
    METHODS,
    Input,
    Recipe,
    find,
    in_pixels,
    looked_within_memory,
    padded_size,
    prepared,
)
from maskdistill.engine.job import Image, Job
from maskdistill.engine.picture_loop import over_batches
from maskdistill.engine.stage import Done, Stage
from maskdistill.features import Prepared
from maskdistill.masks import rle
from maskdistill.pictures import of_like_shape
from maskdistill.runs import lines
from maskdistill.runs.layout import ProposeFolder
from maskdistill.settings import RunSettings, as_dict
from maskdistill.settings.propose import ProposeSettings
from maskdistill.settings.run import HANDCRAFTED
from maskdistill.stages import imported
from maskdistill.types import Features, Note

IMPORTS = (
    "import_file",
    "import_images",
    "import_top",
)  # settings that count where masks are imported, there alone

TOLD = (Note.FALLBACK, Note.NOT_FINITE, Note.SMALLER)  # notes of a picture that the ledger repeats


def parts(settings: RunSettings) -> dict[str, Any]:
    """Settings that change the masks: the method's own constants, not those of the other method."""
    every = as_dict(settings.propose)
    own = every[settings.propose.method]
    every = {
        key: value for key, value in every.items() if key not in (*METHODS, "gpu_batch", *IMPORTS)
    }
    precision = "float32" if settings.propose.backbone == HANDCRAFTED else settings.precision
    return {**every, settings.propose.method: own, "precision": precision}


def weights(job: Job) -> str:
    """Digest of the backbone's weights."""
    from maskdistill.engine import networks

    return networks.digest(job, "propose", job.settings.propose.backbone)


def work(job: Job, folder: ProposeFolder) -> Done:
    """Pictures through the backbone, and behind it, in threads, through the method to masks."""
    from maskdistill.engine import networks

    own = job.settings.propose
    network = networks.backbone(job, "propose", own.backbone)
    if what := stand_in(own.method, network):
        job.ledger.write("note", stage="propose", what=what)
    recipe = recipe_of(own)
    on_gpu = own.backbone != HANDCRAFTED and networks.device(job).type != "cpu"
    # A CPU gains nothing from several pictures at a time, and its results would depend on which they are.
    size = own.gpu_batch if on_gpu else 1
    shapes = [
        padded_size(image.size, patch=network.patch, shown=recipe.shown) for image in job.images
    ]
    batches = [
        [job.images[position] for position in batch] for batch in of_like_shape(shapes, size=size)
    ]

    def load(image: Image) -> tuple[Prepared, np.ndarray | None]:
        rgb = job.read_picture(image)
        # What is drawn to the picture's edges needs it; else one that is read again is the lesser evil.
        return prepared(
            rgb, backbone=network, shown=recipe.shown
        ), rgb if recipe.how in FROM_PICTURE else None

    def together(loaded: list[tuple[Prepared, np.ndarray | None]]) -> list[Features | None]:
        return looked_within_memory([ready for ready, _ in loaded], backbone=network, recipe=recipe)

    def each(
        image: Image, loaded: tuple[Prepared, np.ndarray | None], features: Features | None
    ) -> dict[str, Any]:
        ready, rgb = loaded
        found, content = find(
            lambda: job.read_picture(image) if rgb is None else rgb,
            backbone=network,
            recipe=recipe,
            seen=None if features is None else (features, ready.content),
        )
        for note, value in found.notes:
            if note in TOLD:
                job.ledger.write(
                    "note", stage="propose", picture=image.path, what=note.value, value=value
                )
        place = {"patch": network.patch, "content": content, "size": image.size}
        masks, scores = in_pixels(
            found, rgb=rgb, min_score=recipe.min_score, how=recipe.how, **place
        )
        return {
            "masks": mask_rows(masks, scores),
            "notes": [[note.value, value] for note, value in found.notes],
        }

    # One thread of the BLAS a worker: more would fight over the cores, and move last bits with their number.
    with (
        threadpool_limits(1, user_api="blas"),
        over_batches(
            job,
            folder,
            batches,
            load=load,
            together=together,
            each=each,
            title="propose",
            behind=job.settings.workers,
        ) as journal,
    ):
        counts = {"pictures": 0, "masks": 0, "refused": 0, "without_masks": 0}

        def rows() -> Any:
            for number, entry in journal.records():
                counts["pictures"] += 1
                counts["masks"] += len(entry.get("masks", []))
                counts["refused"] += "refused" in entry
                counts["without_masks"] += "refused" not in entry and not entry["masks"]
                yield {"id": number, **entry}

        lines.write(folder.masks, rows())
    return Done(outputs=[folder.masks], counts=counts)


def stand_in(method: str, network: Any) -> str | None:
    """What is to be told where a method asks for a class token that the network does not have."""
    if method != "maskdistill" or network.has_class:
        return None
    return f"{network.name} has no class token: the attention is that of a stand-in, for a network the patches' mean"


def mask_rows(masks: np.ndarray, scores: np.ndarray) -> list[dict[str, Any]]:
    """Masks (n, H, W) bool and scores (n,) as the records of a line, by falling score; empty masks are left out."""
    order = [position for position in np.argsort(-scores, kind="stable") if masks[position].any()]
    encoded = rle.encode(masks[order]) if order else []
    boxes, areas = rle.boxes(encoded), rle.areas(encoded)
    return [
        {
            "rle": encoded[row],
            "box": [float(edge) for edge in boxes[row]],
            "area": int(areas[row]),
            "score": round(float(scores[position]), 6),
        }
        for row, position in enumerate(order)
    ]


def recipe_of(settings: ProposeSettings) -> Recipe:
    """What the settings say of finding and drawing masks."""
    shown, constants = input_of(settings, settings.method)
    return Recipe(
        method=settings.method,
        shown=shown,
        block=settings.block,
        facet=settings.facet,
        centre_keys=settings.centre_keys == "yes",
        max_masks=settings.max_masks,
        stop_score=settings.stop_score,
        min_score=settings.min_score,
        how=settings.pixels,
        constants=constants,
    )


def input_of(settings: ProposeSettings, method: str) -> tuple[Input, dict[str, Any]]:
    """What the backbone is shown for a method, and the method's other constants."""
    constants = as_dict(getattr(settings, method))
    shown = Input(
        short_side=constants.pop("short_side", 0) or None,
        square=constants.pop("square", 0) or None,
        max_patches=settings.max_patches or None,
    )
    return shown, constants


STAGE = Stage(name="propose", version=2, reads=("scan",), parts=parts, work=work, weights=weights)


def stage(settings: RunSettings) -> Stage:
    """Our own masks, or those of others."""
    return imported.PROPOSE if settings.propose.import_file else STAGE
