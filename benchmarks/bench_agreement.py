"""Does the agreement of a stage with itself on mirrored pictures follow the truth? Over many finished runs.

    python benchmarks/bench_agreement.py runs/voc-* --ground-truth boxes.json --ground-truth SegmentationClass

Of each run (and of those in its seeds/) two transitions: proposals -> detections, whose agreement is by masks and
whose truth is CorLoc, AP50 and mean best IoU; label maps -> segmenter, by pixels, mIoU and boundary IoU. Prints each
transition with the change of both, and the share of them whose signs agree, by the number of the truth. The words
"climbed" and "fell" may be said of a number without ground truth where that share is 0.8 over at least 20.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from maskdistill.artifacts import ground_truth
from maskdistill.engine.job import Job
from maskdistill.engine.opening import opened, settings_of
from maskdistill.evaluation import tables
from maskdistill.inference import self_agreement
from maskdistill.measuring import run_rows, stage_numbers
from maskdistill.runs.layout import RunFolder

BEFORE = {"detect": "propose", "segment": "label"}  # both sides by masks, both by pixels


def runs_in(roots: list[Path]) -> Iterator[Path]:
    """Each run, and those of its other seeds: its own seed's is a copy."""
    for root in roots:
        yield root
        config = RunFolder(root).config.read_text(encoding="utf-8")
        own = next(
            (line.split()[1] for line in config.splitlines() if line.startswith("seed: ")), "0"
        )
        yield from (path for path in sorted((root / "seeds").glob("*")) if path.name != own)


def agreement(job: Job, stage: str, proposals: Path | None) -> float | None:
    """The agreement of a stage: of its record, else taken now; of proposals maybe that of another run's."""
    known = stage_numbers.read(job.folder).get(stage, {}).get("agreement")
    if known is not None:
        return known
    if stage == "propose":
        return stage_numbers.read(RunFolder(proposals))[stage]["agreement"] if proposals else None
    return self_agreement.taken(job, stage).get("agreement")


def transitions(
    root: Path, truths: list[str], proposals: Path | None
) -> Iterator[dict[str, object]]:
    """The transitions of a run, a row a number of the truth."""
    with opened(
        root, settings_of(RunFolder(root)), pictures=None, quiet=True, keep_config=True
    ) as job:
        of = {stage: agreement(job, stage, proposals) for pair in BEFORE.items() for stage in pair}
        for truth in truths:
            sources, names = ground_truth.read(job, [truth])
            for row in run_rows.of_run(job, ground_truth.by_split(job, sources), names).steps:
                before = BEFORE.get(row["stage"])
                if before is None or of[before] is None or of[row["stage"]] is None:
                    continue
                yield {
                    "run": str(root),
                    "stage": row["stage"],
                    "name": row["name"],
                    "change": of[row["stage"]] - of[before],
                    "truth": row["difference"],
                }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument(
        "--ground-truth",
        action="append",
        required=True,
        help="file or folder, repeatable: each alone",
    )
    parser.add_argument(
        "--proposals", type=Path, help="run whose proposals theirs are, where they say no agreement"
    )
    parser.add_argument(
        "--out", type=Path, help="JSON lines, appended: several sets are judged together"
    )
    parser.add_argument("--only-judge", action="store_true", help="judge what --out holds")
    given = parser.parse_args()
    rows = []
    if not given.only_judge:
        for root in runs_in(given.runs):
            found = list(transitions(root, given.ground_truth, given.proposals))
            rows += found
            if given.out:
                with given.out.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(row) + "\n" for row in found)
    if given.out:
        rows = [json.loads(line) for line in given.out.read_text(encoding="utf-8").splitlines()]
    print(judged(rows))


def judged(rows: list[dict[str, object]]) -> str:
    """A line a number: transitions, how many rose by the truth, by the agreement, and how many signs agree."""
    head = ["transition", "truth", "transitions", "truth up", "agreement up", "signs agree"]
    body = []
    for stage, name in dict.fromkeys((str(row["stage"]), str(row["name"])) for row in rows):
        some = [
            row for row in rows if (row["stage"], row["name"]) == (stage, name) and row["truth"]
        ]
        up = [(float(row["change"]) > 0, float(row["truth"]) > 0) for row in some]  # type: ignore[arg-type]
        agree = sum(one == other for one, other in up)
        counts = [str(len(up)), str(sum(other for _, other in up)), str(sum(one for one, _ in up))]
        body.append(
            [
                f"{BEFORE[stage]} -> {stage}",
                name,
                *counts,
                f"{agree} ({agree / max(1, len(up)):.2f})",
            ]
        )
    return tables.markdown([head, *body])


if __name__ == "__main__":
    main()
