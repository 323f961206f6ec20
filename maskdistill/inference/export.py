"""export: masks of a run as a dataset that other tools read.

In:   proposals.jsonl or detections.jsonl, with their clusters and the clusters' names; pool.jsonl
Out:  a COCO dataset, a JSON file
"""

from __future__ import annotations

from pathlib import Path

from maskdistill.artifacts import cluster_names, clusterings, freshness
from maskdistill.artifacts.mask_lines import with_clusters
from maskdistill.datasets.page_names import name_of
from maskdistill.engine.opening import settings_of
from maskdistill.errors import RunError, SettingsError, setting
from maskdistill.exports import coco as coco_file
from maskdistill.runs import atomic, lines
from maskdistill.runs.layout import RunFolder
from maskdistill.runs.ledger import Ledger
from maskdistill.runs.progress import Progress

STAGE_OF = {"detections": "detect", "proposals": "propose", "pool": "propose"}
POLYGON_PX = 2.0  # how far an outline may move, in px; source: MaskDistill release


def coco(root: Path, *, of: str, out: Path | None, polygons: bool = False) -> Path:
    """Write masks of a run as a COCO dataset, as a stream, and return the file's path.

    Category ids are 1 + cluster.

    Args:
        of: detections | proposals | pool: all masks that were pooled, in one category, each with
            its `sources`.
        out: the file; None: RUN/export/coco-<of>.json.
        polygons: write outlines as the paper's files have them, in place of run lengths; masks too
            small for one are left out, and told.
    Raises:
        SettingsError: another `of`.
        RunError: no run, the masks are not there yet, or were made from others than are there; the
            file cannot be written.
    """
    if of not in STAGE_OF:
        raise SettingsError(f"of: wanted one of {', '.join(STAGE_OF)}, found {of!r}")
    folder = RunFolder(root)
    settings = settings_of(folder)
    if of == "detections":
        clustering = clusterings.of_detections(folder, settings)
    else:
        clustering = clusterings.made_by(folder, "cluster")
    masks = folder.propose.pool if of == "pool" else clustering.masks
    if not masks.exists():
        verb = STAGE_OF[of]
        if of == "pool" and folder.propose.masks.exists():
            raise RunError(
                f"{masks}: there is none, nothing was pooled. Give the run a pool: "
                f"{setting('propose.pool.scales', '1 2')} --from {verb}"
            )
        raise RunError(f"{masks}: not there yet. Do it first: maskdistill {verb} {root}")
    is_clustered = of == "detections" or (
        of == "proposals" and clusterings.of_proposals(folder) is not None
    )
    file = clustering.file if is_clustered else None
    made = clustering.stage if file else STAGE_OF[of]
    if others := freshness.others(folder, made):
        raise RunError(f"{root}: {freshness.sentence(folder, [made], others)}")
    words = cluster_names.of(clustering.folder) if is_clustered else ["cluster 0"]
    path = out or folder.export(of)
    atomic.make_folder(path.parent)
    rows = lines.read(folder.images)
    with atomic.writing(path, "w") as stream:
        n_left_out = coco_file.write(
            stream,
            ({**row, "path": name_of(row["path"], row.get("page"))} for row in rows),
            with_clusters(masks, file),
            words,
            tolerance_px=POLYGON_PX if polygons else None,
        )
    if n_left_out:
        what = f"{n_left_out} {of} have no outline of {POLYGON_PX:g} px: left out of {path.name}"
        Ledger(folder.ledger).write("warning", stage="export", what=what)
        Progress().say(f"export: {what}")
    return path
