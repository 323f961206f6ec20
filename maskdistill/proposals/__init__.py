"""Proposals: tokens on a patch grid to masks, and masks of patches to masks of pixels.

Before:   features (tokens on a patch grid)
After:    clusters (proposals to cluster ids)
Contract: <method>.discover(features, *, max_masks=1, **constants) -> Found, for the methods
          maskdistill, lost, tokencut, maskcut (max_masks=3);
          to_pixels(mask, *, patch, content, size, how) and pixels.refine(rgb, mask) -> (H, W) bool;
          judging.judged(views, tokens) -> Judged and votes(masks, trust): which of several settings
          has the best masks, without ground truth;
          joined(rles, *, overlap) -> groups of masks that are one;
          normalized_cut.second_eigenvector(operator) -> Cut
"""

from maskdistill.proposals import lost, maskcut, maskdistill, pixels, tokencut
from maskdistill.proposals.grid import to_pixels
from maskdistill.proposals.joining import joined
from maskdistill.proposals.spectral import normalized_cut

__all__ = [
    "joined",
    "lost",
    "maskcut",
    "maskdistill",
    "normalized_cut",
    "pixels",
    "to_pixels",
    "tokencut",
]
