"""imported: masks of others in place of those of `propose` or `detect`.

In:   a file or folder that datasets/coco/masks_file.py reads; images.jsonl
Out:  propose/proposals.jsonl; or detect/detections.jsonl, clusters.json, names.json
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from maskdistill.artifacts.cluster_names import unlike
from maskdistill.engine.job import Job
from maskdistill.engine.stage import Done, Stage
from maskdistill.runs import atomic, fingerprints
from maskdistill.runs.layout import DetectFolder, ProposeFolder
from maskdistill.settings import RunSettings
from maskdistill.settings.detect import DetectSettings
from maskdistill.settings.propose import ProposeSettings
from maskdistill.stage_parts import imported_masks, imported_pictures


def propose_parts(settings: RunSettings) -> dict[str, Any]:
    """Return the settings that change the proposals: the file by content, what is taken of it."""
    return {"import": _parts(settings.propose)}


def detect_parts(settings: RunSettings) -> dict[str, Any]:
    """Return the settings that change the detections: those of `propose_parts`, and clusters."""
    return {"import": {**_parts(settings.detect), "clusters": settings.detect.import_clusters}}


def propose(job: Job, folder: ProposeFolder) -> Done:
    """Take the masks of the file as proposals, whatever their categories.

    Raises:
        PredictionError: the file does not fit, or holds a mask that cannot be taken.
    """
    own = job.settings.propose
    found = imported_pictures.joined(job, own)
    with imported_masks.spilled(folder) as spill:
        kept = imported_masks.Kept(spill, found)
        digest = content(own.import_file)
        imported_masks.read(
            job, folder, found, kept, categories=None, crowds=own.import_crowds, digest=digest
        )
        counts = imported_masks.write(
            job, folder.masks, found, kept, top=own.import_top, cluster_of=None
        )
    return Done(outputs=[folder.masks], counts=counts)


def detect(job: Job, folder: DetectFolder) -> Done:
    """Take the results of the file as detections: nothing is trained.

    Raises:
        PredictionError: the file does not fit, or holds a mask that cannot be taken.
    """
    own = job.settings.detect
    found = imported_pictures.joined(job, own)
    with imported_masks.spilled(folder) as spill:
        kept = imported_masks.Kept(spill, found)
        by_category = own.import_clusters == "categories"
        known, digest = found.names if by_category else None, content(own.import_file)
        imported_masks.read(
            job, folder, found, kept, categories=known, crowds=own.import_crowds, digest=digest
        )
        categories = imported_masks.categories(found, kept) if by_category else []
        cluster_of = {category: number for number, category in enumerate(categories)}
        counts = imported_masks.write(
            job, folder.masks, found, kept, top=own.import_top, cluster_of=cluster_of
        )
    clustering = job.folder.own_clusters
    about = {"k": max(1, len(categories)), "categories": categories}
    atomic.write_json(clustering.about, about)
    outputs = [folder.masks, clustering.about]
    if categories and found.names:
        names = [found.names[category] for category in categories]
        atomic.write_json(clustering.names, {"names": unlike(names)})
        outputs.append(clustering.names)
    counts["detections"] = counts.pop("masks")
    counts["without_detections"] = counts.pop("without_masks")
    return Done(outputs=outputs, counts=counts)


def _parts(own: ProposeSettings | DetectSettings) -> dict[str, Any]:
    images = {"images": content(own.import_images)} if own.import_images else {}
    # A setting of its own only where it is given: what was imported before it is the same.
    crowds = {} if own.import_crowds == "ignored" else {"crowds": own.import_crowds}
    return {"masks": content(own.import_file), **images, **crowds, "top": own.import_top}


def content(source: str) -> str:
    """Return the digest of a file, or of a folder's JSON files; `missing` where there is none."""
    path = Path(source)
    if path.is_dir():
        files = sorted(each.relative_to(path).as_posix() for each in path.rglob("*.json"))
        shown = [
            name for name in files if not any(part.startswith(".") for part in name.split("/"))
        ]
        return fingerprints.digest({name: _sha256(path / name) for name in shown})
    return _sha256(path) if path.is_file() else "missing"


def _sha256(path: Path) -> str:
    seen = path.stat()
    return _sha256_of(path, seen.st_size, seen.st_mtime_ns)


# A command asks several times, and a folder may hold a file for each picture.
@cache
def _sha256_of(path: Path, size: int, time: int) -> str:
    return fingerprints.sha256_file(path)


PROPOSE = Stage(
    name="propose",
    version=1,
    reads=("scan",),
    parts=propose_parts,
    work=propose,
    keeps=("features",),
)
DETECT = Stage(
    name="detect", version=1, reads=("scan",), parts=detect_parts, work=detect, keeps=("train",)
)
