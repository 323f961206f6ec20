"""status: what is done, unfinished, stale or missing in a run, and why."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from maskdistill.engine.opening import settings_of
from maskdistill.engine.stage import Stage, identity
from maskdistill.errors import RunError
from maskdistill.runs import fingerprints, record
from maskdistill.runs.journal import Journal
from maskdistill.runs.layout import RunFolder, StageFolder
from maskdistill.runs.ledger import Ledger
from maskdistill.runs.stages import BY_NAME, VERBS
from maskdistill.settings import RunSettings
from maskdistill.workflows import run


def rows(root: Path) -> list[dict[str, Any]]:
    """Return a row a stage, in order: stage, state, counts, seconds, why.

    `why` holds lines that say what made a stage stale. RunError where there is no run.
    """
    folder = RunFolder(root)
    settings = settings_of(folder)
    ends = (event for event in Ledger(folder.ledger).read() if event["event"] == "end")
    seconds = {event["stage"]: event["seconds"] for event in ends}
    made: dict[str, str] = {}
    found = [
        _row(stage, folder, settings, made)
        for verb in VERBS
        for stage in run.stages_of(verb, settings, folder)
    ]
    if settings.seeds > 1:
        for number in settings.chain_seeds:
            state, why = of_seed(folder, settings, number)
            found.append({"stage": f"seeds/{number}", "state": state, "counts": {}, "why": why})
    return [{**row, "seconds": seconds.get(row["stage"])} for row in found]


def repeated(settings: RunSettings) -> tuple[str, ...]:
    """Return the verbs that are done for each seed."""
    until = "cluster" if settings.seeds_of == "clusters" else "segment"
    verbs = VERBS[: VERBS.index(until) + 1]
    if settings.detect.import_file:  # nothing reads what comes before the detections of others
        return tuple(verb for verb in verbs if verb not in ("propose", "cluster"))
    return verbs


def of_seed(folder: RunFolder, settings: RunSettings, number: int) -> tuple[str, list[str]]:
    """Return the state of the run with another seed, and why it is not done.

    The state is done, unfinished, missing or stale.

    Args:
        settings: of the run that it repeats, resolved; its scan and its proposals must be those of
            that run.
    """
    place, given = folder.seed(number), settings.with_chain_seed(number)
    made: dict[str, str] = {}
    stages = [stage for verb in repeated(settings) for stage in run.stages_of(verb, given, place)]
    for position, stage in enumerate(stages):
        row = _row(stage, place, given, made)
        ours = (
            record.read(folder.stage(stage.name).record)
            if stage.name in ("scan", "propose")
            else None
        )
        if row["state"] == "done" and ours is not None and identity(ours) != made[stage.name]:
            row |= {"state": "stale", "why": [f"other than that of {folder.root}"]}
        if row["state"] == "stale":
            return "stale", [f"{stage.name}: {line}" for line in row["why"]]
        if row["state"] != "done":  # those behind it are to be done whatever they are
            left = [each.name for each in stages[position:]]
            state = "missing" if row["state"] == "missing" and not position else "unfinished"
            return state, [] if state == "missing" else [f"to do: {', '.join(left)}"]
    return "done", []


def _row(
    stage: Stage, folder: RunFolder, settings: RunSettings, made: dict[str, str]
) -> dict[str, Any]:
    place = folder.stage(stage.name)
    if stage.always:
        return _row_of_each_time(stage, place)
    entry = record.read(place.record)
    if entry is None:
        if not place.parts.path.exists():
            return {"stage": stage.name, "state": "missing", "counts": {}, "why": []}
        with Journal(place.parts.path) as journal:
            counts = {"pictures so far": len(journal.done)}
        return {"stage": stage.name, "state": "unfinished", "counts": counts, "why": []}
    made[stage.name] = identity(entry)
    now = {
        "version": stage.version,
        "settings": stage.parts(settings),
        "reads": {name: made.get(name, "missing") for name in stage.reads},
        # Weights are compared when the stage runs: reading them here would make status slow.
        **({"weights": entry.parts["weights"]} if "weights" in entry.parts else {}),
    }
    why = fingerprints.differences(entry.parts, now)
    counts = {**entry.counts, **({"mixed": 1} if entry.mixed else {})}
    return {"stage": stage.name, "state": "stale" if why else "done", "counts": counts, "why": why}


def _row_of_each_time(stage: Stage, place: StageFolder) -> dict[str, Any]:
    """Return the row of a stage that is done each time: never stale, whatever its record says."""
    counts: dict[str, Any] = {}
    with contextlib.suppress(RunError):  # damaged, or of another version: it is not needed
        counts = entry.counts if (entry := record.read(place.record)) else {}
    state = "missing"
    if place.parts.path.exists():
        state = "unfinished"
    elif (place.path / BY_NAME[stage.name].writes[0]).exists():
        # What was made before these stages had a record is known by its file.
        state = "done"
    return {"stage": stage.name, "state": state, "counts": counts, "why": []}
