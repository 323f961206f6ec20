"""Dense CRF: probabilities drawn to the edges of a picture, by mean field with Gaussian kernels.

Before:   segmenter (probabilities), proposals (masks)
After:    evaluation, or the segmenter again (label maps of a round)
Contract: dense_crf(image, probabilities, *, iterations, gaussian, bilateral, accuracy, threads) -> probabilities;
          dense_crf_many(images, probabilities, ...) -> list; MASKDISTILL, MASKCUT: published settings to unpack
          compat: DenseCRF2D, unary_from_softmax, unary_from_labels as pydensecrf has them. NumPy imports no torch
"""

from maskdistill.crf import compat
from maskdistill.crf.mean_field import MASKCUT, MASKDISTILL, dense_crf, dense_crf_many

__all__ = ["MASKCUT", "MASKDISTILL", "compat", "dense_crf", "dense_crf_many"]
