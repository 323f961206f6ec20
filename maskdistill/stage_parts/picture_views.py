"""Picture views: what a backbone sees of pictures at several scales, a pass a scale.

In:   pictures made ready for the backbone, by scale
Out:  their features by scale; None of what does not fit into memory
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from maskdistill.discovery.find import BlockFeatures, features_of_blocks
from maskdistill.engine.job import Job
from maskdistill.features import Prepared
from maskdistill.memory import in_halves
from maskdistill.pictures import of_like_shape

# Scale -> features of a picture; None: did not fit. Empty: was not looked at.
View = Mapping[float, BlockFeatures | None]


def views_that_fit(
    job: Job,
    pictures: Sequence[Mapping[float, Prepared]],
    network: Any,
    wanted: Mapping[float, Mapping[int, Sequence[str]]],
    *,
    blocks: Sequence[int] = (),
) -> list[View]:
    """Return the features of pictures at each of their scales, those of one shape together.

    Args:
        pictures: scale -> the picture made ready; the scales of one may lack in another.
        wanted: scale -> block -> fields; of a scale that it lacks no features are taken.
        blocks: whose Tokens the pass of scale 1 gives too; none: no Tokens.
    """
    views: list[dict[float, BlockFeatures | None]] = [{} for _ in pictures]
    for scale in dict.fromkeys(scale for each in pictures for scale in each):
        rows = [row for row, each in enumerate(pictures) if scale in each]
        shapes = [pictures[row][scale].tensor.shape for row in rows]
        for places in of_like_shape(shapes, size=len(rows)):
            same = [rows[place] for place in places]
            features = features_that_fit(
                job,
                [pictures[row][scale] for row in same],
                network,
                wanted.get(scale, {}),
                blocks=blocks if scale == 1 else (),
            )
            for row, made in zip(same, features, strict=True):
                views[row][scale] = made
    return list(views)


def features_that_fit(
    job: Job,
    batch: Sequence[Prepared],
    network: Any,
    wanted: Mapping[int, Sequence[str]],
    *,
    blocks: Sequence[int] = (),
) -> list[BlockFeatures | None]:
    """Return the features of a batch of one padded shape, as many pictures at a time as fit.

    The ledger says that a batch was halved; None stands for a picture that does not fit alone.

    Args:
        wanted: block -> fields of its features.
        blocks: whose Tokens the same pass gives too; none: no Tokens.
    """

    def halved(n_pictures: int) -> None:
        """Write to the ledger that a batch of so many did not fit."""
        if n_pictures > 1:
            what = "a batch did not fit into memory: in halves"
            job.ledger.write("halved", stage="propose", what=what, pictures=n_pictures)

    def extract(some: Sequence[Prepared]) -> list[BlockFeatures]:
        """Return the features of some pictures of the batch."""
        return features_of_blocks(some, network, wanted=wanted, blocks=blocks)

    return in_halves(batch, extract, on_halved=halved)
