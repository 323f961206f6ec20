"""Masks of others in place of those of `propose` or `detect`: joined to the run's pictures, written as a stage's own.

In:   a file or folder that datasets/imported.py reads; images.jsonl
Out:  propose/proposals.jsonl; or detect/detections.jsonl, clusters.json, names.json
"""

from __future__ import annotations

import errno
import json
import tempfile
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from maskdistill.artifacts.cluster_names import unlike
from maskdistill.datasets import result_files
from maskdistill.datasets.result_files import Found, Key, Size, Tally
from maskdistill.datasets.truth import join
from maskdistill.engine.job import Image, Job
from maskdistill.engine.stage import Done, Stage
from maskdistill.errors import PredictionError, SettingsError, listed, setting
from maskdistill.masks import rle
from maskdistill.runs import atomic, fingerprints, lines
from maskdistill.runs.layout import DetectFolder, ProposeFolder, StageFolder
from maskdistill.settings import RunSettings
from maskdistill.settings.detect import DetectSettings
from maskdistill.settings.propose import ProposeSettings
from maskdistill.types import MOST_IDS


@dataclass(frozen=True)
class Joined:
    """A file's images as pictures of the run.

    Attributes:
        source: the file or folder.
        picture_of: image id -> picture id. sizes: image id -> (height, width) of the picture.
        listed: image ids that the file's masks may have. names: category id -> name.
        missing: pictures of the run that the file does not list: what is in them is unknown.
    """

    source: Path
    picture_of: Mapping[Key, int]
    sizes: Mapping[Key, Size]
    listed: frozenset[Key]
    names: Mapping[int, str]
    missing: list[Image]


def propose_parts(settings: RunSettings) -> dict[str, Any]:
    """The file by content, and what is taken of it; no setting of a method."""
    return {"import": _parts(settings.propose)}


def detect_parts(settings: RunSettings) -> dict[str, Any]:
    """As `propose_parts`, and what becomes of categories."""
    return {"import": {**_parts(settings.detect), "clusters": settings.detect.import_clusters}}


def propose(job: Job, folder: ProposeFolder) -> Done:
    """The masks of the file as proposals, whatever their categories."""
    own = job.settings.propose
    found = _joined(job, own)
    with _spilled(folder) as spill:
        kept = _Kept(spill, found)
        _read(job, folder, found, kept, categories=None)
        counts = _write(job, folder.masks, found, kept, top=own.import_top, cluster_of=None)
    return Done(outputs=[folder.masks], counts=counts)


def detect(job: Job, folder: DetectFolder) -> Done:
    """The results of the file as detections: nothing is trained."""
    own = job.settings.detect
    found = _joined(job, own)
    with _spilled(folder) as spill:
        kept = _Kept(spill, found)
        by_category = own.import_clusters == "categories"
        _read(job, folder, found, kept, categories=found.names if by_category else None)
        categories = _categories(found, kept) if by_category else []
        cluster_of = {category: number for number, category in enumerate(categories)}
        counts = _write(job, folder.masks, found, kept, top=own.import_top, cluster_of=cluster_of)
    clustering = job.folder.imported_clusters
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
    return {"masks": content(own.import_file), **images, "top": own.import_top}


def content(source: str) -> str:
    """What a file or folder is known by in a fingerprint; a word where it is not there."""
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


@cache  # a command asks several times, and a folder may hold a file for each picture
def _sha256_of(path: Path, size: int, time: int) -> str:
    return fingerprints.sha256_file(path)


def _joined(job: Job, own: ProposeSettings | DetectSettings) -> Joined:
    """Whose pictures the file's images are.

    Raises:
        PredictionError: none is one of the run's, or one has another size. SettingsError: two lists of images.
    """
    source = Path(own.import_file)
    about = result_files.images(source)
    if own.import_images:
        if about is not None:
            stage = "propose" if isinstance(own, ProposeSettings) else "detect"
            raise SettingsError(
                f"import_images: {source} lists its images itself. "
                f"Leave out {setting(f'{stage}.import_images')}"
            )
        about = result_files.images(Path(own.import_images))
        if about is None:
            raise PredictionError(f"{own.import_images}: lists no images. Wanted: a COCO dataset")
    if about is None:  # image ids are ours
        sizes: dict[Key, Size] = {image.id: image.size for image in job.images}
        return Joined(
            source, {image.id: image.id for image in job.images}, sizes, frozenset(sizes), {}, []
        )
    pictures = {image.path: image for image in job.images}
    key_of = {path: key for key, path in about.paths.items()}
    pairs = join(list(key_of), [image.path for image in job.images])
    if not pairs:
        raise PredictionError(
            f"{source}: none of its {len(key_of)} images ({listed(list(key_of), 2)}) is one of the run's "
            f"{len(pictures)} pictures ({listed(list(pictures), 2)}). They are joined by relative path or file name"
        )
    of = {key_of[name]: pictures[path] for path, name in pairs.items()}
    differ = [
        f"{about.paths[key]} is {size[1]} x {size[0]} there, {image.width} x {image.height} here"
        for key, image in of.items()
        if (size := about.sizes.get(key, image.size)) != image.size
    ]
    if differ:
        raise PredictionError(
            f"{source}: {len(differ)} images have another size than their pictures: {listed(differ, 3)}. "
            "Give the pictures that the masks were made for; "
            f"turned by 90 degrees: try {setting('orientation', 'stored')}"
        )
    return Joined(
        source,
        {key: image.id for key, image in of.items()},
        {key: image.size for key, image in of.items()},
        frozenset(about.paths),
        about.names,
        [image for image in job.images if image.path not in pairs],
    )


class _Kept:
    """Masks in a file on disk, in the order in which they came; of each only owner, score and place are held."""

    def __init__(self, file: IO[bytes], found: Joined) -> None:
        self.file, self.picture_of = file, found.picture_of
        self.pictures, self.scores, self.places = array("q"), array("d"), array("q")
        self.categories: set[int | None] = set()
        self.end = 0

    def add(self, mask: Found) -> None:
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
        """(picture id, masks by falling score, equal ones in the order of the file), by rising id."""
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
def _spilled(folder: StageFolder) -> Iterator[IO[bytes]]:
    # In the run's folder: the system's own for temporary files may be small, or memory. Nobody else sees its name.
    try:
        with tempfile.TemporaryFile("w+b", dir=folder.parts.path) as file:
            yield file
    except OSError as error:
        if error.errno != errno.ENOSPC:  # of what is read, maybe
            raise
        raise atomic.unwritable(folder.parts.path, error) from error


def _read(
    job: Job,
    folder: StageFolder,
    found: Joined,
    kept: _Kept,
    *,
    categories: Mapping[int, str] | None,
) -> None:
    """Every mask of the file to disk; what was passed over is told."""
    source = found.source
    job.progress.say(f"{folder.path.name}: masks are imported from {source}")
    tally = Tally()
    for each in result_files.masks(
        source, found.sizes, known=found.listed.__contains__, categories=categories
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
    digests = {"sha256": content(str(source))}
    job.ledger.write(
        "imported", stage=folder.path.name, file=str(source), masks=len(kept.scores), **digests
    )
    for count, what in told:
        if count:
            _warn(job, folder.path.name, f"{count} {what}")
    for image in found.missing:
        job.ledger.write(
            "refused", stage=folder.path.name, picture=image.path, reason=_reason(source)
        )


def _warn(job: Job, stage: str, what: str) -> None:
    job.ledger.write("warning", stage=stage, what=what)
    job.progress.say(f"{stage}: {what}")


def _reason(source: Path) -> str:
    return f"{source.name} does not list it"


def _categories(found: Joined, kept: _Kept) -> list[int]:
    """Category ids in the order of their clusters; none where the masks have none.

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


def _write(
    job: Job,
    path: Path,
    found: Joined,
    kept: _Kept,
    *,
    top: int,
    cluster_of: Mapping[int, int] | None,
) -> dict[str, int | float]:
    """A line for each picture of the run; what is counted of them.

    Args:
        cluster_of: category id -> cluster, of detections, which keep the boxes of the file; None: proposals.
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
    """A mask as the lines of proposals.jsonl and detections.jsonl have it."""
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


PROPOSE = Stage(name="propose", version=1, reads=("scan",), parts=propose_parts, work=propose)
DETECT = Stage(
    name="detect", version=1, reads=("scan",), parts=detect_parts, work=detect, keeps=("train",)
)
