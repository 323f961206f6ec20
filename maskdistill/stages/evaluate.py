"""evaluate: every stage that is there against the ground truth, on each split; beside another run where one is given.

In:   proposals, clusters, detections, label maps, predictions; ground truth by path, read here and nowhere else
Out:  evaluate/metrics.json and the tables of tabulate.py; against.json, against.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from maskdistill.artifacts.finished_stages import Outputs
from maskdistill.datasets import truth as truths
from maskdistill.engine.job import Image, Job
from maskdistill.errors import GroundTruthError, listed
from maskdistill.evaluation import bootstrap, rows
from maskdistill.evaluation.over_seeds import over_seeds, same_for_all
from maskdistill.measuring import compare_runs, published, tables
from maskdistill.measuring.run_measures import Joined, Measured
from maskdistill.measuring.tables import Evaluated


def work(
    job: Job, *, other: Job | None = None, repeated: Mapping[int, Job] = MappingProxyType({})
) -> None:
    """Write evaluate/metrics.json; without ground truth an empty one, and a line that says so.

    Args:
        other: another run, to be compared with on the pictures that both have.
        repeated: seed -> the run with that seed, evaluated alike; mean and deviation over them stand in our own file.
    Raises:
        GroundTruthError: what is given cannot be read, is of another size, or of no picture of the run.
    """
    for each in (job, other) if other is not None else (job,):
        if what := Outputs(each).stale():
            job.ledger.write("warning", stage="evaluate", what=what)
            job.progress.say(f"evaluate: {what}. Until then they are not measured")
    made = Evaluated()
    sources = [truths.read(Path(source)) for source in job.settings.ground_truth]
    joined: dict[str, Joined] = {}
    names: list[str] = []
    if not sources:
        job.progress.say("evaluate: no ground truth given (--ground-truth), so nothing is measured")
    else:
        names = class_names(sources)
        others = published.of_run(job.settings, names)
        if job.settings.evaluate.published:
            others += published.by_class(
                Path(job.settings.evaluate.published), ["background", *names]
            )
        joined = _by_split(job, sources)
        made = _measured(job, joined, names, others)
        of_seeds = {
            number: made
            if number == job.settings.seed_of_chain
            else _measured(twin, joined, names, others, like=made)
            for number, twin in repeated.items()
        }
        for number, twin in repeated.items():
            tables.write(twin.folder.evaluate, of_seeds[number], twin.settings)
        over = over_seeds(
            {number: each.rows for number, each in of_seeds.items()}, of=job.settings.seeds_of
        )
        made = replace(made, rows=made.rows + rows.rounded(over))
    tables.write(job.folder.evaluate, made, job.settings)
    if made.rows:
        job.progress.say(tables.text(made, job.settings))
    job.ledger.write("evaluated", sources=list(job.settings.ground_truth), metrics=len(made.rows))
    if other is not None:
        compare_runs.work(job, other, joined, names)


def _measured(
    job: Job,
    joined: Mapping[str, Joined],
    names: list[str],
    others: list[dict[str, Any]],
    like: Evaluated | None = None,
) -> Evaluated:
    """The numbers of a run, all its splits.

    Args:
        like: of a run that differs in the seed alone: what no seed changes is not measured again.
    """
    made = Evaluated(published=others if joined else [], names=["background", *names])
    for split, pictures in joined.items():
        measured = Measured(job, pictures, names)
        if like is not None:
            made.rows += [
                row for row in like.rows if row["split"] == split and same_for_all(row["stage"])
            ]
        samples = bootstrap.draws(
            len(pictures), resamples=job.settings.evaluate.bootstrap, seed=job.settings.seed
        )
        measures = measured.all(same=like is None)
        made.rows += rows.rounded(rows.built(measures, samples, split=split))
        made.confusions |= {(split, stage): counts for stage, counts in measured.confusions.items()}
    return made


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


def check_truth(job: Job) -> None:
    """Read the ground truth once the pictures are known, hours before it is evaluated with.

    Raises:
        GroundTruthError: as `work` has it.
    """
    if sources := [truths.read(Path(source)) for source in job.settings.ground_truth]:
        class_names(sources)
        _by_split(job, sources, early=True)


def _by_split(job: Job, sources: list[truths.Truth], *, early: bool = False) -> dict[str, Joined]:
    """Split -> its pictures that have a truth; GroundTruthError where no picture of the run has one."""
    splits = job.in_splits().items()
    joined: dict[str, Joined] = {
        split: found
        for split, images in splits
        if (found := join(job, sources, images, partial=early))
    }
    if not joined:
        keys = [key for source in sources for key in source.keys]
        raise GroundTruthError(
            f"{', '.join(job.settings.ground_truth)}: none of the {len(keys)} pictures there ({listed(keys, 2)}) "
            f"is one of the run's {len(job.images)} ({listed([image.path for image in job.images], 2)}). They are "
            "joined by relative path or file name. Give the --ground-truth of these pictures"
        )
    return joined


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
            size = source.size(key)
            if size != image.size:
                raise GroundTruthError(
                    f"{source.source}: {key} is {size[1]} x {size[0]} px, "
                    f"its picture {image.path} {image.width} x {image.height}. "
                    "Give the truth at the picture's own size, or another --orientation"
                )
            found.append((image, source, key))
    if left and found and not partial:
        job.ledger.write(
            "warning",
            stage="evaluate",
            what=f"{len(left)} of {len(images)} pictures have no ground truth",
        )
    return sorted(found, key=lambda entry: entry[0].id)
