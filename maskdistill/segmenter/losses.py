"""Losses of the segmenter: cross-entropy on the hardest pixels of the whole batch."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

IGNORE = 255


def hardest_cross_entropy(
    logits: Tensor, labels: Tensor, *, share: float = 0.2, ignore: int = IGNORE
) -> Tensor:
    """Return the mean of the largest cross-entropies of single pixels.

    Args:
        logits: (B, classes, H, W). labels: (B, H, W) int64, `ignore` left out.
        share: of ALL pixels, ignored ones included, at most the valid ones; 1 is the plain mean
            over valid pixels.
    Returns:
        A scalar; 0 (with a gradient of 0) where no pixel is valid or the share rounds to none,
        which is nan in the release.
    Source: MaskDistill release.
    """
    valid = labels != ignore
    each = functional.cross_entropy(
        logits.float(), labels.long(), ignore_index=ignore, reduction="none"
    )
    count = min(int(share * labels.numel()), int(valid.sum()))
    if count == 0:
        return logits.sum() * 0.0
    return each[valid].topk(count).values.mean() if count < int(valid.sum()) else each[valid].mean()
