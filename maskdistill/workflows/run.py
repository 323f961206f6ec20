"""The stages in the order in which data flows, and opening a run to do some of them."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

import maskdistill
from maskdistill.engine.stage import Job, Stage, elsewhere, perform
from maskdistill.errors import (
    GroundTruthError,
    MaskDistillError,
    PictureError,
    RunError,
    SettingsError,
)
from maskdistill.runs import atomic, fingerprints, record
from maskdistill.runs.layout import RunFolder
from maskdistill.runs.ledger import Ledger
from maskdistill.runs.lock import RunLock
from maskdistill.runs.progress import Progress
from maskdistill.settings import DESCRIBES, RunSettings, about, as_dict, dump, resolve
from maskdistill.settings.run import WEIGHT_STAGES, is_name
from maskdistill.stage_parts import other_runs
from maskdistill.stages import cluster, detect, evaluate, label, propose, report, scan, segment
from maskdistill.workflows import estimate


def stages_of(verb: str, settings: RunSettings) -> tuple[Stage, ...]:
    """The stages that a verb does, in order; evaluate and report are no stages: they are always done again."""
    if verb == "cluster" and settings.cluster.of == "detections":
        return (cluster.AGAIN,)
    if verb == "label" and settings.cluster.again:
        return (cluster.AGAIN, label.stage(settings))
    return {
        "scan": (scan.STAGE,),
        "propose": (propose.stage(settings),),
        "cluster": (cluster.STAGE,),
        "detect": detect.stages(settings),
        "label": (label.stage(settings),),
        "segment": (segment.train_stage(settings), segment.PREDICT),
    }.get(verb, ())


@contextmanager
def opened(
    root: Path,
    settings: RunSettings,
    *,
    pictures: Path | None,
    quiet: bool = False,
    keep_config: bool = False,
    only: tuple[str, ...] = (),
) -> Iterator[Job]:
    """A run's folder, locked, its config.yaml written, its ledger opened; made if it is not there yet.

    Args:
        pictures: the picture folder; None: the one that config.yaml names.
        keep_config: config.yaml stays as it is: nothing of the run will be made with these settings.
        only: of config.yaml these settings alone are written, the others are those that the run was made with.
    """
    import torch

    try:
        settings = resolve(settings)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    _check_files(settings)
    folder = RunFolder(Path(root))
    before = read_config(folder) if folder.config.exists() else {}
    if pictures is None and "pictures" not in before:
        raise RunError(
            f"{root}: no run there yet. Start one: maskdistill run PICTURES --out {root}"
        )
    given = pictures is not None
    pictures = Path(pictures) if pictures is not None else Path(before["pictures"])
    roots = {"pictures": pictures}
    if settings.validation is not None and Path(settings.validation).is_dir():
        roots["validation"] = Path(settings.validation)
    if not pictures.is_dir() and (given or not folder.images.exists()):
        raise PictureError(
            f"{pictures}: {'is a file' if pictures.exists() else 'no such folder'}. "
            f"Give a folder with pictures: maskdistill run PICTURES --out {root}"
        )
    if folder.root.exists() and not folder.root.is_dir():
        raise RunError(
            f"{root}: is a file, where the folder of a run is wanted. Give another --out"
        )
    atomic.make_folder(folder.root)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    progress = Progress(quiet=quiet)
    with RunLock(folder.lock):
        job = Job(
            settings=settings,
            folder=folder,
            ledger=Ledger(folder.ledger),
            progress=progress,
            roots=roots,
        )
        extra = {"version": maskdistill.__version__, "pictures": str(pictures.resolve())}
        # `of` is what one command does, no setting of the run.
        kept = replace(settings, cluster=replace(settings.cluster, of="proposals"))
        text = dump(kept, extra=extra)
        if only:
            own = as_dict(kept)
            text = yaml.safe_dump(
                {**before, **{name: own[name] for name in only}},
                sort_keys=False,
                allow_unicode=True,
            )
        written = folder.config.read_text(encoding="utf-8") if folder.config.exists() else None
        if written != text and not keep_config:
            atomic.write_text(folder.config, text)
        job.ledger.write(
            "open", versions=versions(), device=settings.device, threads=torch.get_num_threads()
        )
        try:
            yield job
        except MaskDistillError:
            if (
                written is not None and not job.begun and not keep_config
            ):  # nothing was made with the new settings
                atomic.write_text(folder.config, written)
            raise


def _check_files(settings: RunSettings) -> None:
    """Files of weights that a late stage starts from are looked for before the first stage, not hours later."""
    from maskdistill.features import weights

    for entry in settings.weights:
        stage, _, what = entry.partition("=")
        if not is_name(what) and not Path(what).expanduser().is_file():
            weights.read(what, name=stage)  # says what is wrong


def _fetch_weights(job: Job, ahead: list[str]) -> None:
    """Named weights of all stages that are still to be done, before the first: the network may be gone hours later."""
    from maskdistill.engine import networks

    embeds = job.settings.cluster.embedding != "descriptors"
    for verb in ahead:
        stage = "cluster" if verb == "label" and job.settings.cluster.again else verb
        imported = stage in ("propose", "detect") and getattr(job.settings, stage).import_file
        if stage in WEIGHT_STAGES and not imported and (embeds or stage != "cluster"):
            networks.fetch(job, stage)


def check_truth(settings: RunSettings) -> None:
    """Ground truth, and figures of others, are looked for before the first stage, though read when all is done."""
    for source in map(Path, settings.ground_truth):
        if not source.exists() or (source.is_dir() and next(source.rglob("*.png"), None) is None):
            what = "holds no .png" if source.exists() else "no such file or folder"
            raise GroundTruthError(
                f"{source}: {what}. Give --ground-truth a COCO instances JSON or a folder of label maps; what is given "
                "stands in place of what the run's config.yaml has"
            )
    published = settings.evaluate.published
    if published and not Path(published).is_file():
        raise GroundTruthError(
            f"{published}: no such file. Give --published FILE.csv, or '' for none"
        )


def do(
    job: Job,
    verbs: list[str],
    *,
    start: str | None = None,
    reuse: Mapping[str, Path] | None = None,
    against: tuple[Path, RunSettings] | None = None,
    repeated: Mapping[int, Job] | None = None,
) -> None:
    """Do some verbs in order; from `start` on, a stage whose fingerprint differs is done again.

    Args:
        reuse: verb, or stage (detect/train) -> another run, of which it is taken where it is not complete here;
            cluster/embeddings -> another run, of whose clustering the embeddings alone are taken.
        against: another run and its settings, which evaluate compares with; nothing of it is changed.
        repeated: seed -> the run with that seed, which evaluate takes the mean and the deviation over.
    """
    from maskdistill.engine import networks

    own = job.settings.propose
    how = (
        f"masks: {own.import_file}"
        if own.import_file
        else f"backbone: {own.backbone}, method: {own.method}"
    )
    job.progress.say(f"device: {networks.device(job)}, {how}")
    # Once: each of several seeds is a run of its own, with a chain seed.
    for line in (
        about(job.settings.preset) if verbs[0] == "scan" and job.settings.chain_seed is None else ()
    ):
        job.progress.say(line)
    job.sources = sources = _sources(job, verbs, reuse or {})
    _fetch_weights(job, _ahead(job, verbs, sources))
    redo = False
    for verb in verbs:
        redo = redo or verb == start
        if verb == "scan" and not redo and verb not in sources:
            scan.check_unchanged(job)
        if verb == "evaluate":
            evaluate.work(
                job, other=_beside(job, against) if against else None, repeated=repeated or {}
            )
        elif verb == "report":
            report.work(job)
        else:
            for stage in stages_of(verb, job.settings):
                if not perform(stage, job, redo=redo, source=sources.get(stage.name)):
                    job.progress.say(f"{stage.name}: done before")
                elif stage.name == "scan":
                    evaluate.check_truth(job)
                if stage.name == "scan" and (ahead := _ahead(job, verbs, sources)):
                    job.progress.say(estimate.sentence(job, ahead))


def _beside(job: Job, against: tuple[Path, RunSettings]) -> Job:
    """Another run, to be read; what happens goes to this one's ledger."""
    folder = RunFolder(against[0])
    if not folder.images.exists():
        raise RunError(
            f"{folder.root}: no pictures were scanned there, so that nothing can be compared"
        )
    return Job(
        settings=against[1], folder=folder, ledger=job.ledger, progress=job.progress, roots={}
    )


def _sources(job: Job, verbs: list[str], reuse: Mapping[str, Path]) -> dict[str, RunFolder]:
    """Stage -> the run that it is to be taken of; what can be known now is refused now, not hours later."""
    found: dict[str, RunFolder] = {}
    stages = {
        stage.name: (verb, stage) for verb in verbs for stage in stages_of(verb, job.settings)
    }
    if other_runs.EMBEDDINGS in reuse and "cluster" in stages:
        found[other_runs.EMBEDDINGS] = source = RunFolder(reuse[other_runs.EMBEDDINGS])
        if record.read(job.folder.stage("cluster") / "stage.json") is None:
            other_runs.check_embeddings(source, {"settings": cluster.parts(job.settings)})
    unused = [
        name for name in reuse if name not in stages and name not in verbs and name not in found
    ]
    if unused:
        raise SettingsError(
            f"reuse: {unused[0]} is no stage of this run. Its stages: {', '.join(stages)}"
        )
    for name, (verb, stage) in stages.items():
        if name not in reuse and verb not in reuse:
            continue
        found[name] = RunFolder(reuse[name] if name in reuse else reuse[verb])
        known = {"version": stage.version, "settings": stage.parts(job.settings)}
        here = record.read(job.folder.stage(name) / "stage.json")
        if here is None or fingerprints.differences({key: here.parts[key] for key in known}, known):
            elsewhere(stage, found[name], known, ahead=True)
    return found


def _ahead(job: Job, verbs: list[str], sources: Mapping[str, RunFolder]) -> list[str]:
    """The verbs that something is still to be done of."""
    return [
        verb
        for verb in verbs
        if any(
            stage.name not in sources and not (job.folder.stage(stage.name) / "stage.json").exists()
            for stage in stages_of(verb, job.settings)
        )
    ]


def read_config(folder: RunFolder) -> dict[str, Any]:
    """config.yaml of a run as nested dict."""
    try:
        loaded = yaml.safe_load(folder.config.read_text(encoding="utf-8"))
        if not isinstance(loaded, dict):
            raise ValueError(
                f"wanted settings by name, found {'nothing' if loaded is None else type(loaded).__name__}"
            )
    except FileNotFoundError as error:
        raise RunError(
            f"{folder.root}: not the folder of a run (no config.yaml). "
            f"Start one: maskdistill run PICTURES --out {folder.root}"
        ) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RunError(
            f"{folder.config}: cannot be read: {error}. Is {folder.root} the folder of a run?"
        ) from error
    return loaded


def configured(root: Path) -> dict[str, Any]:
    """The settings that a run's config.yaml holds, without what only describes the run."""
    loaded = read_config(RunFolder(root))
    return {key: value for key, value in loaded.items() if key not in DESCRIBES}


def versions() -> dict[str, str]:
    """What the results were made with."""
    from importlib.metadata import version

    names = (
        "torch",
        "torchvision",
        "timm",
        "numpy",
        "scipy",
        "numba",
        "scikit-learn",
        "pillow",
        "faster-coco-eval",
    )
    return {
        "maskdistill": maskdistill.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }
