"""Steps: what a stage gained over the one before it, on the same pictures.

In:   the measures of a run's stages, samples of its pictures
Out:  rows {"stage", "before", "name", "split", "value", "other", "difference", "interval", "p",
      ...}; over seeds also "seeds", "spread", "by_seed" of the difference
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from maskdistill.evaluation import rows
from maskdistill.evaluation.rows import Measure, Row

# Masks: proposals -> detections. Label maps: painted proposals -> label maps -> segmenter.
BEFORE = {"detect": "propose", "label": "cluster", "segment": "label"}
OF_MASKS = ("CorLoc", "mean_best_iou", "AP50_agnostic")
OF_LABEL_MAPS = ("mIoU", "boundary_iou")
NAMES = {*OF_MASKS, *(f"box_{name}" for name in OF_MASKS), *OF_LABEL_MAPS}


def of_split(measures: Iterable[Measure], samples: np.ndarray, *, split: str) -> list[Row]:
    """Return a row for each number that a stage and the one before it both have.

    `value` is the stage's, `other` that of the stage before, `interval` that of the difference: the
    pictures are drawn for both alike, so that easy and hard pictures cancel out.

    Args:
        measures: of one run, stage by stage.
        samples: (samples, pictures) of `bootstrap.draws`.
    """
    known = {(each.stage, each.name): each for each in measures}
    found = []
    for (stage, name), each in known.items():
        before = BEFORE.get(stage.partition(":")[0])  # segment:<how its weights were chosen>
        one = known.get((before, name)) if before is not None and name in NAMES else None
        if one is not None:
            row = rows.compared(each, one, samples, split=split)
            how = f"{stage} less {before}; pictures drawn for both alike"
            found.append({**row, "before": before, "protocol": how})
    return found


def over_seeds(steps_of: Mapping[int, Sequence[Row]]) -> list[Row]:
    """Return a row for each step of the first seed: mean and deviation of its difference.

    Args:
        steps_of: seed -> the steps of the run with that seed.
    Returns:
        Rows with value, other and difference as means of the seeds that have a difference; spread:
        the standard deviation of the difference (n - 1), None of fewer than two; interval, p: None.
    """
    by_key: dict[tuple[str, str, str], dict[str, Row]] = {}
    for seed, steps in steps_of.items():
        for each in steps:
            key = each["stage"], each["name"], each["split"]
            by_key.setdefault(key, {})[str(seed)] = each
    made = []
    for of_seed in by_key.values():
        known = {seed: row for seed, row in of_seed.items() if row["difference"] is not None}
        if not known:
            continue
        first = next(iter(of_seed.values()))
        means = {
            key: float(np.mean([row[key] for row in known.values()]))
            for key in ("value", "other", "difference")
        }
        differences = [row["difference"] for row in known.values()]
        made.append(
            {
                **first,
                **means,
                "interval": None,
                "p": None,
                "seeds": len(known),
                "spread": float(np.std(differences, ddof=1)) if len(known) > 1 else None,
                "by_seed": {seed: row["difference"] for seed, row in of_seed.items()},
            }
        )
    return made
