"""evaluate --against: two runs on the same pictures, each number with a paired test, and how far they agree.

In:   two runs; the ground truth of the first, or none: then their agreement alone
Out:  evaluate/against.json, against.md in the first
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from maskdistill.artifacts import weights_used
from maskdistill.artifacts.finished_stages import Outputs
from maskdistill.engine.job import Image, Job
from maskdistill.errors import RunError
from maskdistill.evaluation import agreement, bootstrap, label_map_counts, semantic, tables
from maskdistill.masks import rle
from maskdistill.measuring.run_measures import Joined, Measure, Measured
from maskdistill.runs import atomic


def work(job: Job, other: Job, joined: Mapping[str, Joined], names: list[str]) -> None:
    """Write evaluate/against.json and against.md.

    Args:
        joined: split -> pictures with their truth, of the first run; empty without ground truth.
    Raises:
        RunError: no picture is in both, by path, content, size and split.
    """
    common = {split: _common(job, other, split) for split in ("train", "validation")}
    if not any(common.values()):
        raise RunError(
            f"{other.folder.root}: has no picture in common with {job.folder.root} "
            "(same path, content, size and split). Compare runs of the same pictures, with one --orientation"
        )
    rows: list[dict[str, Any]] = []
    for split, pairs in common.items():
        found = [entry for entry in joined.get(split, ()) if entry[0].id in pairs]
        rows += _differences(job, other, split, found, pairs, names) if found else []
        rows += (
            [_agreed(job, split, len(pairs), each) for each in _agreements(job, other, pairs)]
            if pairs
            else []
        )
    n_common, n_all = sum(map(len, common.values())), len(job.images)
    weights = [weights_used.used(each.settings) for each in (job, other)]
    written = {
        "format": 1,
        "weights": weights,
        "runs": [str(job.folder.root), str(other.folder.root)],
        "pictures": {"common": n_common, "here": n_all, "there": len(other.images)},
        "metrics": rows,
    }
    folder = job.folder.evaluate
    atomic.write_json(folder.against, written)
    head = f"{job.folder.root} against {other.folder.root}: {n_common} of {n_all} pictures are in both\n\n"
    told = [
        f"Weights {which}: {weights_used.line(used)}"
        for which, used in zip(("here", "there"), weights, strict=True)
    ]
    text = head + "\n\n".join([tables.compared(rows), *told])
    atomic.write_text(folder.against_table, text + "\n")
    job.progress.say(text)
    job.ledger.write("compared", other=str(other.folder.root), pictures=n_common, metrics=len(rows))


def _common(job: Job, other: Job, split: str) -> dict[int, Image]:
    """Id here -> the same picture there: equal in path, content and size, and in the same split of both."""
    # The size too: --orientation turns the same file, and masks of two sizes cannot be compared.
    there = {(image.path, image.sha256, image.size): image for image in other.in_splits()[split]}
    pairs = {
        image.id: there.get((image.path, image.sha256, image.size))
        for image in job.in_splits()[split]
    }
    return {number: image for number, image in pairs.items() if image is not None}


def _differences(
    job: Job, other: Job, split: str, joined: Joined, pairs: Mapping[int, Image], names: list[str]
) -> list[dict[str, Any]]:
    """Every number that both runs have; clusters are named in each run on the common pictures."""
    twin = [(pairs[image.id], source, key) for image, source, key in joined]
    theirs = {(each.stage, each.name): each for each in Measured(other, twin, names).all()}
    samples = bootstrap.draws(
        len(joined), resamples=job.settings.evaluate.bootstrap, seed=job.settings.seed
    )
    rows = []
    for ours in Measured(job, joined, names).all():
        their = theirs.get((ours.stage, ours.name))
        if their is None or ours.stage.startswith("baseline:"):
            continue
        found = bootstrap.paired(ours.statistic, their.statistic, samples)
        values = [bootstrap.value(each.statistic, len(joined)) for each in (ours, their)]
        protocol = (
            ours.protocol
            if ours.protocol == their.protocol
            else f"{ours.protocol} / {their.protocol}"
        )
        rows.append(
            {
                "stage": ours.stage,
                "name": ours.name,
                "split": split,
                "value": _rounded(values[0]),
                "other": _rounded(values[1]),
                "difference": _rounded(found.difference),
                "interval": None
                if found.interval is None
                else [round(edge, 6) for edge in found.interval],
                "p": None if found.p is None else round(found.p, 6),
                "pictures": len(joined),
                "protocol": f"{protocol}; pictures drawn for both runs alike",
            }
        )
    return rows


def _agreements(job: Job, other: Job, pairs: Mapping[int, Image]) -> Iterator[Measure]:
    """How far masks and label maps of two runs agree, whatever the truth."""
    here = [image for image in job.images if image.id in pairs]
    one, two = Outputs(job), Outputs(other)
    for stage in ("propose", "detect"):
        if one.complete(stage) and two.complete(stage):
            ours, theirs = (
                one.masks(stage, pairs),
                two.masks(stage, {image.id for image in pairs.values()}),
            )
            sides = [(ours.get(image.id, []), theirs.get(pairs[image.id].id, [])) for image in here]
            ious = [rle.iou(*([row["rle"] for row in side] for side in each)) for each in sides]
            partners = np.array([2 * agreement.partners(iou) for iou in ious])
            text = "share of the masks of both runs that have a partner of mask IoU >= 0.5 in the other, one to one"
            yield Measure(
                stage,
                "agreement",
                text,
                label_map_counts.ratio(partners, np.array([sum(map(len, s)) for s in sides])),
            )
    for stage in ("label", "segment"):
        if one.complete(stage) and two.complete(stage):
            rows, columns = 1 + one.n_clusters(stage), 1 + two.n_clusters(stage)
            joint = [
                semantic.confusion(
                    two.label_map(stage, pairs[image.id]),
                    one.label_map(stage, image),
                    rows,
                    columns=columns,
                )
                for image in here
            ]
            text = "share of the pixels on which the label maps agree; clusters one to one by common pixels"
            yield Measure(
                stage,
                "agreement",
                text,
                label_map_counts.LabelMaps(joint, rule="pixels").pixel_accuracy(),
            )


def _agreed(job: Job, split: str, pictures: int, measure: Measure) -> dict[str, Any]:
    """The row of an agreement: its interval is that of the value, there is no other and no difference."""
    samples = bootstrap.draws(
        pictures, resamples=job.settings.evaluate.bootstrap, seed=job.settings.seed
    )
    interval = bootstrap.spread(measure.statistic(samples)) if len(samples) else None
    return {
        "stage": measure.stage,
        "name": measure.name,
        "split": split,
        "value": _rounded(bootstrap.value(measure.statistic, pictures)),
        "other": None,
        "difference": None,
        "interval": None if interval is None else [round(edge, 6) for edge in interval],
        "p": None,
        "pictures": pictures,
        "protocol": measure.protocol,
    }


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)
