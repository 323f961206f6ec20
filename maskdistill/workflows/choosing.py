"""Choosing: settings of `propose` that nobody gave, by a sweep without ground truth.

In:   propose.choose, resolved: the names that are still to be chosen; pictures of the run
Out:  sweep/table.json, sweep/chosen.json, config.yaml with what was chosen; the job's settings
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from maskdistill.discovery.recipe import METHODS
from maskdistill.engine import networks, opening
from maskdistill.engine.job import Job
from maskdistill.errors import PictureError, setting
from maskdistill.measuring import sweep
from maskdistill.measuring.sweep_trials import Trial, changed, scale_of
from maskdistill.runs import atomic, record
from maskdistill.runs.layout import RunFolder
from maskdistill.settings import RunSettings, known_weights
from maskdistill.settings.propose import Facet, Method, ProposeSettings

FORMAT = 1  # of chosen.json
N_PICTURES = 24  # of a sweep; fewer where there are fewer
LEAST = 2  # of one picture nothing can be said: there is no other to compare with
SIDE_PX = 480  # of the shorter side, where pictures are shown at their own size
SMALLER = 2 / 3  # of the scale: the other one that is tried
BLOCKS = (-1, -2, -3)
OF_NETWORKS: tuple[Facet, ...] = ("keys", "tokens")
_FIELDS = ("method", "block", "facet", "centre_keys", "lost", "tokencut")  # that a choice sets
RESIZED: tuple[Method, ...] = ("lost", "tokencut")  # whose short_side may be chosen


def trials_of(settings: RunSettings) -> list[Trial]:
    """Return what a sweep tries: of the names to choose every value, else the one that is given.

    Args:
        settings: resolved.
    Returns:
        Trials, the first of equals first; none where nothing is to be chosen.
    """
    own = settings.propose
    if own.choose == "no":
        return []
    names = own.choose.split(",")
    assert own.block is not None  # of resolved settings
    assert own.facet != "auto"
    assert own.method != "auto"
    methods = tuple(METHODS) if "method" in names else (own.method,)
    blocks = BLOCKS if "block" in names else (own.block,)
    facets = OF_NETWORKS if "facet" in names else (own.facet,)
    centred = (False, True) if "centre_keys" in names else (own.centre_keys == "yes",)
    return [
        Trial(method, block, facet, is_centred, scale)
        for method, block, facet, is_centred in product(methods, blocks, facets, centred)
        for scale in _scales(own, method, is_open="short_side" in names)
    ]


def _scales(own: ProposeSettings, method: Method, *, is_open: bool) -> tuple[int, ...]:
    """Return the scales of a method that are tried, the given one first."""
    given = scale_of(own, method)
    if not is_open or method not in RESIZED:
        return (given,)
    return given, round((given or SIDE_PX) * SMALLER)


def take_over(job: Job, source: Path | None, *, redo: bool) -> None:
    """Take what was chosen before, where something is still to be chosen.

    Proposals that are there say what they were made with; so does the run whose proposals are
    reused; else what a finished sweep of this run chose counts.

    Args:
        source: the run of which `propose` is reused; None: of none.
        redo: proposals that are there may be made again.
    """
    own = job.settings.propose
    if own.choose == "no":
        return
    made = None if redo else record.read(job.folder.propose.record)
    if made is not None and "method" in made.parts["settings"]:
        taken = _as_made(own, made.parts["settings"])
        _settle(job, taken, "as the proposals that are there were made")
    elif source is not None:
        before = opening.settings_of(RunFolder(source)).propose
        taken = replace(own, **{name: getattr(before, name) for name in _FIELDS})
        _settle(job, taken, f"as {source} has them, whose proposals are reused")
    elif job.folder.images.exists() and (kept := _kept(job)) is not None:
        _settle(job, *_read(job, kept))


def _as_made(own: ProposeSettings, made: Mapping[str, Any]) -> ProposeSettings:
    """Return settings with the values, of those that are to be chosen, that a record has."""
    names = own.choose.split(",")
    values = {name: made[name] for name in names if name != "short_side"}
    method = values.get("method", own.method)
    if "short_side" in names and method in RESIZED:
        constants = replace(getattr(own, method), short_side=made[method]["short_side"])
        values[method] = constants
    return replace(own, **values)


def choose(job: Job) -> None:
    """Choose by a sweep what nobody gave; nothing where there is nothing to choose.

    The job's settings and config.yaml hold what was chosen, the ledger says it. A sweep that was
    stopped goes on. Where no choice can be made (fewer than two pictures can be read, nothing is
    found, nothing trusted), settings stay as they are, and it is said why.
    """
    own = job.settings.propose
    if own.choose == "no":
        return
    digest = networks.digest(job, "propose", own.backbone)
    if known := known_weights.of(job.settings.weights_of("propose"), digest=digest):
        named: dict[str, Any] = {
            "method": known.method,
            "block": known.block,
            "facet": known.facet,
            "centre_keys": known.centre,
        }
        wanted = own.choose.split(",")
        named = {name: value for name, value in named.items() if name in wanted}
        _settle(job, replace(own, **named), f"by the weights, known as {known.names[0]}")
        return
    _settle(job, *_read(job, _kept(job) or _swept(job)))


def _swept(job: Job) -> dict[str, Any]:
    """Return what a sweep chose; chosen.json holds it."""
    trials, n_pictures = trials_of(job.settings), min(N_PICTURES, len(job.images))
    chosen: dict[str, Any] = {
        "format": FORMAT,
        "key": sweep.key_of(job, trials=trials, n_pictures=N_PICTURES),
        "pictures": n_pictures,
        "tried": len(trials),
        "best": None,
        "why": "",
    }
    if n_pictures < LEAST:
        chosen["why"] = "one picture says nothing: a sweep compares several"
    else:
        job.progress.say(
            f"propose: {len(trials)} settings are tried on {n_pictures} pictures, because the "
            f"weights are not known. {setting('propose.choose', 'no')} turns it off"
        )
        try:
            rows = sweep.work(job, trials=trials, n_pictures=N_PICTURES, with_truth=False)
        except PictureError as error:
            rows, chosen["why"] = [], str(error)
        else:
            table = json.loads(job.folder.sweep.table.read_text(encoding="utf-8"))
            chosen["pictures"] = table["pictures"]
            if table["pictures"] < LEAST:
                chosen["why"] = "one picture alone can be read: a sweep compares several"
            elif rows[0]["votes"] == 0:
                chosen["why"] = "none of them finds what others find too"
            else:
                chosen["best"] = {name: rows[0][name] for name in Trial.__dataclass_fields__}
                chosen["votes"] = rows[0]["votes"]
    atomic.make_folder(job.folder.sweep.path)
    atomic.write_json(job.folder.sweep.chosen, chosen)
    return chosen


def _kept(job: Job) -> dict[str, Any] | None:
    """Return what a sweep of the same pictures, weights and settings chose; None: nothing."""
    path = job.folder.sweep.chosen
    if not path.exists():
        return None
    try:
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None  # damaged: chosen again
    key = sweep.key_of(job, trials=trials_of(job.settings), n_pictures=N_PICTURES)
    return kept if kept.get("format") == FORMAT and kept.get("key") == key else None


def _read(job: Job, kept: dict[str, Any]) -> tuple[ProposeSettings, str]:
    """Return the settings that were chosen, and how, in words."""
    own, tried = job.settings.propose, f"of {kept['tried']} settings on {kept['pictures']} pictures"
    if kept["best"] is None:
        return own, f"nothing {tried}, because {kept['why']}; the usual ones stay"
    votes = f"the trusted agree with it on {kept['votes']:.0%} of them"
    return changed(own, Trial(**kept["best"])), f"{tried}, without labels; {votes}"


def _settle(job: Job, propose: ProposeSettings, how: str) -> None:
    """Take settings as the run's, write them down, and say them."""
    job.settings = replace(job.settings, propose=replace(propose, choose="no"))
    opening.write_settings(job)
    assert propose.method != "auto"  # of resolved settings
    what = (
        f"chosen: {propose.method} on {propose.facet} of block {propose.block}, "
        f"{'' if propose.centre_keys == 'yes' else 'not '}centred, "
        f"{scale_of(propose, propose.method) or 'own'} px ({how})"
    )
    job.ledger.write("note", stage="propose", what=what)
    job.progress.say(f"propose: {what}")
