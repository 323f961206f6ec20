"""Stage: a record of what a stage is, and `perform`, the one way in which every stage is done.

A stage is a `Stage` record: its name is its folder in the run, `parts` says which settings change
its result, `work` does it. What happens to it is decided in decision.py; stage.json comes last.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskdistill.engine import kept_settings, replaced, unfinished
from maskdistill.engine.decision import Action, Facts, Match, decide
from maskdistill.engine.job import Job
from maskdistill.errors import (
    MaskDistillError,
    PredictionError,
    RunError,
    SettingsError,
    StaleError,
    WeightsError,
    listed,
)
from maskdistill.runs import fingerprints, record, reuse
from maskdistill.runs.layout import RunFolder
from maskdistill.runs.stages import BY_NAME, verb_of
from maskdistill.settings import RunSettings


@dataclass(frozen=True)
class Done:
    """Results of a stage.

    Attributes:
        outputs: its files, all below the stage's base. counts: for status and report.
        mixed: a training batch was halved on the way. numbers: taken in the stage's own pass, that
            need no ground truth.
    """

    outputs: Sequence[Path]
    counts: Mapping[str, int | float]
    mixed: bool = False
    numbers: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """One stage; `name` is one of STAGES.

    Attributes:
        version: raised with every change of results. reads: stages whose outputs it reads.
        parts: from the settings to those that change its result.
        work: does it, in the stage's folder of layout.py.
        keeps: sub-folders that belong to another stage.
        weights: the digest of the weights it starts from, None where there are none.
        looks_outside: it reads what no fingerprint knows: asked to do it again, it always does.
        always: it is done again each time, and never refused.
        numbers: from the results, whose record is not there yet, to the record's numbers.
    """

    name: str
    version: int
    reads: tuple[str, ...]
    parts: Callable[[RunSettings], dict[str, Any]]
    work: Callable[[Job, Any], Done]
    keeps: tuple[str, ...] = ()
    weights: Callable[[Job], str | None] = lambda job: None
    looks_outside: bool = False
    always: bool = False
    numbers: Callable[[Job, Done], Mapping[str, float | None]] = lambda job, done: done.numbers


def perform(stage: Stage, job: Job, *, redo: bool, source: RunFolder | None = None) -> bool:
    """Do a stage as `decide` says, and return whether anything was done.

    Args:
        redo: a stage whose fingerprint differs is done again, its old folder kept as old/ until
            then; else it is refused. It is in its place again where nothing comes of that.
        source: another run, of which the stage is taken where it is not complete here.
    Raises:
        StaleError: another fingerprint, here and not `redo`, or in `source`.
        RunError: inputs missing or damaged.
    """
    folder = job.folder.stage(stage.name)
    parts = parts_of(stage, job)
    action, why = _decided(stage, job, parts, redo=redo, has_source=source is not None)
    if action is Action.BRING_BACK:
        _bring_back(stage, job)
        action, why = _decided(stage, job, parts, redo=redo, has_source=source is not None)
    if action is Action.REFUSE:
        raise _refused(stage, job, why)
    if action is Action.SKIP:
        job.verified.add(folder.path)
        _tidy(stage, job)  # a kill may have come between stage.json and this
        return False
    theirs = elsewhere(stage, source, parts) if source is not None else None
    if action is Action.REDO:
        replaced.retire(job.folder, stage.name, keeps=stage.keeps)
        job.verified.discard(folder.path)
        job.ledger.write("redo", stage=stage.name)
    begun_before, job.begun = job.begun, True
    started = time.monotonic() - unfinished.begin(folder, parts)
    try:
        if source is not None and theirs is not None:
            entry = _taken(stage, job, source, theirs)
        else:
            entry = _worked(stage, job, parts, resumed=action is Action.GO_ON)
    except MaskDistillError as error:
        mendable = (SettingsError, WeightsError, PredictionError) if theirs is None else (RunError,)
        came_of_it = unfinished.is_worth_resuming(folder) and not isinstance(error, mendable)
        if action is not Action.GO_ON and not came_of_it:
            # What a user has to mend first leaves nothing that the mended command would differ
            # from, and takes nothing.
            if action is Action.REDO:
                _bring_back(stage, job)
            else:
                shutil.rmtree(folder.parts.path, ignore_errors=True)
            job.begun = begun_before
        raise
    record.write(folder.record, entry)
    job.verified.add(folder.path)
    _tidy(stage, job)
    if theirs is None:
        seconds = round(time.monotonic() - started, 3)
        job.ledger.write("end", stage=stage.name, seconds=seconds, counts=entry.counts)
    return True


def parts_of(stage: Stage, job: Job) -> dict[str, Any]:
    """Return what the fingerprint is made of: version, settings, weights by content, inputs."""
    parts: dict[str, Any] = {"version": stage.version, "settings": stage.parts(job.settings)}
    parts["reads"] = {name: identity(upstream(job, name)) for name in stage.reads}
    weights = stage.weights(job)
    if weights is not None:
        parts["weights"] = weights
    return parts


def identity(entry: record.StageRecord) -> str:
    """Return what a stage is known by downstream.

    It is the fingerprint; of scan the content of the list of pictures. Where pictures were refused,
    or were others than were scanned, the outputs count too: done again with --redo, they may be
    other ones under the same fingerprint, and what was made from the first ones is then stale.
    """
    if entry.stage == "scan":
        return entry.outputs[RunFolder.images.name]
    if entry.counts.get("refused") or entry.counts.get("replaced"):
        return fingerprints.digest({"fingerprint": entry.fingerprint, "outputs": entry.outputs})
    return entry.fingerprint


def upstream(job: Job, name: str) -> record.StageRecord:
    """Return the record of a complete stage, its outputs whole; RunError says how to make it."""
    folder, verb = job.folder.stage(name), verb_of(name)
    entry = record.read(folder.record)
    if entry is None:
        raise RunError(
            f"{folder.path}: not complete. Do it first: maskdistill {verb} {job.folder.root}"
        )
    if folder.path not in job.verified:
        if damaged := record.verify(folder.base, entry):
            raise RunError(
                f"{folder.path}: {listed(damaged)} missing or changed since it was complete. "
                f"Make it again: maskdistill run --out {job.folder.root} --from {verb}"
            )
        job.verified.add(folder.path)
    return entry


def elsewhere(
    stage: Stage, source: RunFolder, parts: Mapping[str, Any], *, ahead: bool = False
) -> record.StageRecord:
    """Return the record of a stage in another run, which was made as it would be here.

    Args:
        parts: what the fingerprint would be made of here.
        ahead: `parts` are only some, known before the stages that it reads are complete.
    Raises:
        RunError: not complete there. StaleError: made otherwise; its text lists the differences.
    """
    place, verb = source.stage(stage.name), verb_of(stage.name)
    entry = record.read(place.record)
    if entry is None:
        raise RunError(
            f"{place.path}: not complete, so that it cannot be reused. "
            f"Complete it first: maskdistill run --out {source.root}, or leave out its --reuse"
        )
    theirs = {name: value for name, value in entry.parts.items() if name in parts or not ahead}
    if found := fingerprints.differences(theirs, parts):
        has_training = f"{stage.name}/train" in BY_NAME
        alone = f" (--reuse {verb}/train takes the training alone)" if has_training else ""
        raise StaleError(
            f"{place.path} was made otherwise than is asked for here, so that it cannot be reused:\n"
            + "\n".join(f"  {line}" for line in found)
            + "\nLeave out its --reuse, or give the settings, weights and pictures that "
            + f"{source.root} has{alone}"
        )
    if fingerprints.digest(entry.parts) != entry.fingerprint:
        raise RunError(f"{place.record}: was changed by hand, so that it cannot be reused")
    return entry


@dataclass(frozen=True)
class _Why:
    """What a refusal tells."""

    differences: list[str]
    damaged: list[str]
    is_kept: bool
    keep: str = ""


def _decided(
    stage: Stage, job: Job, parts: dict[str, Any], *, redo: bool, has_source: bool
) -> tuple[Action, _Why]:
    """Return what to do, from the facts as they are on disk, and what a refusal would tell."""
    if stage.always:  # whatever lies there, damaged or of another version
        return decide(Facts(always=True)), _Why([], [], False)
    folder = job.folder.stage(stage.name)
    fingerprint = fingerprints.digest(parts)

    def found(other: Mapping[str, Any] | None) -> Match:
        if other is None:
            return Match.NOTHING
        return Match.SAME if fingerprints.digest(other) == fingerprint else Match.OTHER

    complete, begun = record.read(folder.record), unfinished.plan(folder)
    kept = replaced.kept(job.folder, stage.name) if complete is None else None
    damaged = record.verify(folder.base, complete) if complete is not None else []
    is_retried = complete is not None and (stage.looks_outside or complete.counts.get("refused"))
    facts = Facts(
        complete=Match.NOTHING
        if complete is None
        else Match.SAME
        if complete.fingerprint == fingerprint
        else Match.OTHER,
        damaged=bool(damaged),
        begun=found(begun),
        kept=Match.SAME if kept is not None and kept.fingerprint == fingerprint else Match.NOTHING,
        redo=redo,
        # What another run has of it is not made again for what was refused.
        redo_same=bool(is_retried) and not has_source,
    )
    there = complete.parts if complete is not None else begun
    differences = fingerprints.differences(there, parts) if there is not None else []
    keep = ""
    if there is not None and not damaged:
        asked, root = job.settings, job.folder.root
        verb = verb_of(stage.name)
        keep = kept_settings.advice(stage.name, verb, there, parts, settings=asked, root=root)
    is_kept = complete is None and facts.kept is Match.SAME
    return decide(facts), _Why(differences, damaged, is_kept, keep)


def _refused(stage: Stage, job: Job, why: _Why) -> StaleError:
    """Return the error that lists old and new values, and how to go on."""
    verb = verb_of(stage.name)
    what = [f"  {line}" for line in why.differences]
    what += [f"  {name}: missing or changed" for name in why.damaged]
    then = "the old folder is kept until the new one is complete"
    if why.is_kept:
        then = (
            "that drops what was begun here: what is asked for is complete in old/, and comes back "
            "from there"
        )
    return StaleError(
        f"{job.folder.stage(stage.name).path} was made otherwise than is asked for now:\n"
        + "\n".join(what)
        + (f"\n{why.keep}" if why.keep else "")
        + f"\nDo it again: `maskdistill run` with --from {verb}, or the stage's own command with "
        f"--redo ({then}), or give another --out"
    )


def _worked(stage: Stage, job: Job, parts: dict[str, Any], *, resumed: bool) -> record.StageRecord:
    """Do the work, and return the record of what was made."""
    folder = job.folder.stage(stage.name)
    threads, device = _threads(), job.settings.device
    job.ledger.write(
        "resume" if resumed else "start", stage=stage.name, threads=threads, device=device
    )
    machines = unfinished.machines(folder, f"{device}, {threads} threads")
    done = stage.work(job, folder)
    return record.StageRecord(
        stage=stage.name,
        version=stage.version,
        fingerprint=fingerprints.digest(parts),
        parts=parts,
        outputs={
            path.relative_to(folder.base).as_posix(): fingerprints.sha256_file(path)
            for path in sorted(
                done.outputs, key=lambda path: path.relative_to(folder.base).as_posix()
            )
        },
        mixed=done.mixed or len(machines) > 1,
        counts=dict(done.counts),
        numbers=dict(stage.numbers(job, done)),
    )


def _taken(
    stage: Stage, job: Job, source: RunFolder, theirs: record.StageRecord
) -> record.StageRecord:
    """Take the outputs of another run, and return its record, which is then ours."""
    folder = job.folder.stage(stage.name)
    there = source.stage(stage.name).base
    linked = reuse.take(there, theirs, folder.base, waiting=folder.reused)
    files = {"files": len(theirs.outputs), "linked": linked}
    run = str(source.root.resolve())
    job.ledger.write("reuse", stage=stage.name, run=run, **files, counts=theirs.counts)
    job.progress.say(f"{stage.name}: taken from {source.root}")
    return theirs


def _bring_back(stage: Stage, job: Job) -> None:
    replaced.bring_back(job.folder, stage.name, keeps=stage.keeps)
    what = "what was kept in old/ is in its place again"
    job.ledger.write("note", stage=stage.name, what=what)
    job.progress.say(f"{stage.name}: what was made before is in its place again")


def _tidy(stage: Stage, job: Job) -> None:
    """Remove what a complete stage needs no longer: its journal, and what it replaced."""
    shutil.rmtree(job.folder.stage(stage.name).parts.path, ignore_errors=True)
    replaced.forget(job.folder, stage.name, keeps=stage.keeps)


def _threads() -> int:
    import torch

    return torch.get_num_threads()
