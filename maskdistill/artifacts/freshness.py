"""Whether a complete stage was made from what is there now: else it counts in clusters, or masks, that are gone."""

from __future__ import annotations

from maskdistill.engine.stage import identity, verb_of
from maskdistill.runs import record
from maskdistill.runs.layout import RunFolder

ORDER = ("propose", "cluster", "detect", "recluster", "label", "segment")


def others(folder: RunFolder, name: str) -> list[str]:
    """The stages that a stage was made from, however far back, and that are others now, or gone; none where it is not.

    Settings that changed since do not count: what was made with them is whole, and `status` tells them.
    """
    entry = record.read(folder.stage(name) / "stage.json")
    found: list[str] = []
    for read, known in entry.parts["reads"].items() if entry is not None else ():
        now = record.read(folder.stage(read) / "stage.json")
        found += [read] if now is None or identity(now) != known else others(folder, read)
    return list(dict.fromkeys(found))


def is_of(folder: RunFolder, name: str, read: str) -> bool:
    """Whether a stage was made from the `read` that is there now; so it is too where one of both is not there.

    A trained model may be taken out of its run without the stages that it was made from.
    """
    entry, now = (record.read(folder.stage(each) / "stage.json") for each in (name, read))
    return entry is None or now is None or entry.parts["reads"].get(read) == identity(now)


def sentence(folder: RunFolder, stale: list[str], read: list[str]) -> str:
    """What is wrong with stages, in the order of the run, that were made from others than are there; what to do."""
    verbs = dict.fromkeys(verb_of(name) for name in stale)
    # Not `run --from`, which would refuse an earlier stage of other settings: both clusterings have one `cluster.k`.
    return (
        f"{', '.join(stale)}: made from another {', '.join(read)} than is there now. "
        f"Make again, in this order: {'; '.join(f'maskdistill {verb} {folder.root} --redo' for verb in verbs)}"
    )
