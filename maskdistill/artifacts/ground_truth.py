"""Ground truth of a run: which of its pictures have one, joined by path. A thin reader of datasets.

In:   the sources that the settings name; the pictures of the run
Out:  Known: a picture, its objects, its label map; nothing of it reaches what is trained, but where
      `segment.keep` asks for that by name (stage_parts/best_on_truth.py)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maskdistill.datasets import truth as truths
from maskdistill.datasets.label_maps.map_files import Reading
from maskdistill.datasets.names import join as join_names
from maskdistill.engine.job import Image, Job
from maskdistill.errors import GroundTruthError, listed, setting
from maskdistill.masks import rle
from maskdistill.settings import RunSettings


class Known(NamedTuple):
    """A picture of the run, with the source of its truth and the key that it has there."""

    image: Image
    source: truths.Truth
    key: str

    @property
    def has_objects(self) -> bool:
        """Return whether the truth tells objects apart; a folder of label maps does not."""
        return self.key in self.source.objects

    @property
    def has_masks(self) -> bool:
        """Return whether the truth knows shapes; a file of boxes alone does not."""
        return self.source.has_masks

    def objects(self) -> list[dict[str, Any]]:
        """Return the objects as records: box, area, category (1 .. C), crowd, and rle if known.

        Box and area are those of the mask where there is one.
        """
        found = self.source.objects[self.key]
        tight = zip(rle.boxes(found.rles), rle.areas(found.rles), strict=True)
        records = []
        for row in found.records:
            record = {key: row[key] for key in ("rle", "region", "category", "crowd") if key in row}
            if "rle" in row:
                box, area = next(tight)
                records.append(record | {"box": box, "area": int(area)})
            else:
                box = np.array(row["box"], np.float32)
                records.append(record | {"box": box, "area": int(row["area"])})
        return records

    def label_map(self) -> np.ndarray:
        """Return the true label map (H, W) uint8: 0 background, 1 .. C, 255 ignored."""
        return self.source.label_map(self.key)


def read(job: Job, paths: Sequence[str] | None = None) -> tuple[list[truths.Truth], list[str]]:
    """Read sources of ground truth, of the objects those of the run's pictures alone.

    Args:
        paths: files and folders; None: those that the settings name.
    Returns:
        The sources, and the names of the classes 1 .. C of all of them; none without a source.
    Raises:
        GroundTruthError: what is given cannot be read, or names other classes than another.
    """
    pictures = {image.name: image.size for image in job.images}
    how, crowds = reading(job.settings), job.settings.evaluate.crowds
    found = [
        truths.read(Path(path), how, pictures=pictures, crowds=crowds)
        for path in (job.settings.ground_truth if paths is None else paths)
    ]
    names, found = truths.of_one_list(found) if found else ([], [])
    return found, names


def reading(settings: RunSettings) -> Reading:
    """Return how the settings read label maps of others."""
    return Reading(values=settings.evaluate.label_values, void=settings.evaluate.void)


def sentences(
    job: Job,
    sources: Sequence[truths.Truth],
    joined: Mapping[str, Sequence[Known]],
    void: Mapping[str, tuple[int, int]],
) -> list[str]:
    """Return what stands beside every number: which pictures have a truth, what is odd in it.

    Args:
        joined: split -> the pictures that have a truth.
        void: split -> pixels of their truth that no label map counts, and all.
    """
    told, without = [], list[str]()
    for split, images in job.in_splits().items():
        known = {each.image.id for each in joined.get(split, ())}
        without += [image.name for image in images if image.id not in known]
        if images:
            n_void, n = void.get(split, (0, 0))
            share = f", {100 * n_void / n:.1f} % of their pixels void" if n else ""
            told.append(f"{len(known)} of {len(images)} pictures of {split}{share}")
    missing = [f"{len(without)} pictures have none: {listed(without, 3)}"] if without else []
    return ["; ".join(told), *missing, *oddities(sources)]


def oddities(sources: Sequence[truths.Truth]) -> list[str]:
    """Return what is odd in the sources, or was assumed, each behind its source's name."""
    return [f"{each.source.name}: {note}" for each in sources for note in each.notes]


def tell(job: Job, sources: Sequence[truths.Truth], *, stage: str) -> None:
    """Say what is odd in the sources, and write it to the ledger, before anything is made of them.

    Args:
        stage: for whom they were read.
    """
    for sentence in oddities(sources):
        job.progress.say(f"ground truth: {sentence}")
        job.ledger.write("note", stage=stage, what=f"ground truth: {sentence}")


def by_split(
    job: Job, sources: Sequence[truths.Truth], *, early: bool = False
) -> dict[str, list[Known]]:
    """Return split -> its pictures that have a truth, by id; a split without any is left out.

    Args:
        early: it is looked at before anything is measured, so that pictures without a truth are no
            news.
    Raises:
        GroundTruthError: no picture of the run has a truth, or one of another size.
    """
    joined: dict[str, list[Known]] = {
        split: found
        for split, images in job.in_splits().items()
        if (found := join(job, sources, images, partial=early))
    }
    if not joined:
        keys = [key for source in sources for key in source.keys]
        raise GroundTruthError(
            f"{', '.join(job.settings.ground_truth)}: none of the {len(keys)} pictures there "
            f"({listed(keys, 2)}) is one of the run's {len(job.images)} "
            f"({listed([image.name for image in job.images], 2)}). They are joined by relative "
            f"path or file name. Give the {setting('ground_truth')} of these pictures"
        )
    return joined


def join(
    job: Job, sources: Sequence[truths.Truth], images: Sequence[Image], *, partial: bool = False
) -> list[Known]:
    """Return the pictures that have a truth, by id; the first source that knows one counts.

    Args:
        partial: that some pictures have none is meant, and no warning.
    Raises:
        GroundTruthError: a truth of another size than its picture.
    """
    found = []
    left = {image.name: image for image in images}
    for source in sources:
        for path, key in join_names(source.keys, list(left)).items():
            image = left.pop(path)
            size = source.size(key)
            if size != image.size:
                raise GroundTruthError(
                    f"{source.source}: {key} is {size[1]} x {size[0]} px, "
                    f"its picture {image.name} {image.width} x {image.height}. "
                    f"Give the truth at the picture's own size, or another {setting('orientation')}"
                )
            found.append(Known(image, source, key))
    if left and found and not partial:
        job.ledger.write(
            "warning",
            stage="evaluate",
            what=f"{len(left)} of {len(images)} pictures have no ground truth",
        )
    return sorted(found, key=lambda known: known.image.id)
