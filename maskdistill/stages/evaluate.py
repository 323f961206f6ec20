"""evaluate: every stage that is there against the ground truth, on each split.

In:   proposals, clusters, detections, label maps, predictions; ground truth by path, read here and nowhere else
Out:  evaluate/metrics.json, metrics.md
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from maskdistill.datasets import truth as truths
from maskdistill.errors import GroundTruthError
from maskdistill.evaluation import baselines, bootstrap, clusters, corloc, instances, matching, semantic, tables
from maskdistill.labels import paint
from maskdistill.masks import rle
from maskdistill.masks.boxes import boxes_from_masks
from maskdistill.runs import atomic, record
from maskdistill.stages import label_maps
from maskdistill.stages.masks_by_picture import cluster_files, clusters_in, detections, with_clusters
from maskdistill.stages.skeleton import Image, Job

MATCHED = 0.5  # IoU from which a mask counts as one of an object, for the accuracy of clusters
AGNOSTIC = ("AP", "AP50", "AP75", "AR100")


def work(job: Job) -> None:
    """Write evaluate/metrics.json; without ground truth an empty one, and a line that says so."""
    folder = job.folder.stage("evaluate")
    folder.mkdir(exist_ok=True)
    rows: list[dict[str, Any]] = []
    sources = [truths.read(Path(source)) for source in job.settings.ground_truth]
    if not sources:
        job.progress.say("evaluate: no ground truth given (--ground-truth), so nothing is measured")
    else:
        names = class_names(sources)
        for split, images in job.in_splits().items():
            joined = join(job, sources, images)
            if joined:
                rows += _Split(job, split, joined, names).rows()
    atomic.write_json(folder / "metrics.json", {"format": 1, "metrics": rows})
    text = tables.table(rows) if rows else "No ground truth was given: nothing was measured."
    atomic.write_text(folder / "metrics.md", text + "\n")
    if rows:
        job.progress.say(text)
    job.ledger.write("evaluated", sources=list(job.settings.ground_truth), metrics=len(rows))


def class_names(sources: list[truths.Truth]) -> list[str]:
    """Classes of all sources: one list must begin with each other one (a folder may lack the last classes)."""
    longest = max((source.names for source in sources), key=len)
    for source in sources:
        if source.names != longest[: len(source.names)]:
            raise GroundTruthError(
                f"{source.source}: names other classes than another ground truth: {', '.join(source.names[:5])}, ... "
                f"and {', '.join(longest[:5])}, ... Give sources of one list of classes"
            )
    return longest


def join(
    job: Job, sources: list[truths.Truth], images: list[Image], *, partial: bool = False
) -> list[tuple[Image, truths.Truth, str]]:
    """Pictures with the source and key of their truth; sizes that do not fit are named.

    Args:
        partial: that some pictures have none is meant, and no warning.
    """
    found = []
    left = {image.path: image for image in images}
    for source in sources:
        for path, key in truths.join(source.keys, list(left)).items():
            image = left.pop(path)
            size = source.objects[key].size if key in source.objects else source.label_map(key).shape
            if size != image.size:
                raise GroundTruthError(
                    f"{source.source}: {key} is {size[1]} x {size[0]} px, "
                    f"its picture {image.path} {image.width} x {image.height}. "
                    "Give the truth at the picture's own size, or another --orientation"
                )
            found.append((image, source, key))
    if left and found and not partial:
        job.ledger.write(
            "warning", stage="evaluate", what=f"{len(left)} of {len(images)} pictures have no ground truth"
        )
    return sorted(found, key=lambda entry: entry[0].id)


class _Split:
    """The metrics of one split; each stage's masks are read as a stream, a picture at a time."""

    def __init__(self, job: Job, split: str, joined: list[tuple[Image, truths.Truth, str]], names: list[str]) -> None:
        self.job, self.split, self.names = job, split, names
        self.joined = {image.id: (image, source, key) for image, source, key in joined}
        self.has_objects = all(key in source.objects for _, source, key in joined)

    def rows(self) -> list[dict[str, Any]]:
        """All metrics that can be had."""
        found: list[dict[str, Any]] = []
        folder = self.job.folder
        if self.has_objects:
            self.objects = {number: self._objects(number) for number in self.joined}
            found += self._of_baselines()
        if self._complete("propose") and self.has_objects:
            found += self._of_proposals(folder.root / "propose" / "proposals.jsonl")
        if self._complete("cluster"):
            found += self._of_clusters("cluster", folder.root / "propose" / "proposals.jsonl", "proposals")
        if self._complete("detect") and self.has_objects:
            found += self._of_detections(folder.root / "detect" / "detections.jsonl")
        if self._complete("label"):
            again = self.job.settings.cluster.again and self._complete("recluster")
            n_clusters = clusters_in(folder.stage("recluster" if again else "cluster"))
            found += self._of_label_maps("label", folder.root / "label" / "maps", n_clusters)
            if self._complete("segment"):
                found += self._of_label_maps("segment", folder.root / "segment" / "predictions", n_clusters)
        return found

    def _complete(self, stage: str) -> bool:
        return record.read(self.job.folder.stage(stage) / "stage.json") is not None

    def _row(self, stage: str, name: str, value: float, *, interval: Any = None, protocol: str) -> dict[str, Any]:
        return {
            "stage": stage,
            "name": name,
            "split": self.split,
            "value": None if np.isnan(value) else round(float(value), 6),
            "interval": None if interval is None else [round(edge, 6) for edge in interval],
            "pictures": len(self.joined),
            "protocol": protocol,
        }

    def _objects(self, number: int) -> list[dict[str, Any]]:
        _, source, key = self.joined[number]
        found = source.objects[key]
        boxes, areas = rle.boxes(found.rles), rle.areas(found.rles)
        return [
            {"rle": mask, "box": box, "category": which, "crowd": crowd, "area": int(area)}
            for mask, box, which, crowd, area in zip(found.rles, boxes, found.classes, found.crowds, areas, strict=True)
        ]

    def _found(self, stage: str, masks: dict[int, list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """Class-agnostic numbers of masks by falling score: CorLoc, mean best IoU, AP."""
        ids = list(self.joined)
        solid = {number: [row for row in self.objects[number] if not row["crowd"]] for number in ids}
        best = [np.asarray(masks[number][0]["box"]) if masks.get(number) else None for number in ids]
        boxes = [np.array([row["box"] for row in solid[number]], np.float64).reshape(-1, 4) for number in ids]
        hits = np.array([hit for hit, truth in zip(corloc.hits(best, boxes), boxes, strict=True) if len(truth)], float)
        ious = [
            rle.iou([mask["rle"] for mask in masks.get(number, [])], [row["rle"] for row in solid[number]])
            for number in ids
        ]
        again = partial(bootstrap.interval, resamples=self.job.settings.evaluate.bootstrap, seed=self.job.settings.seed)
        corloc_value = float(hits.mean()) if len(hits) else float("nan")
        rows = [
            self._row(
                stage,
                "CorLoc",
                corloc_value,
                interval=again(lambda rows: float(hits[rows].mean()), len(hits)),
                protocol="box IoU >= 0.5 of the best-scored mask, pictures with objects",
            ),
            self._row(
                stage,
                "mean_best_iou",
                corloc.mean_best_iou(ious),
                interval=again(lambda rows: corloc.mean_best_iou([ious[row] for row in rows]), len(ious)),
                protocol="mask IoU of the best mask, mean over objects",
            ),
        ]
        results = {number: [{**mask, "category": 1} for mask in masks.get(number, [])] for number in ids}
        values = instances.average_precision(self.objects, results, class_agnostic=True)
        for name in AGNOSTIC:
            shown = name if name == "AR100" else f"{name}_agnostic"
            rows.append(self._row(stage, shown, values[name], protocol="COCO by mask, one class, all masks kept"))
        empty = [number for number in ids if not solid[number]]
        if empty:
            share = float(np.mean([bool(masks.get(number)) for number in empty]))
            rows.append(self._row(stage, "false_mask_rate", share, protocol=f"{len(empty)} pictures without objects"))
        return rows

    def _of_baselines(self) -> list[dict[str, Any]]:
        rows = []
        for name, mask_of in (("whole", baselines.whole), ("centre", baselines.centre)):
            masks = {}
            for number, (image, _, _) in self.joined.items():
                mask = mask_of(image.size)[None]
                masks[number] = [{"rle": rle.encode(mask)[0], "box": boxes_from_masks(mask)[0], "score": 1.0}]
            rows += self._found(f"baseline:{name}", masks)
        return rows

    def _of_proposals(self, path: Path) -> list[dict[str, Any]]:
        masks = {row["id"]: row.get("masks", []) for row in with_clusters(path, None) if row["id"] in self.joined}
        return self._found("propose", masks)

    def _of_clusters(self, stage: str, path: Path, of: str) -> list[dict[str, Any]]:
        """Agreement of ids with classes, and the masks painted as a segmentation."""
        file = cluster_files(self.job.folder, of, again=self.job.settings.cluster.again)
        n_clusters = clusters_in(self.job.folder.stage(stage))
        id_list: list[int] = []
        class_list: list[int] = []
        by_picture = []
        for row in with_clusters(path, file):
            if row["id"] not in self.joined:
                continue
            image, source, key = self.joined[row["id"]]
            found = detections(row, image.size)
            if self.has_objects and len(found):
                objects = [each for each in self.objects[row["id"]] if not each["crowd"]]
                iou = rle.iou(found.rles, [each["rle"] for each in objects])
                of_masks = clusters.class_of_best(
                    iou, np.array([each["category"] for each in objects]), at_least=MATCHED
                )
                id_list += found.clusters[of_masks >= 0].tolist()
                class_list += of_masks[of_masks >= 0].tolist()
            masks = rle.decode(found.rles, size=image.size)
            label_map = paint(masks, found.clusters, found.scores, image.size, overlap="below")
            by_picture.append(self._confusion(label_map, source.label_map(key), n_clusters))
        rows = []
        ids, classes = np.array(id_list), np.array(class_list)
        if len(ids):
            counts = clusters.table(ids, classes, n_clusters=n_clusters, n_classes=len(self.names) + 1)
            protocol = f"{len(ids)} masks with IoU >= {MATCHED} to an object"
            rows.append(
                self._row(stage, "cluster_accuracy", clusters.accuracy(counts), protocol=f"Hungarian; {protocol}")
            )
            rows.append(self._row(stage, "NMI", clusters.nmi(ids, classes), protocol=protocol))
            rows.append(self._row(stage, "ARI", clusters.ari(ids, classes), protocol=protocol))
        return rows + self._semantic(stage, np.array(by_picture), "proposals painted by falling score")

    def _of_detections(self, path: Path) -> list[dict[str, Any]]:
        """Class-agnostic as the proposals, then class-aware after matching clusters to classes."""
        file = cluster_files(self.job.folder, "detections", again=self.job.settings.cluster.again)
        n_clusters = clusters_in(self.job.folder.stage("recluster" if file else "cluster"))
        masks = {row["id"]: row.get("masks", []) for row in with_clusters(path, file) if row["id"] in self.joined}
        rows = self._found("detect", masks)
        counts = np.zeros((n_clusters, len(self.names) + 1), np.int64)
        for number, found in masks.items():
            objects = [each for each in self.objects[number] if not each["crowd"]]
            iou = rle.iou([mask["rle"] for mask in found], [each["rle"] for each in objects])
            of_masks = clusters.class_of_best(iou, np.array([each["category"] for each in objects]), at_least=MATCHED)
            for mask, which in zip(found, of_masks, strict=True):
                if which >= 0:
                    counts[mask["cluster"], which] += 1
        mapping = matching.hungarian(counts[:, 1:])
        results = {
            number: [{**mask, "category": mapping.get(mask["cluster"], len(self.names)) + 1} for mask in found]
            for number, found in masks.items()
        }
        values = instances.average_precision(self.objects, results, class_agnostic=False)
        protocol = "COCO by mask, clusters to classes one to one (Hungarian on this split)"
        return rows + [self._row("detect", name, values[name], protocol=protocol) for name in ("AP", "AP50", "AP75")]

    def _of_label_maps(self, stage: str, folder: Path, n_clusters: int) -> list[dict[str, Any]]:
        by_picture = []
        for number, (image, source, key) in self.joined.items():
            path = folder / f"{number}.png"
            # A picture without any detection has no map: nothing was found in it.
            label_map = label_maps.read(path) if path.exists() else np.zeros(image.size, np.uint8)
            by_picture.append(self._confusion(label_map, source.label_map(key), n_clusters))
        return self._semantic(stage, np.array(by_picture), "label maps at native size")

    def _confusion(self, label_map: np.ndarray, truth: np.ndarray, n_clusters: int) -> np.ndarray:
        return semantic.confusion(label_map, truth, len(self.names) + 1, columns=n_clusters + 1)

    def _semantic(self, stage: str, by_picture: np.ndarray, what: str) -> list[dict[str, Any]]:
        """mIoU, IoU of each class, pixel accuracy; clusters matched on the whole split, not in each resample."""
        protocol = self.job.settings.evaluate.protocol
        mapping, total = matching.match_label_maps(by_picture.sum(axis=0))
        renamed = matching.rename(by_picture, mapping, len(self.names) + 1)
        resample: Callable[[Callable[[np.ndarray], float]], Any] = lambda value: bootstrap.interval(  # noqa: E731
            lambda rows: value(renamed[rows].sum(axis=0)),
            len(renamed),
            resamples=self.job.settings.evaluate.bootstrap,
            seed=self.job.settings.seed,
        )
        mean = partial(semantic.mean_iou, protocol=protocol)
        text = f"{what}; Hungarian by IoU on this split, background fixed; classes: {protocol}"
        rows = [
            self._row(stage, "mIoU", mean(total), interval=resample(mean), protocol=text),
            self._row(
                stage,
                "pixel_accuracy",
                semantic.pixel_accuracy(total),
                interval=resample(semantic.pixel_accuracy),
                protocol=text,
            ),
        ]
        each = semantic.iou(total)
        for number, name in enumerate(["background", *self.names]):
            if total[number].sum():
                rows.append(self._row(stage, f"IoU/{name}", float(np.nan_to_num(each[number])), protocol=text))
        return rows
