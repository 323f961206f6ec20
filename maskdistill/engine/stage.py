"""What all stages share: fingerprint, skip or go on or refuse, stage.json written last.

A stage is a `Stage` record: its name is its folder in the run, `parts` says which settings change its result,
`work` does it. `perform` is the only place that decides whether a stage is skipped, resumed, refused or redone.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskdistill.engine import replaced, unfinished
from maskdistill.errors import (
    MaskDistillError,
    PictureError,
    PredictionError,
    RunError,
    SettingsError,
    StaleError,
    WeightsError,
    listed,
)
from maskdistill.runs import fingerprints, lines, record, reuse
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
        return self.height, self.width


@dataclass
class Job:
    """Everything a stage is handed: settings, the run's folder, where to write what happened."""

    settings: RunSettings
    folder: RunFolder
    ledger: Ledger
    progress: Progress
    roots: Mapping[str, Path]  # where pictures and validation pictures lie
    begun: bool = False  # whether any stage was worked at
    sources: Mapping[str, RunFolder] = field(
        default_factory=dict
    )  # stage, or a part of one -> the run it is taken of
    verified: set[Path] = field(
        default_factory=set
    )  # folders of stages whose outputs this command saw to be whole
    _images: list[Image] | None = field(default=None, repr=False)

    @classmethod
    def alone(cls, settings: RunSettings) -> Job:
        """A job of no run: its settings are all there is, nothing is written."""
        nowhere = RunFolder(Path())
        return cls(
            settings,
            folder=nowhere,
            ledger=Ledger(nowhere.ledger),
            progress=Progress(quiet=True),
            roots={},
        )

    @property
    def images(self) -> list[Image]:
        """All pictures of the run, by id; read once."""
        if self._images is None:
            self._images = [Image(**row) for row in lines.read(self.folder.images)]
        return self._images

    def picture_path(self, image: Image) -> Path:
        if image.root not in self.roots:
            raise RunError(
                f"{self.settings.validation}: the folder of the validation pictures is not there any more. "
                "Bring it back, or give where it is now: --validation FOLDER"
            )
        return self.roots[image.root] / image.path

    def read_picture(self, image: Image) -> Any:
        """(H, W, 3) uint8 RGB of a picture; PictureError if it cannot be decoded or is not what the scan saw.

        Raises:
            RunError: the file is gone, or cannot be opened: no fault of the picture, so that nothing may be recorded.
        """
        from maskdistill.pictures import read

        path = self.picture_path(image)
        try:
            rgb = read(
                path,
                orientation=self.settings.orientation,
                max_megapixels=self.settings.max_megapixels,
            )
        except PictureError:
            try:
                with path.open("rb") as file:
                    file.read(1)
            except OSError as error:
                raise RunError(
                    f"{path}: cannot be opened any more ({error.strerror}). Bring it back and give the same command "
                    "again, or scan again: --from scan"
                ) from error
            raise
        if rgb.shape[:2] != image.size:
            raise PictureError(
                f"{self.picture_path(image)}: is {rgb.shape[1]} x {rgb.shape[0]} px, "
                f"was {image.width} x {image.height} when it was scanned. Scan again: --from scan, or another --out"
            )
        return rgb

    def in_splits(self) -> dict[str, list[Image]]:
        """Pictures by split, train first."""
        return {
            name: [image for image in self.images if image.split == name]
            for name in ("train", "validation")
        }


@dataclass(frozen=True)
class Done:
    """What a stage made: files (relative to its folder, or to the run for scan), counts for status and report."""

    outputs: list[str]
    counts: Mapping[str, int | float]
    mixed: bool = False


@dataclass(frozen=True)
class Stage:
    """One stage; `name` is its folder under the run, with `/` for a part of one (detect/train)."""

    name: str
    version: int  # raised with every change of results
    reads: tuple[str, ...]  # stages whose outputs it reads
    parts: Callable[[RunSettings], dict[str, Any]]  # the settings that change its result
    work: Callable[[Job, Path], Done]
    keeps: tuple[str, ...] = ()  # sub-folders that belong to another stage
    weights: Callable[[Job], str | None] = lambda job: None  # digest of the weights it starts from
    looks_outside: bool = (
        False  # it reads what no fingerprint knows: asked to do it again, it always does
    )


def perform(stage: Stage, job: Job, *, redo: bool, source: RunFolder | None = None) -> bool:
    """Do a stage, or go on with it, or skip it; True if anything was done.

    Args:
        redo: a stage whose fingerprint differs is done again, its old folder kept as old/ until then; else refused.
            It is in its place again where nothing comes of that, or where it is what is asked for after all.
        source: another run, of which the stage is taken where it is not complete here.
    Raises:
        StaleError: another fingerprint, here and not `redo`, or in `source`. RunError: inputs missing or damaged.
    """
    folder = job.folder.stage(stage.name)
    parts = parts_of(stage, job)
    fingerprint = fingerprints.digest(parts)
    old = record.read(folder / "stage.json")
    begun = unfinished.plan(folder)
    is_other = False
    kept = replaced.kept(job.folder, stage.name) if old is None else None
    is_kept = kept is not None and kept.fingerprint == fingerprint
    if is_kept and (begun is None or (redo and fingerprints.digest(begun) != fingerprint)):
        _bring_back(stage, job)
        old, begun = kept, None
    if old is not None:
        damaged = record.verify(job.folder.base(stage.name), old)
        # What was refused may be mended; what another run has of it is not made again for that.
        again = redo and source is None and (stage.looks_outside or old.counts.get("refused"))
        if old.fingerprint == fingerprint and not damaged and not again:
            job.verified.add(folder)
            _tidy(stage, job)  # a kill may have come between stage.json and this
            return False
        if not redo:
            _refuse(stage, job, fingerprints.differences(old.parts, parts), damaged)
        is_other = True
    elif begun is not None and fingerprints.digest(begun) != fingerprint:
        if not redo:
            _refuse(stage, job, fingerprints.differences(begun, parts), [], is_kept=is_kept)
        is_other = True
    theirs = elsewhere(stage, source, parts) if source is not None else None
    if is_other:
        replaced.retire(job.folder, stage.name, keeps=stage.keeps)
        job.verified.discard(folder)
        job.ledger.write("redo", stage=stage.name)
        begun = None
    begun_before, job.begun = job.begun, True
    started = time.monotonic() - unfinished.begin(folder, parts)
    mendable = (SettingsError, WeightsError, PredictionError) if theirs is None else (RunError,)
    try:
        if source is not None and theirs is not None:
            entry = _taken(stage, job, source, theirs)
        else:
            entry = _worked(stage, job, parts, resumed=begun is not None)
    except MaskDistillError as error:
        if begun is None and (
            isinstance(error, mendable) or not unfinished.is_worth_resuming(folder)
        ):
            # What a user has to mend first leaves nothing that the mended command would differ from, and takes nothing.
            if is_other:
                _bring_back(stage, job)
            else:
                shutil.rmtree(folder / "parts", ignore_errors=True)
            job.begun = begun_before
        raise
    record.write(folder / "stage.json", entry)
    job.verified.add(folder)
    _tidy(stage, job)
    if theirs is None:
        job.ledger.write(
            "end",
            stage=stage.name,
            seconds=round(time.monotonic() - started, 3),
            counts=entry.counts,
        )
    return True


def elsewhere(
    stage: Stage, source: RunFolder, parts: Mapping[str, Any], *, ahead: bool = False
) -> record.StageRecord:
    """The record of a stage in another run, which was made as it would be here.

    Args:
        parts: what the fingerprint would be made of here.
        ahead: `parts` are only some, known before the stages that it reads are complete.
    Raises:
        RunError: not complete there. StaleError: made otherwise; its text lists the differences.
    """
    place, verb = source.stage(stage.name), stage.name.partition("/")[0]
    entry = record.read(place / "stage.json")
    if entry is None:
        raise RunError(
            f"{place}: not complete, so that it cannot be reused. "
            f"Complete it first: maskdistill run --out {source.root}, or leave out its --reuse"
        )
    theirs = {name: value for name, value in entry.parts.items() if name in parts or not ahead}
    if found := fingerprints.differences(theirs, parts):
        raise StaleError(
            f"{place} was made otherwise than is asked for here, so that it cannot be reused:\n"
            + "\n".join(f"  {line}" for line in found)
            + f"\nLeave out its --reuse, or give the settings, weights and pictures that {source.root} has"
            + (
                ""
                if "/" in stage.name or not stage.keeps
                else f" (--reuse {verb}/train takes the training alone)"
            )
        )
    if fingerprints.digest(entry.parts) != entry.fingerprint:
        raise RunError(f"{place / 'stage.json'}: was changed by hand, so that it cannot be reused")
    return entry


def upstream(job: Job, name: str) -> record.StageRecord:
    """The record of a completed stage, its outputs as they were recorded; RunError says how to complete it."""
    place, verb = job.folder.stage(name), verb_of(name)
    entry = record.read(place / "stage.json")
    if entry is None:
        raise RunError(f"{place}: not complete. Do it first: maskdistill {verb} {job.folder.root}")
    if place not in job.verified:
        if damaged := record.verify(job.folder.base(name), entry):
            raise RunError(
                f"{place}: {listed(damaged)} missing or changed since it was complete. "
                f"Make it again: maskdistill run --out {job.folder.root} --from {verb}"
            )
        job.verified.add(place)
    return entry


def verb_of(name: str) -> str:
    """The verb that makes a stage."""
    return "label" if name == "recluster" else name.partition("/")[0]


def identity(entry: record.StageRecord) -> str:
    """What a stage is known by downstream: its fingerprint; of scan the pictures themselves, by content."""
    return entry.outputs["images.jsonl"] if entry.stage == "scan" else entry.fingerprint


def parts_of(stage: Stage, job: Job) -> dict[str, Any]:
    """What the fingerprint is made of: version, settings that count, weights by content, inputs by fingerprint."""
    parts: dict[str, Any] = {"version": stage.version, "settings": stage.parts(job.settings)}
    parts["reads"] = {name: identity(upstream(job, name)) for name in stage.reads}
    weights = stage.weights(job)
    if weights is not None:
        parts["weights"] = weights
    return parts


def _worked(stage: Stage, job: Job, parts: dict[str, Any], *, resumed: bool) -> record.StageRecord:
    """Do the work; the record of what was made."""
    folder = job.folder.stage(stage.name)
    job.ledger.write(
        "resume" if resumed else "start",
        stage=stage.name,
        threads=_threads(),
        device=job.settings.device,
    )
    machines = unfinished.machines(folder, f"{job.settings.device}, {_threads()} threads")
    done = stage.work(job, folder)
    base = job.folder.base(stage.name)
    return record.StageRecord(
        stage=stage.name,
        version=stage.version,
        fingerprint=fingerprints.digest(parts),
        parts=parts,
        outputs={name: fingerprints.sha256_file(base / name) for name in sorted(done.outputs)},
        mixed=done.mixed or len(machines) > 1,
        counts=dict(done.counts),
    )


def _taken(
    stage: Stage, job: Job, source: RunFolder, theirs: record.StageRecord
) -> record.StageRecord:
    """Take the outputs of another run; its record is then ours."""
    base = job.folder.base(stage.name)
    # Of scan not below scan/parts: the folder scan/ itself is among what is taken.
    waiting = base / "taken" if stage.name == "scan" else base / "parts" / "taken"
    linked = reuse.take(source.base(stage.name), theirs, base, waiting=waiting)
    files = {"files": len(theirs.outputs), "linked": linked}
    job.ledger.write(
        "reuse", stage=stage.name, run=str(source.root.resolve()), **files, counts=theirs.counts
    )
    job.progress.say(f"{stage.name}: taken from {source.root}")
    return theirs


def _refuse(
    stage: Stage, job: Job, differences: list[str], damaged: list[str], *, is_kept: bool = False
) -> None:
    verb = verb_of(stage.name)
    what = [f"  {line}" for line in differences] + [
        f"  {name}: missing or changed" for name in damaged
    ]
    then = "the old folder is kept until the new one is complete"
    if is_kept:
        then = "that drops what was begun here: what is asked for is complete in old/, and comes back from there"
    raise StaleError(
        f"{job.folder.stage(stage.name)} was made otherwise than is asked for now:\n"
        + "\n".join(what)
        + "\n"
        f"Do it again: `maskdistill run` with --from {verb}, or the stage's own command with --redo ({then}), "
        "or give another --out"
    )


def _bring_back(stage: Stage, job: Job) -> None:
    replaced.bring_back(job.folder, stage.name, keeps=stage.keeps)
    job.ledger.write("note", stage=stage.name, what="what was kept in old/ is in its place again")
    job.progress.say(f"{stage.name}: what was made before is in its place again")


def _tidy(stage: Stage, job: Job) -> None:
    """Remove what a complete stage needs no longer: its journal, and what it replaced."""
    shutil.rmtree(job.folder.stage(stage.name) / "parts", ignore_errors=True)
    replaced.forget(job.folder, stage.name, keeps=stage.keeps)


def _threads() -> int:
    import torch

    return torch.get_num_threads()
