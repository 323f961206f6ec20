"""Job: what every stage is handed: settings, folder, pictures, and where to say what happens.

In:   images.jsonl
Out:  Image rows; pictures as arrays, which are those that were scanned
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskdistill.errors import PictureError, RunError, setting
from maskdistill.runs import fingerprints, lines
from maskdistill.runs.layout import RunFolder
from maskdistill.runs.ledger import Ledger
from maskdistill.runs.progress import Progress
from maskdistill.settings import RunSettings


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
    # Image id -> (bytes, time of change) of the file whose content was compared: read once.
    _compared: dict[int, tuple[int, int]] = field(default_factory=dict, repr=False)

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

    def read_picture(self, image: Image) -> Any:
        """Return a picture (H, W, 3) uint8 RGB with the content that was scanned or proposed on.

        A picture that was damaged when it was scanned may be mended: `propose` takes it, every
        later stage must find the same content, and it is told (`replaced`).

        Raises:
            PictureError: it cannot be decoded, its size is not that of the scan, or its content is
                neither that of the scan nor that which its proposals were made of.
            RunError: the file is gone, or cannot be opened: no fault of the picture, so that
                nothing may be recorded.
        """
        from maskdistill.pictures import read

        path = self.picture_path(image)
        own = self.settings
        try:
            rgb = read(path, orientation=own.orientation, max_megapixels=own.max_megapixels)
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
        self._compare(path, image)
        return rgb

    def _compare(self, path: Path, image: Image) -> None:
        """Raise PictureError where a file's content is another than earlier stages saw."""
        try:
            found = path.stat()
            state = found.st_size, found.st_mtime_ns
            if self._compared.get(image.id) == state:
                return
            content = fingerprints.sha256_file(path)
        except OSError as error:
            raise _gone(path, error) from error
        if content != image.sha256:
            if self._used(image) not in (None, content):
                raise PictureError(
                    f"{path}: is another picture than was scanned (its content changed since). "
                    "Put it back, scan again: --from scan, or give another --out"
                )
            self.replaced[image.id] = content
        self._compared[image.id] = state

    def _used(self, image: Image) -> str | None:
        """Return the SHA-256 of the content that a picture's proposals are of, None without any."""
        masks = self.folder.propose.masks
        for row in lines.read(masks) if masks.exists() else ():
            if row["id"] == image.id:
                return None if "refused" in row else str(row.get("content", image.sha256))
        return None


def _gone(path: Path, error: OSError) -> RunError:
    return RunError(
        f"{path}: cannot be opened any more ({error.strerror}). Bring it back and give the same "
        "command again, or scan again: --from scan"
    )
