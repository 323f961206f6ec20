"""Mask lines of a run, read back: proposals or detections, a picture a line, with their clusters.

In:   proposals.jsonl or detections.jsonl, and the clusters.jsonl of its masks
Out:  records {"rle", "box", "score", "cluster", ...} as dicts; arrays of one picture (Detections)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from maskdistill.errors import RunError
from maskdistill.runs import lines
from maskdistill.runs.stages import verb_of
from maskdistill.types import Detections


class MaskFile:
    """Lines of a mask file by picture id, found by seeking: offsets alone are held, not the masks.

    Raises:
        RunError: a line of the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offsets: dict[int, int] = {}
        self.first: dict[int, int] = {}
        self.n_masks = 0
        self.reasons: dict[int, str] = {}  # of pictures that could not be used
        with path.open("rb") as file:
            offset = 0
            for number, line in enumerate(file, 1):
                row = lines.decoded(path, number, line)
                self.offsets[row["id"]], self.first[row["id"]] = offset, self.n_masks
                self.n_masks += len(row.get("masks", []))
                if "refused" in row:
                    self.reasons[row["id"]] = row["refused"]
                offset += len(line)

    def masks(self, image_id: int) -> list[dict[str, Any]]:
        """Return the mask records of one picture, empty where it was refused.

        Raises:
            RunError: the file has no line of the picture.
        """
        with self.path.open("rb") as file:
            file.seek(self._of(image_id, self.offsets))
            return json.loads(file.readline()).get("masks", [])

    def refused(self, image_id: int) -> bool:
        """Return whether the picture could not be decoded."""
        return image_id in self.reasons

    def n_in(self, image_id: int) -> int:
        """Return the number of masks of one picture.

        Raises:
            RunError: the file has no line of the picture.
        """
        following = self.first.get(image_id + 1, self.n_masks)
        return following - self._of(image_id, self.first)

    def _of(self, image_id: int, known: dict[int, int]) -> int:
        if image_id not in known:
            raise RunError(
                f"{self.path}: has no line of picture {image_id}. The file was changed or cut short by another "
                f"program. Make it again: --from {self.path.parent.name}"
            )
        return known[image_id]


def with_clusters(masks: Path, clusters: Path | None) -> Iterator[dict[str, Any]]:
    """Yield the lines of a mask file, a picture each, every mask with its `cluster`.

    Args:
        clusters: a clusters.jsonl, a mask a line in the order of `masks`, maybe with `left_out`,
            the reason why a mask is not trained on; None: the masks stay as they are.
    Raises:
        RunError: the two files do not fit, or a line cannot be read.
    """
    ids = lines.read(clusters) if clusters else iter(())
    for row in lines.read(masks):
        for number, mask in enumerate(row.get("masks", [])):
            if clusters:
                entry = next(ids, None)
                if entry is None or (entry["id"], entry["mask"]) != (row["id"], number):
                    raise RunError(
                        f"{clusters}: does not fit {masks} at picture {row['id']}. "
                        f"Do it again: --from {verb_of(clusters.parent.name)}"
                    )
                mask["cluster"] = entry["cluster"]
                if "left_out" in entry:
                    mask["left_out"] = entry["left_out"]
        yield row


def detections(row: dict[str, Any], size: tuple[int, int]) -> Detections:
    """Return the masks of one line as arrays of one length n, which may be 0.

    A mask without a cluster counts in cluster 0.

    Args:
        size: (height, width) of the picture.
    """
    masks = row.get("masks", [])
    return Detections(
        size=size,
        rles=[mask["rle"] for mask in masks],
        boxes_xyxy=np.array([mask["box"] for mask in masks], np.float32).reshape(-1, 4),
        scores=np.array([mask["score"] for mask in masks], np.float32),
        clusters=np.array([mask.get("cluster", 0) for mask in masks], np.int64),
    )
