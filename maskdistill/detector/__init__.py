"""Detector: noisy masks and their cluster ids to a Mask R-CNN, and its detections. After `clusters`, before `labels`.

Contract: build(size=, n_clusters=, ...) -> MaskRCNN; batches(sample, ...) and losses(seed=) for training.fit;
          predict(model, rgb) -> Detections; body_state(state) -> what a segmenter may start from.
"""

from maskdistill.detector.model import body_state, build
from maskdistill.detector.predict import predict
from maskdistill.detector.targets import targets
from maskdistill.detector.train import batches, losses

__all__ = ["batches", "body_state", "build", "losses", "predict", "targets"]
