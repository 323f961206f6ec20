"""Verbs over a run's folder, as functions of one shape: keywords, `out` first, settings, `quiet`.

In:       the run's folder; settings as a nested mapping (a YAML file's), checked and refused like
          one, over those of the run; or all settings, as RunSettings
Out:      the path of what was made, or rows
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from maskdistill.api.settings import Settings, is_run, settings_for
from maskdistill.errors import RunError, SettingsError, setting
from maskdistill.runs.layout import RunFolder
from maskdistill.runs.stages import EMBEDDINGS, STAGES, VERBS, verb_of
from maskdistill.settings import RunSettings, nearest

# Scan looks at the pictures themselves; what is always done again is never taken over.
REUSABLE = tuple(
    name
    for entry in STAGES
    if entry.verb != "scan" and not entry.always
    for name in ((entry.name, EMBEDDINGS) if entry.name == "cluster" else (entry.name,))
)


def run(
    *,
    pictures: str | Path | None = None,
    out: str | Path,
    preset: str | None = None,
    config: str | Path | None = None,
    settings: Settings = None,
    until: str | None = None,
    start: str | None = None,
    reuse: Mapping[str, str | Path] | None = None,
    quiet: bool = False,
) -> Path:
    """Do the whole job, from a folder of pictures to the report; go on where it was stopped.

    With the setting `seeds` above 1 the stages after the proposals are made with that many seeds,
    each in OUT/seeds/N, and evaluated together.

    Args:
        pictures: folder of pictures; None where `out` is a run already: its pictures and settings
            are used.
        out: the run's folder.
        preset: None: the one that settings or config name, `quick` where neither does. None where
            `pictures` is None.
        config: YAML file, over the preset.
        settings: over both.
        until: the last verb to do.
        start: from this verb on, what was made with other settings is made again.
        reuse: {"propose": "runs/a"}: what is not complete here is taken of another run, if it was
            made of the same pictures, settings and weights; else an error lists what differs. A
            verb takes all of its stages (`label` also the second clustering), detect/train the
            training alone, cluster/embeddings what k-means is fitted on. It is no setting.
        quiet: no progress.
    Returns:
        The path of the report, or of the run's folder if `until` comes before it.
    Raises:
        MaskDistillError: what is wrong, where, and what to do.
    """
    for name, verb in (("until", until), ("from", start)):
        if verb is not None and verb not in VERBS:
            raise SettingsError(
                f"{name}: there is no stage {verb!r}. "
                f"Stages, in order: {', '.join(VERBS)}.{nearest(verb, VERBS)}"
            )
    if until is not None and start is not None and VERBS.index(start) > VERBS.index(until):
        raise SettingsError(
            f"from: {start} comes after {until}, the last stage to do. In order: {', '.join(VERBS)}"
        )
    sources = _sources(reuse or {}, Path(out), until)
    chosen = settings_for(out, settings, pictures=pictures, preset=preset, config=config)
    if chosen.cluster.of == "detections":
        raise SettingsError(
            "cluster.of: a run clusters proposals first. "
            f"Give {setting('cluster.again')} to cluster the detections too"
        )
    verbs = list(VERBS[: VERBS.index(until) + 1]) if until else list(VERBS)
    if chosen.detect.import_file and "detect" in verbs:
        # Nothing reads what comes before the detections of others.
        verbs = [verb for verb in verbs if verb not in ("propose", "cluster")]
        start = "detect" if start in ("propose", "cluster") else start
    return _do(
        out, chosen, verbs, pictures=pictures, start=start, reuse=sources, repeat=True, quiet=quiet
    )


def _sources(reuse: Mapping[str, str | Path], out: Path, until: str | None) -> dict[str, Path]:
    """Return stage -> the run it is taken of, checked as far as can be before anything is made."""
    found = {stage: Path(run) for stage, run in reuse.items()}
    for name, run in found.items():
        if name not in REUSABLE:
            raise SettingsError(
                f"reuse: {name!r} cannot be taken of another run. "
                f"What can: {', '.join(REUSABLE)}.{nearest(name, REUSABLE)}"
            )
        stage = "cluster" if name == EMBEDDINGS else name
        if until is not None and VERBS.index(verb_of(stage)) > VERBS.index(until):
            raise SettingsError(f"reuse: {name} comes after {until}, the last stage to do")
        if run.resolve() == out.resolve():
            raise SettingsError(f"reuse: {run} is this run itself. Give another one's folder")
        # A run that was reused may be gone when the same command goes on.
        made = RunFolder(out).stage(stage).record
        if not is_run(run) and not made.is_file():
            raise RunError(
                f"{run}: not the folder of a run (no config.yaml), so that {name} cannot be reused"
            )
    return found


def scan(
    *,
    pictures: str | Path,
    out: str | Path,
    settings: Settings = None,
    redo: bool = False,
    quiet: bool = False,
) -> Path:
    """Write images.jsonl of a folder of pictures: ids, sizes, hashes, splits.

    A run that is there keeps its settings.
    """
    there = RunFolder(Path(out)).config.exists()
    chosen = settings_for(out, settings, pictures=None if there else pictures)
    start = "scan" if redo else None
    return _do(out, chosen, ["scan"], pictures=pictures, start=start, quiet=quiet)


def propose(
    *, out: str | Path, settings: Settings = None, redo: bool = False, quiet: bool = False
) -> Path:
    """Make proposals of pictures: masks of a self-supervised backbone's attention."""
    return _verb("propose", out, settings_for(out, settings), redo, quiet)


def cluster(
    *, out: str | Path, settings: Settings = None, redo: bool = False, quiet: bool = False
) -> Path:
    """Cluster masks: embeddings and k-means.

    With `cluster.of` detections, label maps are made of these clusters from then on.
    """
    chosen = settings_for(out, settings)
    if chosen.cluster.of == "detections":
        chosen = replace(chosen, cluster=replace(chosen.cluster, again=True))
    return _verb("cluster", out, chosen, redo, quiet)


def detect(
    *, out: str | Path, settings: Settings = None, redo: bool = False, quiet: bool = False
) -> Path:
    """Train a Mask R-CNN on noisy masks and cluster ids; write its detections in every picture."""
    return _verb("detect", out, settings_for(out, settings), redo, quiet)


def label(
    *, out: str | Path, settings: Settings = None, redo: bool = False, quiet: bool = False
) -> Path:
    """Paint confident detections as one label map a picture."""
    return _verb("label", out, settings_for(out, settings), redo, quiet)


def segment(
    *, out: str | Path, settings: Settings = None, redo: bool = False, quiet: bool = False
) -> Path:
    """Train a DeepLabv3 on label maps; write its prediction for every picture."""
    return _verb("segment", out, settings_for(out, settings), redo, quiet)


def evaluate(
    *,
    out: str | Path,
    settings: Settings = None,
    against: str | Path | None = None,
    show_all: bool = False,
    quiet: bool = False,
) -> Path:
    """Measure every stage that is there against the ground truth; write evaluate/metrics.json.

    Args:
        against: another run: each number of both on the pictures that both have, with a paired
            test, and how far the two agree (without ground truth that alone):
            evaluate/against.json.
        show_all: say every number on standard error; else one a stage, and where all are.
    """
    chosen = settings_for(out, settings)
    if against is None:
        return _do(out, chosen, ["evaluate"], show_all=show_all, quiet=quiet)
    if Path(against).resolve() == Path(out).resolve():
        raise SettingsError(f"against: {against} is this run itself. Give another one's folder")
    other = Path(against), settings_for(against)
    return _do(out, chosen, ["evaluate"], against=other, show_all=show_all, quiet=quiet)


def report(*, out: str | Path, settings: Settings = None, quiet: bool = False) -> Path:
    """Write one self-contained page of what is there; return its path."""
    return _do(out, settings_for(out, settings), ["report"], quiet=quiet)


def demo(
    *,
    out: str | Path,
    seed: int = 0,
    n_pictures: int = 96,
    n_validation: int = 64,
    n_kinds: int = 5,
    quiet: bool = False,
) -> Path:
    """Draw pictures, do the whole job on them, return the path of the report."""
    from maskdistill.workflows import demo as stage

    try:
        drawn = stage.draw(
            Path(out), n_pictures=n_pictures, n_validation=n_validation, n_kinds=n_kinds
        )
    except ValueError as error:
        raise SettingsError(str(error)) from error
    values = {
        "seed": seed,
        # As the paper does: as many clusters as there are kinds.
        "cluster": {"k": n_kinds},
        "validation": str(drawn.validation),
        "ground_truth": [str(path) for path in drawn.ground_truth],
    }
    return run(
        pictures=drawn.pictures, out=Path(out) / "run", preset="demo", settings=values, quiet=quiet
    )


def _verb(verb: str, out: str | Path, settings: RunSettings, redo: bool, quiet: bool) -> Path:
    return _do(out, settings, [verb], start=verb if redo else None, quiet=quiet)


def _do(
    out: str | Path,
    settings: RunSettings,
    verbs: list[str],
    *,
    pictures: str | Path | None = None,
    start: str | None = None,
    reuse: Mapping[str, Path] | None = None,
    against: tuple[Path, RunSettings] | None = None,
    repeat: bool = False,
    show_all: bool = False,
    quiet: bool = False,
) -> Path:
    """Do verbs of a run: the one door to the work."""
    from maskdistill.engine.opening import opened
    from maskdistill.workflows import run, seeds

    root = Path(out)
    place = Path(pictures) if pictures is not None else None
    only = {"evaluate": ("ground_truth", "evaluate"), "report": ("report",)}.get(verbs[0], ())
    asked: dict[str, Any] = {"start": start, "reuse": reuse, "against": against}
    asked["show_all"] = show_all
    with opened(root, settings, pictures=place, quiet=quiet, only=only) as job:
        if settings.seeds > 1:
            seeds.do(job, verbs, repeat=repeat, **asked)
        else:
            run.do(job, verbs, **asked)
    return RunFolder(root).report.page if verbs[-1] == "report" else root
