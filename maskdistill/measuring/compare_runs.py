"""evaluate --against: two runs on the same pictures, with paired tests, and how far they agree.

In:   two runs; the ground truth of the first, or none: then their agreement alone
Out:  evaluate/against.json, against.md in the first
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from maskdistill.artifacts import refused, weights_used
from maskdistill.artifacts.finished_stages import Outputs
from maskdistill.artifacts.ground_truth import Known
from maskdistill.engine.job import Image, Job
from maskdistill.errors import RunError, setting
from maskdistill.evaluation import agreement, bootstrap, rows, semantic, tables
from maskdistill.evaluation.rows import Measure
from maskdistill.masks import rle
from maskdistill.measuring.run_measures import BASELINE, Measured, measured
from maskdistill.runs import atomic


def work(
    job: Job, other: Job, joined: Mapping[str, Sequence[Known]], names: list[str]
) -> list[Path]:
    """Write evaluate/against.json and against.md, and return their paths.

    Args:
        joined: split -> pictures with their truth, of the first run; empty without ground truth.
    Raises:
        RunError: no picture is in both, by path, content, size and split.
    """
    common = {split: _common(job, other, split) for split in ("train", "validation")}
    if not any(common.values()):
        raise RunError(
            f"{other.folder.root}: has no picture in common with {job.folder.root} "
            "(same path, content, size and split). "
            f"Compare runs of the same pictures, with one {setting('orientation')}"
        )
    made: list[rows.Row] = []
    notes: list[str] = []
    for split, pairs in common.items():
        found = [known for known in joined.get(split, ()) if known.image.id in pairs]
        if found:
            twin = [known._replace(image=pairs[known.image.id]) for known in found]
            ours, theirs = measured(job, found, names), measured(other, twin, names)
            made += _differences(ours, theirs, _samples(job, len(found)), split)
            for which, each in (("here", ours), ("there", theirs)):
                notes += [f"{which}: {name}, {split}: {note}" for name, note in each.notes.items()]
        if pairs:
            made += _agreed(job, split, len(pairs), _agreements(job, other, pairs))
    made = rows.rounded(made)
    n_common, n_all = sum(map(len, common.values())), len(job.images)
    weights = [weights_used.used(each.settings) for each in (job, other)]
    written = {
        "format": 1,
        "weights": weights,
        "runs": [str(job.folder.root), str(other.folder.root)],
        "pictures": {"common": n_common, "here": n_all, "there": len(other.images)},
        "metrics": made,
        "notes": notes,
    }
    folder = job.folder.evaluate
    atomic.write_json(folder.against, written)
    head = f"{job.folder.root} against {other.folder.root}: "
    head += f"{n_common} of {n_all} pictures are in both\n\n"
    told = [
        f"Weights {which}: {weights_used.line(used)}"
        for which, used in zip(("here", "there"), weights, strict=True)
    ]
    said = ["\n".join(f"- {note}" for note in notes)] if notes else []
    text = head + "\n\n".join([tables.compared(made), *said, *told])
    atomic.write_text(folder.against_table, text + "\n")
    job.progress.say(text)
    job.ledger.write("compared", other=str(other.folder.root), pictures=n_common, metrics=len(made))
    return [folder.against, folder.against_table]


def _common(job: Job, other: Job, split: str) -> dict[int, Image]:
    """Return id here -> the same picture there: of equal path, content, size and split."""
    # The size too: --orientation turns the same file, and masks of two sizes cannot be compared.
    there = {(image.name, image.sha256, image.size): image for image in other.in_splits()[split]}
    pairs = {
        image.id: there.get((image.name, image.sha256, image.size))
        for image in job.in_splits()[split]
    }
    return {number: image for number, image in pairs.items() if image is not None}


def _differences(
    ours: Measured, theirs: Measured, samples: np.ndarray, split: str
) -> list[rows.Row]:
    """Return the rows of the numbers that both runs have, but trivial answers, which are the same.

    Clusters are named in each run on the common pictures.
    """
    other = {(each.stage, each.name): each for each in theirs.measures}
    return [
        rows.compared(each, other[each.stage, each.name], samples, split=split)
        for each in ours.measures
        if (each.stage, each.name) in other and not each.stage.startswith(BASELINE)
    ]


def _agreements(job: Job, other: Job, pairs: Mapping[int, Image]) -> Iterator[Measure]:
    """Yield how far masks and label maps of two runs agree, whatever the truth.

    A picture that either run refused is left out: nothing found agrees with nothing found.
    """
    here = [image for image in job.images if image.id in pairs]
    one, two = Outputs(job), Outputs(other)
    for stage in ("propose", "detect", "label", "segment"):
        if not one.complete(stage) or not two.complete(stage):
            continue
        there = refused.refused(other.folder, stage, pairs.values())
        left_out = refused.refused(job.folder, stage, here) | {
            number for number, image in pairs.items() if image.id in there
        }
        if stage in ("propose", "detect"):
            text = agreement.OF_MASKS
            found = agreement.of_masks(_ious(one, two, stage, pairs, here, left_out))
        else:
            text = agreement.OF_LABEL_MAPS
            found = agreement.of_label_maps(_joint(one, two, stage, pairs, here, left_out))
        if left_out:
            text += (
                f"; {len(left_out)} of {len(here)} pictures left out, refused in one run or both"
            )
        yield Measure(stage, "agreement", text, found)


def _ious(
    one: Outputs,
    two: Outputs,
    stage: str,
    pairs: Mapping[int, Image],
    here: Sequence[Image],
    left_out: Container[int],
) -> list[np.ndarray]:
    """Return for each picture the mask IoU (masks of one, masks of two); (0, 0) where left out."""
    ours = one.masks(stage, pairs)
    theirs = two.masks(stage, {image.id for image in pairs.values()})
    sides = [
        ([], [])
        if image.id in left_out
        else (ours.get(image.id, []), theirs.get(pairs[image.id].id, []))
        for image in here
    ]
    return [rle.iou(*([row["rle"] for row in side] for side in each)) for each in sides]


def _joint(
    one: Outputs,
    two: Outputs,
    stage: str,
    pairs: Mapping[int, Image],
    here: Sequence[Image],
    left_out: Container[int],
) -> list[np.ndarray]:
    """Return for each picture the joint pixel counts of both label maps; zeros where left out."""
    rows, columns = 1 + one.n_clusters(stage), 1 + two.n_clusters(stage)
    return [
        np.zeros((rows, columns + 1), np.int64)
        if image.id in left_out
        else semantic.confusion(
            two.label_map(stage, pairs[image.id]),
            one.label_map(stage, image),
            rows,
            columns=columns,
        )
        for image in here
    ]


def _agreed(job: Job, split: str, pictures: int, measures: Iterator[Measure]) -> list[rows.Row]:
    """Return the rows of agreements: the interval is that of the value, there is no other one."""
    built = rows.built(measures, _samples(job, pictures), split=split)
    return [each | {"other": None, "difference": None, "p": None} for each in built]


def _samples(job: Job, pictures: int) -> np.ndarray:
    """Return the samples of as many pictures, as the settings of a run ask for."""
    return bootstrap.draws(
        pictures, resamples=job.settings.evaluate.bootstrap, seed=job.settings.seed
    )
