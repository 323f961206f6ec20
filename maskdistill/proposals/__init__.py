"""Tokens to masks: each method proposes objects on the patch grid, `to_pixels` and `pixels` bring them to the picture.

Before:   features (tokens on a patch grid)
After:    clusters (proposals to cluster ids)
Contract: <method>.discover(features, *, max_masks=1, **constants) -> Found, for maskdistill, lost, tokencut, maskcut;
          to_pixels(mask, *, patch, content, size, how) and pixels.refine(rgb, mask) -> (H, W) bool;
          normalized_cut.second_eigenvector(operator) -> Cut
"""

from maskdistill.proposals import lost, maskcut, maskdistill, pixels, tokencut
from maskdistill.proposals.grid import to_pixels
from maskdistill.proposals.spectral import normalized_cut

__all__ = [
    "lost",
    "maskcut",
    "maskdistill",
    "normalized_cut",
    "pixels",
    "to_pixels",
    "tokencut",
]
