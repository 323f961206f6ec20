"""run: the stages that verbs do, in the order of STAGES, over an opened run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from maskdistill.artifacts import clusterings
from maskdistill.datasets.label_maps import map_folder
from maskdistill.engine.job import Job
from maskdistill.engine.stage import Stage, elsewhere, perform
from maskdistill.errors import GroundTruthError, RunError, SettingsError, setting
from maskdistill.inference import self_agreement
from maskdistill.measuring import stage_numbers
from maskdistill.runs import fingerprints, record
from maskdistill.runs.layout import RunFolder
from maskdistill.runs.stages import (
    BY_NAME,
    DETECT_TRAIN,
    EMBEDDINGS,
    FEATURES,
    RECLUSTER,
    SEGMENT_TRAIN,
    STAGES,
    VERBS,
)
from maskdistill.settings import RunSettings, about
from maskdistill.settings.run import WEIGHT_STAGES
from maskdistill.settings.segment import BACKBONE
from maskdistill.stage_parts import other_runs
from maskdistill.stages import (
    cluster,
    detect,
    evaluate,
    features,
    imported,
    label,
    propose,
    report,
    scan,
    segment,
)
from maskdistill.workflows import choosing, estimate

# Stage -> what makes it of the settings; None where the settings have no such stage.
_MADE: dict[str, Callable[[RunSettings], Stage | None]] = {
    "scan": lambda settings: scan.STAGE,
    "propose": lambda settings: imported.PROPOSE if settings.propose.import_file else propose.STAGE,
    FEATURES: features.stage,
    "cluster": lambda settings: cluster.STAGE,
    DETECT_TRAIN: lambda settings: None if settings.detect.import_file else detect.TRAIN,
    "detect": lambda settings: imported.DETECT if settings.detect.import_file else detect.PREDICT,
    RECLUSTER: lambda settings: cluster.again(settings) if settings.cluster.again else None,
    SEGMENT_TRAIN: segment.train_stage,
    "segment": lambda settings: segment.PREDICT,
    "evaluate": lambda settings: evaluate.stage(),
    "report": lambda settings: report.STAGE,
}


def stages_of(verb: str, settings: RunSettings, folder: RunFolder) -> tuple[Stage, ...]:
    """Return the stages that a verb does in a run, in order."""
    if verb == "cluster" and settings.cluster.of == "detections":
        return (cluster.again(settings),)
    names = [entry.name for entry in STAGES if entry.verb == verb]
    if RECLUSTER in names and clusterings.nothing_to_cluster(folder, settings):
        names.remove(RECLUSTER)
    made = [
        # What is painted is known once there are detections.
        label.stage(settings, folder) if name == "label" else _MADE[name](settings)
        for name in names
    ]
    return tuple(stage for stage in made if stage is not None)


def _fetch_weights(job: Job, ahead: list[str]) -> None:
    """Fetch named weights of all stages that are still to be done, before the first of them.

    The network may be gone hours later.
    """
    from maskdistill.engine import networks

    embeds = job.settings.cluster.embedding != "descriptors"
    for verb in ahead:
        stage = "cluster" if verb == "label" and job.settings.cluster.again else verb
        imported = stage in ("propose", "detect") and getattr(job.settings, stage).import_file
        if stage in WEIGHT_STAGES and not imported and (embeds or stage != "cluster"):
            networks.fetch(job, stage)
        if stage == "segment" and job.settings.segment.size == BACKBONE:
            networks.fetch(job, "propose")


def check_truth(settings: RunSettings) -> None:
    """Look for the ground truth, and figures of others, before the first stage.

    They are read when all is done. Raise GroundTruthError where they are not there.
    """
    for source in map(Path, settings.ground_truth):
        try:
            if source.is_dir():
                map_folder.listing(source, GroundTruthError)
            elif not source.exists():
                raise GroundTruthError(f"{source}: no such file or folder")
        except GroundTruthError as problem:
            raise GroundTruthError(
                f"{problem}. Give --ground-truth a COCO instances JSON or a folder of label "
                "maps; what is given stands in place of what the run's config.yaml has"
            ) from problem
    published = settings.evaluate.published
    if published and not Path(published).is_file():
        raise GroundTruthError(
            f"{published}: no such file. "
            f"Give {setting('evaluate.published', 'FILE.csv')}, or '' for none"
        )


def do(
    job: Job,
    verbs: list[str],
    *,
    start: str | None = None,
    reuse: Mapping[str, Path] | None = None,
    against: tuple[Path, RunSettings] | None = None,
    repeated: Mapping[int, Job] | None = None,
    show_all: bool = False,
) -> None:
    """Do some verbs in order; from `start` on, a stage whose fingerprint differs is done again.

    Args:
        reuse: verb, or stage (detect/train) -> another run, of which it is taken where it is not
            complete here; cluster/embeddings -> another run, of whose clustering the embeddings
            alone are taken.
        against: another run and its settings, which evaluate compares with; it stays as it is.
        repeated: seed -> the run with that seed, which evaluate takes the mean and the deviation
            over.
        show_all: evaluate says every number, not one a stage.
    """
    from maskdistill.engine import networks

    if "evaluate" in verbs:
        check_truth(job.settings)
    own = job.settings.propose
    how = (
        f"masks: {own.import_file}"
        if own.import_file
        else f"backbone: {own.backbone}, method: {own.method}"
    )
    told = f"device: {networks.device(job)}, {how}"
    if set(verbs) - {"label", "evaluate", "report"}:
        job.progress.say(told)
    # Once: each of several seeds is a run of its own, with a chain seed.
    for line in (
        about(job.settings.preset) if verbs[0] == "scan" and job.settings.chain_seed is None else ()
    ):
        job.progress.say(line)
    is_made_again = start is not None and VERBS.index(start) <= VERBS.index("propose")
    choosing.take_over(job, (reuse or {}).get("propose"), redo=is_made_again)
    job.sources = sources = _sources(job, verbs, reuse or {})
    _fetch_weights(job, _ahead(job, verbs, sources))
    redo = False
    for verb in verbs:
        redo = redo or verb == start
        if verb == "scan" and not redo and verb not in sources:
            scan.check_unchanged(job)
        if verb == "propose":
            choosing.choose(job)
        for stage in stages_of(verb, job.settings, job.folder):
            if verb == "evaluate":
                other = _beside(job, against) if against else None
                asked = evaluate.Beside(other=other, repeated=repeated or {}, show_all=show_all)
                stage = evaluate.stage(asked)
            stage = self_agreement.with_numbers(stage)
            if not perform(stage, job, redo=redo, source=sources.get(stage.name)):
                job.progress.say(f"{stage.name}: done before")
            elif stage.name == "scan":
                evaluate.check_truth(job)
            stage_numbers.tell(job, stage.name)
            heard = stage.name == "scan" and not job.progress.quiet  # measuring takes seconds
            if heard and (ahead := _ahead(job, verbs, sources)):
                job.progress.say(estimate.sentence(job, ahead))
    if "segment" in verbs and verbs[-1] == "report":
        root = job.folder.root
        job.progress.say(
            "next: open the page below in a browser; on new pictures: "
            f"maskdistill predict {root} PICTURES --out predictions/"
        )


def _beside(job: Job, against: tuple[Path, RunSettings]) -> Job:
    """Return another run, to be read; what happens goes to this one's ledger."""
    folder = RunFolder(against[0])
    if not folder.images.exists():
        raise RunError(
            f"{folder.root}: no pictures were scanned there, so that nothing can be compared"
        )
    return Job(
        settings=against[1], folder=folder, ledger=job.ledger, progress=job.progress, roots={}
    )


def _sources(job: Job, verbs: list[str], reuse: Mapping[str, Path]) -> dict[str, RunFolder]:
    """Return stage -> the run that it is to be taken of.

    What can be known now is refused now, not hours later.
    """
    found: dict[str, RunFolder] = {}
    stages = {
        stage.name: (verb, stage)
        for verb in verbs
        for stage in stages_of(verb, job.settings, job.folder)
        if not stage.always
    }
    if EMBEDDINGS in reuse and "cluster" in stages:
        found[EMBEDDINGS] = source = RunFolder(reuse[EMBEDDINGS])
        if record.read(job.folder.cluster.record) is None:
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
        source = RunFolder(reuse[name] if name in reuse else reuse[verb])
        by_verb_alone = name not in reuse
        if BY_NAME[name].optional and by_verb_alone and not source.stage(name).record.exists():
            continue  # it has none: a run lacks nothing without it
        found[name] = source
        if name == "label":
            stage = label.stage(job.settings, source)  # painted from what it is there
        known = {"version": stage.version, "settings": stage.parts(job.settings)}
        here = record.read(job.folder.stage(name).record)
        if here is None or fingerprints.differences({key: here.parts[key] for key in known}, known):
            elsewhere(stage, found[name], known, ahead=True)
    return found


def _ahead(job: Job, verbs: list[str], sources: Mapping[str, RunFolder]) -> list[str]:
    """Return the verbs that something is still to be done of."""
    return [
        verb
        for verb in verbs
        if any(
            not stage.always
            and stage.name not in sources
            and not job.folder.stage(stage.name).record.exists()
            for stage in stages_of(verb, job.settings, job.folder)
        )
    ]
