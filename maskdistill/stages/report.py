"""report: one self-contained page of what the run saw.

In:   whatever stages are there
Out:  report/index.html
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import maskdistill
from maskdistill.artifacts import notices, weights_used
from maskdistill.engine.job import Job
from maskdistill.engine.stage import Done, Stage
from maskdistill.evaluation.tables import OF
from maskdistill.report import checks, page
from maskdistill.report.content import Alarm, LedgerEvent, ReportContent, StageSummary, State
from maskdistill.runs import atomic
from maskdistill.runs.layout import ReportFolder
from maskdistill.runs.stages import BY_NAME, RECLUSTER
from maskdistill.settings import RunSettings, as_dict
from maskdistill.settings.segment import BACKBONE
from maskdistill.stage_parts.page_pictures import PagePictures
from maskdistill.stage_parts.page_sources import SHOWN, PageSources

# Events of the ledger that a reader of the page wants to know.
OF_NOTE = ("refused", "warning", "halved", "redo", "note", "resume", "reuse", "named", "imported")


def work(job: Job, folder: ReportFolder) -> Done:
    """Write report/index.html from what is there."""
    atomic.write_text(folder.page, page.render(content_of(PageSources(job))))
    return Done(outputs=[folder.page], counts={})


def content_of(sources: PageSources) -> ReportContent:
    """Return everything that stands on the page."""
    settings, pictures = sources.job.settings, PagePictures(sources)
    masks, coverage, losses = sources.masks_per_picture(), sources.coverage(), sources.losses()
    found = sources.clusterings()
    alarms = checks.alarms(
        masks_per_picture=masks,
        mask_areas=sources.areas(),
        cluster_sizes={stage: each["sizes"] for stage, each in found.items()},
        coverage=coverage,
        losses=losses,
        found_again=sources.found_again,
        in_place=f"{failed.sentence}." if (failed := sources.not_learnt) else "",
        on_tokens=settings.detect.on_tokens,
    )
    opened: dict[str, Any] = next(
        (event for event in reversed(sources.events) if event["event"] == "open"), {}
    )
    subtitle = [
        str(sources.job.roots["pictures"]),
        str(opened.get("time", ""))[:10],
        f"maskdistill {maskdistill.__version__} (unofficial)",
    ]
    return ReportContent(
        title=sources.folder.root.resolve().name,
        subtitle=" · ".join(subtitle),
        notices=notices.of(settings, sources.outputs),
        facts=_facts(sources),
        stages=[
            _summary(sources, name, alarms)
            for name in SHOWN
            if name != RECLUSTER or sources.records[name]
        ],
        stories=pictures.stories(),
        sheets=pictures.sheets(),
        clusters=pictures.galleries(),
        numbers={
            stage: (each["curve"], each["k"]) for stage, each in found.items() if each.get("curve")
        },
        losses=losses,
        masks_per_picture=masks,
        coverage=coverage,
        metrics=sources.evaluated("metrics"),
        steps=sources.evaluated("steps"),
        published=sources.evaluated("published"),
        truth=sources.evaluated("truth"),
        weights=weights_used.used(settings),
        confusion=sources.confusion(),
        settings=_shown(settings),
        versions=opened.get("versions", {}),
        events=[
            LedgerEvent(
                time=event["time"],
                kind=event["event"],
                what=_told(event),
                stage=event.get("stage", ""),
            )
            for event in sources.events
            if event["event"] in OF_NOTE
        ],
        refused=sources.refused(),
    )


def _summary(sources: PageSources, name: str, alarms: Mapping[str, list[Alarm]]) -> StageSummary:
    """Return one stage's line: what it does, what it made, how long it took, what is wrong."""
    entry = sources.records[name]
    ends = (event for event in sources.events if event["event"] == "end")
    last = {event["stage"]: event["seconds"] for event in ends}  # of the last time, not of each
    seconds = [last[each] for each in (f"{name}/train", name) if each in last]
    state: State = "done" if entry else "missing"
    if not entry and sources.folder.stage(name).parts.path.exists():
        state = "partial"
    if name in sources.stale:
        state = "stale"
    warnings = list(alarms.get(name, []))
    if entry and entry.mixed:
        warnings.append(
            Alarm(
                what="Device, thread count or batch changed on the way.",
                advice="Its last bits are not those of one go; do it again with --from to have them.",
            )
        )
    does = BY_NAME[name].does
    if given := sources.imported(name):
        does = f"Taken from {Path(given).name}: nothing was computed."
    return StageSummary(
        name=name,
        does=does,
        counts={**entry.counts, **_measured(sources, name)} if entry else {},
        seconds=sum(seconds) if seconds else None,
        state=state,
        warnings=warnings,
        numbers=sources.numbers(name),
    )


def _measured(sources: PageSources, name: str) -> dict[str, int]:
    """Return counts of a stage that the page takes anew, because its record cannot have them."""
    if name != "detect" or sources.found_again is None:
        return {}
    return dict(zip(("trained_on", "found_again"), sources.found_again, strict=True))


def _facts(sources: PageSources) -> list[tuple[str, str]]:
    """Return what the run was made with, as pairs of name and value."""
    settings, own = sources.job.settings, sources.job.settings.propose
    splits = {name: len(images) for name, images in sources.job.in_splits().items()}
    proposals, detections = sources.imported("propose"), sources.imported("detect")
    weights = _short(settings.weights_of("propose") or "weights by its name")
    network = f"Mask R-CNN, {settings.detect.size}"
    segmenter = f"DeepLabv3, {settings.segment.size}"
    if settings.segment.size == BACKBONE:
        segmenter = "a head on the backbone's tokens"
    facts = [
        ("pictures", f"{splits['train']} to learn from, {splits['validation']} held out"),
        ("backbone", f"{own.backbone}, {weights}"),
        ("method", f"imported: {proposals}" if proposals else own.method),
        ("embedding", settings.cluster.embedding),
        ("detector", f"imported: {detections}" if detections else network),
        ("segmenter", segmenter),
        ("seed", str(settings.seed_of_chain)),
    ]
    if settings.seeds > 1:
        facts.append(("seeds", f"{settings.seeds} ({OF[settings.seeds_of]})"))
    return [*facts, ("preset", settings.preset)]


def _short(path: str) -> str:
    """Return a path without all but the last of its folders; a name as it is.

    >>> _short("/home/ada/networks/vits16.pth"), _short("timm/vit_small_patch16_224")
    ('networks/vits16.pth', 'timm/vit_small_patch16_224')
    """
    return "/".join(PurePath(path).parts[-2:])


def _shown(settings: RunSettings) -> dict[str, Any]:
    """Return the settings as config.yaml has them, the files of weights by their short names."""
    parted = (entry.partition("=") for entry in settings.weights)
    weights = [f"{stage}={_short(what)}" for stage, _, what in parted]
    return {**as_dict(settings), "weights": weights}


def _told(event: Mapping[str, Any]) -> str:
    """Return an event's fields as a line."""
    known = ("time", "event", "stage")
    return ", ".join(f"{name} {value}" for name, value in event.items() if name not in known)


# Done again each time: it shows whatever is there.
STAGE = Stage(
    name="report",
    version=1,
    reads=(),
    parts=lambda settings: as_dict(settings.report),
    work=work,
    always=True,
)
