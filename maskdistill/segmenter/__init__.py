"""Segmenter: label maps to a DeepLabv3, and its predictions.

After `labels`, the last room before `evaluation`.

Contract: build(size=, n_classes=) -> DeepLab; batches(sample, ...) and losses(share=) for
          training.fit; predict(model, rgb, side=, refine=, crf=) -> label map:
          label_map(logits_many(model, [rgb], side=)[0], rgb, ...), of several pictures in one
          forward.
"""

from maskdistill.segmenter.losses import hardest_cross_entropy
from maskdistill.segmenter.model import DeepLab, build
from maskdistill.segmenter.predict import label_map, logits_many, predict
from maskdistill.segmenter.train import batches, losses

__all__ = [
    "DeepLab",
    "batches",
    "build",
    "hardest_cross_entropy",
    "label_map",
    "logits_many",
    "losses",
    "predict",
]
