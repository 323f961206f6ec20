"""Left out: what a run has nothing of though it lies in the folder, said where people look.

In:       files passed over, pages of each picture, the pictures held out
Out:      sentences on the terminal, in the ledger and so on the page; counts for the record of scan
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from maskdistill.engine.job import Job
from maskdistill.pictures import told


def tell(
    job: Job, passed_over: Mapping[str, int], pages: Sequence[int], *, n_held_out: int
) -> dict[str, int]:
    """Say what is left out, and return it as counts.

    Where there is nothing to say there is no count: the records of usual folders stay as they are.

    Args:
        passed_over: suffix -> number of files.
        pages: of each picture; the first one is read.
        n_held_out: pictures for the validation.
    """
    counts: dict[str, int] = {}
    said: list[str] = []
    if passed_over:
        counts["passed_over"] = sum(passed_over.values())
        said.append(told(passed_over))
    n_pictures, n_left = len(pages), sum(pages) - len(pages)
    if n_left:
        counts["pages_left_out"] = n_left
        n_files = sum(number > 1 for number in pages)
        said.append(
            f"{n_files} of {n_pictures} pictures {'has' if n_files == 1 else 'have'} more pages: "
            f"{n_left} {'page' if n_left == 1 else 'pages'} left out, the first of each is read"
        )
    if job.settings.validation is not None and not n_held_out:
        why = "there is one picture alone" if n_pictures == 1 else "no picture of it can be used"
        said.append(f"validation {job.settings.validation}: {why}, and none is held out")
    for what in said:
        job.progress.say(what)
        job.ledger.write("note", stage="scan", what=what)
    return counts
