"""propose: pictures -> proposals.jsonl, the masks that a backbone's attention proposes.

In:   images.jsonl and the pictures
Out:  propose/proposals.jsonl
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from maskdistill.masks import rle
from maskdistill.runs import lines
from maskdistill.settings import RunSettings, as_dict
from maskdistill.settings.propose import ProposeSettings
from maskdistill.settings.resolve import HANDCRAFTED
from maskdistill.stages.discover import METHODS, NOT_FINITE, Input, discover
from maskdistill.stages.skeleton import Done, Image, Job, Stage, over_pictures


def parts(settings: RunSettings) -> dict[str, Any]:
    """Settings that change the masks: the method's own constants, not those of the other method."""
    every = as_dict(settings.propose)
    own = every[settings.propose.method]
    every = {key: value for key, value in every.items() if key not in METHODS}
    precision = "float32" if settings.propose.backbone == HANDCRAFTED else settings.precision
    return {**every, settings.propose.method: own, "precision": precision}


def weights(job: Job) -> str:
    """Digest of the backbone's weights."""
    from maskdistill.stages import backbones

    return backbones.digest(job, "propose", job.settings.propose.backbone)


def work(job: Job, folder: Path) -> Done:
    """One picture after the other through the backbone and the method."""
    from maskdistill.stages import backbones

    network = backbones.backbone(job, "propose", job.settings.propose.backbone)
    if what := stand_in(job.settings.propose.method, network):
        job.ledger.write("note", stage="propose", what=what)
    discover = proposer(job, network)

    def describe(image: Image, rgb: np.ndarray) -> dict[str, Any]:
        masks, scores, notes = discover(rgb)
        rows = mask_rows(masks, scores)
        for word, value in notes:
            if word in ("fallback", NOT_FINITE) and value:
                job.ledger.write("note", stage="propose", picture=image.path, what=word, value=value)
        return {"masks": rows, "notes": [[word, value] for word, value in notes]}

    with over_pictures(job, folder, job.images, describe, title="propose") as journal:
        counts = {"pictures": 0, "masks": 0, "refused": 0, "without_masks": 0}

        def rows() -> Any:
            for number, entry in journal.records():
                counts["pictures"] += 1
                counts["masks"] += len(entry.get("masks", []))
                counts["refused"] += "refused" in entry
                counts["without_masks"] += "refused" not in entry and not entry["masks"]
                yield {"id": number, **entry}

        lines.write(folder / "proposals.jsonl", rows())
    return Done(outputs=["proposals.jsonl"], counts=counts)


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


def proposer(job: Job, network: Any) -> Any:
    """A function from a picture (H, W, 3) uint8 to (masks (n, H, W) bool, scores (n,), notes)."""
    settings = job.settings.propose
    finding = arguments(settings)

    def propose(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[tuple[str, float | int | str]]]:
        return discover(
            rgb,
            backbone=network,
            min_score=settings.min_score,
            how=settings.pixels,
            **finding,
        )

    return propose


def arguments(settings: ProposeSettings) -> dict[str, Any]:
    """What the settings say of finding masks on the patch grid, as keyword arguments of `discover.find`."""
    shown, constants = input_of(settings, settings.method)
    return {
        "method": settings.method,
        "block": settings.block,
        "facet": settings.facet,
        "centre_keys": settings.centre_keys == "yes",
        "max_masks": settings.max_masks,
        "stop_score": settings.stop_score,
        "shown": shown,
        "constants": constants,
    }


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
