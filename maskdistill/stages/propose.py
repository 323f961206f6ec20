"""propose: pictures -> proposals.jsonl, the masks that a backbone's attention proposes.

In:   images.jsonl and the pictures
Out:  propose/proposals.jsonl; with a pool propose/pool.jsonl too
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from maskdistill.artifacts import keep_tokens
from maskdistill.discovery import blank, records
from maskdistill.discovery.find import BlockFeatures, features_of_blocks
from maskdistill.discovery.pool import Tried, tried_of, wanted_of
from maskdistill.discovery.recipe import METHODS, recipe_of
from maskdistill.discovery.records import POOL
from maskdistill.discovery.views import View, views_of
from maskdistill.engine.job import Image, Job
from maskdistill.engine.picture_loop import over_batches
from maskdistill.engine.stage import Done, Stage
from maskdistill.features import Prepared
from maskdistill.features.tokens import Tokens
from maskdistill.measuring import stage_numbers
from maskdistill.memory import in_halves
from maskdistill.pictures import of_like_shape
from maskdistill.runs import lines
from maskdistill.runs.journal import Journal
from maskdistill.runs.layout import ProposeFolder
from maskdistill.settings import RunSettings, as_dict
from maskdistill.settings.propose import ProposeSettings
from maskdistill.settings.run import HANDCRAFTED
from maskdistill.types import Note

# Settings that count where masks are imported, there alone.
IMPORTS = ("import_file", "import_images", "import_top")


@dataclass(frozen=True)
class Loaded:
    """Hold what is needed of a picture ahead of the device.

    Attributes:
        prepared: for the backbone, by scale.
        rgb: the picture, where its outlines are redrawn.
        mirrored: for the backbone, where tokens of the mirrored picture are kept, or its masks are
            compared with those of the picture.
    """

    prepared: dict[float, Prepared]
    rgb: np.ndarray | None
    mirrored: dict[float, Prepared]


Seen = tuple[View, View]  # of a picture and of the mirrored one
MIRRORED = "mirrored"  # in a journal: partners among the masks of both views, masks of both
TOLD = (Note.FALLBACK, Note.NOT_FINITE, Note.SMALLER)  # notes of a picture that the ledger repeats


def parts(settings: RunSettings) -> dict[str, Any]:
    """Return the settings that change the masks; of the methods' constants those of the used ones.

    A pool that is off is left out, so that runs without one stay what they were.
    """
    own = settings.propose
    every = as_dict(own)
    used: dict[str, Any] = {own.method: every[own.method]}
    for name in own.pool.methods:
        # All see the picture as the run's own method does.
        shown = ("short_side", "square") if name != own.method else ()
        used[name] = {key: value for key, value in every[name].items() if key not in shown}
    unused = [*METHODS, "choose", "gpu_batch", *IMPORTS, *(() if own.pool.is_on else ("pool",))]
    if not own.positions:  # nothing is taken out: as before there was the setting
        unused.append("positions")
    every = {key: value for key, value in every.items() if key not in unused}
    precision = "float32" if own.backbone == HANDCRAFTED else settings.precision
    return {**every, **used, "precision": precision}


def weights(job: Job) -> str:
    """Return the digest of the backbone's weights."""
    from maskdistill.engine import networks

    return networks.digest(job, "propose", job.settings.propose.backbone)


def work(job: Job, folder: ProposeFolder) -> Done:
    """Write the masks of every picture: the backbone in this thread, the method in threads behind.

    A picture that did not fit into memory is seen again, smaller, in a thread behind. A refused
    picture has its reason in its line. One without masks may have a note that says why (features
    not finite, a search that stopped); masks below `min_score`, or empty once drawn, have none.
    With a pool, its masks are written whole, and the best of them are the proposals.
    """
    from maskdistill.engine import networks

    own = job.settings.propose
    network = networks.backbone(job, "propose", own.backbone)
    networks.tell_line(job, network)
    tried = tried_of(own)
    for method in dict.fromkeys(each.recipe.method for each in tried):
        if what := stand_in(method, network):
            job.ledger.write("note", stage="propose", what=what)
    recipe = recipe_of(own)
    if own.positions:  # before any picture: what is wrong with it is wrong with all
        for facet, block in dict.fromkeys((e.recipe.facet, e.recipe.block) for e in tried):
            shown = replace(recipe, facet=facet, block=block)
            n_found = blank.directions_of(network, shown).shape[1]
            what = f"{n_found} directions of position are taken out of the {facet}"
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
    wanted = wanted_of(tried)

    def load(image: Image) -> Loaded:
        """Return what is needed of a picture ahead of the device."""
        rgb = job.read_picture(image, first=True)
        # Tokens are those of scale 1, whether the pool has it or not.
        to_keep = [1.0] if keeper is not None else []
        mirrored = [1.0] if keeper is not None and kept.mirrored and keeper.wants(image) else []
        if image.id in compared:
            mirrored += wanted

        def prepared(scales: Iterable[float], *, mirrored: bool) -> dict[float, Prepared]:
            return {
                scale: recipe.shown.scaled(scale, image.size).prepare(
                    rgb, backbone=network, mirrored=mirrored
                )
                for scale in dict.fromkeys(scales)
            }

        return Loaded(
            prepared=prepared([*wanted, *to_keep], mirrored=False),
            # One that has to be seen again is read again.
            rgb=rgb if recipe.way.redraw is not None else None,
            mirrored=prepared(mirrored, mirrored=True),
        )

    def together(loaded: list[Loaded]) -> list[Seen]:
        """Return the features of a batch, of the mirrored pictures too where these are needed."""

        def see(some: Sequence[Prepared], scale: float) -> list[BlockFeatures | None]:
            blocks = kept.blocks if keeper is not None and scale == 1 else ()
            fields = wanted.get(scale, {})
            return features_that_fit(job, some, network, fields, blocks=blocks)

        views = views_of([each.prepared for each in loaded], see)
        others = views_of([each.mirrored for each in loaded], see)
        return list(zip(views, others, strict=True))

    def propose(image: Image, loaded: Loaded, seen: Seen) -> dict[str, Any]:
        """Return the record of a picture: its masks and notes."""
        rgb, (features, mirrored) = loaded.rgb, seen
        if keeper is not None and (views := _to_keep(seen, 1 + kept.mirrored)) is not None:
            keeper.add(image, views, content=job.replaced.get(image.id, ""))

        def picture() -> np.ndarray:
            return job.read_picture(image, first=True) if rgb is None else rgb

        how = {"size": image.size, "backbone": network}
        try:
            entry, notes = records.found(picture, own, tried, features, **how)
        except MemoryError as error:
            return {"refused": f"{job.picture_path(image)}: {error}"}
        for note, value in notes:
            if note in TOLD:
                job.ledger.write(
                    "note", stage="propose", picture=image.name, what=note.value, value=value
                )
        entry["notes"] = [[note.value, value] for note, value in notes]
        if image.id in compared and None not in [mirrored[scale] for scale in wanted]:
            entry[MIRRORED] = _compared(entry["masks"], picture, own, tried, mirrored, **how)
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
        return _written(job, folder, journal)


def _written(job: Job, folder: ProposeFolder, journal: Journal) -> Done:
    """Write the lines of all pictures, proposals and pool in their files, and return the counts."""
    is_pooled = job.settings.propose.pool.is_on
    met: list[list[int] | None] = []
    counts = {"pictures": 0, "masks": 0, "refused": 0, "without_masks": 0}
    counts |= {"pooled": 0} if is_pooled else {}

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
            entry.pop(POOL, None)
            yield {"id": number, **entry}

    def pools() -> Iterator[dict[str, Any]]:
        """Yield the pools of all pictures, and count their masks."""
        for number, entry in journal.records():
            if "refused" in entry:
                yield {"id": number, "refused": entry["refused"]}
                continue
            counts["pooled"] += len(entry[POOL])
            yield {"id": number, "masks": entry[POOL]}

    lines.write(folder.masks, rows())
    if is_pooled:
        lines.write(folder.pool, pools())
    return Done(
        outputs=[folder.masks, *([folder.pool] if is_pooled else [])],
        counts=counts,
        numbers=stage_numbers.agreement_of([each for each in met if each is not None]),
    )


def _to_keep(seen: Seen, n_views: int) -> list[Tokens] | None:
    """Return the tokens of the first views of a picture; None where not all of them fitted."""
    views = [view.get(1.0) for view in seen[:n_views]]
    whole = [each.tokens for each in views if each is not None and each.tokens is not None]
    return whole if len(whole) == n_views else None


def _compared(
    masks: list[dict[str, Any]],
    picture: Callable[[], np.ndarray],
    own: ProposeSettings,
    tried: Sequence[Tried],
    mirrored: View,
    **how: Any,
) -> list[int] | None:
    """Return how many masks of both views have a partner in the other, and how many there are.

    Args:
        masks: of the picture. picture, own, tried, how: as `records.found` takes them.
        mirrored: features of the mirrored picture, all of them there.
    Returns:
        None where the mirrored picture does not fit into memory.
    """

    def turned() -> np.ndarray:
        return np.ascontiguousarray(picture()[:, ::-1])

    try:
        found = records.best_masks(turned, own, tried, mirrored, **how)
    except MemoryError:
        return None
    return stage_numbers.met(masks, found[..., ::-1])


def features_that_fit(
    job: Job,
    batch: Sequence[Prepared],
    network: Any,
    wanted: Mapping[int, Sequence[str]],
    *,
    blocks: Sequence[int] = (),
) -> list[BlockFeatures | None]:
    """Return the features of a batch of one padded shape, as many pictures at a time as fit.

    The ledger says that a batch was halved; None stands for a picture that does not fit alone.

    Args:
        wanted: block -> fields of its features.
        blocks: whose Tokens the same pass gives too; none: no Tokens.
    """

    def halved(n_pictures: int) -> None:
        """Write to the ledger that a batch of so many did not fit."""
        if n_pictures > 1:
            what = "a batch did not fit into memory: in halves"
            job.ledger.write("halved", stage="propose", what=what, pictures=n_pictures)

    def extract(some: Sequence[Prepared]) -> list[BlockFeatures]:
        """Return the features of some pictures of the batch."""
        return features_of_blocks(some, network, wanted=wanted, blocks=blocks)

    return in_halves(batch, extract, on_halved=halved)


def stand_in(method: str, network: Any) -> str | None:
    """Return a sentence where the method wants a class token that the network lacks, else None."""
    if method != "maskdistill" or network.has_class:
        return None
    return (
        f"{network.name} has no class token: the attention is that of a stand-in, "
        "for a network the patches' mean"
    )


STAGE = Stage(
    name="propose",
    version=2,
    reads=("scan",),
    parts=parts,
    work=work,
    keeps=("features",),
    weights=weights,
)
