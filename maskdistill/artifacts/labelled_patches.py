"""Labelled patches: those of a run's pictures, their tokens beside what its label maps say of them.

In:   tokens of each picture, kept or computed again; label/maps/<id>.png
Out:  Patches, drawn picture by picture in order, so that kept tokens are read once and in order
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import torch

from maskdistill.artifacts import label_maps
from maskdistill.artifacts.kept_tokens import KeptTokens, Pending
from maskdistill.engine.job import Image, Job
from maskdistill.errors import PictureError, TrainingError
from maskdistill.features.tokens import Tokens
from maskdistill.pictures import prefetched
from maskdistill.segmenter import patches, soft_labels
from maskdistill.segmenter.patches import LabelledView, Patches

View = tuple[Image, bool]  # a picture, or its mirror image


def drawn(
    job: Job,
    reader: KeptTokens,
    images: Sequence[Image],
    *,
    n_classes: int,
    patch: int,
    most: int,
    share: float = 1.0,
    together: int = 1,
    title: str,
) -> Patches:
    """Return the patches of pictures that have a label map, and of their mirror images.

    Mirrored ones count where `features.mirrored` is set, kept or not. A picture of which nothing
    can be learnt (its tokens are not finite, or it had to be shown smaller than the others to fit
    into memory) has no patches, and the ledger says so.

    Args:
        images: at least one, each with a label map.
        n_classes: background included.
        patch: px of a side of a patch of the backbone.
        most: patches in all.
        share: of each view's patches, in (0, 1].
        together: views that the backbone sees in one pass where they are of one size.
        title: beside the bar of progress.
    Raises:
        TrainingError: not one patch has a label.
        PictureError, RunError: as `KeptTokens.tokens`.
    """
    mirrored = (False, True)[: 1 + job.settings.features.mirrored]
    views = [(image, turned) for image in images for turned in mirrored]
    grids = [reader.shown.grid(image.size, patch=patch) for image, _ in views]

    def labelled() -> Iterator[LabelledView]:
        with job.progress.bar(title, total=len(views), unit="views") as bar:
            for (image, turned), grid, found in zip(
                views, grids, _seen(job, reader, views, together=together), strict=True
            ):
                label_map = label_maps.read(job.folder.label.map_of(image.id))
                if turned:
                    label_map = label_map[:, ::-1]
                tokens, class_token = found.patches.cpu().numpy(), found.class_token.cpu().numpy()
                if reason := _unusable(found, grid):
                    job.ledger.write("note", stage=title, picture=image.name, what=reason)
                    tokens = np.zeros((len(tokens), *grid, tokens.shape[3]), np.float16)
                    class_token = np.zeros_like(class_token)
                    labels = np.zeros((*grid, n_classes), np.float32)
                else:
                    labels = soft_labels.shares(
                        label_map, found.scaled, n_classes=n_classes, patch=patch
                    )
                yield tokens, class_token, labels
                bar.advance()

    made = patches.drawn(
        labelled(),
        [rows * cols for rows, cols in grids],
        most=most,
        share=share,
        seed=job.settings.seed_of_chain,
    )
    if not len(made):
        raise TrainingError(
            f"{job.folder.label.maps}: no patch of the {len(images)} pictures that have a label "
            "map has a label, so that there is nothing to learn from"
        )
    return made


def _seen(
    job: Job, reader: KeptTokens, views: Sequence[View], *, together: int
) -> Iterator[Tokens]:
    """Yield the tokens of views in order, loaded ahead of the device."""

    def load(view: View) -> Tokens | Pending:
        return reader.ahead(view[0].id, mirrored=view[1])

    stream = prefetched(views, load, workers=job.settings.workers)
    try:
        while some := list(islice(stream, together)):
            loaded = []
            for _, found in some:
                if isinstance(found, PictureError):
                    raise found
                loaded.append(found)
            yield from reader.together(loaded)
    finally:
        stream.close()


def _unusable(found: Tokens, grid: tuple[int, int]) -> str:
    """Return why nothing can be learnt of tokens, "" where something can."""
    if tuple(found.patches.shape[1:3]) != grid:
        return "not learnt from: it was shown smaller than the others, to fit into memory"
    finite = torch.isfinite(found.patches).all() and torch.isfinite(found.class_token).all()
    return "" if bool(finite) else "not learnt from: its tokens are not finite"
