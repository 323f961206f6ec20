"""Seeds: the stages after the proposals made again with other seeds, each a run in RUN/seeds/N.

In:   a run whose verbs are done; what is the same with any seed is taken of it (scan, proposals,
      embeddings)
Out:  RUN/seeds/N/ for each seed; the run's own seed too, all of it taken, nothing computed
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from maskdistill.engine.job import Job
from maskdistill.engine.opening import opened
from maskdistill.runs.stages import EMBEDDINGS, STAGES
from maskdistill.settings import RunSettings
from maskdistill.workflows import run, status

# Once, of the run and of all its seeds.
AT_THE_END = tuple(entry.verb for entry in STAGES if entry.always)


def do(
    job: Job,
    verbs: Sequence[str],
    *,
    start: str | None = None,
    reuse: Mapping[str, Path] | None = None,
    against: tuple[Path, RunSettings] | None = None,
    repeat: bool = False,
    show_all: bool = False,
) -> None:
    """Do some verbs of a run with several seeds, and evaluate over the seeds that are there.

    Args:
        start, reuse, against, show_all: as `run.do` has them.
        repeat: make what is missing of the seeds too, after the run's own stages.
    """
    if "evaluate" in verbs:
        run.check_truth(job.settings)
    first = [verb for verb in verbs if verb not in AT_THE_END]
    last = [verb for verb in verbs if verb in AT_THE_END]
    if first:
        run.do(job, first, start=start, reuse=reuse)
    if repeat:
        _repeat(job, first, start=start)
    if last:
        run.do(
            job,
            last,
            start=start,
            against=against,
            repeated=complete(job) if "evaluate" in last else None,
            show_all=show_all,
        )


def complete(job: Job) -> dict[int, Job]:
    """Return seed -> the run with that seed, of all that are complete as the settings ask.

    The others are named.
    """
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
        what = (
            f"seeds {', '.join(map(str, missing))} are not complete: "
            f"mean and deviation are of {len(found)} seeds"
        )
        job.ledger.write("warning", stage="evaluate", what=what)
        job.progress.say(
            f"evaluate: {what}. To make them: maskdistill run --out {job.folder.root} "
            f"--seeds {job.settings.seeds}"
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
        given, place = job.settings.with_chain_seed(number), job.folder.seed(number)
        proposed = [stage.name for stage in run.stages_of("propose", given, place)]
        names = ["scan", "detect"] if imported else ["scan", *proposed, EMBEDDINGS]
        if number == job.settings.seed_of_chain:
            names = [stage.name for verb in wanted for stage in run.stages_of(verb, given, place)]
        with opened(
            place.root,
            given,
            pictures=job.roots["pictures"],
            quiet=job.progress.quiet,
        ) as own:
            run.do(own, wanted, start=start, reuse=dict.fromkeys(names, job.folder.root))
