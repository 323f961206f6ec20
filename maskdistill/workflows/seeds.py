"""Seeds: the stages after the proposals made again with other seeds, each in RUN/seeds/N, a run of its own.

In:   a run whose verbs are done; what is the same with any seed (scan, proposals, embeddings) is taken of it
Out:  RUN/seeds/N/ for each seed; the run's own seed too, all of it taken, nothing computed
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from maskdistill.engine.stage import Job
from maskdistill.settings import RunSettings
from maskdistill.stage_parts.other_runs import EMBEDDINGS
from maskdistill.workflows import run, status
from maskdistill.workflows.run import do, stages_of

AT_THE_END = ("evaluate", "report")  # once, of the run and of all its seeds


def do_with_seeds(
    job: Job,
    verbs: Sequence[str],
    *,
    start: str | None = None,
    reuse: Mapping[str, Path] | None = None,
    against: tuple[Path, RunSettings] | None = None,
    repeat: bool = False,
) -> None:
    """As pipeline.do; what is evaluated is compared over the seeds that are there.

    Args:
        repeat: make what is missing of the seeds too, after the run's own stages.
    """
    if "evaluate" in verbs:
        run.check_truth(job.settings)
    first = [verb for verb in verbs if verb not in AT_THE_END]
    last = [verb for verb in verbs if verb in AT_THE_END]
    if first:
        do(job, first, start=start, reuse=reuse)
    if repeat and job.settings.seeds > 1:
        _repeat(job, first, start=start)
    if last:
        do(
            job,
            last,
            start=start,
            against=against,
            repeated=complete(job) if "evaluate" in last else None,
        )


def complete(job: Job) -> dict[int, Job]:
    """Seed -> the run with that seed, of all that are complete as the run's settings ask for; the others are named."""
    if job.settings.seeds == 1:
        return {}
    found, missing = {}, []
    for number in job.settings.chain_seeds:
        state, _ = status.of_seed(job.folder, job.settings, number)
        if state == "done":
            found[number] = replace(
                job,
                settings=job.settings.with_chain_seed(number),
                folder=job.folder.seed(number),
                sources={},
            )
        else:
            missing.append(number)
    if missing:
        what = f"seeds {', '.join(map(str, missing))} are not complete: mean and deviation are of {len(found)} seeds"
        job.ledger.write("warning", stage="evaluate", what=what)
        job.progress.say(
            f"evaluate: {what}. To make them: maskdistill run --out {job.folder.root} --seeds {job.settings.seeds}"
        )
    return found


def _repeat(job: Job, verbs: Sequence[str], *, start: str | None) -> None:
    """Each seed's run, one after the other; a complete one is passed over."""
    wanted = [verb for verb in verbs if verb in status.repeated(job.settings)]
    imported = bool(job.settings.detect.import_file)
    if ("detect" if imported else "cluster") not in wanted:
        return
    for number in job.settings.chain_seeds:
        job.progress.say(f"seed {number}: {job.folder.seed(number).root}")
        given = job.settings.with_chain_seed(number)
        names = ["scan", "detect"] if imported else ["scan", "propose", EMBEDDINGS]
        if number == job.settings.seed_of_chain:
            names = [stage.name for verb in wanted for stage in stages_of(verb, given)]
        with run.opened(
            job.folder.seed(number).root,
            given,
            pictures=job.roots["pictures"],
            quiet=job.progress.quiet,
        ) as own:
            do(own, wanted, start=start, reuse=dict.fromkeys(names, job.folder.root))
