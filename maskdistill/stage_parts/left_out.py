"""Left out: what a run has nothing of though it lies in the folder, said where people look.

In:       files passed over, what was seen of each picture, the pictures held out
Out:      sentences on the terminal, in the ledger and so on the page; counts for the record of scan
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from maskdistill.datasets.page_names import parted
from maskdistill.engine.job import Job
from maskdistill.errors import listed
from maskdistill.pictures import few_told, pages_told, told
from maskdistill.stage_parts.picture_rows import Seen


def tell(
    job: Job, passed_over: Mapping[str, int], seen: Sequence[Seen], *, n_held_out: int
) -> dict[str, int]:
    """Say what is left out, and return it as counts.

    Where there is nothing to say there is no count: the records of usual folders stay as they are.

    Args:
        passed_over: suffix -> number of files.
        seen: of each picture.
        n_held_out: pictures for the validation.
    """
    counts: dict[str, int] = {}
    said: list[str] = []
    if passed_over:
        counts["passed_over"] = sum(passed_over.values())
        said.append(told(passed_over))
    n_pictures, pages = len(seen), [each.pages for each in seen]
    if sum(pages) > n_pictures:
        counts["pages_left_out"] = sum(pages) - n_pictures
        said += pages_told(pages)
    few = [each.name for each in seen if each.has_few_levels]
    if few:
        counts["few_grey_levels"] = len(few)
        said += few_told(few, n_pictures)
    unused = [each.name for each in seen if each.n_unused]
    if unused:
        counts["bands_left_out"] = sum(each.n_unused for each in seen)
        said.append(
            f"{len(unused)} of {n_pictures} pictures have bands that are not shown "
            f"({listed(unused, 3)}): the first three are read as red, green and blue. "
            "Others: --bands R,G,B"
        )
    if job.settings.validation is not None and not n_held_out:
        n_files = len({parted(each.name)[0] for each in seen})
        why = "no picture of it can be used"
        if n_pictures == 1:
            why = "there is one picture alone"
        elif n_files == 1:
            why = "all pictures are pages of one file, which stay together"
        said.append(f"validation {job.settings.validation}: {why}, and none is held out")
    for what in said:
        job.progress.say(what)
        job.ledger.write("note", stage="scan", what=what)
    return counts
