"""Detector: noisy masks and their cluster ids to a Mask R-CNN, and its detections.

After `clusters`, before `labels`.

Contract: build(size=, n_clusters=, ...) -> MaskRCNN; batches(sample, ...) and losses(seed=) for
          training.fit; predict(model, rgb) -> Detections: pasted(unpasted_many(model, [rgb])[0],
          rgb), of pictures of one `resized` size in one forward; body_state(state) -> what a
          segmenter may start from.
"""

from maskdistill.detector.model import body_state, build
from maskdistill.detector.predict import Unpasted, pasted, predict, unpasted_many
from maskdistill.detector.targets import targets
from maskdistill.detector.train import batches, losses, resized

__all__ = [
    "Unpasted",
    "batches",
    "body_state",
    "build",
    "losses",
    "pasted",
    "predict",
    "resized",
    "targets",
    "unpasted_many",
]
