"""Noise among the clusters: what the settings flag, and what they leave out of training.

In:   a clustering and the mask file that it is of
Out:  Flags; which masks are left out, and why
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from maskdistill.artifacts.mask_lines import MaskFile
from maskdistill.clusters import noise
from maskdistill.clusters.chunks import Rows
from maskdistill.engine.job import Job
from maskdistill.stage_parts.fit_clusters import Fitted


@dataclass(frozen=True)
class Flags:
    """Hold what looks like noise.

    Attributes:
        far: (n,) bool, masks far from their centroid.
        clusters: why each cluster looks like ground, [] for one that does not.
    """

    far: np.ndarray
    clusters: list[list[str]]

    def any(self) -> bool:
        """Return whether anything is flagged."""
        return bool(self.far.any()) or any(self.clusters)

    def why(self, row: int, cluster: int) -> str:
        """Return why a mask is flagged, "" if it is not."""
        return ", ".join(
            [
                *(["far"] if self.far[row] else []),
                *(f"cluster: {why}" for why in self.clusters[cluster]),
            ]
        )

    def count(self, ids: np.ndarray) -> int:
        """Return how many masks are flagged, themselves or with their cluster."""
        return sum(bool(self.why(row, cluster)) for row, cluster in enumerate(ids.tolist()))


def flags(
    job: Job, file: MaskFile, fitted: Fitted, normalised: Rows, ids: np.ndarray, fits: np.ndarray
) -> Flags:
    """Return the flags of all masks, by the medians of those that were fitted on.

    Args:
        normalised: (n, m) rows. ids: (n,) clusters. fits: (n,) bool, those that were fitted on.
    """
    own = job.settings.cluster
    # Numbers alone are held, not the masks of all pictures.
    rows = np.array(
        [
            (*image.size, *mask["box"], mask["area"], mask["score"])
            for image in job.images
            for mask in file.masks(image.id)
        ],
        np.float64,
    ).reshape(-1, 8)
    sizes, boxes, scores = rows[:, :2], rows[:, 2:6], rows[:, 7]
    areas = rows[:, 6] / sizes.prod(axis=1)
    sides = noise.sides_touched(boxes, sizes)
    clusters = noise.like_background(
        ids[fits],
        k=fitted.k,
        sides=sides[fits],
        areas=areas[fits],
        scores=scores[fits],
        max_sides=own.flag_border,
        max_area=own.flag_area,
        min_score=own.flag_score,
    )
    return Flags(noise.far(fitted.distances(normalised), ids, factor=own.flag_far), clusters)


def dropped(
    job: Job,
    stage: str,
    found: Flags,
    ids: np.ndarray,
    left_out: Mapping[int, str],
    fits: np.ndarray,
) -> dict[int, str]:
    """Return why rows are left out: those that were so already, and those that are flagged.

    Where that would be all that are fitted on, nothing more is left out, and the ledger says so.

    Returns:
        Row -> why.
    """
    why = {row: found.why(row, cluster) for row, cluster in enumerate(ids.tolist())}
    both = {**{row: words for row, words in why.items() if words}, **left_out}
    if set(np.flatnonzero(fits).tolist()) <= set(both):
        job.ledger.write(
            "warning", stage=stage, what="every mask is flagged as noise: none is dropped for that"
        )
        return dict(left_out)
    return both
