"""Keep tokens: written as the backbone sees the pictures, each at its place, killed or not.

In:   Tokens of pictures in any order
Out:  propose/features/so-far/ while they come; tokens.bin and index.json when all have been seen
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import IO, Any

from maskdistill.artifacts import kept_tokens, token_files
from maskdistill.discovery.recipe import Input, recipe_of
from maskdistill.engine.job import Image, Job
from maskdistill.errors import RunError, setting
from maskdistill.features import Prepared, tokens
from maskdistill.features.tokens import Tokens
from maskdistill.memory import in_halves
from maskdistill.runs import atomic, fingerprints, record
from maskdistill.runs.journal import Journal
from maskdistill.runs.layout import FeaturesFolder
from maskdistill.runs.stages import FEATURES

FLUSH_SECONDS = 2.0  # that a power cut may cost, as of a journal


@dataclass(frozen=True)
class Place:
    """Hold where the views of a picture are to stand: the first byte, (rows, cols) of patches."""

    offset: int
    grid: tuple[int, int]


class Keeper:
    """Write tokens of pictures to their places; `add` may be called by several threads.

    Attributes:
        places: picture id -> Place, of the pictures that are to be kept.
        width: channels of a token.
        n_bytes: of all of them.
    """

    def __init__(
        self, folder: FeaturesFolder, *, places: dict[int, Place], width: int, n_bytes: int
    ) -> None:
        self.folder, self.places, self.width, self.n_bytes = folder, places, width, n_bytes
        self._lock, self._flushed = Lock(), time.monotonic()
        # Flushed here, behind the numbers: what it says is kept is kept.
        begun = folder.begun
        self.journal = Journal(begun.parts.path, flush_seconds=float("inf"))
        with _naming(begun.tokens):
            # Unbuffered: what a full disk refuses is not tried again when the file is closed.
            self._file: IO[bytes] = begun.tokens.open("r+b", buffering=0)

    def wants(self, image: Image) -> bool:
        """Return whether a picture is to be kept, and is not yet."""
        return image.id in self.places and image.id not in self.journal

    def add(self, image: Image, views: Sequence[Tokens], *, content: str = "") -> None:
        """Keep the tokens of a picture; one that was shown smaller than planned is passed over.

        Args:
            views: of the picture, and of its mirror image where that is kept too.
            content: SHA-256 of the picture's file, where it is not the one that was scanned.
        Raises:
            RunError: the disk is full, or the file is gone.
        """
        place = self.places.get(image.id)
        if place is None or tuple(views[0].patches.shape[1:3]) != place.grid:
            return
        if not self.wants(image):  # of a batch that was cut short, and is seen again whole
            return
        datas = [token_files.encoded(each) for each in views]
        row = {
            "scaled": list(views[0].scaled),
            "crc32": [zlib.crc32(data) for data in datas],
            **({"content": content} if content else {}),
        }
        with self._lock, _naming(self.folder.begun.tokens):
            self._file.seek(place.offset)
            data = b"".join(datas)
            if self._file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.journal.add(image.id, row)
            if time.monotonic() - self._flushed >= FLUSH_SECONDS:
                self._flush()

    def rows(self) -> dict[int, token_files.Row]:
        """Return the rows of the index: of all pictures that are kept so far."""
        return {
            number: token_files.Row(
                id=number,
                offset=self.places[number].offset,
                grid=self.places[number].grid,
                scaled=(row["scaled"][0], row["scaled"][1]),
                crc32=tuple(row["crc32"]),
                content=row.get("content", ""),
            )
            for number, row in self.journal.records()
        }

    def close(self) -> None:
        """Put all on disk, and let go of the files.

        Raises:
            RunError: the disk is full.
        """
        with self._lock, _naming(self.folder.begun.tokens):
            if self._file.closed:
                return
            try:
                self._flush()
            finally:
                self._file.close()
                self.journal.close()

    def _flush(self) -> None:
        """Put the numbers on disk, then the journal that speaks of them."""
        os.fsync(self._file.fileno())
        self.journal.flush()
        self._flushed = time.monotonic()


def seen(
    pictures: Sequence[Prepared], *, backbone: Any, blocks: Sequence[int]
) -> list[Tokens | None]:
    """Return the Tokens of pictures of one padded shape; None of one that does not fit alone."""
    return in_halves(pictures, lambda some: tokens.seen(some, backbone=backbone, blocks=blocks)[1])


def are_wanted(job: Job) -> bool:
    """Return whether tokens are to be kept that are not kept yet."""
    if not job.settings.keeps_tokens:
        return False
    if FEATURES in job.sources:  # they come of another run
        return False
    entry = record.read(job.folder.propose_features.record)
    return entry is None or entry.fingerprint != fingerprint(job)


def fingerprint(job: Job) -> str:
    """Return what the tokens of a run are known by: backbone, weights, scale, blocks, pictures."""
    return fingerprints.digest(kept_tokens.made_with(job))


@contextlib.contextmanager
def keeping(job: Job, *, made_with: str, backbone: Callable[[], Any]) -> Iterator[Keeper]:
    """Yield what tokens are given to; begin anew, or go on where the same ones were begun.

    How many bytes they will take is said before anything is written.

    Args:
        made_with: of `fingerprint`.
        backbone: gives it, with patch and width; called where the tokens are not begun.
    Raises:
        RunError: `features.keep` is `all`, and the disk has not the space; it is full, or cannot be
            written.
    """
    folder = job.folder.propose_features
    plan = _begun(folder, made_with)
    own = {"patch": plan["patch"], "width": plan["width"]} if plan else _own(backbone())
    sizes = _sizes(job, **own)
    if plan is None:
        shutil.rmtree(folder.so_far, ignore_errors=True)
        plan = {"made_with": made_with, **own, **_chosen(job, sizes)}
        atomic.make_folder(folder.begun.parts.path)
        with _naming(folder.begun.tokens), folder.begun.tokens.open("wb") as file:
            file.truncate(plan["bytes"])
        atomic.write_json(folder.begun.parts.plan, plan)
    places, offset = {}, 0
    kept = set(_by_use(job)[: plan["pictures"]])
    for number, (n_bytes, grid) in sizes.items():  # by id, as they are read again
        if number in kept:
            places[number] = Place(offset, grid)
            offset += n_bytes
    keeper = Keeper(folder, places=places, width=plan["width"], n_bytes=plan["bytes"])
    try:
        yield keeper
    except BaseException:
        with contextlib.suppress(RunError):  # what ends the pass is told, not what comes of it
            keeper.close()
        raise
    keeper.close()


def finish(job: Job, keeper: Keeper, *, made_with: str) -> token_files.Index:
    """Make the files of the stage of what was kept, and return the index: the last step.

    A kill in its midst is mended by the next call of `finished`, or of this.

    Raises:
        RunError: the disk is full, or the tokens are gone.
    """
    folder = keeper.folder
    index = token_files.Index(
        made_with=made_with,
        blocks=job.settings.features.blocks,
        width=keeper.width,
        n_bytes=keeper.n_bytes,
        rows=keeper.rows(),
    )
    keeper.close()
    token_files.write_index(folder.index, index)
    with _naming(folder.begun.tokens):
        folder.begun.tokens.replace(folder.tokens)
    atomic.sync_folder(folder.path)
    shutil.rmtree(folder.so_far, ignore_errors=True)
    return index


def finished(job: Job, *, made_with: str) -> token_files.Index | None:
    """Return the index where `finish` came to its end for what is asked for now, else None."""
    folder = job.folder.propose_features
    try:
        index = token_files.read_index(folder.index)
    except token_files.TokenFileError:
        return None
    there = folder.tokens.is_file() and folder.tokens.stat().st_size == index.n_bytes
    return index if index.made_with == made_with and there else None


def _own(backbone: Any) -> dict[str, int]:
    """Return what the bytes of a picture depend on beside its size and the settings."""
    return {"patch": backbone.patch, "width": backbone.width}


def _sizes(job: Job, *, patch: int, width: int) -> dict[int, tuple[int, tuple[int, int]]]:
    """Return picture id -> bytes of its views, grid of patches; in the order of the ids."""
    own = job.settings.features
    shown: Input = recipe_of(job.settings.propose).shown
    views = 1 + own.mirrored
    grids = {image.id: shown.grid(image.size, patch=patch) for image in job.images}
    return {
        number: (views * token_files.n_bytes(grid, n_blocks=len(own.blocks), width=width), grid)
        for number, grid in sorted(grids.items())
    }


def _by_use(job: Job) -> list[int]:
    """Return the ids of all pictures, those first that are learnt from: they are read again."""
    splits = job.in_splits()
    return [image.id for image in (*splits["train"], *splits["validation"])]


def _chosen(job: Job, sizes: Mapping[int, tuple[int, Any]]) -> dict[str, int]:
    """Return how many pictures are kept, the first by use, and their bytes; tell it.

    Raises:
        RunError: all are to be kept, and there is no space for them.
    """
    own, root = job.settings.features, job.folder.root
    free = shutil.disk_usage(root).free
    total = sum(n_bytes for n_bytes, _ in sizes.values())
    if own.keep == "all" and total > free:
        raise RunError(
            f"{root}: features.keep all takes {_size(total)} for {len(sizes)} pictures, and "
            f"{_size(free)} are free. Free some space, or give {setting('features.keep', 'auto')}: "
            "what is not kept is computed again"
        )
    room = total if own.keep == "all" else int(own.disk_share * free)
    pictures = taken = 0
    for number in _by_use(job):
        if taken + sizes[number][0] > room:
            break
        pictures, taken = pictures + 1, taken + sizes[number][0]
    what = f"tokens of {pictures} of {len(sizes)} pictures are kept, {_size(taken)}"
    job.ledger.write("note", stage="propose", what=what)
    job.progress.say(f"propose: {what}")
    return {"pictures": pictures, "bytes": taken}


def _begun(folder: FeaturesFolder, made_with: str) -> dict[str, Any] | None:
    """Return the plan of tokens that were begun so, their file whole; None without such."""
    try:
        plan = json.loads(folder.begun.parts.plan.read_text(encoding="utf-8"))
        same = plan["made_with"] == made_with
        return plan if same and folder.begun.tokens.stat().st_size == plan["bytes"] else None
    except (OSError, ValueError, TypeError, LookupError):
        return None


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn what the system refuses into a RunError that names `path` and how to do without."""
    try:
        yield
    except OSError as error:
        told = atomic.unwritable(path, error)
        raise RunError(
            f"{told}. To do without kept tokens: {setting('features.keep', 'none')}"
        ) from error


def _size(n_bytes: int) -> str:
    """Return bytes in words.

    >>> _size(2_800_000_000), _size(1_382_784)
    ('2.8 GB', '1.4 MB')
    """
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"
