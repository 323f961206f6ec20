"""evaluate: every stage that is there against the ground truth, on each split; beside another run where one is given.

In:   proposals, clusters, detections, label maps, predictions; ground truth by path, read here and nowhere else
Out:  evaluate/metrics.json and the tables of tabulate.py; against.json, against.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from maskdistill.artifacts import ground_truth
from maskdistill.artifacts.finished_stages import Outputs
from maskdistill.artifacts.ground_truth import Known
from maskdistill.engine.job import Job
from maskdistill.evaluation import bootstrap, rows
from maskdistill.evaluation.over_seeds import over_seeds, same_for_all
from maskdistill.measuring import compare_runs, published, tables
from maskdistill.measuring.run_measures import measured
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
    sources = ground_truth.sources(job.settings)
    joined: dict[str, list[Known]] = {}
    names: list[str] = []
    if not sources:
        job.progress.say("evaluate: no ground truth given (--ground-truth), so nothing is measured")
    else:
        names = ground_truth.class_names(sources)
        others = published.of_run(job.settings, names)
        if job.settings.evaluate.published:
            others += published.by_class(
                Path(job.settings.evaluate.published), ["background", *names]
            )
        joined = ground_truth.by_split(job, sources)
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
    joined: Mapping[str, Sequence[Known]],
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
        found = measured(job, pictures, names, same=like is None)
        if like is not None:
            made.rows += [
                row for row in like.rows if row["split"] == split and same_for_all(row["stage"])
            ]
        samples = bootstrap.draws(
            len(pictures), resamples=job.settings.evaluate.bootstrap, seed=job.settings.seed
        )
        made.rows += rows.rounded(rows.built(found.measures, samples, split=split))
        made.confusions |= {(split, stage): counts for stage, counts in found.confusions.items()}
    return made


def check_truth(job: Job) -> None:
    """Read the ground truth once the pictures are known, hours before it is evaluated with.

    Raises:
        GroundTruthError: as `work` has it.
    """
    if sources := ground_truth.sources(job.settings):
        ground_truth.class_names(sources)
        ground_truth.by_split(job, sources, early=True)
