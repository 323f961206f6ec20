"""The verbs as keyword-only functions: what the command does, a program can.

Each takes a run's folder and, where settings matter, `settings`: a nested mapping as in a YAML file, checked and
refused like one ({"propose": {"method": "tokencut"}}).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskdistill.errors import RunError, SettingsError
from maskdistill.settings import RunSettings, nearest, read_yaml, resolve
from maskdistill.settings import load as load_settings
from maskdistill.settings.load import merge, preset_of, validate

if TYPE_CHECKING:
    import numpy as np

    from maskdistill.stages.model import Model
    from maskdistill.stages.score import Score

VERBS = ("scan", "propose", "cluster", "detect", "label", "segment", "evaluate", "report")
# A verb stands for all of its stages; scan looks at the pictures themselves, evaluate and report are always done again.
REUSABLE = ("propose", "cluster", "detect", "detect/train", "recluster", "label", "segment", "segment/train")


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

    Args:
        pictures: folder of pictures; None where `out` is a run already: its pictures and settings are used.
        out: the run's folder.
        preset: None: the one that settings or config name, `quick` where neither does. None where `pictures` is None.
        config: YAML file, over the preset. settings: over both.
        until: the last verb to do. start: from this verb on, what was made with other settings is made again.
        reuse: {"propose": "runs/a"}: what is not complete here is taken of another run, if it was made of the same
            pictures, settings and weights; else an error lists what differs. A verb takes all of its stages
            (`label` also the second clustering), detect/train the training alone. It is no setting.
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
        raise SettingsError(f"from: {start} comes after {until}, the last stage to do. In order: {', '.join(VERBS)}")
    sources = _sources(reuse or {}, Path(out), until)
    chosen = settings if isinstance(settings, RunSettings) else settings_for(out, pictures, preset, config, settings)
    if chosen.cluster.of == "detections":
        raise SettingsError(
            "cluster.of: a run clusters proposals first. Give --cluster.again to cluster the detections too"
        )
    verbs = list(VERBS[: VERBS.index(until) + 1]) if until else list(VERBS)
    return _do(out, chosen, verbs, pictures=pictures, start=start, reuse=sources, quiet=quiet)


def _sources(reuse: Mapping[str, str | Path], out: Path, until: str | None) -> dict[str, Path]:
    """What of which run is to be reused, checked as far as it can be before anything is made."""
    found = {stage: Path(run) for stage, run in reuse.items()}
    for stage, run in found.items():
        if stage not in REUSABLE:
            raise SettingsError(
                f"reuse: {stage!r} cannot be taken of another run. What can: {', '.join(REUSABLE)}."
                f"{nearest(stage, REUSABLE)}"
            )
        verb = "label" if stage == "recluster" else stage.partition("/")[0]
        if until is not None and VERBS.index(verb) > VERBS.index(until):
            raise SettingsError(f"reuse: {stage} comes after {until}, the last stage to do")
        if run.resolve() == out.resolve():
            raise SettingsError(f"reuse: {run} is this run itself. Give another one's folder")
        # A run that was reused may be gone when the same command goes on.
        if not (run / "config.yaml").is_file() and not (out / stage / "stage.json").is_file():
            raise RunError(f"{run}: not the folder of a run (no config.yaml), so that {stage} cannot be reused")
    return found


def scan(
    *,
    pictures: str | Path,
    out: str | Path,
    settings: Mapping[str, Any] | RunSettings | None = None,
    redo: bool = False,
) -> Path:
    """A folder of pictures to images.jsonl: ids, sizes, hashes, splits; a run that is there keeps its settings."""
    there = (Path(out) / "config.yaml").exists()
    chosen = (
        settings
        if isinstance(settings, RunSettings)
        else settings_for(out, None if there else pictures, None, None, settings)
    )
    return _do(out, chosen, ["scan"], pictures=pictures, start="scan" if redo else None)


def propose(*, out: str | Path, settings: Mapping[str, Any] | RunSettings | None = None, redo: bool = False) -> Path:
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
    from maskdistill.stages import pipeline
    from maskdistill.stages import sweep as stage

    chosen = settings if isinstance(settings, RunSettings) else settings_for(out, None, None, None, settings)
    if n_pictures < 1:
        raise SettingsError(f"n_pictures must be at least 1, got {n_pictures}")
    grid = stage.Grid(methods=methods, blocks=blocks, facets=facets)  # type: ignore[arg-type]
    with pipeline.opened(Path(out), chosen, pictures=None, keep_config=True) as job:
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
    from maskdistill.stages import names as stage
    from maskdistill.stages import pipeline

    chosen = settings if isinstance(settings, RunSettings) else settings_for(out, None, None, None, settings)
    sources = [labelled] if isinstance(labelled, str | Path) else list(labelled)
    if not sources:
        raise SettingsError("labelled: wanted a COCO instances JSON or a folder of label maps, found nothing")
    with pipeline.opened(Path(out), chosen, pictures=None, keep_config=True) as job:
        return stage.work(job, [Path(source) for source in sources])


def cluster(*, out: str | Path, settings: Mapping[str, Any] | RunSettings | None = None, redo: bool = False) -> Path:
    """Masks to clusters: embeddings and k-means. Of detections, label maps are made of these clusters from then on."""
    chosen = settings if isinstance(settings, RunSettings) else settings_for(out, None, None, None, settings)
    if chosen.cluster.of == "detections":
        chosen = replace(chosen, cluster=replace(chosen.cluster, again=True))
    return _verb("cluster", out, chosen, redo)


def detect(*, out: str | Path, settings: Mapping[str, Any] | RunSettings | None = None, redo: bool = False) -> Path:
    """Noisy masks and cluster ids to a Mask R-CNN, and its detections in every picture."""
    return _verb("detect", out, settings, redo)


def label(*, out: str | Path, settings: Mapping[str, Any] | RunSettings | None = None, redo: bool = False) -> Path:
    """Confident detections to one label map a picture."""
    return _verb("label", out, settings, redo)


def segment(*, out: str | Path, settings: Mapping[str, Any] | RunSettings | None = None, redo: bool = False) -> Path:
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
    chosen = settings if isinstance(settings, RunSettings) else settings_for(out, None, None, None, settings)
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
    from maskdistill.stages import status as stage

    return stage.rows(Path(out))


def load(run_or_model: str | Path, *, device: str = "auto", crf: bool = False) -> Model:
    """The networks that a run trained, ready to `predict(picture)`; crf: with the paper's CRF behind the segmenter."""
    from maskdistill.stages import model

    return model.load(Path(run_or_model), device=device, crf=crf)


def predict(
    *,
    run: str | Path,
    pictures: str | Path,
    out: str | Path,
    device: str = "auto",
    crf: bool = False,
    quiet: bool = False,
) -> dict[str, int]:
    """Label maps (palette PNG) and instances (JSON) for a folder of new pictures, at their relative paths.

    Args:
        crf: draw label maps to the edges of the picture by a dense CRF, whatever the run's setting.
    Returns:
        Counts: predicted, done before, refused.
    """
    from maskdistill.stages import predict as stage

    return stage.work(Path(run), Path(pictures), Path(out), device=device, crf=crf, quiet=quiet)


def export(*, run: str | Path, of: str = "detections", out: str | Path | None = None) -> Path:
    """Proposals or detections as one COCO dataset file; its path is returned."""
    from maskdistill.stages import export as stage

    return stage.coco(Path(run), of=of, out=Path(out) if out else None)


def voc_instances(
    *, root: str | Path, split: str, out: str | Path, of: str = "masks", class_agnostic: bool = False
) -> dict[str, int]:
    """A split of a VOC devkit as a COCO instances JSON: of its maps of objects (masks), or its XML files (boxes).

    Returns:
        Counts: images, objects.
    """
    from maskdistill.stages import voc

    return voc.instances(Path(root), split, Path(out), of=of, class_agnostic=class_agnostic)


def score_semantic(
    *,
    predictions: str | Path,
    ground_truth: str | Path,
    classes: str | Path,
    only: str | Path | None = None,
    matching: str = "none",
    protocol: str = "occurring",
    missing: str = "refuse",
    bootstrap: int = 200,
    seed: int = 0,
    out: str | Path | None = None,
) -> Score:
    """Label maps (PNG) against label maps, anybody's, without a run.

    Args:
        predictions, ground_truth: folders, joined by relative path, else file name; 255 in the truth is ignored.
        classes: voc, or a file with a name a line, background first.
        only: a list of names, one a line: these pictures alone.
        matching: none: ids are classes; else clusters are matched with classes: iou, pixels, majority.
        protocol: occurring: mIoU over the classes in the truth; paper: absent ones are 0.
        missing: what a truth without prediction does: refuse, or it counts as background.
        bootstrap: samples for the intervals; 0: none. out: FILE.json, FILE.csv or FILE.md.
    Returns:
        rows (as in metrics.json), notes (what stands beside the numbers), table() as Markdown.
    Raises:
        PredictionError, GroundTruthError: what does not fit, how many, and the first of them. SettingsError.
    """
    from maskdistill.stages import score, score_semantic

    options = {"classes": str(classes), "rule": matching, "protocol": protocol, "missing": missing}
    chosen = {**options, "only": only, "resamples": bootstrap, "seed": seed}
    return score.written(score_semantic.score, Path(predictions), Path(ground_truth), out, chosen)


def score_instances(
    *,
    predictions: str | Path,
    ground_truth: str | Path,
    only: str | Path | None = None,
    matching: str = "none",
    bootstrap: int = 200,
    seed: int = 0,
    out: str | Path | None = None,
) -> Score:
    """A COCO results file against a COCO instances file, anybody's, without a run.

    Args:
        predictions: a list of records with image_id, category_id, score, and segmentation, bbox or both.
        matching: none: category ids are those of the truth; else they are clusters: overlap, release.
        All others, and what is returned and raised, as `score_semantic` has it.
    """
    from maskdistill.stages import score, score_instances

    chosen = {"rule": matching, "only": only, "resamples": bootstrap, "seed": seed}
    return score.written(score_instances.score, Path(predictions), Path(ground_truth), out, chosen)


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
    from maskdistill.stages import demo as stage

    try:
        drawn = stage.draw(Path(out), n_pictures=n_pictures, n_validation=n_validation, n_kinds=n_kinds)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    values = {
        "seed": seed,
        # As the paper does: as many clusters as there are kinds.
        "cluster": {"k": n_kinds},
        "validation": str(drawn.validation),
        "ground_truth": [str(path) for path in drawn.ground_truth],
    }
    return run(pictures=drawn.pictures, out=Path(out) / "run", preset="demo", settings=values, quiet=quiet)


def discover(
    picture: np.ndarray | str | Path,
    *,
    method: str | None = None,
    backbone: str | None = None,
    weights: str | Path | None = None,
    max_masks: int | None = None,
    min_score: float | None = None,
    pixels: str | None = None,
    device: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Masks of one picture, nothing trained, no run: records as Segment Anything gives them.

    In a loop over pictures the backbone is loaded once: that of the last call is held in memory, and used again while
    its name, weights (a file by path, size and time of change), device, precision and rotation stay the same.

    Args:
        picture: (H, W, 3) uint8 RGB, or a file.
        method: auto, maskdistill, lost, tokencut, maskcut.
        backbone: dino_vits16, timm/<model>, handcrafted, ...; weights: a name, a file, `none`; None: those of its name.
        max_masks: at most; 0: as many as `propose` looks for. min_score: of a mask, in [0, 1].
        pixels: from patches to pixels: auto, nearest, bilinear, refine.
        device: auto, cpu, cuda, cuda:N.
        settings: all else that `propose` can be told, as in a YAML file ({"block": -2, "lost": {"short_side": 480}}),
            and precision, orientation, max_megapixels.
        What is None, or not in settings, is as `maskdistill propose` has it.
    Returns:
        A dict a mask, by falling score, none where nothing is found: segmentation (H, W) bool; bbox [x, y, w, h];
        area in pixels; score in [0, 1], and the same as predicted_iou, for code that is written for Segment Anything;
        point_coords [[x, y]], the middle of the patch that the mask grew from, in pixels of the picture (`refine` may
        draw the outline past it).
    Raises:
        SettingsError: an argument or setting that cannot be used. WeightsError, PictureError: what cannot be read.
        ValueError, TypeError: `picture` is an array of another form, or something else.
    """
    from maskdistill.stages import records

    given = {"method": method, "backbone": backbone, "max_masks": max_masks, "min_score": min_score, "pixels": pixels}
    chosen = _settings_of_masks(
        given, {"device": device}, weights, settings, ("precision", "orientation", "max_megapixels")
    )
    return records.of_picture(picture, chosen)


def masks(
    *,
    pictures: str | Path,
    out: str | Path,
    method: str | None = None,
    backbone: str | None = None,
    weights: str | Path | None = None,
    max_masks: int | None = None,
    min_score: float | None = None,
    pixels: str | None = None,
    device: str | None = None,
    limit: int | None = None,
    separate: bool = False,
    settings: Mapping[str, Any] | RunSettings | None = None,
    quiet: bool = False,
) -> dict[str, int]:
    """Masks of a folder of pictures as PNG and JSON at their relative paths, no run; goes on where it was stopped.

    Args:
        out: for each picture <name>.png (0 background, 1 .. n the masks by falling score) and <name>.json (box, area,
            score and run lengths of each). <name> is the picture's without extension; with it where two would meet.
        limit: the first pictures by path alone; 0: all.
        separate: a black and white PNG a mask too, in <name>.masks/.
        settings: as `discover` takes them, and threads, workers; or all settings as RunSettings.
        All others as `discover` has them.
    Returns:
        Counts: pictures, masks, without masks (made now); done before; refused (why: OUT/.maskdistill/refused.json).
    Raises:
        MaskDistillError: what is wrong, where, and what to do; OUT with results of other settings is refused.
    """
    from maskdistill.stages import masks as stage

    given = {"method": method, "backbone": backbone, "max_masks": max_masks, "min_score": min_score, "pixels": pixels}
    others = ("precision", "orientation", "max_megapixels", "threads", "workers")
    chosen = _settings_of_masks(given, {"device": device, "limit": limit}, weights, settings, others)
    return stage.work(Path(pictures), Path(out), chosen, separate=separate, quiet=quiet)


def _settings_of_masks(
    given: Mapping[str, Any],
    common: Mapping[str, Any],
    weights: str | Path | None,
    settings: Mapping[str, Any] | RunSettings | None,
    others: tuple[str, ...],
) -> RunSettings:
    """Resolved settings from the arguments of `propose` and of the run that are not None, and a mapping of the rest.

    Args:
        others: settings of the run that may stand in the mapping beside those of `propose`.
    """
    if isinstance(settings, RunSettings):
        extra = [name for name, value in {**given, **common, "weights": weights}.items() if value is not None]
        if extra:
            raise SettingsError(f"{extra[0]}: stands in RunSettings already. Give it there alone")
        try:
            return resolve(settings)
        except ValueError as error:
            raise SettingsError(str(error)) from error
    if settings is not None and not isinstance(settings, Mapping):
        raise SettingsError(f"settings: wanted a mapping of settings of propose, found {type(settings).__name__}")
    propose = {name: value for name, value in given.items() if value is not None}
    rest = dict(settings or {})
    twice = [name for name in (*propose, *common, "weights") if name in rest]
    if twice:
        raise SettingsError(f"settings: {twice[0]} is an argument of its own. Give it there alone")
    values: dict[str, Any] = {name: rest.pop(name) for name in others if name in rest}
    values |= {name: value for name, value in common.items() if value is not None}
    if weights is not None:
        what = str(weights).removeprefix("propose=")
        if not what:
            raise SettingsError("weights: wanted the name of some, a file or none, found nothing")
        values["weights"] = [f"propose={what}"]
    try:
        return resolve(load_settings({**values, "propose": {**rest, **propose}}))
    except ValueError as error:
        raise SettingsError(str(error)) from error


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
    from maskdistill.stages.pipeline import configured

    before = configured(Path(out))
    file = read_yaml(Path(config)) if config else {}
    named = preset or preset_of(file, flags)
    if named is not None and named != before.get("preset"):
        raise SettingsError(
            f"preset: {out} was made with {before.get('preset')}, and its config.yaml stands in place of a preset. "
            f"Give PICTURES too to begin with {named}"
        )
    return validate(merge(before, file, flags), source=str(out))


def _verb(verb: str, out: str | Path, settings: Mapping[str, Any] | RunSettings | None, redo: bool) -> Path:
    chosen = settings if isinstance(settings, RunSettings) else settings_for(out, None, None, None, settings)
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
    quiet: bool = False,
) -> Path:
    from maskdistill.stages import pipeline

    root = Path(out)
    with pipeline.opened(root, settings, pictures=Path(pictures) if pictures is not None else None, quiet=quiet) as job:
        pipeline.do(job, verbs, start=start, reuse=reuse, against=against)
    return root / "report" / "index.html" if verbs[-1] == "report" else root
