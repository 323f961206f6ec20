"""False-mask rate: how often a mask is found where there is nothing to find.

In:   objects and masks of pictures
Out:  the share of the pictures without objects in which a mask was found; crowds are no objects
"""

from __future__ import annotations

from collections.abc import Container

import numpy as np

from maskdistill.evaluation import bootstrap, records
from maskdistill.evaluation.bootstrap import Statistic
from maskdistill.evaluation.records import Records

PROTOCOL = "share of the {n} pictures without objects in which a mask was found"


def counted(truth: Records, *, refused: Container[int] = ()) -> np.ndarray:
    """Return (pictures,) bool: the picture has no object, and was looked at.

    Args:
        refused: pictures that the method could not use: to have found nothing there is no merit.
    """
    return np.array(
        [not records.solid(rows) and number not in refused for number, rows in truth.items()], bool
    )


def statistic(truth: Records, results: Records, counted: np.ndarray) -> Statistic:
    """Return the share of the counted pictures that have a mask; nan where none is counted."""
    found = np.array([bool(results.get(number, ())) for number in truth], bool)
    return bootstrap.ratio(found & counted, counted)
