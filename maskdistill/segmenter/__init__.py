"""Segmenter: label maps to a DeepLabv3, and its predictions.

After `labels`, the last room before `evaluation`.

Contract: build(size=, n_classes=) -> DeepLab; batches(sample, ...) and losses(share=) for
          training.fit; predict(model, rgb, side=, refine=, crf=) -> label map:
          label_map(logits_many(model, [rgb], side=)[0], rgb, ...), of several pictures in one
          forward.
          On the tokens of a frozen ViT: soft_labels.shares(label_map, scaled, ...);
          patches.drawn(views, sizes, ...) -> Patches; build_on_patches(channels=, width=,
          n_classes=, hidden=) -> PatchHead; patches.patch_batches, patch_losses and steps;
          label_map(logits_of_view(model, patches, class_token), rgb, covered=, ...).
"""

from maskdistill.segmenter import patches, soft_labels
from maskdistill.segmenter.losses import hardest_cross_entropy
from maskdistill.segmenter.model import DeepLab, build
from maskdistill.segmenter.patch_head import PatchHead, build_on_patches
from maskdistill.segmenter.predict import label_map, logits_many, logits_of_view, predict
from maskdistill.segmenter.train import batches, losses

__all__ = [
    "DeepLab",
    "PatchHead",
    "batches",
    "build",
    "build_on_patches",
    "hardest_cross_entropy",
    "label_map",
    "logits_many",
    "logits_of_view",
    "losses",
    "patches",
    "predict",
    "soft_labels",
]
