"""Imported masks: read from a file of others to disk, and written as the lines of a stage.

In:   a file or folder that datasets/coco/masks_file.py reads; its images as pictures (Joined)
Out:  propose/proposals.jsonl or detect/detections.jsonl; what was left out stands in the ledger
"""

from __future__ import annotations

import errno
import json
import tempfile
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from maskdistill.datasets.coco import masks_file
from maskdistill.datasets.coco.fields import Size
from maskdistill.datasets.coco.instances_file import Crowds
from maskdistill.datasets.coco.masks_file import Found, Tally
from maskdistill.engine.job import Job
from maskdistill.errors import PredictionError, listed, setting
from maskdistill.masks import rle
from maskdistill.runs import atomic, lines
from maskdistill.runs.layout import StageFolder
from maskdistill.stage_parts.imported_pictures import Joined
from maskdistill.types import MOST_IDS


class Kept:
    """Masks in a file on disk, in the order in which they came.

    Memory holds of each mask its picture, score and place in the file alone.

    Args:
        file: open for writing and reading, empty.
        found: the pictures that the masks may be of.
    """

    def __init__(self, file: IO[bytes], found: Joined) -> None:
        self.file, self.picture_of = file, found.picture_of
        self.pictures, self.scores, self.places = array("q"), array("d"), array("q")
        self.categories: set[int | None] = set()
        self.end = 0

    def add(self, mask: Found) -> None:
        """Append a mask."""
        line = lines.encoded(
            {name: getattr(mask, name) for name in ("rle", "area", "box", "category", "score")}
        )
        self.file.write(line)
        self.pictures.append(self.picture_of[mask.image])
        self.scores.append(mask.score)
        self.places.append(self.end)
        self.categories.add(mask.category)
        self.end += len(line)

    def by_picture(self) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """Yield (picture id, its masks by falling score), by rising id.

        Masks of equal score keep the order of the file.
        """
        self.file.flush()
        owners = np.frombuffer(self.pictures, np.int64)
        if not len(owners):
            return  # all were left out
        order = np.lexsort((-np.frombuffer(self.scores, np.float64), owners))  # a stable sort
        ids, starts = np.unique(owners[order], return_index=True)
        for number, rows in zip(ids.tolist(), np.split(order, starts[1:]), strict=True):
            yield number, [self._at(self.places[row]) for row in rows.tolist()]

    def _at(self, place: int) -> dict[str, Any]:
        self.file.seek(place)
        return dict(json.loads(self.file.readline()))


@contextmanager
def spilled(folder: StageFolder) -> Iterator[IO[bytes]]:
    """Yield an empty file without a name, in the stage's parts/, gone afterwards.

    Raises:
        RunError: the disk is full.
    """
    # In the run's folder: the system's own for temporary files may be small, or memory.
    try:
        with tempfile.TemporaryFile("w+b", dir=folder.parts.path) as file:
            yield file
    except OSError as error:
        if error.errno != errno.ENOSPC:  # of what is read, maybe
            raise
        raise atomic.unwritable(folder.parts.path, error) from error


def read(
    job: Job,
    folder: StageFolder,
    found: Joined,
    kept: Kept,
    *,
    categories: Mapping[int, str] | None,
    crowds: Crowds,
    digest: str,
) -> None:
    """Read every mask of the file into `kept`; tell what was passed over.

    Args:
        folder: of the stage.
        categories: category id -> name, where masks must have one of these; None: any.
        crowds: ignored or objects.
        digest: of the file's content, for the ledger.
    Raises:
        PredictionError: a mask that cannot be taken; nothing is imported then.
    """
    source = found.source
    job.progress.say(f"{folder.path.name}: masks are imported from {source}")
    tally = Tally()
    for each in masks_file.masks(
        source,
        found.sizes,
        known=found.listed.__contains__,
        categories=categories,
        crowds=crowds,
        taken=f"{folder.path.name}.import_crowds",
    ):
        if isinstance(each, Tally):
            tally = each
        else:
            kept.add(each)
    twice = [number for number, times in tally.ids.items() if times > 1]
    told = [
        (tally.elsewhere, "masks are of images that are none of the run's pictures: left out"),
        (
            len(found.listed) - len(found.picture_of),
            "images of the file are none of the run's pictures",
        ),
        (tally.crowds, "masks are crowds: left out"),
        (tally.empty, "masks have no pixel: left out"),
        (len(twice), f"ids of masks stand more than once, all are kept: {listed(twice)}"),
        (0 if tally.scored else len(kept.scores), "masks have no score: 1 is taken"),
        (
            len(found.missing),
            "pictures of the run are not in the file: refused, nothing is known of them",
        ),
    ]
    told_of = {"file": str(source), "masks": len(kept.scores), "sha256": digest}
    job.ledger.write("imported", stage=folder.path.name, **told_of)
    for count, what in told:
        if count:
            _warn(job, folder.path.name, f"{count} {what}")
    for note in (*found.notes, *tally.notes):
        _warn(job, folder.path.name, f"{source.name}: {note}")
    for image in found.missing:
        job.ledger.write(
            "refused", stage=folder.path.name, picture=image.name, reason=_reason(source)
        )


def categories(found: Joined, kept: Kept) -> list[int]:
    """Return the category ids in the order of their clusters, empty where the masks have none.

    Raises:
        PredictionError: some masks have one, others not; more than a label map holds.
    """
    seen = {category for category in kept.categories if category is not None}
    if seen and None in kept.categories:
        raise PredictionError(
            f"{found.source}: some of its masks have a category_id, others not. Give it in all"
        )
    if not seen:
        return []
    chosen = sorted(found.names or seen)
    if len(chosen) > MOST_IDS:
        raise PredictionError(
            f"{found.source}: has {len(chosen)} categories, a label map holds {MOST_IDS} clusters. "
            f"Take its masks as one ({setting('detect.import_clusters', 'one')}), "
            "or have them clustered (again)"
        )
    return chosen


def write(
    job: Job,
    path: Path,
    found: Joined,
    kept: Kept,
    *,
    top: int,
    cluster_of: Mapping[int, int] | None,
) -> dict[str, int | float]:
    """Write a line for each picture of the run, and return what is counted of them.

    Args:
        path: the file of the stage's masks.
        top: masks of a picture at most, those of the highest scores; 0: all.
        cluster_of: category id -> cluster, of detections, which keep the boxes of the file; None:
            proposals.
    Returns:
        Counts: pictures, masks, refused, without_masks, maybe left_out.
    """
    counts: dict[str, int | float] = {
        "pictures": len(job.images),
        "masks": 0,
        "refused": 0,
        "without_masks": 0,
    }
    missing = {image.id for image in found.missing}
    n_repeated = n_cut = 0
    stream = kept.by_picture()
    following = next(stream, None)

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal following, n_repeated, n_cut
        with job.progress.bar(
            f"{path.parent.name}: import", total=len(job.images), unit="pictures"
        ) as bar:
            for image in job.images:
                masks = []
                if following is not None and following[0] == image.id:
                    masks, following = following[1], next(stream, None)
                bar.advance()
                if image.id in missing:
                    counts["refused"] += 1
                    yield {"id": image.id, "refused": _reason(found.source)}
                    continue
                unlike = {
                    (mask["rle"]["counts"], mask["score"], mask["category"]) for mask in masks
                }
                n_repeated += len(masks) - len(unlike)
                n_cut += max(0, len(masks) - top) if top else 0
                made = [_record(mask, image.size, cluster_of) for mask in masks[: top or None]]
                counts["masks"] += len(made)
                counts["without_masks"] += not made
                yield {
                    "id": image.id,
                    "masks": made,
                    **({"notes": []} if cluster_of is None else {}),
                }

    lines.write(path, rows())
    if n_repeated:
        _warn(
            job,
            path.parent.name,
            f"{n_repeated} masks repeat another one of their picture: all are kept",
        )
    if n_cut:
        counts["left_out"] = n_cut
        _warn(
            job,
            path.parent.name,
            f"{n_cut} masks are not among the best {top} of their picture: left out",
        )
    return counts


def _record(
    mask: dict[str, Any], size: Size, cluster_of: Mapping[int, int] | None
) -> dict[str, Any]:
    """Return a mask as the lines of proposals.jsonl and detections.jsonl have it."""
    box = rle.boxes([mask["rle"]])[0].tolist()
    if cluster_of is not None and mask["box"] is not None:
        x1, y1, x2, y2 = mask["box"]
        given = [max(0.0, x1), max(0.0, y1), min(float(size[1]), x2), min(float(size[0]), y2)]
        # A box without an inside cannot be cut out; the mask's own stands for it.
        box = given if given[0] < given[2] and given[1] < given[3] else box
    record = {
        "rle": mask["rle"],
        "box": [float(edge) for edge in box],
        "area": mask["area"],
        "score": round(float(mask["score"]), 6),
    }
    return (
        record if cluster_of is None else {**record, "cluster": cluster_of.get(mask["category"], 0)}
    )


def _warn(job: Job, stage: str, what: str) -> None:
    job.ledger.write("warning", stage=stage, what=what)
    job.progress.say(f"{stage}: {what}")


def _reason(source: Path) -> str:
    return f"{source.name} does not list it"
