"""report: one self-contained page of what the run saw.

In:   whatever stages are there
Out:  report/index.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

import maskdistill
from maskdistill.artifacts import (
    cluster_names,
    clusterings,
    freshness,
    label_maps,
    notices,
    weights_used,
)
from maskdistill.artifacts.finished_stages import Outputs
from maskdistill.artifacts.mask_lines import MaskFile
from maskdistill.engine.job import Image, Job
from maskdistill.errors import MaskDistillError
from maskdistill.evaluation.tables import OF
from maskdistill.masks import rle
from maskdistill.measuring import tables
from maskdistill.report import checks, overlays, page
from maskdistill.report.colours import palette
from maskdistill.report.content import (
    Alarm,
    ClusterGallery,
    LedgerEvent,
    ReportContent,
    Sheet,
    StageSummary,
    State,
    Story,
    Tile,
)
from maskdistill.report.measured import where_by_class
from maskdistill.runs import atomic, lines, record
from maskdistill.runs.stages import RECLUSTER, STAGES
from maskdistill.settings import as_dict
from maskdistill.stage_parts.training_masks import TrainedOn

DOES = {entry.name: entry.does for entry in STAGES if entry.does}
OF_NOTE = ("refused", "warning", "halved", "redo", "note", "resume", "reuse", "named", "imported")
STORIES = 4


def work(job: Job) -> None:
    """Write report/index.html from what is there."""
    folder = job.folder.report
    atomic.make_folder(folder.path)
    atomic.write_text(folder.page, page.render(_Run(job).content()))


class _Run:
    """A run's folder, read for the page."""

    def __init__(self, job: Job) -> None:
        self.job, self.folder = job, job.folder
        self.side = job.settings.report.tile_px
        self.records = {name: record.read(self.folder.stage(name).record) for name in DOES}
        self.outputs = Outputs(job)
        self.stale = {
            name for name in freshness.SHOWN if self.records[name] and self.outputs.others(name)
        }
        for name in self.stale:
            self.records[name] = None
        if not job.settings.cluster.again:
            self.records[RECLUSTER] = None  # what is there is an old one
        self.events = list(job.ledger.read())
        self.files = {
            "propose": self._masks("propose", self.folder.propose.masks),
            "detect": self._masks("detect", self.folder.detect.masks),
        }
        self.found_again = self._found_again()
        self.ids = {"propose": self._ids("proposals"), "detect": self._ids("detections")}

    def content(self) -> ReportContent:
        """Everything on the page."""
        settings = self.job.settings
        masks = {stage: self._counts(file) for stage, file in self.files.items() if file}
        coverage = {"label": self._coverage("label"), "segment": self._coverage("segment")}
        coverage = {stage: values for stage, values in coverage.items() if values}
        losses = {stage: rows for stage in ("detect", "segment") if (rows := self._losses(stage))}
        sizes = {
            stage: self._clusters(stage)["sizes"]
            for stage in ("cluster", RECLUSTER)
            if self.records[stage]
        }
        alarms = checks.alarms(
            masks_per_picture=masks,
            mask_areas={stage: self._areas(file) for stage, file in self.files.items() if file},
            cluster_sizes=sizes,
            coverage=coverage,
            losses=losses,
            found_again=self.found_again,
        )
        chosen = self._shown()
        pictures = {image.id: rgb for image in chosen if (rgb := self._read(image)) is not None}
        chosen = [image for image in chosen if image.id in pictures]
        opened: dict[str, Any] = next(
            (event for event in reversed(self.events) if event["event"] == "open"), {}
        )
        return ReportContent(
            title=self.folder.root.resolve().name,
            subtitle=" · ".join(
                [
                    str(self.job.roots["pictures"]),
                    str(opened.get("time", ""))[:10],
                    f"maskdistill {maskdistill.__version__} (unofficial)",
                ]
            ),
            notices=notices.of(settings, self.outputs),
            facts=self._facts(),
            stages=[
                self._summary(name, alarms)
                for name in DOES
                if name != RECLUSTER or self.records[name]
            ],
            stories=[self._story(image, pictures[image.id]) for image in self._best(chosen)],
            sheets=self._sheets(chosen, pictures),
            clusters=self._galleries(),
            numbers=self._numbers(),
            losses=losses,
            masks_per_picture=masks,
            coverage=coverage,
            metrics=self._evaluated("metrics"),
            published=self._evaluated("published"),
            weights=weights_used.used(settings),
            confusion=self._confusion(),
            settings=as_dict(settings),
            versions=opened.get("versions", {}),
            events=[
                LedgerEvent(
                    time=event["time"],
                    kind=event["event"],
                    what=_told(event),
                    stage=event.get("stage", ""),
                )
                for event in self.events
                if event["event"] in OF_NOTE
            ],
            refused=self._refused(),
        )

    def _refused(self) -> list[tuple[str, str]]:
        """Pictures that are left out now, with the reason: the ledger also has those that were mended since."""
        path = self.folder.scan.refused
        found = [(row["path"], row["refused"]) for row in lines.read(path)] if path.exists() else []
        path_of = {image.id: image.path for image in self.job.images}
        for file in self.files.values():
            found += (
                [(path_of[number], reason) for number, reason in file.reasons.items()]
                if file
                else []
            )
        return list(dict.fromkeys(found))

    def _found_again(self) -> tuple[int, int] | None:
        """Return how many masks the detector was trained on, and how many of them it finds."""
        given = TrainedOn.of_run(self.job) if self.records["detect"] else None
        return None if given is None else given.found_again(self.folder.detect.masks)

    def _masks(self, stage: str, path: Path) -> MaskFile | None:
        return MaskFile(path) if self.records[stage] else None

    def _ids(self, of: Literal["proposals", "detections"]) -> dict[tuple[int, int], int]:
        if not self.records["cluster" if of == "proposals" else "detect"]:
            return {}
        file = self.outputs.clustering(of).file
        rows = lines.read(file) if file else ()
        return {(row["id"], row["mask"]): row["cluster"] for row in rows}

    def _counts(self, file: MaskFile) -> list[int]:
        return [file.n_in(image.id) for image in self.job.images if not file.refused(image.id)]

    def _areas(self, file: MaskFile) -> list[float]:
        size_of = {image.id: image.width * image.height for image in self.job.images}
        return [
            mask["area"] / size_of[row["id"]]
            for row in lines.read(file.path)
            for mask in row.get("masks", [])
        ]

    def _coverage(self, stage: str) -> list[float]:
        if not self.records[stage]:
            return []
        if stage == "label":
            entries = json.loads(self.folder.label.coverage.read_text(encoding="utf-8"))
            return [
                entry["coverage"] for entry in entries.values() if entry["coverage"] is not None
            ]
        maps = (self.folder.segment.map_of(image.id) for image in self.job.images)
        return [float((label_maps.read(path) > 0).mean()) for path in maps if path.exists()]

    def _losses(self, stage: str) -> list[dict[str, float]]:
        folder = self.folder.detect_train if stage == "detect" else self.folder.segment_train
        path = folder.losses
        return list(lines.read(path)) if path.exists() else []

    def _clusters(self, stage: str) -> dict[str, Any]:
        return clusterings.made_by(self.folder, stage).about()

    def _numbers(self) -> dict[str, tuple[list[dict[str, float]], int]]:
        """What was tried where the number of clusters was chosen."""
        found = {
            stage: self._clusters(stage) for stage in ("cluster", RECLUSTER) if self.records[stage]
        }
        return {
            stage: (each["curve"], each["k"]) for stage, each in found.items() if each.get("curve")
        }

    def _evaluated(self, key: str) -> list[Mapping[str, Any]]:
        """`metrics` or `published` of metrics.json; older files have no figures of others."""
        path = self.folder.evaluate.metrics
        return json.loads(path.read_text(encoding="utf-8")).get(key, []) if path.exists() else []

    def _confusion(self) -> tuple[str, list[str], np.ndarray] | None:
        """That of the stage and the split that the bars by class are of."""
        place = where_by_class(self._evaluated("metrics"))
        if place is None:
            return None
        stage, split = place
        found = tables.read_confusion(self.folder.evaluate, split, stage)
        return (
            (f"Where the pixels of each class went, per cent: {stage}, {split}", *found)
            if found
            else None
        )

    def _read(self, image: Image) -> np.ndarray | None:
        try:
            return self.job.read_picture(image)
        except MaskDistillError:
            return None  # it stands among the refused ones, or was moved since

    def _shown(self) -> list[Image]:
        """Pictures of the contact sheets: spread evenly over all, the same ones for every stage."""
        images = self.job.images
        count = min(self.job.settings.report.tiles, len(images))
        return (
            [images[round(position)] for position in np.linspace(0, len(images) - 1, count)]
            if count
            else []
        )

    def _best(self, images: list[Image]) -> list[Image]:
        """Pictures for the head of the page: those with the most confident detections, else proposals."""
        file = self.files["detect"] or self.files["propose"]
        if file is None:
            return images[:STORIES]
        trust = {
            image.id: sum(mask["score"] for mask in file.masks(image.id) if mask["score"] > 0.5)
            for image in images
        }
        return sorted(images, key=lambda image: -trust[image.id])[:STORIES]

    def _overlay(self, stage: str, image: Image, rgb: np.ndarray) -> np.ndarray:
        """A thumbnail with what a stage made of it."""
        small = overlays.thumbnail(rgb, self.side)
        if stage in ("label", "segment"):
            folder = self.folder.label if stage == "label" else self.folder.segment
            path = folder.map_of(image.id)
            return (
                overlays.overlay_label_map(small, label_maps.read(path)) if path.exists() else small
            )
        file = self.files[stage]
        assert file is not None
        rows = list(enumerate(file.masks(image.id)))
        if stage == "detect":
            rows = [(number, mask) for number, mask in rows if mask["score"] >= 0.3]
        if not rows:
            return small
        masks = rle.decode([mask["rle"] for _, mask in rows])
        ids = self.ids[stage]
        clusters = np.array(
            [ids.get((image.id, number), mask.get("cluster", number)) for number, mask in rows]
        )
        return overlays.overlay_masks(
            small, masks, clusters, np.array([mask["score"] for _, mask in rows])
        )

    def _story(self, image: Image, rgb: np.ndarray) -> Story:
        made = {
            stage: self._overlay(stage, image, rgb) if self.records[stage] else None
            for stage in ("propose", "detect", "segment")
        }
        return Story(
            path=image.path,
            picture=overlays.thumbnail(rgb, self.side),
            proposals=made["propose"],
            detections=made["detect"],
            label_map=made["segment"],
        )

    def _sheets(self, images: list[Image], pictures: dict[int, np.ndarray]) -> list[Sheet]:
        captions = {
            "propose": "Proposals, coloured by cluster.",
            "detect": "Detections with a score of at least 0.3, fainter where less certain.",
            "label": "Label maps: what the segmenter is trained on.",
            "segment": "Predictions of the segmenter.",
        }
        return [
            Sheet(
                stage=stage,
                caption=caption,
                tiles=[
                    Tile(
                        image=self._overlay(stage, image, pictures[image.id]),
                        path=image.path,
                        caption="validation" if image.split == "validation" else "",
                    )
                    for image in images
                ],
            )
            for stage, caption in captions.items()
            if self.records[stage]
        ]

    def _galleries(self) -> list[ClusterGallery]:
        """The last clustering's exemplars, nearest to the centroid first."""
        stage = RECLUSTER if self.records[RECLUSTER] else "cluster"
        if not self.records[stage]:
            return []
        clustering = clusterings.made_by(self.folder, stage)
        file = self.files["detect" if clustering.of == "detections" else "propose"]
        assert file is not None
        found = clustering.about()
        colours = palette(max(found["k"], 1))
        images = {image.id: image for image in self.job.images}
        words = cluster_names.of(clustering.folder)
        per_cluster = 8 if found["k"] <= 40 else 4
        galleries = []
        for cluster, exemplars in enumerate(found["exemplars"]):
            crops = []
            for number, row in exemplars["nearest"][:per_cluster]:
                rgb = self._read(images[number])
                if rgb is not None:
                    mask = file.masks(number)[row]
                    crops.append(
                        overlays.crop_exemplar(
                            rgb, rle.decode([mask["rle"]])[0], np.array(mask["box"]), 96
                        )
                    )
            galleries.append(
                ClusterGallery(
                    cluster=cluster,
                    name=words[cluster],
                    colour=tuple(int(value) for value in colours[1 + cluster]),  # type: ignore[arg-type]
                    size=found["sizes"][cluster],
                    crops=crops,
                    flags=found["flags"][cluster] if "flags" in found else (),
                )
            )
        return galleries

    def _summary(self, name: str, alarms: Mapping[str, list[Alarm]]) -> StageSummary:
        entry = self.records[name]
        last = {
            event["stage"]: event["seconds"] for event in self.events if event["event"] == "end"
        }  # not of each redo
        seconds = [last[each] for each in (f"{name}/train", name) if each in last]
        state: State = (
            "done"
            if entry
            else "partial"
            if self.folder.stage(name).parts.path.exists()
            else "missing"
        )
        if name in self.stale:
            state = "stale"
        warnings = list(alarms.get(name, []))
        if entry and entry.mixed:
            warnings.append(
                Alarm(
                    what="Device, thread count or batch changed on the way.",
                    advice="Its last bits are not those of one go; do it again with --from to have them.",
                )
            )
        return StageSummary(
            name=name,
            does=f"Taken from {Path(given).name}: nothing was computed."
            if (given := self._given(name))
            else DOES[name],
            counts={**entry.counts, **self._measured(name)} if entry else {},
            seconds=sum(seconds) if seconds else None,
            state=state,
            warnings=warnings,
        )

    def _measured(self, stage: str) -> dict[str, int]:
        """Return counts of a stage that depend on more than what it reads."""
        if stage != "detect" or self.found_again is None:
            return {}
        return dict(zip(("trained_on", "found_again"), self.found_again, strict=True))

    def _given(self, stage: str) -> str:
        """The file of others that a stage stands for, empty where it is ours."""
        own = getattr(self.job.settings, stage, None)
        return getattr(own, "import_file", "")

    def _facts(self) -> list[tuple[str, str]]:
        settings = self.job.settings
        splits = {name: len(images) for name, images in self.job.in_splits().items()}
        return [
            ("pictures", f"{splits['train']} to learn from, {splits['validation']} held out"),
            (
                "backbone",
                f"{settings.propose.backbone}, {settings.weights_of('propose') or 'weights by its name'}",
            ),
            (
                "method",
                f"imported: {given}"
                if (given := self._given("propose"))
                else settings.propose.method,
            ),
            ("embedding", settings.cluster.embedding),
            (
                "detector",
                f"imported: {given}"
                if (given := self._given("detect"))
                else f"Mask R-CNN, {settings.detect.size}",
            ),
            ("segmenter", f"DeepLabv3, {settings.segment.size}"),
            ("seed", str(settings.seed_of_chain)),
            *(
                [("seeds", f"{settings.seeds} ({OF[settings.seeds_of]})")]
                if settings.seeds > 1
                else []
            ),
            ("preset", settings.preset),
        ]


def _told(event: Mapping[str, Any]) -> str:
    """An event's fields as a line."""
    known = ("time", "event", "stage")
    return ", ".join(f"{name} {value}" for name, value in event.items() if name not in known)
