"""DropLoss: no loss where a proposal meets no training mask, which may be an object nobody marked.

Paper:    Wang et al., CVPR 2023 (CutLER), arXiv:2301.11320: L_drop(r) = 1(max IoU(r) > t) L(r),
          with the detector's own loss L and t = 0.01
In:       logits and boxes of the box head, what they should be, which proposals count
Out:      two scalars
Differs:  IoU is of boxes; the mean is still over all sampled proposals
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import box_iou


def overlapping(proposals: Tensor, boxes: Tensor, *, at_least: float) -> Tensor:
    """Return which proposals have an IoU of `at_least` with any training box, (n,) bool.

    Args:
        proposals: (n, 4) half-open xyxy. boxes: (m, 4) of the training masks of the picture.
        at_least: 0: all count, in a picture without training masks too; else none counts there.
    """
    if at_least <= 0:
        return torch.ones(len(proposals), dtype=torch.bool, device=proposals.device)
    if not len(boxes):
        return torch.zeros(len(proposals), dtype=torch.bool, device=proposals.device)
    return box_iou(proposals, boxes).amax(dim=1) >= at_least


def box_losses(
    logits: Tensor, moves: Tensor, labels: Tensor, wanted: Tensor, *, counts: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the losses of the box head: cross-entropy, and smooth L1 of the boxes of objects.

    Args:
        logits: (n, categories). moves: (n, 4 * categories), of the box coder.
        labels: (n,) int64, 0 background. wanted: (n, 4), the moves that would be right.
        counts: (n,) bool; the losses of the others are 0.
    Returns:
        Two scalars, each a sum over the n proposals by n; 0 where n is 0. Where all count they are
        torchvision's `fastrcnn_loss`.
    """
    n_proposals = max(1, len(labels))
    each = functional.cross_entropy(logits, labels, reduction="none")
    classifier = (each * counts).sum() / n_proposals
    positive = torch.where((labels > 0) & counts)[0]
    own = moves.view(*logits.shape, 4)[positive, labels[positive]]
    box = functional.smooth_l1_loss(own, wanted[positive], beta=1 / 9, reduction="sum")
    return classifier, box / n_proposals
