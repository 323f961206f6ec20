"""Label maps of others: folders of PNG, read in one way wherever a truth or a prediction is one.

In:       a folder of PNG; Reading: how values become class numbers, and which value is void
Out:      LabelMaps: (H, W) uint8 a picture, 0 background, 1 .. 254 classes, 255 not counted; each
          file decoded once; sentences on what is odd. What cannot be meant is refused by name
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

from maskdistill.datasets.findings import Findings
from maskdistill.datasets.label_maps.map_files import (
    NUMBERS,
    VOID,
    FileError,
    Reading,
    decoded,
    is_grey_jpeg,
    size_of,
)
from maskdistill.datasets.label_maps.map_palettes import Palettes
from maskdistill.errors import GroundTruthError, PredictionError, listed

# Maps of one folder that stay in memory, as they are: to pack and unpack them takes longer than to
# decode them again, as is done with what does not fit (docs/log/datasets.md, 2026-11-30).
KEPT_BYTES = 256 << 20
# Soft edges have more numbers than most sets have classes, on few pixels: fewer than void.
MANY_SHADES, SOFT_SHARE = 32, 0.1
ONE_A_PICTURE = "Wanted: label maps (palette or grey PNG), one a picture"


class LabelMaps:
    """Hold the label maps of a folder, by key: the path below it, with /.

    Attributes:
        files: key -> file, in the order of the paths.
        n_decoded: how often a file was decoded.
        notes: sentences on what is odd, once `check` was called.
    """

    def __init__(
        self,
        folder: Path,
        reading: Reading,
        *,
        error: type[GroundTruthError] | type[PredictionError] = GroundTruthError,
        palettes: Palettes | None = None,
        keep: bool = True,
    ) -> None:
        """List the label maps of a folder; none of them is decoded yet.

        Args:
            error: the class of what is refused.
            palettes: what the palettes of maps that are read by number are compared with; None:
                they are not.
            keep: decoded maps stay in memory, for a second look; False: each is looked at once.
        Raises:
            GroundTruthError, PredictionError: no such folder, one without label maps, JPEGs among
                them.
        """
        self.folder, self.reading, self.error = folder, reading, error
        self.files, self.passed_over = listing(folder, error)
        self.palettes, self.keep = palettes, keep
        self.notes: list[str] = []
        self.n_decoded = 0
        self.counts = np.zeros(256, np.int64)  # pixels of each number, as read
        self._stored = np.zeros(256, np.int64)  # pixels of each value, as it stands in the file
        self._seen: set[str] = set()
        self._kept: dict[str, np.ndarray] = {}
        self._kept_bytes = 0
        self._findings = Findings()
        self._both_ends = False  # one file holds 0 and 255

    @property
    def top(self) -> int:
        """Return the highest class that any map holds which was looked at; 0: none."""
        held = np.flatnonzero(self.counts[:VOID])
        return int(held[-1]) if len(held) else 0

    def size(self, key: str) -> tuple[int, int]:
        """Return (height, width), px; of a file not yet decoded its head alone is read.

        Raises:
            GroundTruthError, PredictionError: a file that is no picture.
        """
        if key in self._kept:
            return self._kept[key].shape[0], self._kept[key].shape[1]
        try:
            return size_of(self.files[key])
        except FileError as problem:
            raise self.error(str(problem)) from problem

    def read(self, key: str) -> np.ndarray:
        """Return a label map (H, W) uint8, writable: 0 background, 1 .. 254, 255 not counted.

        Raises:
            GroundTruthError, PredictionError: a file that cannot be read as a label map.
        """
        if key in self._kept:
            return self._kept[key].copy()
        try:
            made = decoded(self.files[key], self.reading)
        except FileError as problem:
            raise self.error(str(problem)) from problem
        self.n_decoded += 1
        if key not in self._seen:
            self._seen.add(key)
            self._look(key, made.stored, made.counts)
            for kind in made.findings:
                self._findings.add(kind, key)
            if made.palette is not None and self.palettes is not None:
                self.palettes.look(key, made.palette, made.stored)
        if self.keep and self._kept_bytes + made.label_map.nbytes <= KEPT_BYTES:
            self._kept[key] = made.label_map.copy()
            self._kept_bytes += made.label_map.nbytes
        return made.label_map

    def _look(self, key: str, stored: np.ndarray, counts: np.ndarray) -> None:
        self.counts += counts
        self._stored += stored
        self._both_ends |= bool(stored[0] and stored[VOID])
        if counts[VOID] and not counts[1:VOID].any():
            self._findings.add(
                "{n} of {maps} label maps have no pixel that counts, all of them are {void}"
                if not counts[0]
                else "{n} of {maps} label maps hold background and {void} alone, no class",
                key,
            )

    def check(self, *, truth: bool = True) -> list[str]:
        """Return sentences on what is odd in the maps that were read, and keep them in `notes`.

        Args:
            truth: the maps are a truth: how much of it is void is always told, and something must
                be left to count.
        Raises:
            GroundTruthError, PredictionError: maps of 0 and 255 alone, read as numbers; a truth
                that is void throughout.
        """
        reading, held = self.reading, np.flatnonzero(self._stored).tolist()
        if reading.values == "indices" and held == [0, VOID] and self._both_ends:
            raise self.error(
                f"{self.folder}: its {len(self._seen)} label maps hold 0 and 255 alone, and 255 is "
                "void, so that no class would be counted. If they are two-valued masks, "
                f"read 255 as class 1: {reading.named('label_values', 'two_valued')}. "
                "Else give maps of class numbers"
            )
        total = int(self.counts.sum())
        if truth and self.counts[VOID] == total:
            raise self.error(
                f"{self.folder}: all pixels of its {len(self._seen)} label maps are "
                f"{reading.void_words}, so that nothing is left to count. Give maps of class "
                f"numbers, or say which value is void: {reading.named('void', 'VALUE')}"
            )
        notes = []
        if truth:
            notes.append(
                f"{reading.void_words}: {_share(int(self.counts[VOID]), total)} of the truth's "
                "pixels are not counted"
            )
            notes += self._of_masks(total)
        notes += self._findings.sentences(maps=len(self._seen), void=reading.void_words)
        if self.palettes is not None:
            notes += self.palettes.sentences(len(self._seen), reading)
        if self.passed_over:
            notes.append(passed_over(self.folder, self.passed_over))
        self.notes = notes
        return notes

    def _of_masks(self, total: int) -> list[str]:
        """Return sentences where numbers look like shades: masks of 0 and 128, or of soft edges."""
        held = np.flatnonzero(self.counts[1:VOID]) + 1
        if len(held) == 1 and self.top > 1:
            return [f"the only class that occurs is {self.top}; 1 to {self.top - 1} have no pixel"]
        n_others = int(self.counts[held].sum())
        is_soft = len(held) >= MANY_SHADES and n_others < min(self.counts[VOID], SOFT_SHARE * total)
        if not is_soft:
            return []
        return [
            f"0 and 255 fill all but {_share(n_others, total)} of the pixels, and the rest has "
            f"{len(held)} numbers, each a class: masks of two values with soft edges look so. Cut "
            f"them at 128, then {self.reading.named('label_values', 'two_valued')}"
        ]


def read_map(path: Path) -> np.ndarray:
    """Return a label map (H, W) uint8, the numbers as they stand in the file.

    Raises:
        GroundTruthError: no picture, or one that holds no class numbers.
    """
    try:
        return decoded(path, NUMBERS).label_map
    except FileError as problem:
        raise GroundTruthError(str(problem)) from problem


def whole(folder: Path, reading: Reading) -> LabelMaps:
    """Read a folder of label maps as a truth; the same files are not decoded again for a second.

    Raises:
        GroundTruthError: as LabelMaps has it, and what `check` refuses.
    """
    files, _ = listing(folder, GroundTruthError)
    stats = ((key, path, _stat(path)) for key, path in files.items())
    return _whole(folder.absolute(), folder, reading, tuple(stats))


# A command reads its truth at the scan, at each look of `best_on_the_reported_data` and at the end.
# Two: one for the pictures that are learnt from, one for those held out.
@lru_cache(maxsize=2)
def _whole(place: Path, folder: Path, reading: Reading, stats: tuple[object, ...]) -> LabelMaps:
    """Read all maps; place and stats (of each file) say which folder it is, and of what time."""
    maps = LabelMaps(folder, reading, palettes=Palettes())
    for key in maps.files:
        maps.read(key)
    maps.check()
    return maps


def _stat(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:  # a link to nowhere: named when it is read
        return ()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def listing(
    folder: Path, error: type[GroundTruthError] | type[PredictionError]
) -> tuple[dict[str, Path], Counter[str]]:
    """Return key -> PNG of a folder and all below it, by path, and what else lies there.

    Hidden files are passed over. A JPEG beside the maps is taken for a picture where a map has its
    name, or where it has colours.

    Returns:
        {key: file}, and the number of other files by suffix.
    Raises:
        error: no such folder, no PNG, grey JPEGs among the maps.
    """
    if not folder.is_dir():
        raise error(f"{folder}: no such folder. {ONE_A_PICTURE}")
    files: dict[str, Path] = {}
    jpegs: list[Path] = []
    others: Counter[str] = Counter()
    for key in _below(folder):
        *_, name = key.split("/")
        stem, dot, suffix = name.rpartition(".")
        suffix = f".{suffix.lower()}" if stem and dot else "no suffix"
        if suffix == ".png":
            files[key] = folder / key
            continue
        others[suffix] += 1
        if suffix in (".jpg", ".jpeg", ".jpe", ".jfif"):
            jpegs.append(folder / key)
    if not files:
        lossy = (
            " JPEG blurs numbers into their neighbours, so that no label map can be read from it: "
            "save the maps as PNG from where they were made."
            if jpegs
            else ""
        )
        there = f" ({_by_suffix(others)})" if others else ""
        raise error(f"{folder}: holds no .png{there}.{lossy} {ONE_A_PICTURE}")
    masks = _masks_as_jpeg(files.values(), jpegs)
    if masks:
        raise error(
            f"{folder}: {len(masks)} label maps are JPEG, which blurs numbers into their "
            f"neighbours: {listed([path.relative_to(folder).as_posix() for path in masks])}. "
            "Save them as PNG from where they were made, or take them out of the folder if they "
            "are grey pictures"
        )
    return files, others


def _below(folder: Path) -> list[str]:
    """Return the files of a folder and all below it, with /, in the order of their paths' parts."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        below = os.path.relpath(place, folder).replace(os.sep, "/")
        start = "" if below == "." else f"{below}/"
        found += [
            start + name for name in names if not name.startswith(".") and name != "Thumbs.db"
        ]
    return sorted(found, key=lambda key: key.split("/"))


def listed_in(folder: Path) -> list[tuple[str, Path]]:
    """Return (key, file) of the label maps of a folder; none of one that `listing` refuses."""
    try:
        return list(listing(folder, GroundTruthError)[0].items())
    except GroundTruthError:
        return []


def _masks_as_jpeg(maps: Iterable[Path], jpegs: Iterable[Path]) -> list[Path]:
    """Return JPEGs that look like maps: grey, in a folder of maps, no map of their name there."""
    named = {(path.parent, path.stem) for path in maps}
    folders = {parent for parent, _ in named}
    return [
        path
        for path in jpegs
        if path.parent in folders and (path.parent, path.stem) not in named and is_grey_jpeg(path)
    ]


def passed_over(folder: Path, others: Counter[str]) -> str:
    """Return a sentence on the files of a folder that are no label maps."""
    return f"{sum(others.values())} files of {folder} are passed over: {_by_suffix(others)}"


def _by_suffix(others: Counter[str]) -> str:
    return listed([f"{n} {suffix}" for suffix, n in others.most_common()])


def _share(part: int, total: int) -> str:
    percent = 100 * part / total
    return "below 0.1 %" if 0 < percent < 0.05 else f"{percent:.1f} %"
