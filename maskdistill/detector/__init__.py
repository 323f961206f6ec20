"""Detector: noisy masks and their cluster ids to a Mask R-CNN, and its detections.

After `clusters`, before `labels`.

Contract: build(size=, n_clusters=, ...) -> MaskRCNN; batches(sample, ...) and losses(seed=) for
          training.fit; predict(model, rgb) -> Detections: pasted(unpasted_many(model, [rgb])[0],
          rgb), of pictures of one `resized` size in one forward; body_state(state) -> what a
          segmenter may start from.
          On the tokens of a frozen ViT: view(patches, scaled, patch=) -> View;
          build_on_tokens(channels=, n_clusters=, drop=, ...) -> TokenRCNN; token_batches(sample,
          ...) and token_losses(seed=); unpasted_of_views(model, views, sizes), pasted as above.
"""

from maskdistill.detector.model import body_state, build
from maskdistill.detector.predict import (
    Unpasted,
    pasted,
    predict,
    unpasted_many,
    unpasted_of_views,
)
from maskdistill.detector.targets import targets
from maskdistill.detector.token_rcnn import TokenRCNN, build_on_tokens
from maskdistill.detector.train import batches, losses, resized
from maskdistill.detector.train_on_tokens import token_batches, token_losses
from maskdistill.detector.views import View, targets_of, view

__all__ = [
    "TokenRCNN",
    "Unpasted",
    "View",
    "batches",
    "body_state",
    "build",
    "build_on_tokens",
    "losses",
    "pasted",
    "predict",
    "resized",
    "targets",
    "targets_of",
    "token_batches",
    "token_losses",
    "unpasted_many",
    "unpasted_of_views",
    "view",
]
