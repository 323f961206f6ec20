"""The verbs over a run's folder, as functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from maskdistill.errors import RunError, SettingsError
from maskdistill.runs.layout import RunFolder
from maskdistill.runs.stages import EMBEDDINGS, STAGES, VERBS, verb_of
from maskdistill.settings import RunSettings, nearest, read_yaml
from maskdistill.settings import load as load_settings
from maskdistill.settings.load import merge, preset_of, validate

# Scan looks at the pictures themselves; evaluate and report are always done again.
REUSABLE = tuple(
    name
    for entry in STAGES
    if not entry.always and entry.name != "scan"
    for name in ((entry.name, EMBEDDINGS) if entry.name == "cluster" else (entry.name,))
)


def run(
    *,
    pictures: str | Path | None = None,
    out: str | Path,
    preset: str | None = None,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | RunSettings | None = None,
    until: str | None = None,
    start: str | None = None,
    reuse: Mapping[str, str | Path] | None = None,
    quiet: bool = False,
) -> Path:
    """The whole job, from a folder of pictures to the report; goes on where it was stopped.

    With the setting `seeds` above 1 the stages after the proposals are made with that many seeds, each in
    OUT/seeds/N, and evaluated together.

    Args:
        pictures: folder of pictures; None where `out` is a run already: its pictures and settings are used.
        out: the run's folder.
        preset: None: the one that settings or config name, `quick` where neither does. None where `pictures` is None.
        config: YAML file, over the preset. settings: over both.
        until: the last verb to do. start: from this verb on, what was made with other settings is made again.
        reuse: {"propose": "runs/a"}: what is not complete here is taken of another run, if it was made of the same
            pictures, settings and weights; else an error lists what differs. A verb takes all of its stages
            (`label` also the second clustering), detect/train the training alone, cluster/embeddings what k-means is
            fitted on. It is no setting.
    Returns:
        The path of the report, or of the run's folder if `until` comes before it.
    Raises:
        MaskDistillError: what is wrong, where, and what to do.
    """
    for name, verb in (("until", until), ("from", start)):
        if verb is not None and verb not in VERBS:
            raise SettingsError(
                f"{name}: there is no stage {verb!r}. Stages, in order: {', '.join(VERBS)}.{nearest(verb, VERBS)}"
            )
    if until is not None and start is not None and VERBS.index(start) > VERBS.index(until):
        raise SettingsError(
            f"from: {start} comes after {until}, the last stage to do. In order: {', '.join(VERBS)}"
        )
    sources = _sources(reuse or {}, Path(out), until)
    chosen = (
        settings
        if isinstance(settings, RunSettings)
        else settings_for(out, pictures, preset, config, settings)
    )
    if chosen.cluster.of == "detections":
        raise SettingsError(
            "cluster.of: a run clusters proposals first. Give --cluster.again to cluster the detections too"
        )
    verbs = list(VERBS[: VERBS.index(until) + 1]) if until else list(VERBS)
    if (
        chosen.detect.import_file and "detect" in verbs
    ):  # nothing reads what comes before the detections of others
        verbs = [verb for verb in verbs if verb not in ("propose", "cluster")]
        start = "detect" if start in ("propose", "cluster") else start
    return _do(
        out, chosen, verbs, pictures=pictures, start=start, reuse=sources, repeat=True, quiet=quiet
    )


def _sources(reuse: Mapping[str, str | Path], out: Path, until: str | None) -> dict[str, Path]:
    """What of which run is to be reused, checked as far as it can be before anything is made."""
    found = {stage: Path(run) for stage, run in reuse.items()}
    for stage, run in found.items():
        if stage not in REUSABLE:
            raise SettingsError(
                f"reuse: {stage!r} cannot be taken of another run. What can: {', '.join(REUSABLE)}."
                f"{nearest(stage, REUSABLE)}"
            )
        verb = "cluster" if stage == EMBEDDINGS else verb_of(stage)
        if until is not None and VERBS.index(verb) > VERBS.index(until):
            raise SettingsError(f"reuse: {stage} comes after {until}, the last stage to do")
        if run.resolve() == out.resolve():
            raise SettingsError(f"reuse: {run} is this run itself. Give another one's folder")
        # A run that was reused may be gone when the same command goes on.
        made = RunFolder(out).stage("cluster" if stage == EMBEDDINGS else stage).record
        if not RunFolder(run).config.is_file() and not made.is_file():
            raise RunError(
                f"{run}: not the folder of a run (no config.yaml), so that {stage} cannot be reused"
            )
    return found


def scan(
    *,
    pictures: str | Path,
    out: str | Path,
    settings: Mapping[str, Any] | RunSettings | None = None,
    redo: bool = False,
) -> Path:
    """A folder of pictures to images.jsonl: ids, sizes, hashes, splits; a run that is there keeps its settings."""
    there = RunFolder(Path(out)).config.exists()
    chosen = (
        settings
        if isinstance(settings, RunSettings)
        else settings_for(out, None if there else pictures, None, None, settings)
    )
    return _do(out, chosen, ["scan"], pictures=pictures, start="scan" if redo else None)


def propose(
    *, out: str | Path, settings: Mapping[str, Any] | RunSettings | None = None, redo: bool = False
) -> Path:
    """Pictures to proposals: masks of a self-supervised backbone's attention."""
    return _verb("propose", out, settings, redo)


def sweep(
    *,
    out: str | Path,
    settings: Mapping[str, Any] | RunSettings | None = None,
    methods: tuple[str, ...] = ("maskdistill", "lost", "tokencut", "maskcut"),
    blocks: tuple[int, ...] = (-1, -2, -3, -4),
    facets: tuple[str, ...] = ("keys", "queries", "values", "tokens"),
    n_pictures: int = 12,
) -> list[dict[str, Any]]:
    """What a new backbone needs: every method x block x facet x centring on a few pictures of a run, the best first.

    Nothing of the run is changed. With ground truth by CorLoc and mean best IoU, without by agreement under flips and
    crops; RUN/sweep/table.json holds the rows too.
    """
    from maskdistill.engine.opening import opened
    from maskdistill.measuring import sweep as stage

    chosen = (
        settings
        if isinstance(settings, RunSettings)
        else settings_for(out, None, None, None, settings)
    )
    if n_pictures < 1:
        raise SettingsError(f"n_pictures must be at least 1, got {n_pictures}")
    grid = stage.Grid(methods=methods, blocks=blocks, facets=facets)  # type: ignore[arg-type]
    with opened(Path(out), chosen, pictures=None, keep_config=True) as job:
        return stage.work(job, grid=grid, n_pictures=n_pictures)


def name_clusters(
    *,
    out: str | Path,
    labelled: str | Path | Sequence[str | Path],
    settings: Mapping[str, Any] | RunSettings | None = None,
) -> list[dict[str, Any]]:
    """Names for the clusters of a run, by matching with a few labelled pictures of it; nothing is learnt from them.

    Args:
        labelled: COCO instances JSON, or a folder of label maps; one or several with one list of classes.
    Returns:
        A row a cluster: stage, cluster, name, masks that meet a labelled object, how many of them agree.
    """
    from maskdistill.engine.opening import opened
    from maskdistill.measuring import match_names as stage

    chosen = (
        settings
        if isinstance(settings, RunSettings)
        else settings_for(out, None, None, None, settings)
    )
    sources = [labelled] if isinstance(labelled, str | Path) else list(labelled)
    if not sources:
        raise SettingsError(
            "labelled: wanted a COCO instances JSON or a folder of label maps, found nothing"
        )
    with opened(Path(out), chosen, pictures=None, keep_config=True) as job:
        return stage.work(job, [Path(source) for source in sources])


def cluster(
    *, out: str | Path, settings: Mapping[str, Any] | RunSettings | None = None, redo: bool = False
) -> Path:
    """Masks to clusters: embeddings and k-means. Of detections, label maps are made of these clusters from then on."""
    chosen = (
        settings
        if isinstance(settings, RunSettings)
        else settings_for(out, None, None, None, settings)
    )
    if chosen.cluster.of == "detections":
        chosen = replace(chosen, cluster=replace(chosen.cluster, again=True))
    return _verb("cluster", out, chosen, redo)


def detect(
    *, out: str | Path, settings: Mapping[str, Any] | RunSettings | None = None, redo: bool = False
) -> Path:
    """Noisy masks and cluster ids to a Mask R-CNN, and its detections in every picture."""
    return _verb("detect", out, settings, redo)


def label(
    *, out: str | Path, settings: Mapping[str, Any] | RunSettings | None = None, redo: bool = False
) -> Path:
    """Confident detections to one label map a picture."""
    return _verb("label", out, settings, redo)


def segment(
    *, out: str | Path, settings: Mapping[str, Any] | RunSettings | None = None, redo: bool = False
) -> Path:
    """Label maps to a DeepLabv3, and its predictions for every picture."""
    return _verb("segment", out, settings, redo)


def evaluate(
    *,
    out: str | Path,
    settings: Mapping[str, Any] | RunSettings | None = None,
    against: str | Path | None = None,
) -> Path:
    """Every stage that is there against the ground truth; writes evaluate/metrics.json.

    Args:
        against: another run: each number of both on the pictures that both have, with a paired test, and how far
            the two agree (without ground truth that alone): evaluate/against.json.
    """
    chosen = (
        settings
        if isinstance(settings, RunSettings)
        else settings_for(out, None, None, None, settings)
    )
    if against is None:
        return _do(out, chosen, ["evaluate"], pictures=None)
    if Path(against).resolve() == Path(out).resolve():
        raise SettingsError(f"against: {against} is this run itself. Give another one's folder")
    other = Path(against), settings_for(against, None, None, None, None)
    return _do(out, chosen, ["evaluate"], pictures=None, against=other)


def report(*, out: str | Path, settings: Mapping[str, Any] | RunSettings | None = None) -> Path:
    """One self-contained page of what is there; its path is returned."""
    return _verb("report", out, settings, False)


def status(*, out: str | Path) -> list[dict[str, Any]]:
    """A row a stage: stage, state (done | unfinished | missing | stale), counts, seconds, why it is stale."""
    from maskdistill.workflows import status as stage

    return stage.rows(Path(out))


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


def is_run(out: str | Path) -> bool:
    """Return whether a folder is that of a run."""
    return RunFolder(Path(out)).config.is_file()


def settings_for(
    out: str | Path,
    pictures: str | Path | None,
    preset: str | None,
    config: str | Path | None,
    settings: Mapping[str, Any] | None,
) -> RunSettings:
    """Settings of a run: preset < file < mapping; without PICTURES the run's config.yaml stands for the preset."""
    flags = dict(settings or {})
    if pictures is not None:
        return load_settings(flags, preset_name=preset, config=Path(config) if config else None)
    from maskdistill.engine.opening import configured

    before = configured(Path(out))
    file = read_yaml(Path(config)) if config else {}
    named = preset or preset_of(file, flags)
    if named is not None and named != before.get("preset"):
        raise SettingsError(
            f"preset: {out} was made with {before.get('preset')}, and its config.yaml stands in place of a preset. "
            f"Give PICTURES too to begin with {named}"
        )
    return validate(merge(before, file, flags), source=str(out))


def _verb(
    verb: str, out: str | Path, settings: Mapping[str, Any] | RunSettings | None, redo: bool
) -> Path:
    chosen = (
        settings
        if isinstance(settings, RunSettings)
        else settings_for(out, None, None, None, settings)
    )
    return _do(out, chosen, [verb], pictures=None, start=verb if redo else None)


def _do(
    out: str | Path,
    settings: RunSettings,
    verbs: list[str],
    *,
    pictures: str | Path | None,
    start: str | None = None,
    reuse: Mapping[str, Path] | None = None,
    against: tuple[Path, RunSettings] | None = None,
    repeat: bool = False,
    quiet: bool = False,
) -> Path:
    from maskdistill.engine.opening import opened
    from maskdistill.workflows import run, seeds

    root = Path(out)
    place = Path(pictures) if pictures is not None else None
    only = {"evaluate": ("ground_truth", "evaluate"), "report": ("report",)}.get(verbs[0], ())
    with opened(root, settings, pictures=place, quiet=quiet, only=only) as job:
        if settings.seeds > 1:
            seeds.do(job, verbs, start=start, reuse=reuse, against=against, repeat=repeat)
        else:
            run.do(job, verbs, start=start, reuse=reuse, against=against)
    return RunFolder(root).report.page if verbs[-1] == "report" else root
