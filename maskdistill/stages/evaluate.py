"""evaluate: every stage that is there against the ground truth, on each split; beside another run where one is given.

In:   proposals, clusters, detections, label maps, predictions; ground truth by path, read here and nowhere else
Out:  evaluate/metrics.json, metrics.md; against.json, against.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from maskdistill.datasets import truth as truths
from maskdistill.errors import GroundTruthError
from maskdistill.evaluation import bootstrap, tables
from maskdistill.evaluation.over_seeds import over_seeds
from maskdistill.runs import atomic
from maskdistill.stages import against
from maskdistill.stages.measures import Joined, Measured
from maskdistill.stages.skeleton import Image, Job


def work(job: Job, *, other: Job | None = None, repeated: Mapping[int, Job] = MappingProxyType({})) -> None:
    """Write evaluate/metrics.json; without ground truth an empty one, and a line that says so.

    Args:
        other: another run, to be compared with on the pictures that both have.
        repeated: seed -> the run with that seed, evaluated alike; mean and deviation over them stand in our own file.
    """
    rows: list[dict[str, Any]] = []
    sources = [truths.read(Path(source)) for source in job.settings.ground_truth]
    joined: dict[str, Joined] = {}
    names: list[str] = []
    if not sources:
        job.progress.say("evaluate: no ground truth given (--ground-truth), so nothing is measured")
    else:
        names = class_names(sources)
        joined = {split: found for split, images in job.in_splits().items() if (found := join(job, sources, images))}
        rows = _measured(job, joined, names)
        of_seeds = {
            number: rows if number == job.settings.seed_of_chain else _measured(twin, joined, names)
            for number, twin in repeated.items()
        }
        for number, twin in repeated.items():
            _write(twin, of_seeds[number])
        rows = rows + over_seeds(of_seeds, of=job.settings.seeds_of)
    _write(job, rows)
    if rows:
        job.progress.say(tables.table(rows))
    job.ledger.write("evaluated", sources=list(job.settings.ground_truth), metrics=len(rows))
    if other is not None:
        against.work(job, other, joined, names)


def _write(job: Job, rows: Sequence[Mapping[str, Any]]) -> None:
    folder = job.folder.stage("evaluate")
    folder.mkdir(exist_ok=True)
    atomic.write_json(folder / "metrics.json", {"format": 1, "metrics": rows})
    text = tables.table(rows) if rows else "No ground truth was given: nothing was measured."
    atomic.write_text(folder / "metrics.md", text + "\n")


def _measured(job: Job, joined: Mapping[str, Joined], names: list[str]) -> list[dict[str, Any]]:
    """The rows of a run, all its splits."""
    return [row for split, pictures in joined.items() for row in _rows(job, split, pictures, names)]


def _rows(job: Job, split: str, joined: Joined, names: list[str]) -> list[dict[str, Any]]:
    """The rows of metrics.json of one split."""
    samples = bootstrap.draws(len(joined), resamples=job.settings.evaluate.bootstrap, seed=job.settings.seed)
    rows = []
    for measure in Measured(job, joined, names).all():
        value = bootstrap.value(measure.statistic, len(joined))
        interval = bootstrap.spread(measure.statistic(samples)) if len(samples) and not np.isnan(value) else None
        rows.append(
            {
                "stage": measure.stage,
                "name": measure.name,
                "split": split,
                "value": None if np.isnan(value) else round(value, 6),
                "interval": None if interval is None else [round(edge, 6) for edge in interval],
                "pictures": len(joined),
                "protocol": measure.protocol,
            }
        )
    return rows


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
            size = source.objects[key].size if key in source.objects else source.label_map(key).shape
            if size != image.size:
                raise GroundTruthError(
                    f"{source.source}: {key} is {size[1]} x {size[0]} px, "
                    f"its picture {image.path} {image.width} x {image.height}. "
                    "Give the truth at the picture's own size, or another --orientation"
                )
            found.append((image, source, key))
    if left and found and not partial:
        job.ledger.write(
            "warning", stage="evaluate", what=f"{len(left)} of {len(images)} pictures have no ground truth"
        )
    return sorted(found, key=lambda entry: entry[0].id)
