"""Measures of a run: what its stages left and the truth are read here, evaluation computes.

In:   proposals, clusters, detections, label maps, predictions of a run; its pictures with their
      truth
Out:  measures (stage, name, protocol, statistic) and confusions; nothing is written
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from scipy import sparse

from maskdistill.artifacts import refused
from maskdistill.artifacts.finished_stages import Outputs
from maskdistill.artifacts.ground_truth import Known
from maskdistill.artifacts.mask_lines import detections
from maskdistill.engine.job import Job
from maskdistill.errors import listed
from maskdistill.evaluation import (
    baselines,
    boundary,
    clusters,
    instances,
    label_map_counts,
    matching,
    records,
    semantic,
)
from maskdistill.evaluation.label_map_counts import LabelMaps
from maskdistill.evaluation.records import HIT, Records
from maskdistill.evaluation.rows import Measure, same_for_all
from maskdistill.labels import paint
from maskdistill.masks import rle
from maskdistill.measuring import mask_measures
from maskdistill.settings.segment import BEST
from maskdistill.types import Detections

BASELINE = "baseline:"
PAINTED = "proposals painted by falling score"
NATIVE = "label maps at native size"


@dataclass(frozen=True)
class Measured:
    """The numbers of some pictures of a run.

    Attributes:
        measures: trivial answers first, then stage by stage.
        confusions: stage -> (classes, classes + 1) pixels, rows truth, the last column no class.
        notes: stage -> what became of pictures that it has nothing of, and of what else its label
            maps are than of detections; it is in the protocols too.
        void: pixels of the truth that no label map counts, and all; of none where the truth was
            not looked at by pixels.
    """

    measures: list[Measure]
    confusions: dict[str, np.ndarray]
    notes: dict[str, str]
    void: tuple[int, int] = (0, 0)


def measured(
    job: Job, joined: Sequence[Known], names: Sequence[str], *, same: bool = True
) -> Measured:
    """Measure the finished stages of a run.

    Args:
        joined: pictures with their truth; statistics weigh them in this order.
        names: of the classes 1 .. C of the truth.
        same: those numbers too that no seed changes, of trivial answers and of proposals.
    """
    run = _Run(job, joined, names)
    maps, confusions = run.of_label_maps(trivial=same)
    found = [
        *(run.of_trivial_masks() if same else []),
        *chain(*(each for stage, each in maps.items() if stage.startswith(BASELINE))),
        *(run.of_proposals() if same else []),
        *run.of_clusters(),
        *maps.get("cluster", []),
        *run.of_detections(),
        *maps.get("label", []),
        *maps.get("segment", []),
    ]
    found = [each for each in found if same or not same_for_all(each.stage)]
    stages = dict.fromkeys(each.stage for each in found)
    return Measured(
        found,
        confusions,
        {name: run.notes[name] for name in stages if name in run.notes},
        run.void,
    )


class _Run:
    """A run as it is read: masks of a stage at a time, label maps of a picture at a time."""

    def __init__(self, job: Job, joined: Sequence[Known], names: Sequence[str]) -> None:
        self.settings, self.outputs = job.settings.evaluate, Outputs(job)
        self.known = {known.image.id: known for known in joined}
        self.names = ["background", *names]
        # Label maps tell no objects apart: with one such picture nothing is measured by object.
        self.has_objects = all(known.has_objects for known in joined)
        self.objects: Records = (
            {number: known.objects() for number, known in self.known.items()}
            if self.has_objects
            else {}
        )
        # Of boxes alone no label map can be made.
        self.has_maps = any(known.has_masks for known in joined)
        self.void = 0, 0
        self.images = [known.image for known in joined]
        self.notes: dict[str, str] = {}
        self.refused: dict[str, frozenset[int]] = {}
        self.not_learnt = self.outputs.not_learnt()

    def of_trivial_masks(self) -> list[Measure]:
        """Return what one mask a picture reaches: all of it, or the middle."""
        found: list[Measure] = []
        for name, mask_of in baselines.MASKS.items() if self.has_objects else ():
            sizes = {number: known.image.size for number, known in self.known.items()}
            masks = {number: baselines.records(mask_of(size)) for number, size in sizes.items()}
            found += mask_measures.of_masks(f"{BASELINE}{name}", self.objects, masks)
        return found

    def of_proposals(self) -> list[Measure]:
        """Return the class-agnostic numbers of the proposals."""
        if not self.has_objects or not self.outputs.complete("propose"):
            return []
        masks = self.outputs.masks("propose", self.known)
        return self._told("propose", self._of_masks("propose", masks))

    def of_clusters(self) -> list[Measure]:
        """Return how well the clusters of proposals that meet an object agree with its class."""
        if not self.has_objects or not self.outputs.complete("cluster"):
            return []
        if records.with_masks(self.objects) is None:
            return []
        at: list[int] = []
        ids: list[int] = []
        classes: list[int] = []
        place = {number: row for row, number in enumerate(self.known)}
        for known, found in self._clustered():
            objects = [row for row in records.solid(self.objects[known.image.id]) if "rle" in row]
            iou = rle.iou(found.rles, [each["rle"] for each in objects])
            categories = np.array([each["category"] for each in objects], np.int64)
            met = clusters.class_of_best(iou, categories, at_least=HIT)
            ids += found.clusters[met >= 0].tolist()
            classes += met[met >= 0].tolist()
            at += [place[known.image.id]] * int((met >= 0).sum())
        if not ids:
            return []
        of = clusters.Samples(
            np.array(at),
            np.array(ids),
            np.array(classes),
            n_clusters=self.outputs.n_clusters("cluster"),
            n_classes=len(self.names),
        )
        which = f"{len(ids)} masks with mask IoU >= {HIT} to an object"
        return [
            Measure(stage, name, f"{how}; {which}", statistic)
            for stage, name, how, statistic in (
                (f"{BASELINE}one_cluster", "cluster_accuracy", clusters.OF_ONE, of.largest_class),
                ("cluster", "cluster_accuracy", clusters.OF_ACCURACY, of.statistic("accuracy")),
                ("cluster", "NMI", clusters.OF_RAW, of.statistic("nmi")),
                ("cluster", "ARI", clusters.OF_RAW, of.statistic("ari")),
            )
        ]

    def of_detections(self) -> list[Measure]:
        """Return the numbers of detections: of one class and of classes; of all, then single."""
        if not self.has_objects or not self.outputs.complete("detect"):
            return []
        masks = self.outputs.masks("detect", self.known)
        votes = instances.votes(
            self.objects,
            masks,
            n_clusters=self.outputs.n_clusters("detect"),
            n_classes=len(self.names),
            rule=self.settings.votes,
        )
        mapping = {row: 1 + which for row, which in matching.hungarian(votes[:, 1:]).items()}
        named = instances.named(masks, mapping, without=len(self.names))
        how = instances.VOTES[self.settings.votes]
        classes = f"clusters to classes one to one (Hungarian on this split, {how})"
        single = instances.most_confident(self.objects, named)
        found = [
            *self._of_masks("detect", masks),
            *mask_measures.curves("detect", self.objects, named, classes=classes),
            *mask_measures.curves("detect", *single, classes=None, single=True),
            *mask_measures.curves("detect", *single, classes=classes, single=True),
        ]
        return self._told("detect", found)

    def _of_masks(self, stage: str, masks: Records) -> list[Measure]:
        return mask_measures.of_masks(stage, self.objects, masks, refused=self._refused(stage))

    def of_label_maps(
        self, *, trivial: bool
    ) -> tuple[dict[str, list[Measure]], dict[str, np.ndarray]]:
        """Return stage -> its numbers, and as it is shown -> its confusion after matching.

        The truth is read a picture at a time for all stages: once to count, and once for outlines,
        which are compared when the clusters have their classes.
        """
        stages = [f"{BASELINE}{name}" for name in baselines.LABEL_MAPS] if trivial else []
        stages += ["cluster"] if self.outputs.complete("cluster") else []
        stages += self._mapped()
        stages = stages if self.has_maps else []
        columns = {stage: 1 + self._n_clusters(stage) for stage in stages}
        counts: dict[str, list[sparse.csr_array]] = {stage: [] for stage in stages}
        for truth, maps in self._maps(stages):
            n_void = int(np.count_nonzero(truth == semantic.NO_CLASS))
            self.void = self.void[0] + n_void, self.void[1] + truth.size
            for stage, label_map in maps.items():
                one = semantic.confusion(label_map, truth, len(self.names), columns=columns[stage])
                counts[stage].append(sparse.csr_array(one))
        of = {stage: LabelMaps(each, rule=self.settings.matching) for stage, each in counts.items()}
        # Of trivial answers no outline is worth a look.
        bands: dict[str, list[np.ndarray]] = {
            stage: [] for stage in stages if not stage.startswith(BASELINE)
        }
        n_classes = len(self.names)
        for truth, maps in self._maps(list(bands)):
            of_truth = boundary.bands(truth, n_classes)
            for stage, label_map in maps.items():
                named = matching.rename_map(label_map, of[stage].mapping)
                one = boundary.counts(named, truth, n_classes, of_truth=of_truth)
                bands[stage].append(one)
        found = {stage: self._semantic(stage, of[stage], bands.get(stage)) for stage in stages}
        totals = {
            self._shown(stage): each.total
            for stage, each in of.items()
            if not stage.startswith(BASELINE)
        }
        return found, totals

    def _semantic(self, stage: str, of: LabelMaps, bands: list[np.ndarray] | None) -> list[Measure]:
        """Return mIoU and pixel accuracy; boundary IoU and IoU of each class, of no trivial one."""
        shown, is_trivial = self._shown(stage), stage.startswith(BASELINE)
        what = "one cluster" if is_trivial else PAINTED if stage == "cluster" else NATIVE
        if shown != stage:
            what = f"{what}; weights chosen by the ground truth that this number is taken on"
        rule = matching.RULES[self.settings.matching]
        text = f"{what}; {rule} on this split, background fixed; 255 ignored"
        found = label_map_counts.whole(shown, of, text=text, protocol=self.settings.protocol)
        if bands:
            outlines = boundary.of_label_maps(bands, of.held)
            how = f"{text}; {boundary.OF_LABEL_MAPS}"
            found.append(Measure(shown, "boundary_iou", how, outlines))
        if is_trivial:
            return found
        found += label_map_counts.by_class(shown, of, self.names, text=text)
        return self._told(stage, found)

    def _told(self, stage: str, found: list[Measure]) -> list[Measure]:
        """Return the numbers of a stage with a word on pictures that it has nothing of, if any."""
        left_out, n = self._refused(stage), len(self.images)
        parts = []
        if stage == "label" and self.not_learnt is not None:
            parts.append(self.not_learnt.sentence)
        if left_out:
            is_of_masks = stage in ("propose", "detect")
            cost = "no masks, so misses" if is_of_masks else "all their pixels count as wrong"
            paths = [image.name for image in self.images if image.id in left_out]
            parts.append(f"{len(left_out)} of {n} pictures refused ({listed(paths, 3)}): {cost}")
        if stage == "label":
            what = "detection" if self.not_learnt is None else "proposal"
            empty = refused.unmapped(self.outputs.folder, self.images) - left_out
            if empty:
                parts.append(f"{len(empty)} of {n} pictures without a {what}: all background")
        if not found or not parts:
            return found
        self.notes[found[0].stage] = note = "; ".join(parts)
        return [replace(each, protocol=f"{each.protocol}; {note}") for each in found]

    def _refused(self, stage: str) -> frozenset[int]:
        if stage not in self.refused:
            of = "propose" if stage == "label" and self.not_learnt is not None else stage
            found = refused.refused(self.outputs.folder, of, self.images)
            self.refused[stage] = found
        return self.refused[stage]

    def _mapped(self) -> list[str]:
        """Return the finished stages that left label maps; `segment` counts if `label` does."""
        finished = [stage for stage in ("label", "segment") if self.outputs.complete(stage)]
        return finished if "label" in finished else []

    def _shown(self, stage: str) -> str:
        """Return the name of a stage in the rows."""
        # Under another name: nobody who looks for `segment` may take the best of many looks for it.
        chosen = stage == "segment" and self.outputs.chosen_by_truth()
        return f"{stage}:{BEST}" if chosen else stage

    def _n_clusters(self, stage: str) -> int:
        return 1 if stage.startswith(BASELINE) else self.outputs.n_clusters(stage)

    def _maps(self, stages: Sequence[str]) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Yield each picture's true label map, and stage -> its map of clusters, (H, W) uint8."""
        painted = self._painted() if "cluster" in stages else iter(())
        for known in self.known.values() if stages else ():
            maps = {}
            for stage in stages:
                size = known.image.size
                if stage.startswith(BASELINE):
                    mask_of = baselines.LABEL_MAPS[stage.removeprefix(BASELINE)]
                    maps[stage] = mask_of(size).astype(np.uint8)
                    continue
                maps[stage] = (
                    next(painted)
                    if stage == "cluster"
                    else self.outputs.label_map(stage, known.image)
                )
                if known.image.id in self._refused(stage):
                    # Not background, which most pixels are: who fails must not gain by it.
                    maps[stage] = np.full(size, semantic.NO_CLASS, np.uint8)
            yield known.label_map(), maps

    def _painted(self) -> Iterator[np.ndarray]:
        """Yield each picture's proposals as a label map (H, W) uint8 of their clusters."""
        for known, found in self._clustered():
            size = known.image.size
            masks = rle.decode(found.rles, size=size)
            yield paint(masks, found.clusters, found.scores, size, overlap="below")

    def _clustered(self) -> Iterator[tuple[Known, Detections]]:
        """Yield the pictures, by id, with their proposals and the clusters of these."""
        for row in self.outputs.clustering("proposals").rows():
            if known := self.known.get(row["id"]):
                yield known, detections(row, known.image.size)
