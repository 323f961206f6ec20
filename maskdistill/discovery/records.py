"""Records: the proposals of one picture as a line has them, of one recipe or of a pool.

In:   a picture, resolved settings of `propose`, a backbone, features where they are known
Out:  {"masks": records by falling score, "pool": all that were pooled}; notes
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from maskdistill.discovery.find import Discovered, discover
from maskdistill.discovery.pool import DIGITS, Pooled, Tried, discover_all
from maskdistill.discovery.views import View
from maskdistill.masks import rle
from maskdistill.settings.propose import ProposeSettings
from maskdistill.types import Notes, Rle

POOL = "pool"  # key of the masks of the pool in a record


def found(
    picture: Callable[[], np.ndarray],
    own: ProposeSettings,
    tried: Sequence[Tried],
    features: View | None = None,
    **how: Any,
) -> tuple[dict[str, Any], Notes]:
    """Return the masks of a picture as the record of a line, its pool beside them; and the notes.

    Args:
        picture, how: as `discover` takes them: how to read the picture, size, backbone.
        own: resolved. tried: `tried_of(own)`.
        features: by scale; None: not known, so that the backbone is asked.
    Returns:
        "masks": at most `max_masks` of a pool; POOL: the whole of it, where there is one.
    Raises:
        MemoryError: the picture does not fit, however small it is shown.
    """
    if own.pool.is_on:
        pooled = discover_all(
            picture, tried=tried, overlap=own.pool.overlap, features=features, **how
        )
        rows = pool_rows(pooled)
        notes = pooled.notes
        entry: dict[str, Any] = {"masks": rows[: own.max_masks], POOL: rows}
    else:
        alone = _own(picture, tried, features, **how)
        notes = alone.notes
        entry = {"masks": mask_rows(alone)}
    return entry, notes


def _own(
    picture: Callable[[], np.ndarray], tried: Sequence[Tried], features: View | None, **how: Any
) -> Discovered:
    """Return the masks of the run's own recipe, the only one where nothing is pooled."""
    recipe = tried[0].recipe
    seen = None if features is None else features[1.0]
    known = None if seen is None else seen.block(recipe.block)
    return discover(picture, recipe=recipe, features=known, **how)


def best_masks(
    picture: Callable[[], np.ndarray],
    own: ProposeSettings,
    tried: Sequence[Tried],
    features: View,
    **how: Any,
) -> np.ndarray:
    """Return the masks that `found` would give of a picture as pixels, (n, H, W) bool.

    Args:
        picture, own, tried, features, how: as `found` takes them.
    Raises:
        MemoryError: as `found`.
    """
    if own.pool.is_on:
        overlap = own.pool.overlap
        pooled = discover_all(picture, tried=tried, overlap=overlap, features=features, **how)
        made = pooled.best(own.max_masks)
    else:
        made = _own(picture, tried, features, **how)
    return made.masks[made.best_first]


def mask_rows(found: Discovered) -> list[dict[str, Any]]:
    """Return the masks as the records of a line, by falling score; empty masks are left out."""
    order = found.best_first
    encoded = rle.encode(found.masks[order]) if order else []
    return _rows(encoded, [round(float(found.scores[place]), DIGITS) for place in order])


def pool_rows(pooled: Pooled) -> list[dict[str, Any]]:
    """Return the masks of a pool as the records of a line, each with the list of its `sources`."""
    rows = _rows(pooled.rles, pooled.scores)
    return [
        {**row, "sources": [vars(source) for source in sources]}
        for row, sources in zip(rows, pooled.sources, strict=True)
    ]


def _rows(rles: list[Rle], scores: Sequence[float]) -> list[dict[str, Any]]:
    """Return masks as records."""
    boxes, areas = rle.boxes(rles), rle.areas(rles)
    return [
        {
            "rle": mask,
            "box": [float(edge) for edge in boxes[row]],
            "area": int(areas[row]),
            "score": scores[row],
        }
        for row, mask in enumerate(rles)
    ]
