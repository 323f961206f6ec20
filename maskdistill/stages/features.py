"""propose/features: tokens of the pass that made the proposals, kept for the networks that learn.

In:   images.jsonl; what `propose` left in so-far/; pictures that are not in there
Out:  propose/features/tokens.bin, index.json
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from maskdistill.artifacts import keep_tokens, kept_tokens
from maskdistill.artifacts.mask_lines import MaskFile
from maskdistill.discovery.recipe import recipe_of
from maskdistill.engine import networks
from maskdistill.engine.job import Image, Job
from maskdistill.engine.picture_loop import over_batches
from maskdistill.engine.stage import Done, Stage
from maskdistill.features import Prepared
from maskdistill.features.tokens import Tokens
from maskdistill.pictures import of_like_shape
from maskdistill.runs.journal import Journal
from maskdistill.runs.layout import FeaturesFolder
from maskdistill.runs.stages import FEATURES
from maskdistill.settings import RunSettings
from maskdistill.stage_parts import device_batches

Views = list[Prepared]  # of one picture: as it is, and mirrored where that is kept


def work(job: Job, folder: FeaturesFolder) -> Done:
    """Keep the tokens that `propose` did not keep in its own pass, and make the files of them all.

    That pass keeps all, but where `features.keep` was given later, proposals were imported, or a
    kill came between the two. A picture that was refused there is not looked at again.
    """
    made_with = keep_tokens.fingerprint(job)
    index = keep_tokens.finished(job, made_with=made_with)
    if index is None:

        def network() -> Any:
            return networks.kept(job, "propose", job.settings.propose.backbone)

        with keep_tokens.keeping(job, made_with=made_with, backbone=network) as keeper:
            proposed = job.folder.propose.masks
            refused = MaskFile(proposed).reasons if proposed.exists() else {}
            missing = [
                image for image in job.images if keeper.wants(image) and image.id not in refused
            ]
            # What so-far/ says counts, whatever an attempt said that was stopped.
            Journal(folder.parts.path).restarted()
            if missing:
                _look(job, folder, keeper, missing, network())
            index = keep_tokens.finish(job, keeper, made_with=made_with)
    counts = {"pictures": len(job.images), "kept": len(index.rows), "bytes": index.n_bytes}
    return Done(outputs=[folder.tokens, folder.index], counts=counts)


def _look(
    job: Job,
    folder: FeaturesFolder,
    keeper: keep_tokens.Keeper,
    images: list[Image],
    network: Any,
) -> None:
    """Show pictures to the backbone, in batches of like size on a GPU, and keep their tokens."""
    shown, own = recipe_of(job.settings.propose).shown, job.settings.features
    size = device_batches.size_of(networks.device(job), job.settings.propose.gpu_batch)
    shapes = [shown.grid(image.size, patch=network.patch) for image in images]

    def load(image: Image) -> Views:
        rgb = job.read_picture(image)
        return [
            shown.prepare(rgb, backbone=network, mirrored=mirrored)
            for mirrored in (False, True)[: 1 + own.mirrored]
        ]

    def together(loaded: list[Views]) -> list[list[Tokens] | None]:
        return _seen(loaded, network, blocks=own.blocks)

    def keep(image: Image, _: Views, made: list[Tokens] | None) -> dict[str, Any]:
        if made is not None:
            content = job.content_proposed(image)
            keeper.add(image, made, content="" if content == image.sha256 else content)
        return {"kept": made is not None}

    batches = [[images[place] for place in batch] for batch in of_like_shape(shapes, size=size)]
    with over_batches(
        job,
        folder,
        batches,
        load=load,
        together=together,
        each=keep,
        title="features",
        behind=job.settings.workers,
    ):
        pass


def _seen(
    loaded: Sequence[Views], network: Any, *, blocks: Sequence[int]
) -> list[list[Tokens] | None]:
    """Return the tokens of each view of each picture; None of one that does not fit into memory."""
    views = [
        keep_tokens.seen(view, backbone=network, blocks=blocks)
        for view in zip(*loaded, strict=True)
    ]
    pictures = [[each for each in made if each is not None] for made in zip(*views, strict=True)]
    return [made if len(made) == len(views) else None for made in pictures]


def stage(settings: RunSettings) -> Stage | None:
    """Return the stage; None where nothing is to be kept."""
    return STAGE if settings.keeps_tokens else None


STAGE = Stage(
    name=FEATURES,
    version=kept_tokens.VERSION,
    reads=("scan",),
    parts=kept_tokens.parts,
    work=work,
    keeps=(FeaturesFolder.so_far.name,),
    weights=kept_tokens.weights,
)
