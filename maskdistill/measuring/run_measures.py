"""What can be measured of a run on some of its pictures: each number as a statistic over pictures, with its protocol.

In:   proposals, clusters, detections, label maps, predictions of a run; ground truth joined to its pictures
Out:  measures: stage, name, protocol, statistic; nothing is written
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from maskdistill.artifacts.finished_stages import Outputs
from maskdistill.artifacts.ground_truth import Known
from maskdistill.artifacts.mask_lines import detections
from maskdistill.engine.job import Job
from maskdistill.evaluation import (
    baselines,
    boundary,
    clusters,
    corloc,
    instances,
    label_map_counts,
    matching,
    semantic,
)
from maskdistill.evaluation.curves import NAMES, Curves
from maskdistill.evaluation.over_seeds import same_for_all
from maskdistill.evaluation.rows import Measure
from maskdistill.labels import paint
from maskdistill.masks import rle
from maskdistill.masks.boxes import boxes_from_masks
from maskdistill.settings.segment import BEST

MATCHED = 0.5  # IoU from which a mask counts as one of an object, for the accuracy of clusters
RULES = {
    "iou": "clusters to classes one to one by IoU",
    "pixels": "clusters to classes one to one by common pixels",
    "majority": "each cluster to its class of highest IoU",
}
VOTES = {
    "overlap": "masks with mask IoU >= 0.5 to an object vote",
    "release": "every mask votes for the object of highest box IoU",
}

Joined = Sequence[Known]
Masks = Mapping[int, list[dict[str, Any]]]  # picture id -> masks by falling score


class Measured:
    """The measures of some pictures of a run; each stage's masks are read as a stream, a picture at a time."""

    def __init__(self, job: Job, joined: Joined, names: Sequence[str]) -> None:
        """Args: names: of the classes 1 .. C of the truth."""
        self.settings, self.names, self.outputs = job.settings.evaluate, names, Outputs(job)
        self.joined = {known.image.id: known for known in joined}
        # stage -> (classes, classes + 1) pixels of the last `all()`, rows truth, the last column no class
        self.confusions: dict[str, np.ndarray] = {}
        self.has_objects = all(known.has_objects for known in joined)
        self.objects = (
            {number: known.objects() for number, known in self.joined.items()}
            if self.has_objects
            else {}
        )

    def all(self, *, same: bool = True) -> list[Measure]:
        """All measures that can be had, trivial baselines first.

        Args:
            same: those too that are the same for all seeds, of trivial answers and proposals.
        """
        found: list[Measure] = []
        if self.has_objects and same:
            for name, mask_of in (("whole", baselines.whole), ("centre", baselines.centre)):
                found += self._found(f"baseline:{name}", self._one_mask(mask_of))
        if same:
            found += self._trivial_label_maps()
        if self.outputs.complete("propose") and self.has_objects and same:
            found += self._found("propose", self.outputs.masks("propose", self.joined))
        if self.outputs.complete("cluster"):
            found += self._of_clusters()
        if self.outputs.complete("detect") and self.has_objects:
            found += self._of_detections()
        if self.outputs.complete("label"):
            found += self._of_label_maps("label")
            if self.outputs.complete("segment"):
                found += self._of_label_maps("segment")
        return [each for each in found if same or not same_for_all(each.stage)]

    def _one_mask(self, mask_of: Callable[[tuple[int, int]], np.ndarray]) -> Masks:
        masks = {}
        for number, (image, _, _) in self.joined.items():
            mask = mask_of(image.size)[None]
            masks[number] = [
                {"rle": rle.encode(mask)[0], "box": boxes_from_masks(mask)[0], "score": 1.0}
            ]
        return masks

    def _found(self, stage: str, masks: Masks) -> list[Measure]:
        """Class-agnostic numbers of masks by falling score: CorLoc, mean best IoU, boundary IoU, AP."""
        ids = list(self.joined)
        solid = [[row for row in self.objects[number] if not row["crowd"]] for number in ids]
        rows = [masks.get(number, []) for number in ids]
        best = [np.asarray(found[0]["box"]) if found else None for found in rows]
        boxes = [
            np.array([row["box"] for row in objects], np.float64).reshape(-1, 4)
            for objects in solid
        ]
        ious = [
            rle.iou([mask["rle"] for mask in found], [row["rle"] for row in objects])
            for found, objects in zip(rows, solid, strict=True)
        ]
        n_objects = np.array([len(objects) for objects in solid])
        hits = np.array(corloc.hits(best, boxes), float)
        of_best = [iou.max(axis=0).sum() if len(iou) else 0.0 for iou in ious]
        outlines = [_outlines(*each) for each in zip(rows, solid, ious, strict=True)]
        text = "box IoU >= 0.5 of the best-scored mask with any object; pictures with objects, crowds are none"
        found = [
            Measure(
                stage, "CorLoc", text, label_map_counts.ratio(hits * (n_objects > 0), n_objects > 0)
            ),
            Measure(
                stage,
                "mean_best_iou",
                "mask IoU of the best mask, mean over objects, crowds are none",
                label_map_counts.ratio(np.array(of_best), n_objects),
            ),
            Measure(
                stage,
                "boundary_iou",
                "boundary IoU (2 % of the diagonal) of the mask of best mask IoU, mean over objects",
                label_map_counts.ratio(np.array(outlines), n_objects),
            ),
            *self._curves(stage, self.objects, masks, agnostic=True),
        ]
        empty = n_objects == 0
        if empty.any():
            text = f"share of the {int(empty.sum())} pictures without objects in which a mask was found"
            found.append(
                Measure(
                    stage,
                    "false_mask_rate",
                    text,
                    label_map_counts.ratio(empty & np.array([bool(r) for r in rows]), empty),
                )
            )
        return found

    def _curves(
        self,
        stage: str,
        truth: Mapping[int, list[Any]],
        masks: Masks,
        *,
        agnostic: bool,
        single: bool = False,
    ) -> list[Measure]:
        """AP and AR of all masks, or by the protocol single; by mask, then by box."""
        if single:
            truth, masks = instances.most_confident(truth, masks)
        protocol = ", ".join(
            [
                "most confident mask a picture against the object whose box it overlaps most"
                if single
                else "all masks",
                "one class"
                if agnostic
                else f"clusters to classes one to one (Hungarian on this split, {VOTES[self.settings.votes]})",
            ]
        )
        found = []
        for iou_type, by in (("segm", "mask"), ("bbox", "box")):
            curves = Curves(truth, masks, iou_type=iou_type, class_agnostic=agnostic)  # type: ignore[arg-type]
            for name in NAMES:
                # AR100 is always of one class here, so that its name says all.
                if name == "AR100" and (not agnostic or single):
                    continue
                shown = name if name == "AR100" or not agnostic else f"{name}_agnostic"
                shown = f"{shown}_single" if single else shown
                found.append(
                    Measure(
                        stage,
                        shown if by == "mask" else f"box_{shown}",
                        f"COCO by {by}, {protocol}",
                        lambda samples, curves=curves, name=name: curves.numbers(samples)[name],  # type: ignore[misc]
                    )
                )
        return found

    def _of_clusters(self) -> list[Measure]:
        """Agreement of ids with classes, and the proposals painted as a segmentation."""
        clustering = self.outputs.clustering("proposals")
        n_clusters = clustering.k
        place = {number: row for row, number in enumerate(self.joined)}
        at: list[int] = []
        ids: list[int] = []
        classes: list[int] = []
        by_picture: dict[int, np.ndarray] = {}
        for row in clustering.rows():
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
                ids += found.clusters[of_masks >= 0].tolist()
                classes += of_masks[of_masks >= 0].tolist()
                at += [place[row["id"]]] * int((of_masks >= 0).sum())
            masks = rle.decode(found.rles, size=image.size)
            label_map = paint(masks, found.clusters, found.scores, image.size, overlap="below")
            by_picture[row["id"]] = self._confusion(label_map, source.label_map(key), n_clusters)
        measures: list[Measure] = []
        if ids:
            samples = clusters.Samples(
                np.array(at),
                np.array(ids),
                np.array(classes),
                n_clusters=n_clusters,
                n_classes=len(self.names) + 1,
            )
            protocol = f"{len(ids)} masks with mask IoU >= {MATCHED} to an object"
            measures = [
                Measure(
                    "baseline:one_cluster",
                    "cluster_accuracy",
                    f"all in one cluster; {protocol}",
                    samples.largest_class,
                ),
                Measure(
                    "cluster",
                    "cluster_accuracy",
                    f"clusters to classes one to one (Hungarian by count on this split); {protocol}",
                    samples.statistic("accuracy"),
                ),
                Measure("cluster", "NMI", f"raw clusters; {protocol}", samples.statistic("nmi")),
                Measure("cluster", "ARI", f"raw clusters; {protocol}", samples.statistic("ari")),
            ]
        in_order = [by_picture[number] for number in self.joined]
        return measures + self._semantic("cluster", in_order, "proposals painted by falling score")

    def _of_detections(self) -> list[Measure]:
        """Class-agnostic as the proposals, then class-aware after matching clusters to classes; all, and single."""
        masks = self.outputs.masks("detect", self.joined)
        n_clusters = self.outputs.n_clusters("detect")
        counts = instances.votes(
            self.objects,
            masks,
            n_clusters=n_clusters,
            n_classes=len(self.names) + 1,
            rule=self.settings.votes,
        )
        mapping = matching.hungarian(counts[:, 1:])
        named: Masks = {
            number: [
                {**mask, "category": mapping.get(mask["cluster"], len(self.names)) + 1}
                for mask in found
            ]
            for number, found in masks.items()
        }
        return [
            *self._found("detect", masks),
            *self._curves("detect", self.objects, named, agnostic=False),
            *self._curves("detect", self.objects, named, agnostic=True, single=True),
            *self._curves("detect", self.objects, named, agnostic=False, single=True),
        ]

    def _trivial_label_maps(self) -> list[Measure]:
        """What label maps reach that saw nothing: all background; one cluster everywhere, or in the middle."""
        mask_of: dict[str, Callable[[tuple[int, int]], np.ndarray]] = {
            "background": lambda size: np.zeros(size, bool),
            "whole": baselines.whole,
            "centre": baselines.centre,
        }
        found: dict[str, list[np.ndarray]] = {name: [] for name in mask_of}
        for image, source, key in self.joined.values():
            truth = source.label_map(key)
            for name, own in mask_of.items():
                found[name].append(self._confusion(own(image.size).astype(np.uint8), truth, 1))
        measures = []
        for name, by_picture in found.items():
            measures += self._semantic(
                f"baseline:{name}", by_picture, "one cluster", each_class=False
            )
        return measures

    def _of_label_maps(self, stage: str) -> list[Measure]:
        n_clusters = self.outputs.n_clusters(stage)
        by_picture = [
            self._confusion(self.outputs.label_map(stage, image), source.label_map(key), n_clusters)
            for image, source, key in self.joined.values()
        ]
        maps = (
            (self.outputs.label_map(stage, image), source.label_map(key))
            for image, source, key in self.joined.values()
        )
        what, shown = (
            "label maps at native size",
            stage,
        )  # `maps` above is made later: `stage` must stay what it is
        if stage == "segment" and self.outputs.chosen_by_truth():
            # Under another name: nobody who looks for `segment` may take the best of many looks for it.
            shown, what = (
                f"{stage}:{BEST}",
                f"{what}; weights chosen by the ground truth that this number is taken on",
            )
        return self._semantic(shown, by_picture, what, maps=maps)

    def _confusion(self, label_map: np.ndarray, truth: np.ndarray, n_clusters: int) -> np.ndarray:
        return semantic.confusion(label_map, truth, len(self.names) + 1, columns=n_clusters + 1)

    def _semantic(
        self,
        stage: str,
        by_picture: list[np.ndarray],
        what: str,
        *,
        maps: Iterable[tuple[np.ndarray, np.ndarray]] = (),
        each_class: bool = True,
    ) -> list[Measure]:
        """mIoU, pixel accuracy, IoU of each class, and with the maps themselves (prediction, truth) boundary IoU."""
        settings = self.settings
        of = label_map_counts.LabelMaps(by_picture, rule=settings.matching)
        text = f"{what}; {RULES[settings.matching]} on this split, background fixed; 255 ignored"
        whole = f"{text}; classes: {settings.protocol}"
        found = [
            Measure(stage, "mIoU", whole, of.mean_iou(protocol=settings.protocol)),
            Measure(stage, "pixel_accuracy", text, of.pixel_accuracy()),
        ]
        names = ["background", *self.names]
        if each_class:
            self.confusions[stage] = of.total
        bands = [
            boundary.counts(_renamed(one, of.mapping), truth, len(names)) for one, truth in maps
        ]
        if bands:
            held = of.total.sum(axis=1) > 0
            parts, wholes = np.array(bands)[:, :, held].transpose(1, 0, 2)
            text_of_bands = (
                f"{text}; bands of 2 % of the diagonal summed over pictures, "
                "mean over the classes that occur"
            )
            found.append(
                Measure(
                    stage,
                    "boundary_iou",
                    text_of_bands,
                    label_map_counts.mean_of_ratios(parts, wholes),
                )
            )
        for number, name in enumerate(names if each_class else ()):
            if of.total[number].sum():
                found.append(Measure(stage, f"IoU/{name}", text, of.iou_of_class(number)))
        return found


def _renamed(label_map: np.ndarray, mapping: Mapping[int, int]) -> np.ndarray:
    """A label map of clusters as one of classes; clusters without a class become 255."""
    values = np.full(256, 255, np.uint8)
    values[0] = 0
    for cluster, which in mapping.items():
        if 1 + cluster < 256:
            values[1 + cluster] = which
    return values[label_map]


def _outlines(masks: list[dict[str, Any]], objects: list[dict[str, Any]], iou: np.ndarray) -> float:
    """Sum over a picture's objects of the boundary IoU with the mask of highest mask IoU."""
    total = 0.0
    for place, row in enumerate(objects):
        if len(masks) and iou[:, place].max() > 0:
            pair = rle.decode([masks[int(iou[:, place].argmax())]["rle"], row["rle"]])
            total += float(np.nan_to_num(boundary.iou(*pair)))
    return total
