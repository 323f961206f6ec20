"""Views: what a backbone sees of pictures at several scales, a pass a scale.

In:   pictures made ready for the backbone, by scale
Out:  their features by scale; None of what does not fit into memory
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from maskdistill.discovery.find import BlockFeatures
from maskdistill.features import Prepared
from maskdistill.pictures import of_like_shape

# Scale -> features of a picture; None: did not fit. Empty: was not looked at.
View = Mapping[float, BlockFeatures | None]


def views_of(
    pictures: Sequence[Mapping[float, Prepared]],
    see: Callable[[Sequence[Prepared], float], Sequence[BlockFeatures | None]],
) -> list[View]:
    """Return the features of pictures at each of their scales, those of one shape together.

    Args:
        pictures: scale -> the picture made ready; the scales of one may lack in another.
        see: from pictures of one padded shape, and their scale, to the features of each.
    """
    views: list[dict[float, BlockFeatures | None]] = [{} for _ in pictures]
    for scale in dict.fromkeys(scale for each in pictures for scale in each):
        rows = [row for row, each in enumerate(pictures) if scale in each]
        shapes = [pictures[row][scale].tensor.shape for row in rows]
        for places in of_like_shape(shapes, size=len(rows)):
            same = [rows[place] for place in places]
            seen = see([pictures[row][scale] for row in same], scale)
            for row, made in zip(same, seen, strict=True):
                views[row][scale] = made
    return list(views)
