"""TokenCut: the patches of a picture as a graph, cut in two; the side with the strongest patch is the object.

Paper:    Wang et al., CVPR 2022, arXiv:2202.11539
In:       Features of one picture (keys alone are used)
Out:      Found: masks (at most max_masks, may be empty) and notes
Differs:  nothing at the paper's settings; max_masks > 1, the Gaussian affinity, its stop rule and the score are ours
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from maskdistill.proposals.grid import component
from maskdistill.proposals.normalized_cut import Cut, Dense, TwoValued, second_eigenvector
from maskdistill.types import Features, Found, GridMask


def discover(
    features: Features,
    *,
    max_masks: int = 1,
    affinity: Literal["threshold", "gaussian"] = "threshold",
    threshold: float = 0.2,
    floor: float = 1e-5,
    bandwidth: float = 1.0,
    reach: float = 6.0,
) -> Found:
    raise NotImplementedError


def two_valued(keys: np.ndarray, *, threshold: float, floor: float) -> TwoValued:
    """Patch graph: 1 where the cosine of two patches' keys exceeds the threshold, else `floor`.

    Args:
        keys: (patches, width) float32. A key of length zero has cosine 0 with all, itself too.
        threshold: cosine, in [-1, 1].
        floor: weight of an absent edge, in (0, 1), so that the graph stays connected.
    """
    lengths = np.linalg.norm(keys, axis=1, keepdims=True)
    unit = np.divide(keys, lengths, out=np.zeros_like(keys), where=lengths > 0)
    return TwoValued(unit @ unit.T > threshold, floor=floor)
