"""Kept tokens: what the backbone saw of each picture, read from the disk or computed again.

In:   tokens.bin and index.json where they fit (backbone, weights, scale, pictures), else pictures
Out:  Tokens of a picture and its mirror image; on a CPU the same numbers either way
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from maskdistill.artifacts import token_files
from maskdistill.artifacts.token_files import TokenFileError
from maskdistill.discovery import limits
from maskdistill.discovery.recipe import Input, recipe_of
from maskdistill.engine import networks
from maskdistill.engine.job import Image, Job
from maskdistill.engine.stage import identity, upstream
from maskdistill.errors import PictureError, RunError, SettingsError, setting
from maskdistill.features import Prepared, tokens
from maskdistill.features.tokens import Tokens
from maskdistill.memory import in_halves
from maskdistill.runs import fingerprints, record
from maskdistill.settings import RunSettings
from maskdistill.settings.run import HANDCRAFTED

VERSION = 1  # of the stage, raised with every change of what is kept


@dataclass(frozen=True)
class Pending:
    """Hold a view of a picture whose tokens have to be computed."""

    image: Image
    mirrored: bool
    prepared: Prepared


def seen_by(settings: RunSettings) -> dict[str, Any]:
    """Return the settings that change what the backbone sees in a picture."""
    return {
        "backbone": settings.propose.backbone,
        "precision": settings.precision,
        "shown": vars(recipe_of(settings.propose).shown),
    }


def parts(settings: RunSettings) -> dict[str, Any]:
    """Return the settings that change the tokens that are kept."""
    return {
        **seen_by(settings),
        "blocks": list(settings.features.blocks),
        "mirrored": settings.features.mirrored,
    }


def weights(job: Job) -> str:
    """Return the digest of the backbone's weights."""
    return networks.digest(job, "propose", job.settings.propose.backbone)


def made_with(job: Job) -> dict[str, Any]:
    """Return what the fingerprint of the run's tokens is made of."""
    return {
        "version": VERSION,
        "settings": parts(job.settings),
        "reads": {"scan": identity(upstream(job, "scan"))},
        "weights": weights(job),
    }


class KeptTokens:
    """Give the tokens of the pictures of a run; safe to be used by several threads.

    What is kept is read; what is not, or is of another backbone, scale or picture, or cannot be
    read any more, is computed again, and the ledger says so once a reason. Nothing is written.

    Args:
        job: of the run; its scan is complete.
        blocks: whose tokens are wanted, in this order; None: `features.blocks`.
    Raises:
        SettingsError: the backbone is handcrafted, which has no tokens to learn from.
    """

    def __init__(self, job: Job, *, blocks: Sequence[int] | None = None) -> None:
        own = job.settings.propose
        if own.backbone == HANDCRAFTED:
            raise SettingsError(
                "propose.backbone: handcrafted has no tokens to learn from. "
                f"Give a network: {setting('propose.backbone', 'dino_vits16')}"
            )
        self.job, self.shown = job, recipe_of(own).shown
        self.blocks = tuple(job.settings.features.blocks if blocks is None else blocks)
        self._images = {image.id: image for image in job.images}
        self._lock, self._told = Lock(), set[str]()
        self._path = job.folder.propose_features.tokens
        self._index = self._fitting()

    @property
    def patch(self) -> int:
        """Return the px of a side of a patch."""
        return int(self._network().patch)

    @property
    def width(self) -> int:
        """Return the channels of a token of one block."""
        return int(self._network().width)

    def tokens(self, image_id: int, *, mirrored: bool = False) -> Tokens:
        """Return the tokens of a picture, or of its mirror image.

        Returns:
            Tokens of `blocks` in order: on the CPU where they were kept, else beside the weights.
        Raises:
            PictureError: it has to be computed, and cannot be decoded, is another picture, or does
                not fit into memory.
            RunError: its file is gone.
        """
        return self.together([self.ahead(image_id, mirrored=mirrored)])[0]

    def is_kept(self, image_id: int, *, mirrored: bool = False) -> bool:
        """Return whether the tokens of a view of a picture are on disk, by what the index says."""
        row = self._index.rows.get(image_id) if self._index is not None else None
        return row is not None and len(row.crc32) > mirrored

    def ahead(self, image_id: int, *, mirrored: bool = False) -> Tokens | Pending:
        """Return the tokens of a view where they are kept, else the view ready for the backbone.

        For threads ahead of the device; `together` takes what it gives.

        Raises:
            PictureError, RunError: as `tokens`.
        """
        image = self._images[image_id]
        index = self._index
        if index is not None and self.is_kept(image_id, mirrored=mirrored):
            row = index.rows[image_id]
            try:
                if (row.content or image.sha256) != self.job.content_proposed(image):
                    raise TokenFileError(f"{image.path}: was another picture when it was kept")
                places = [index.blocks.index(block) for block in self.blocks]
                view = int(mirrored)
                return token_files.read_view(
                    self._path, index, row, view, size=image.size, places=places
                )
            except TokenFileError as error:
                self._tell(str(error))
        return self._pending(image, self.shown, mirrored=mirrored)

    def together(self, loaded: Sequence[Tokens | Pending]) -> list[Tokens]:
        """Return tokens of what `ahead` gave, in order; what is pending goes through the backbone.

        Pictures of one padded shape go together on a GPU, as many as fit (last bits depend on which
        they are: the tolerance of propose.gpu_batch); on a CPU one by one.

        Raises:
            PictureError, RunError: as `tokens`.
        """
        made = {place: each for place, each in enumerate(loaded) if isinstance(each, Tokens)}
        shapes: dict[Any, list[int]] = {}
        for place, each in enumerate(loaded):
            if isinstance(each, Pending):
                alone = networks.device(self.job).type == "cpu"
                shape = place if alone else tuple(each.prepared.tensor.shape)
                shapes.setdefault(shape, []).append(place)
        for places in shapes.values():
            some = [each for place in places if isinstance(each := loaded[place], Pending)]
            found = in_halves(some, self._looked)
            for place, pending, tokens_or_none in zip(places, some, found, strict=True):
                made[place] = tokens_or_none or self._smaller(pending)
        return [made[place] for place in range(len(loaded))]

    def _pending(self, image: Image, shown: Input, *, mirrored: bool) -> Pending:
        """Return a view of a picture, read and made ready."""
        rgb = self.job.read_picture(image)
        return Pending(
            image, mirrored, shown.prepare(rgb, backbone=self._network(), mirrored=mirrored)
        )

    def _looked(self, some: Sequence[Pending]) -> list[Tokens]:
        """Return the tokens of pictures of one shape by one pass."""
        pictures = [each.prepared for each in some]
        return tokens.seen(pictures, backbone=self._network(), blocks=self.blocks)[1]

    def _smaller(self, pending: Pending) -> Tokens:
        """Return the tokens of a picture that does not fit into memory, shown smaller."""

        def looked(shown: Input) -> Tokens:
            return self._looked([self._pending(pending.image, shown, mirrored=pending.mirrored)])[0]

        size, patch = pending.image.size, self._network().patch
        try:
            return limits.as_large_as_fits(looked, self.shown, size=size, patch=patch)[0]
        except MemoryError as error:
            path = self.job.picture_path(pending.image)
            raise PictureError(f"{path}: {error}") from error

    def _network(self) -> Any:
        """Return the backbone that made the proposals, loaded where it is first needed."""
        return networks.kept(self.job, "propose", self.job.settings.propose.backbone)

    def _fitting(self) -> token_files.Index | None:
        """Return the index of tokens that are those asked for; None, and told why, else."""
        folder = self.job.folder.propose_features
        try:
            entry = record.read(folder.record)
            if entry is None:
                return None
            wanted = made_with(self.job)
            if others := fingerprints.differences(entry.parts, wanted):
                raise TokenFileError(f"{folder.path}: made otherwise: {others[0]}")
            index = token_files.read_index(folder.index)
            if index.made_with != fingerprints.digest(wanted):
                raise TokenFileError(f"{folder.index}: is not that of {folder.record.name}")
        except (TokenFileError, RunError) as error:
            self._tell(str(error))
            return None
        return index if set(self.blocks) <= set(index.blocks) else None

    def _tell(self, reason: str) -> None:
        """Say and write down once that what is kept is not used."""
        with self._lock:
            if reason in self._told:
                return
            self._told.add(reason)
            what = f"kept tokens are not used, but computed again: {reason}"
            self.job.ledger.write("note", stage="propose", what=what)
            self.job.progress.say(what)
