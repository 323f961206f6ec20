"""evaluate: every finished stage against the ground truth, on each split; and two runs.

In:   proposals, clusters, detections, label maps, predictions; ground truth, joined by path
Out:  evaluate/metrics.json and the tables of measuring/tables.py; against.json, against.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from maskdistill.artifacts import ground_truth
from maskdistill.artifacts.finished_stages import Outputs
from maskdistill.artifacts.ground_truth import Known
from maskdistill.engine.job import Job
from maskdistill.engine.stage import Done, Stage
from maskdistill.measuring import compare_runs, published, run_rows, stage_numbers, tables
from maskdistill.measuring.tables import Evaluated
from maskdistill.runs.layout import EvaluateFolder
from maskdistill.settings import RunSettings, as_dict


@dataclass(frozen=True, kw_only=True)
class Beside:
    """Wishes of an evaluation beside the numbers of the run.

    Attributes:
        other: another run, to be compared with on the pictures that both have.
        repeated: seed -> the run with that seed, evaluated alike; mean and deviation over them
            stand in our own file.
        show_all: say every number; else one a stage, and where all are.
    """

    other: Job | None = None
    repeated: Mapping[int, Job] = field(default_factory=dict)
    show_all: bool = False


def stage(beside: Beside | None = None) -> Stage:
    """Return the stage, done again each time: another ground truth is never an error."""
    asked = beside or Beside()
    return Stage(
        name="evaluate",
        version=1,
        reads=(),
        parts=parts,
        work=lambda job, folder: work(job, folder, asked),
        always=True,
    )


def parts(settings: RunSettings) -> dict[str, Any]:
    """Return the settings that the numbers depend on, for the record alone."""
    return as_dict(settings.evaluate)


def work(job: Job, folder: EvaluateFolder, asked: Beside) -> Done:
    """Write evaluate/metrics.json; without ground truth what stages say of themselves.

    Raises:
        GroundTruthError: what is given cannot be read, is of another size, or of no picture of the
            run.
    """
    other, repeated = asked.other, asked.repeated
    for each in (job, other) if other is not None else (job,):
        if what := Outputs(each).stale():
            job.ledger.write("warning", stage="evaluate", what=what)
            job.progress.say(f"evaluate: {what}. Until then they are not measured")
    made, joined = Evaluated(), dict[str, Sequence[Known]]()
    sources, names = ground_truth.read(job)
    if sources:
        beside = published.beside(job.settings, names)
        joined.update(ground_truth.by_split(job, sources))
        made = replace(run_rows.of_run(job, joined, names), published=beside)
        made.truth = ground_truth.sentences(job, sources, joined, made.void)
        made, of_seeds = run_rows.of_seeds(job, made, joined, names, repeated)
        for number, twin in repeated.items():
            of_seeds[number].without_truth = stage_numbers.rows_of(stage_numbers.of_run(twin))
            twin.folder.evaluate.record.unlink(missing_ok=True)  # of an evaluation of its own
            tables.write(twin.folder.evaluate, of_seeds[number], twin.settings)
    else:
        job.progress.say("evaluate: no ground truth given (--ground-truth), so nothing is measured")
    made.without_truth = stage_numbers.rows_of(stage_numbers.of_run(job))
    outputs = tables.write(folder, made, job.settings)
    if made.rows:
        is_whole = asked.show_all
        told = tables.text(made, job.settings) if is_whole else tables.summary(made, folder)
        job.progress.say(told)
    job.ledger.write("evaluated", sources=list(job.settings.ground_truth), metrics=len(made.rows))
    if other is not None:
        outputs += compare_runs.work(job, other, joined, names)
    return Done(outputs=outputs, counts={"numbers": len(made.rows)})


def check_truth(job: Job) -> None:
    """Read the ground truth once the pictures are known, hours before it is evaluated with.

    What is odd in it is said then, too.

    Raises:
        GroundTruthError: as `work` has it.
    """
    if sources := ground_truth.read(job)[0]:
        ground_truth.by_split(job, sources, early=True)
        ground_truth.tell(job, sources, stage="scan")
