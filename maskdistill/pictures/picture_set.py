"""Levels of a set: one black and one white for all pictures of sensors whose values compare.

In:       files with the number of their page
Out:      Limits, by the percentiles of all pictures together
Differs:  each picture counts alike, by at most so many pixels evenly spread over it
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from maskdistill.errors import PictureError
from maskdistill.pictures.levels import Limits, limits_of
from maskdistill.pictures.prefetch import prefetched
from maskdistill.pictures.read import sampled

# Pixels of all pictures together: the 0.1 percentile of them has 8 000 below it, so that its rank
# is known to about 1 % (binomial); float64 and three bands are 200 MiB.
_MOST = 2**23


def limits_of_set(
    files: Sequence[tuple[Path, int]],
    *,
    workers: int,
    max_megapixels: float = 100.0,
    bands: Sequence[int] | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Limits:
    """Return the values that are black and white in all pictures of a set.

    Args:
        files: path and page of each. Pictures of 8 bits, and those that cannot be decoded, do not
            count.
        workers: threads that decode; the result does not depend on it.
        max_megapixels, bands: as `read` takes them.
        advance: is called after each picture.
    Returns:
        (black, white) of all bands, or of each where bands are chosen: as most pictures have them.
        Empty where no picture counts.
    """
    most = max(1, _MOST // max(1, len(files)))

    def load(file: tuple[Path, int]) -> np.ndarray | None:
        """Return pixels of a picture (n, bands), None of one that does not count."""
        path, page = file
        found = sampled(path, page=page, most=most, max_megapixels=max_megapixels, bands=bands)
        return found if found is None or found.dtype.itemsize <= 4 else found.astype(np.float64)

    found: dict[int, list[np.ndarray]] = defaultdict(list)
    for _, values in prefetched(files, load, workers=workers):
        if values is not None and not isinstance(values, PictureError):
            found[values.shape[1]].append(values)
        advance()
    if not found:
        return ()
    n_bands = max(found, key=lambda number: (len(found[number]), number))
    return limits_of(np.concatenate(found[n_bands]), each_band=n_bands > 1)
