"""Freshness: whether a complete stage was made from the stages that are there now.

In:   the stage.json of each stage
Out:  names of the stages that are others now; a sentence that says what to do
"""

from __future__ import annotations

from maskdistill.engine.stage import identity
from maskdistill.runs import record
from maskdistill.runs.layout import RunFolder
from maskdistill.runs.stages import STAGES, verb_of

# Stages whose results are shown and measured; trainings are told by what was predicted with them.
SHOWN = tuple(
    entry.name
    for entry in STAGES
    if entry.name != "scan" and "/" not in entry.name and not entry.always
)


def others(folder: RunFolder, name: str) -> list[str]:
    """Return the names of the stages that a stage was made from and that are others now, or gone.

    Stages that it was made from by way of others count. The list is empty where the stage itself is
    not there. Settings that changed since do not count: a result made with them is whole, and
    `status` tells them.
    """
    entry = record.read(folder.stage(name).record)
    found: list[str] = []
    for read, known in entry.parts["reads"].items() if entry is not None else ():
        now = record.read(folder.stage(read).record)
        found += [read] if now is None or identity(now) != known else others(folder, read)
    return list(dict.fromkeys(found))


def is_of(folder: RunFolder, name: str, read: str) -> bool:
    """Return whether a stage was made from the stage `read` that is there now.

    It is true too where one of the two is not there: a trained model may be taken out of its run
    without the stages that it was made from.
    """
    entry, now = (record.read(folder.stage(each).record) for each in (name, read))
    return entry is None or now is None or entry.parts["reads"].get(read) == identity(now)


def sentence(folder: RunFolder, stale: list[str], read: list[str]) -> str:
    """Return a sentence: stages that were made from others than are there, and what to do.

    Args:
        stale: names of the stages, in the order of the run.
        read: names of the stages that they were made from.
    """
    verbs = dict.fromkeys(verb_of(name) for name in stale)
    commands = "; ".join(f"maskdistill {verb} {folder.root} --redo" for verb in verbs)
    # Not `run --from`, which would refuse an earlier stage of other settings: both clusterings have
    # one `cluster.k`.
    return (
        f"{', '.join(stale)}: made from another {', '.join(read)} than is there now. "
        f"Make again, in this order: {commands}"
    )
