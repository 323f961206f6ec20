"""Dense CRF: probabilities drawn to the edges of a picture, by mean field with Gaussian kernels.

Before:   segmenter (probabilities), proposals (masks)
After:    evaluation, or the segmenter again (label maps of a round)
Contract: dense_crf(image, probabilities, *, iterations, gaussian, bilateral, accuracy, threads) -> probabilities;
          dense_crf_many(images, probabilities, ...) -> list; MASKDISTILL, MASKCUT: published settings to unpack
          NumPy in, NumPy out imports no torch
"""

from maskdistill.crf.mean_field import MASKCUT, MASKDISTILL, dense_crf, dense_crf_many

__all__ = ["MASKCUT", "MASKDISTILL", "dense_crf", "dense_crf_many"]
