"""Ground truth of a run: which of its pictures have one, joined by path. A thin reader of datasets.

In:   the sources that the settings name; the pictures of the run
Out:  Known: a picture, its objects, its label map; nothing of it reaches what is trained, but where
      `segment.keep` asks for that by name (stage_parts/best_on_truth.py)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maskdistill.datasets import truth as truths
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

    def objects(self) -> list[dict[str, Any]]:
        """Return the objects as records: rle, box, area, category (1 .. C), crowd."""
        found = self.source.objects[self.key]
        boxes, areas = rle.boxes(found.rles), rle.areas(found.rles)
        return [
            {"rle": mask, "box": box, "category": which, "crowd": crowd, "area": int(area)}
            for mask, box, which, crowd, area in zip(
                found.rles, boxes, found.classes, found.crowds, areas, strict=True
            )
        ]

    def label_map(self) -> np.ndarray:
        """Return the true label map (H, W) uint8: 0 background, 1 .. C, 255 ignored."""
        return self.source.label_map(self.key)


def sources(settings: RunSettings) -> list[truths.Truth]:
    """Read the ground truth that the settings name.

    Raises:
        GroundTruthError: what is given cannot be read.
    """
    return [truths.read(Path(source)) for source in settings.ground_truth]


def class_names(sources: Sequence[truths.Truth]) -> list[str]:
    """Return the classes 1 .. C of all sources; a folder of label maps may lack the last ones.

    Raises:
        GroundTruthError: a source whose list is not the beginning of the longest one.
    """
    longest = max((source.names for source in sources), key=len)
    for source in sources:
        if source.names != longest[: len(source.names)]:
            raise GroundTruthError(
                f"{source.source}: names other classes than another ground truth: "
                f"{', '.join(source.names[:5])}, ... and {', '.join(longest[:5])}, ... "
                "Give sources of one list of classes"
            )
    return longest


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
        for path, key in truths.join(source.keys, list(left)).items():
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
