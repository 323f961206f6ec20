"""Mask lines of a run, read back: proposals or detections, a picture a line, with their clusters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from maskdistill.errors import RunError
from maskdistill.runs import lines
from maskdistill.types import Detections


class MaskFile:
    """Lines of a mask file by picture id, found by seeking: only offsets are held, never the masks of all pictures."""

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
        """The mask records of one picture; none for a picture that was refused."""
        with self.path.open("rb") as file:
            file.seek(self._of(image_id, self.offsets))
            return json.loads(file.readline()).get("masks", [])

    def refused(self, image_id: int) -> bool:
        """Whether the picture could not be decoded."""
        return image_id in self.reasons

    def n_in(self, image_id: int) -> int:
        """How many masks a picture has."""
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
    """Lines of a mask file, a picture each, with `cluster`, maybe `left_out`, of a clusters.jsonl (of one order)."""
    ids = lines.read(clusters) if clusters else iter(())
    for row in lines.read(masks):
        for number, mask in enumerate(row.get("masks", [])):
            if clusters:
                entry = next(ids, None)
                if entry is None or (entry["id"], entry["mask"]) != (row["id"], number):
                    raise RunError(
                        f"{clusters}: does not fit {masks} at picture {row['id']}. Do it again: --from cluster"
                    )
                mask["cluster"] = entry["cluster"]
                if "left_out" in entry:
                    mask["left_out"] = entry["left_out"]
        yield row


def detections(row: dict[str, Any], size: tuple[int, int]) -> Detections:
    """The masks of one line as a record of arrays."""
    masks = row.get("masks", [])
    return Detections(
        size=size,
        rles=[mask["rle"] for mask in masks],
        boxes_xyxy=np.array([mask["box"] for mask in masks], np.float32).reshape(-1, 4),
        scores=np.array([mask["score"] for mask in masks], np.float32),
        clusters=np.array([mask.get("cluster", 0) for mask in masks], np.int64),
    )
