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
from maskdistill.proposals.normalized_cut import Dense, TwoValued, second_eigenvector, strongest
from maskdistill.types import Features, Found, GridMask


def discover(
    features: Features,
    *,
    max_masks: int = 1,
    affinity: Literal["threshold", "gaussian"] = "threshold",
    threshold: float = 0.2,
    floor: float = 1e-5,
    bandwidth: float = 0.5,
    max_cut: float = 1.0, mode: str = "nn",
    min_area: int = 4,
    max_area: float = 0.5,
    max_border: float = 0.5,
    min_score: float = 0.1,
    tries: int = 16,
) -> Found:
    keys = features.keys[:, 1:].permute(1, 0, 2).flatten(1).cpu().numpy()
    rows, cols = features.grid
    if affinity == "threshold":
        operator = two_valued(keys, threshold=threshold, floor=floor)
    else:
        operator = gaussian(keys, features.grid, bandwidth=bandwidth, floor=floor, mode=mode)
    free = np.ones(rows * cols, bool)
    border = np.zeros((rows, cols), bool)
    border[[0, -1]] = True
    border[:, [0, -1]] = True
    found, notes = [], []
    W = operator.weights if affinity == "gaussian" else operator.dense()
    for _ in range(tries):
        idx = np.flatnonzero(free)
        if len(found) == max_masks or len(idx) < max(2, min_area):
            break
        op = operator.restrict(idx) if len(idx) < len(free) else operator
        cut = second_eigenvector(op)
        if cut.value > max_cut: break
        seed = int(idx[strongest(cut.vector)])
        part = np.zeros(rows * cols, bool)
        part[idx] = cut.vector > cut.vector.mean()
        mask = component(part.reshape(rows, cols), divmod(seed, cols))
        m = mask.ravel()
        area = m.sum()
        share = W[np.ix_(m, m)].sum() / W[m].sum()
        expected = area / len(m)
        score = float(np.clip((share - expected) / (1 - expected + 1e-9), 0, 1))
        touch = (mask & border).sum() / border.sum()
        notes.append(("cut", (round(float(cut.value), 3), round(score, 3), int(area), round(float(touch), 2), cut.products)))
        free &= ~m
        if area < min_area or area > max_area * len(m) or touch > max_border or score < min_score:
            continue
        found.append(GridMask(mask=torch.from_numpy(mask), seed_patch=divmod(seed, cols), score=score))
    return Found(found, notes)


def gaussian(keys, grid, *, bandwidth, floor, mode="nn"):
    sq = (keys**2).sum(1)
    d2 = np.maximum(sq[:, None] + sq[None] - 2 * keys @ keys.T, 0)
    unit = 1.0
    if mode == "nn":
        k = keys.reshape(*grid, -1)
        adj = np.concatenate([((k[1:] - k[:-1]) ** 2).sum(-1).ravel(), ((k[:, 1:] - k[:, :-1]) ** 2).sum(-1).ravel()])
        unit = np.median(adj) ** 0.5
    w = np.exp(-d2 / (2 * (bandwidth * unit) ** 2)) + floor
    return Dense(w)


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
