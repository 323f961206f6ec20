"""Joining: masks that overlap are one, the best of them.

Paper:    none; the greedy rule of non-maximum suppression, which keeps what it suppresses
In:       run lengths of masks, the best first
Out:      groups of positions, the first of each is the mask that stays
"""

from __future__ import annotations

from collections.abc import Sequence

from maskdistill.masks import rle
from maskdistill.types import Rle


def joined(rles: Sequence[Rle], *, overlap: float) -> list[list[int]]:
    """Return the masks in groups, each around the best mask that its others overlap.

    Mask by mask, the best first: one that overlaps masks which stay joins the one that it overlaps
    most, of equals the better one; any other stays.

    >>> import numpy as np
    >>> left, same, other = rle.encode(np.array([[[1, 0]], [[1, 0]], [[0, 1]]], bool))
    >>> joined([left, other, same], overlap=0.5)
    [[0, 2], [1]]

    Args:
        rles: n masks of one picture, by falling score; an empty one overlaps none.
        overlap: IoU from which two masks are one, in (0, 1].
    Returns:
        Positions in `rles`, each in one group; groups, and the positions of each, ascend.
    Raises:
        ValueError: overlap out of range, masks of several sizes.
    Source: ours. Twin: tests/reference/joining.py.
    """
    if not 0 < overlap <= 1:
        raise ValueError(f"overlap must be in (0, 1], got {overlap}")
    iou = rle.iou(rles, rles)
    staying: list[int] = []
    groups: dict[int, list[int]] = {}
    for row in range(len(rles)):
        if staying:
            best = staying[int(iou[row, staying].argmax())]  # argmax: the first of equals
            if iou[row, best] >= overlap:
                groups[best].append(row)
                continue
        staying.append(row)
        groups[row] = [row]
    return list(groups.values())
