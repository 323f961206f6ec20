"""Pictures that a finished stage has nothing of: refused, as they could not be read, or unmapped.

In:   the lines and label maps that the stages left
Out:  ids of pictures; who measures says beside the number what became of them
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from maskdistill.engine.job import Image
from maskdistill.runs import lines
from maskdistill.runs.layout import RunFolder


def refused(folder: RunFolder, stage: str, images: Iterable[Image]) -> frozenset[int]:
    """Return the ids of the pictures that a finished stage could not use, of some pictures.

    Args:
        stage: propose, cluster (whose masks are proposals), detect, label (of maps that are
            painted from detections), or segment, whose refused pictures have no prediction.
        images: the pictures that are asked about.
    """
    if stage == "segment":
        return _without(folder.segment.map_of, images)
    path = folder.propose.masks if stage in ("propose", "cluster") else folder.detect.masks
    wanted = {image.id for image in images}
    return frozenset(
        row["id"] for row in lines.read(path) if "refused" in row and row["id"] in wanted
    )


def unmapped(folder: RunFolder, images: Iterable[Image]) -> frozenset[int]:
    """Return the ids of the pictures without a label map: no detection of them was sure enough."""
    return _without(folder.label.map_of, images)


def _without(map_of: Callable[[int], Path], images: Iterable[Image]) -> frozenset[int]:
    return frozenset(image.id for image in images if not map_of(image.id).exists())
