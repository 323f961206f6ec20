"""export: masks of a run as a dataset that other tools read."""

from __future__ import annotations

from pathlib import Path

from maskdistill.artifacts import freshness
from maskdistill.artifacts.mask_lines import cluster_files, clustering_of_detections, with_clusters
from maskdistill.errors import RunError, SettingsError
from maskdistill.exports import coco as coco_file
from maskdistill.measuring import match_names
from maskdistill.runs import atomic, lines
from maskdistill.runs.layout import RunFolder
from maskdistill.runs.ledger import Ledger
from maskdistill.runs.progress import Progress
from maskdistill.settings import validate
from maskdistill.workflows.run import configured

SOURCES = {
    "detections": ("detect", "detections.jsonl"),
    "proposals": ("propose", "proposals.jsonl"),
}


POLYGON_PX = 2.0  # how far an outline may move, in px; source: MaskDistill release


def coco(root: Path, *, of: str, out: Path | None, polygons: bool = False) -> Path:
    """RUN/export/coco-<of>.json (or `out`), written as a stream; category ids are 1 + cluster.

    Args:
        polygons: outlines as the paper's files have them, in place of run lengths; masks too small for one are left
            out, and told.
    """
    if of not in SOURCES:
        raise SettingsError(f"of: wanted one of {', '.join(SOURCES)}, found {of!r}")
    folder = RunFolder(root)
    settings = validate(configured(root), source=str(folder.config))
    stage, name = SOURCES[of]
    source = folder.stage(stage) / name
    if not source.exists():
        raise RunError(f"{source}: not there yet. Do it first: maskdistill {stage} {root}")
    clusters = cluster_files(folder, of, again=settings.cluster.again)
    made = clusters.parent.name if clusters else stage
    if others := freshness.others(folder, made):
        raise RunError(f"{root}: {freshness.sentence(folder, [made], others)}")
    own = folder.stage(clustering_of_detections(settings, again=False))
    clustering = clusters.parent if clusters else own
    words = match_names.of(clustering) if (clusters or of == "detections") else ["cluster 0"]
    path = out or root / "export" / f"coco-{of}.json"
    atomic.make_folder(path.parent)
    with atomic.writing(path, "w") as file:
        n_left_out = coco_file.write(
            file,
            lines.read(folder.images),
            with_clusters(source, clusters),
            words,
            tolerance_px=POLYGON_PX if polygons else None,
        )
    if n_left_out:
        what = f"{n_left_out} {of} have no outline of {POLYGON_PX:g} px: left out of {path.name}"
        Ledger(folder.ledger).write("warning", stage="export", what=what)
        Progress().say(f"export: {what}")
    return path
