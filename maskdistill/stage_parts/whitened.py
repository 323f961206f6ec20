"""Whitened embeddings: written to disk chunk by chunk and read as memory maps, for k-means.

In:   the embeddings (n, d) of a clustering, as a memory map; those of a support set
Out:  the rows that are fitted on, a whitening of them, all rows whitened
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskdistill.clusters import chunks, whitening
from maskdistill.clusters.whitening import Whitening
from maskdistill.runs import arrays
from maskdistill.runs.layout import ClusterFolder, Parts
from maskdistill.settings.cluster import ClusterSettings


@dataclass(frozen=True)
class Whitened:
    """Hold embeddings in the space in which k-means works.

    Attributes:
        space: the whitening.
        all: (n, m) float32, every mask's row. learnt: (l, m), the rows that are fitted on.
    """

    space: Whitening
    all: np.ndarray
    learnt: np.ndarray


def whitened(
    own: ClusterSettings,
    embeddings: np.ndarray,
    fits: np.ndarray,
    supporting: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    parts: Parts,
) -> Whitened:
    """Return the rows as the settings ask for them, in files that nobody needs afterwards.

    Args:
        embeddings: (n, d) of our masks. fits: (n,) bool, the rows that are fitted on.
        supporting: others' embeddings and the places of those to use, of each source.
        parts: where the files go.
    """
    sources = [(embeddings, np.flatnonzero(fits)), *supporting]
    rows = chunks.Chosen(sources)
    if own.whiten and own.whitening == "pca":
        space = Whitening(projection=whitening.principal(rows, dims=own.pca_dims))
    else:
        space = Whitening(scale=whitening.scale_of(rows, whiten=own.whiten))
    everything = _written(parts.normalised, space, embeddings)
    if not supporting and fits.all():
        return Whitened(space, everything, everything)
    return Whitened(space, everything, _written(parts.learnt, space, rows))


def read(folder: ClusterFolder) -> Whitening:
    """Read the whitening that a clustering was made with."""
    found = json.loads(folder.about.read_text(encoding="utf-8"))
    if found.get("projection"):
        return Whitening(projection=np.load(folder.projection))
    return Whitening(scale=np.array(found["scale"], np.float32))


def _written(path: Path, space: Whitening, rows: chunks.Rows) -> np.ndarray:
    """Write rows whitened to a file and return it as a memory map."""
    with arrays.writing(path, len(rows)) as writer:
        for part in chunks.pieces(rows):
            writer.add(space(rows[part]))
    return arrays.mapped(path)
