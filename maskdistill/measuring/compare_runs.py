"""evaluate --against: two runs on the same pictures, each number with a paired test, and how far they agree.

In:   two runs; the ground truth of the first, or none: then their agreement alone
Out:  evaluate/against.json, against.md in the first
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from maskdistill.artifacts import weights_used
from maskdistill.artifacts.finished_stages import Outputs
from maskdistill.artifacts.ground_truth import Known
from maskdistill.engine.job import Image, Job
from maskdistill.errors import RunError
from maskdistill.evaluation import agreement, bootstrap, rows, semantic, tables
from maskdistill.evaluation.rows import Measure
from maskdistill.masks import rle
from maskdistill.measuring.run_measures import measured
from maskdistill.runs import atomic


def work(job: Job, other: Job, joined: Mapping[str, Sequence[Known]], names: list[str]) -> None:
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
    made: list[rows.Row] = []
    for split, pairs in common.items():
        found = [entry for entry in joined.get(split, ()) if entry.image.id in pairs]
        if found:
            made += _differences(job, other, split, found, pairs, names)
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
    }
    folder = job.folder.evaluate
    atomic.write_json(folder.against, written)
    head = f"{job.folder.root} against {other.folder.root}: {n_common} of {n_all} pictures are in both\n\n"
    told = [
        f"Weights {which}: {weights_used.line(used)}"
        for which, used in zip(("here", "there"), weights, strict=True)
    ]
    text = head + "\n\n".join([tables.compared(made), *told])
    atomic.write_text(folder.against_table, text + "\n")
    job.progress.say(text)
    job.ledger.write("compared", other=str(other.folder.root), pictures=n_common, metrics=len(made))


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
    job: Job,
    other: Job,
    split: str,
    joined: Sequence[Known],
    pairs: Mapping[int, Image],
    names: list[str],
) -> list[rows.Row]:
    """Every number that both runs have; clusters are named in each run on the common pictures."""
    twin = [known._replace(image=pairs[known.image.id]) for known in joined]
    theirs = {(each.stage, each.name): each for each in measured(other, twin, names).measures}
    samples = _samples(job, len(joined))
    found = []
    for ours in measured(job, joined, names).measures:
        their = theirs.get((ours.stage, ours.name))
        if their is None or ours.stage.startswith("baseline:"):
            continue
        found.append(rows.compared(ours, their, samples, split=split))
    return found


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
            yield Measure(stage, "agreement", agreement.OF_MASKS, agreement.of_masks(ious))
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
            found = agreement.of_label_maps(joint)
            yield Measure(stage, "agreement", agreement.OF_LABEL_MAPS, found)


def _agreed(job: Job, split: str, pictures: int, measures: Iterator[Measure]) -> list[rows.Row]:
    """Return the rows of agreements; the interval is that of the value, there is no other result."""
    built = rows.built(measures, _samples(job, pictures), split=split)
    return [each | {"other": None, "difference": None, "p": None} for each in built]


def _samples(job: Job, pictures: int) -> np.ndarray:
    """Return the samples of as many pictures, as the settings of a run ask for."""
    return bootstrap.draws(
        pictures, resamples=job.settings.evaluate.bootstrap, seed=job.settings.seed
    )
