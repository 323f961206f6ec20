"""The rows of a run: its measures on each split, as metrics.json has them; and those over seeds.

In:   a run, its pictures with their truth by split; runs that differ from it in the seed alone
Out:  Evaluated, which tables.py writes
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from maskdistill.artifacts.ground_truth import Known
from maskdistill.engine.job import Job
from maskdistill.evaluation import bootstrap, rows
from maskdistill.evaluation.rows import over_seeds, same_for_all
from maskdistill.measuring import steps
from maskdistill.measuring.run_measures import measured
from maskdistill.measuring.tables import Evaluated

Joined = Mapping[str, Sequence[Known]]  # split -> pictures with their truth, by id


def of_run(
    job: Job, joined: Joined, names: Sequence[str], *, like: Evaluated | None = None
) -> Evaluated:
    """Return the numbers of a run on all its splits.

    Args:
        names: of the classes 1 .. C.
        like: of a run that differs in the seed alone: what no seed changes is not measured again.
    """
    made = Evaluated(names=["background", *names])
    for split, pictures in joined.items():
        found = measured(job, pictures, names, same=like is None)
        if like is not None:
            same = [row for row in like.rows if same_for_all(row["stage"])]
            made.rows += [row for row in same if row["split"] == split]
            kept = {key: note for key, note in like.notes.items() if same_for_all(key[1])}
            made.notes |= {key: note for key, note in kept.items() if key[0] == split}
        samples = bootstrap.draws(
            len(pictures), resamples=job.settings.evaluate.bootstrap, seed=job.settings.seed
        )
        made.rows += rows.rounded(rows.built(found.measures, samples, split=split))
        # Of proposals, which no seed changes, the first run's own.
        known = like.same.get(split, []) if like is not None else []
        made.same[split] = [each for each in found.measures if same_for_all(each.stage)]
        made.steps += rows.rounded(steps.of_split([*known, *found.measures], samples, split=split))
        made.confusions |= {(split, stage): counts for stage, counts in found.confusions.items()}
        made.notes |= {(split, stage): note for stage, note in found.notes.items()}
        made.void[split] = found.void
    return made


def of_seeds(
    job: Job, made: Evaluated, joined: Joined, names: Sequence[str], repeated: Mapping[int, Job]
) -> tuple[Evaluated, dict[int, Evaluated]]:
    """Return a run's numbers with mean and deviation over seeds, and the numbers of each seed.

    Args:
        made: the numbers of the run itself, which are those of its own seed.
        repeated: seed -> the run with that seed.
    """
    each = {
        number: made
        if number == job.settings.seed_of_chain
        else of_run(twin, joined, names, like=made)
        for number, twin in repeated.items()
    }
    each = {number: replace(one, published=made.published) for number, one in each.items()}
    over = over_seeds({number: one.rows for number, one in each.items()}, of=job.settings.seeds_of)
    notes = dict(made.notes)
    for number, one in each.items():
        own = {key: note for key, note in one.notes.items() if made.notes.get(key) != note}
        notes |= {
            (split, f"{stage} of seed {number}"): note for (split, stage), note in own.items()
        }
    gained = steps.over_seeds({number: one.steps for number, one in each.items()})
    made = replace(
        made,
        rows=made.rows + rows.rounded(over),
        steps=made.steps + rows.rounded(gained),
        notes=notes,
    )
    return made, each
