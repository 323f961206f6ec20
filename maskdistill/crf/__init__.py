"""Dense CRF: probabilities drawn to the edges of a picture, by mean field with Gaussian kernels.

Before:   segmenter (probabilities), proposals (masks)
After:    evaluation, or the segmenter again (label maps of a round)
Contract: dense_crf(image, probabilities, *, iterations, gaussian, bilateral, accuracy, threads) ->
          probabilities; dense_crf_many(images, probabilities, ...) -> list; MASKDISTILL, MASKCUT:
          published settings to unpack; refined_mask(image, mask) -> (H, W) bool, as MaskCut does;
          compat: pydensecrf's names. Arrays or tensors; arrays import no torch
"""

from maskdistill.crf import compat
from maskdistill.crf.masks import refined_mask
from maskdistill.crf.mean_field import MASKCUT, MASKDISTILL, dense_crf, dense_crf_many

__all__ = ["MASKCUT", "MASKDISTILL", "compat", "dense_crf", "dense_crf_many", "refined_mask"]
