"""Job: what every stage is handed: settings, folder, pictures, and where to say what happens.

In:   images.jsonl
Out:  Image rows; pictures as arrays, which are those that were scanned
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskdistill.datasets.page_names import name_of
from maskdistill.errors import PictureError, RunError, setting
from maskdistill.runs import fingerprints, lines, record
from maskdistill.runs.layout import RunFolder
from maskdistill.runs.ledger import Ledger
from maskdistill.runs.progress import Progress
from maskdistill.settings import Reading, RunSettings


@dataclass(frozen=True)
class Image:
    """A row of images.jsonl: one picture of the run."""

    id: int
    path: str  # relative to the picture folder, or to the folder of validation pictures
    width: int
    height: int
    orientation: int
    bytes: int
    sha256: str
    split: str  # train | validation
    root: str = "pictures"  # pictures | validation: the folder that `path` is relative to
    page: int | None = None  # from 1; None: the file's only one, or the first alone counts

    @property
    def name(self) -> str:
        """Return the path, and the number of the page from the second one on: `stack.tif#2`."""
        return name_of(self.path, self.page)

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width) in px, turned as the run's orientation says."""
        return self.height, self.width


@dataclass
class Job:
    """Everything that a stage is handed.

    Attributes:
        roots: "pictures" and maybe "validation" -> the folder that they lie in.
        begun: whether any stage was worked at.
        sources: stage, or a part of one -> the run that it is taken from.
        verified: folders of stages whose outputs this command found whole.
        replaced: image id -> SHA-256 of pictures that are read though they are not those that were
            scanned, because no stage has used what was scanned.
    """

    settings: RunSettings
    folder: RunFolder
    ledger: Ledger
    progress: Progress
    roots: Mapping[str, Path]
    begun: bool = False
    sources: Mapping[str, RunFolder] = field(default_factory=dict)
    verified: set[Path] = field(default_factory=set)
    replaced: dict[int, str] = field(default_factory=dict)
    _images: list[Image] | None = field(default=None, repr=False)
    _reading: Reading | None = field(default=None, repr=False)
    # Image id -> (bytes, time of change) of its file, and SHA-256 of it then.
    _contents: dict[int, tuple[tuple[int, int], str]] = field(default_factory=dict, repr=False)
    # Fingerprint of the proposals, and what they say of pictures that were not those of the scan.
    _others: tuple[str, dict[int, str]] | None = field(default=None, repr=False)

    @classmethod
    def alone(cls, settings: RunSettings) -> Job:
        """Return a job of no run: its settings are all there is, and nothing is written."""
        nowhere = Path(os.devnull)  # what would be written below it fails loudly
        progress = Progress(quiet=True)
        return cls(settings, RunFolder(nowhere), Ledger(nowhere), progress=progress, roots={})

    @property
    def images(self) -> list[Image]:
        """Return all pictures of the run, by id; the file is read once."""
        if self._images is None:
            self._images = [Image(**row) for row in lines.read(self.folder.images)]
        return self._images

    @property
    def reading(self) -> Reading:
        """Return how the pictures of the run are read."""
        if self._reading is None:
            self._reading = reading_of(self.settings, self.folder)
        return self._reading

    def in_splits(self) -> dict[str, list[Image]]:
        """Return the pictures by split, train first."""
        return {
            name: [image for image in self.images if image.split == name]
            for name in ("train", "validation")
        }

    def picture_path(self, image: Image) -> Path:
        """Return the path of a picture's file.

        Raises:
            RunError: the folder of the validation pictures is gone.
        """
        if image.root not in self.roots:
            raise RunError(
                f"{self.settings.validation}: the folder of the validation pictures is not there "
                "any more. Bring it back, or give where it is now: "
                f"{setting('validation', 'FOLDER')}"
            )
        return self.roots[image.root] / image.path

    def read_picture(self, image: Image, *, first: bool = False) -> Any:
        """Return a picture (H, W, 3) uint8 RGB: the one that its proposals were made of.

        That is the one that was scanned, but for a picture that changed between the scan and
        `propose` (one that was damaged and is mended): `propose` reads it as it is, and tells it.

        Args:
            first: nothing of the run was made of the picture yet: another content than that of the
                scan is noted in `replaced`, not refused.
        Raises:
            PictureError: it cannot be decoded, or its size or its content is another.
            RunError: the file is gone, or cannot be opened: no fault of the picture, so that
                nothing may be recorded.
        """
        from maskdistill.pictures import read

        path = self.picture_path(image)
        try:
            rgb = read(path, page=image.page or 1, **self.reading)
        except PictureError:
            try:
                with path.open("rb") as file:
                    file.read(1)
            except OSError as error:
                raise _gone(path, error) from error
            raise
        if rgb.shape[:2] != image.size:
            raise PictureError(
                f"{path}: is {rgb.shape[1]} x {rgb.shape[0]} px, was {image.width} x {image.height} "
                "when it was scanned. Scan again: --from scan, or another --out"
            )
        content = self._content(path, image)
        if first and content != image.sha256:
            self.replaced[image.id] = content
        elif not first and content != self.content_proposed(image):
            raise PictureError(
                f"{path}: is another picture than was scanned (its content changed since). "
                "Put it back, scan again: --from scan, or give another --out"
            )
        return rgb

    def content_proposed(self, image: Image) -> str:
        """Return SHA-256 of the file that a picture's proposals were made of.

        That of the scan, but for a picture that changed between the scan and `propose`.
        """
        return self._proposed().get(image.id, image.sha256)

    def _content(self, path: Path, image: Image) -> str:
        """Return SHA-256 of a picture's file, taken once a time of its change."""
        try:
            found = path.stat()
            state = found.st_size, found.st_mtime_ns
            known = self._contents.get(image.id)
            if known is None or known[0] != state:
                known = state, fingerprints.sha256_file(path)
                self._contents[image.id] = known
            return known[1]
        except OSError as error:
            raise _gone(path, error) from error

    def _proposed(self) -> dict[int, str]:
        """Return image id -> content of the pictures whose proposals are of another content."""
        entry = record.read(self.folder.propose.record)
        if entry is None or not entry.counts.get("replaced"):
            return {}
        if self._others is None or self._others[0] != entry.fingerprint:
            rows = lines.read(self.folder.propose.masks)
            others = {row["id"]: row["content"] for row in rows if "content" in row}
            self._others = entry.fingerprint, others
        return self._others[1]


def reading_of(settings: RunSettings, folder: RunFolder) -> Reading:
    """Return how the pictures of a run are read, and new ones that its networks are shown.

    Raises:
        RunError: the levels of all pictures are not there, or damaged.
    """
    reading = settings.reading
    if settings.levels != "stretch_all":
        return reading
    path = folder.scan.levels
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["limits"]
        limits = tuple((float(black), float(white)) for black, white in found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path}: cannot be read ({error}). Scan again: maskdistill run --out {folder.root} "
            "--from scan"
        ) from error
    if limits:  # else no picture of the scan has more than 8 bits
        reading["levels"] = limits
    return reading


def _gone(path: Path, error: OSError) -> RunError:
    return RunError(
        f"{path}: cannot be opened any more ({error.strerror}). Bring it back and give the same "
        "command again, or scan again: --from scan"
    )
