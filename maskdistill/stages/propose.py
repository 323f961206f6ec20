"""propose: pictures -> proposals.jsonl, the masks that a backbone's attention proposes.

In:   images.jsonl and the pictures
Out:  propose/proposals.jsonl
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from maskdistill.artifacts import keep_tokens
from maskdistill.discovery import blank
from maskdistill.discovery.find import Discovered, PictureFeatures, discover, features_of
from maskdistill.discovery.recipe import METHODS, Recipe, recipe_of
from maskdistill.engine.job import Image, Job
from maskdistill.engine.picture_loop import over_batches
from maskdistill.engine.stage import Done, Stage
from maskdistill.features import Prepared
from maskdistill.features.tokens import Tokens
from maskdistill.masks import rle
from maskdistill.measuring import stage_numbers
from maskdistill.memory import in_halves
from maskdistill.pictures import of_like_shape
from maskdistill.runs import lines
from maskdistill.runs.layout import ProposeFolder
from maskdistill.settings import RunSettings, as_dict
from maskdistill.settings.run import HANDCRAFTED
from maskdistill.types import Note

# Settings that count where masks are imported, there alone.
IMPORTS = ("import_file", "import_images", "import_top")


@dataclass(frozen=True)
class Loaded:
    """Hold what is needed of a picture ahead of the device.

    Attributes:
        prepared: for the backbone.
        rgb: the picture, where its outlines are redrawn.
        mirrored: for the backbone, where tokens of the mirrored picture are kept, or its masks are
            compared with those of the picture.
    """

    prepared: Prepared
    rgb: np.ndarray | None
    mirrored: Prepared | None


# Features of a picture and of the mirrored one; None: did not fit, or was not looked at.
Seen = tuple[PictureFeatures | None, PictureFeatures | None]
MIRRORED = "mirrored"  # in a journal: partners among the masks of both views, masks of both
TOLD = (Note.FALLBACK, Note.NOT_FINITE, Note.SMALLER)  # notes of a picture that the ledger repeats


def parts(settings: RunSettings) -> dict[str, Any]:
    """Return the settings that change the masks; of the methods' constants the chosen one's."""
    every = as_dict(settings.propose)
    own = every[settings.propose.method]
    every = {
        key: value
        for key, value in every.items()
        if key not in (*METHODS, "choose", "gpu_batch", *IMPORTS)
    }
    if not settings.propose.positions:  # nothing is taken out: as before there was the setting
        del every["positions"]
    precision = "float32" if settings.propose.backbone == HANDCRAFTED else settings.precision
    return {**every, settings.propose.method: own, "precision": precision}


def weights(job: Job) -> str:
    """Return the digest of the backbone's weights."""
    from maskdistill.engine import networks

    return networks.digest(job, "propose", job.settings.propose.backbone)


def work(job: Job, folder: ProposeFolder) -> Done:
    """Write the masks of every picture: the backbone in this thread, the method in threads behind.

    A picture that did not fit into memory is seen again, smaller, in a thread behind. A refused
    picture has its reason in its line. One without masks may have a note that says why (features
    not finite, a search that stopped); masks below `min_score`, or empty once drawn, have none.
    """
    from maskdistill.engine import networks

    own = job.settings.propose
    network = networks.backbone(job, "propose", own.backbone)
    networks.tell_line(job, network)
    if what := stand_in(own.method, network):
        job.ledger.write("note", stage="propose", what=what)
    recipe = recipe_of(own)
    if own.positions:  # before any picture: what is wrong with it is wrong with all
        n_found = blank.directions_of(network, recipe).shape[1]
        what = f"{n_found} directions of position are taken out of the {own.facet}"
        job.ledger.write("note", stage="propose", what=what)
    kept = job.settings.features
    if own.backbone == HANDCRAFTED and kept.keep == "all":
        what = "no tokens are kept: handcrafted features are none that a network could learn from"
        job.ledger.write("note", stage="propose", what=what)
        job.progress.say(f"propose: {what}")
    keeper: keep_tokens.Keeper | None = None
    on_gpu = own.backbone != HANDCRAFTED and networks.device(job).type != "cpu"
    # A CPU gains nothing from several pictures at a time, and its results would depend on which.
    size = own.gpu_batch if on_gpu else 1
    shapes = [recipe.shown.grid(image.size, patch=network.patch) for image in job.images]
    batches = [
        [job.images[position] for position in batch] for batch in of_like_shape(shapes, size=size)
    ]

    compared = {image.id for image in stage_numbers.sampled(job)}

    def load(image: Image) -> Loaded:
        """Return what is needed of a picture ahead of the device."""
        rgb = job.read_picture(image, first=True)
        looks_twice = keeper is not None and kept.mirrored and keeper.wants(image)
        looks_twice = looks_twice or image.id in compared
        return Loaded(
            prepared=recipe.shown.prepare(rgb, backbone=network),
            # One that has to be seen again is read again.
            rgb=rgb if recipe.way.redraw is not None else None,
            mirrored=recipe.shown.prepare(rgb, backbone=network, mirrored=True)
            if looks_twice
            else None,
        )

    def together(loaded: list[Loaded]) -> list[Seen]:
        """Return the features of a batch, of the mirrored pictures too where these are needed."""

        def fitting(some: list[Prepared]) -> list[PictureFeatures | None]:
            blocks = kept.blocks if keeper is not None else ()
            return features_that_fit(job, some, network, recipe, blocks=blocks)

        features = fitting([each.prepared for each in loaded])
        others = iter(fitting([each.mirrored for each in loaded if each.mirrored is not None]))
        return [
            (made, None if each.mirrored is None else next(others))
            for each, made in zip(loaded, features, strict=True)
        ]

    def propose(image: Image, loaded: Loaded, seen: Seen) -> dict[str, Any]:
        """Return the record of a picture: its masks and notes."""
        rgb, (features, mirrored) = loaded.rgb, seen
        if keeper is not None and (views := _to_keep(seen, 1 + kept.mirrored)) is not None:
            keeper.add(image, views, content=job.replaced.get(image.id, ""))

        def picture() -> np.ndarray:
            return job.read_picture(image, first=True) if rgb is None else rgb

        try:
            found = discover(
                picture,
                size=image.size,
                backbone=network,
                recipe=recipe,
                features=features,
            )
        except MemoryError as error:
            return {"refused": f"{job.picture_path(image)}: {error}"}
        for note, value in found.notes:
            if note in TOLD:
                job.ledger.write(
                    "note", stage="propose", picture=image.name, what=note.value, value=value
                )
        notes = [[note.value, value] for note, value in found.notes]
        entry: dict[str, Any] = {"masks": mask_rows(found), "notes": notes}
        if image.id in compared and mirrored is not None:
            entry[MIRRORED] = _compared(
                entry["masks"], picture, image.size, mirrored, backbone=network, recipe=recipe
            )
        return entry

    # One thread of the BLAS a worker: more would fight over the cores, and move last bits with
    # their number.
    with ExitStack() as during:
        if keep_tokens.are_wanted(job):
            made_with = keep_tokens.fingerprint(job)
            keeper = during.enter_context(
                keep_tokens.keeping(job, made_with=made_with, backbone=lambda: network)
            )
        during.enter_context(threadpool_limits(1, user_api="blas"))
        journal = during.enter_context(
            over_batches(
                job,
                folder,
                batches,
                load=load,
                together=together,
                each=propose,
                title="propose",
                behind=job.settings.workers,
            )
        )
        met: list[list[int] | None] = []
        counts = {"pictures": 0, "masks": 0, "refused": 0, "without_masks": 0}

        def rows() -> Iterator[dict[str, Any]]:
            """Yield the lines of all pictures, and count them."""
            for number, entry in journal.records():
                counts["pictures"] += 1
                counts["masks"] += len(entry.get("masks", []))
                counts["refused"] += "refused" in entry
                if "content" in entry:  # of a picture that is not the one that was scanned
                    counts["replaced"] = counts.get("replaced", 0) + 1
                counts["without_masks"] += "refused" not in entry and not entry["masks"]
                met.append(entry.pop(MIRRORED, None))
                yield {"id": number, **entry}

        lines.write(folder.masks, rows())
    numbers = stage_numbers.agreement_of([each for each in met if each is not None])
    return Done(outputs=[folder.masks], counts=counts, numbers=numbers)


def _to_keep(seen: Seen, n_views: int) -> list[Tokens] | None:
    """Return the tokens of the first views of a picture; None where not all of them fitted."""
    views = [each.tokens for each in seen[:n_views] if each is not None]
    whole = [each for each in views if each is not None]
    return whole if len(whole) == n_views else None


def _compared(
    masks: list[dict[str, Any]],
    picture: Callable[[], np.ndarray],
    size: tuple[int, int],
    mirrored: PictureFeatures,
    *,
    backbone: Any,
    recipe: Recipe,
) -> list[int] | None:
    """Return how many masks of both views have a partner in the other, and how many there are.

    Args:
        masks: of the picture. picture, size, backbone, recipe: as `discover` takes them.
        mirrored: features of the mirrored picture.
    Returns:
        None where the mirrored picture does not fit into memory.
    """

    def turned() -> np.ndarray:
        return np.ascontiguousarray(picture()[:, ::-1])

    how = {"size": size, "backbone": backbone, "recipe": recipe}
    try:
        found = discover(turned, features=mirrored, **how)
    except MemoryError:
        return None
    return stage_numbers.met(masks, found.masks[found.best_first][..., ::-1])


def features_that_fit(
    job: Job,
    batch: Sequence[Prepared],
    network: Any,
    recipe: Recipe,
    *,
    blocks: Sequence[int] = (),
) -> list[PictureFeatures | None]:
    """Return the features of a batch of one padded shape, as many pictures at a time as fit.

    The ledger says that a batch was halved; None stands for a picture that does not fit alone.

    Args:
        blocks: whose Tokens the same pass gives too; none: no Tokens.
    """

    def halved(n_pictures: int) -> None:
        """Write to the ledger that a batch of so many did not fit."""
        if n_pictures > 1:
            what = "a batch did not fit into memory: in halves"
            job.ledger.write("halved", stage="propose", what=what, pictures=n_pictures)

    def extract(some: Sequence[Prepared]) -> list[PictureFeatures]:
        """Return the features of some pictures of the batch."""
        return features_of(some, network, block=recipe.block, want=recipe.want, blocks=blocks)

    return in_halves(batch, extract, on_halved=halved)


def stand_in(method: str, network: Any) -> str | None:
    """Return a sentence where the method wants a class token that the network lacks, else None."""
    if method != "maskdistill" or network.has_class:
        return None
    return (
        f"{network.name} has no class token: the attention is that of a stand-in, "
        "for a network the patches' mean"
    )


def mask_rows(found: Discovered) -> list[dict[str, Any]]:
    """Return the masks as the records of a line, by falling score; empty masks are left out."""
    order = found.best_first
    encoded = rle.encode(found.masks[order]) if order else []
    boxes, areas = rle.boxes(encoded), rle.areas(encoded)
    return [
        {
            "rle": encoded[row],
            "box": [float(edge) for edge in boxes[row]],
            "area": int(areas[row]),
            "score": round(float(found.scores[place]), 6),
        }
        for row, place in enumerate(order)
    ]


STAGE = Stage(
    name="propose",
    version=2,
    reads=("scan",),
    parts=parts,
    work=work,
    keeps=("features",),
    weights=weights,
)
