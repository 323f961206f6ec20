"""Model: Mask R-CNN on masks and cluster ids, with small heads that two cores can train.

Paper:    He et al., ICCV 2017, arXiv:1703.06870; MaskDistill trains one on its proposals
In:       pictures (3, H, W) float32 in [0, 1] (torchvision's transform normalises and resizes them)
Out:      torchvision's MaskRCNN
Differs:  FPN in place of the (assumed) C4 head; suppression whatever the cluster: cluster ids are
          noisy, and two ids on one object must not give two detections
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import boxes as box_ops

from maskdistill.detector.roi_align import SeparableRoIAlign, fix_scales
from maskdistill.training import bodies

SMALL_SIDES = ((16,), (32,), (64,), (128,), (256,))  # px of anchors, a map each, of small pictures


def build(
    *,
    size: str = "resnet50",
    n_clusters: int,
    short_side: int = 800,
    max_side: int = 1333,
    min_score: float = 0.05,
    nms: float = 0.5,
    max_detections: int = 100,
    seed: int = 0,
) -> MaskRCNN:
    """Return a detector with weights drawn from a seed, in eval mode.

    Category 0 is background, 1 + cluster the rest.

    Args:
        size: resnet50, torchvision's with FPN 256; small, GroupNorm body, FPN 64 and heads in
            proportion.
        n_clusters: at least 1.
        short_side, max_side: px that pictures are resized to inside.
        min_score: of a detection, in [0, 1]. max_detections: a picture.
        nms: IoU above which the weaker of two boxes goes, whatever their clusters.
    Raises:
        ValueError: no cluster.
    """
    if n_clusters < 1:
        raise ValueError(f"n_clusters must be at least 1, got {n_clusters}")
    small = size == "small"
    width = 64 if small else 256
    sides = SMALL_SIDES if small else ((32,), (64,), (128,), (256,), (512,))
    anchors = AnchorGenerator(sides, ((0.5, 1.0, 2.0),) * len(sides))
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed GPUs too: nothing restores them.
        torch.default_generator.manual_seed(seed)
        body = bodies.build(size, frozen_norm=True, frozen_layers=0 if small else 1)
        heads: dict[str, Any] = {"num_classes": n_clusters + 1}
        if small:
            heads = small_heads(n_clusters, width=width, pooling=SeparableRoIAlign)
        model = MaskRCNN(
            bodies.Pyramid(body, width, norm=bodies.grouped if small else None),
            min_size=short_side,
            max_size=max_side,
            rpn_anchor_generator=anchors,
            box_score_thresh=min_score,
            box_nms_thresh=nms,
            box_detections_per_img=max_detections,
            **heads,
        )
    in_our_ways(model)
    return model.eval()


def small_heads(n_clusters: int, *, width: int, pooling: type[SeparableRoIAlign]) -> dict[str, Any]:
    """Return what torchvision's MaskRCNN is told of small heads, their weights drawn.

    Args:
        width: channels of the maps. pooling: from maps to boxes.
    """
    return {
        "box_roi_pool": pooling(7),
        "mask_roi_pool": pooling(14),
        "box_head": TwoMLPHead(width * 49, 256),
        "box_predictor": SharedBoxes(256, n_clusters + 1),
        "mask_head": MaskRCNNHeads(width, (64, 64), 1, norm_layer=bodies.grouped),
        "mask_predictor": SharedMask(64, 64, n_clusters + 1),
        "box_batch_size_per_image": 32,
        "rpn_batch_size_per_image": 64,
        "rpn_pre_nms_top_n_train": 500,
        "rpn_post_nms_top_n_train": 300,
        "rpn_pre_nms_top_n_test": 500,
        "rpn_post_nms_top_n_test": 300,
    }


def in_our_ways(model: Any) -> None:
    """Change in place how a detector draws, decodes, pools and chooses: otherwise than torchvision.

    Args:
        model: with torchvision's `rpn` and `roi_heads`.
    """
    for pooling in (model.roi_heads.box_roi_pool, model.roi_heads.mask_roi_pool):
        fix_scales(pooling)
    for sampler in (model.rpn, model.roi_heads):
        old = sampler.fg_bg_sampler
        sampler.fg_bg_sampler = Sampler(old.batch_size_per_image, old.positive_fraction)
    # Boxes are decoded in the type of what says how far they move: in bfloat16 to 4 px at x = 512.
    for head in (model.rpn.head, model.roi_heads.box_predictor):
        head.register_forward_hook(_as_float32)
    model.roi_heads.postprocess_detections = MethodType(_best_cluster_of_each_box, model.roi_heads)


def _as_float32(head: nn.Module, given: Any, found: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return a head's scores and boxes in float32, each a tensor or a list of one a level."""
    scores, boxes = (
        [each.float() for each in part] if isinstance(part, list) else part.float()
        for part in found
    )
    return scores, boxes


class SharedBoxes(FastRCNNPredictor):
    """Predict scores of each category, and one box for all of them.

    A box of its own a cluster would see few examples.
    """

    def __init__(self, n_in: int, n_categories: int) -> None:
        super().__init__(n_in, n_categories)
        self.bbox_pred = nn.Linear(n_in, 4)
        self.n_categories = n_categories

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores (n, categories) and boxes (n, 4 * categories) of features (n, n_in)."""
        x = x.flatten(start_dim=1)
        return self.cls_score(x), self.bbox_pred(x).repeat(1, self.n_categories)


class SharedMask(MaskRCNNPredictor):
    """Predict one mask for all categories.

    It is repeated, because torchvision's loss looks it up by category.
    """

    def __init__(self, n_in: int, width: int, n_categories: int) -> None:
        super().__init__(n_in, width, 1)
        self.n_categories = n_categories

    def forward(self, x: Tensor) -> Tensor:
        """Return masks (n, categories, 28, 28) of features (n, n_in, 14, 14)."""
        return super().forward(x).expand(-1, self.n_categories, -1, -1)


class Sampler:
    """Draw positives and negatives from a generator of its own; torchvision's has the global one.

    Attributes:
        per_picture: boxes drawn a picture. positive_share: of them positive at most.
        generator: set before each step; None: the first in order are taken.
    """

    def __init__(self, per_picture: int, positive_share: float) -> None:
        self.per_picture, self.positive_share = per_picture, positive_share
        self.generator: torch.Generator | None = None

    def __call__(self, matched: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return two masks (n,) uint8 a picture: which boxes are positives, which negatives.

        Args:
            matched: labels (n,) of each picture's boxes, >= 1 positive, 0 negative, -1 ignored.
        """
        positives, negatives = [], []
        for labels in matched:
            n_positive = min(int(self.per_picture * self.positive_share), int((labels >= 1).sum()))
            positives.append(self._drawn(labels, labels >= 1, n_positive))
            negatives.append(self._drawn(labels, labels == 0, self.per_picture - n_positive))
        return positives, negatives

    def _drawn(self, labels: Tensor, among: Tensor, count: int) -> Tensor:
        """Return a mask (n,) uint8 of `count` places at most, of those where `among` (n,) holds."""
        places = torch.where(among)[0]
        n = len(places)
        order = torch.randperm(n, generator=self.generator) if self.generator else torch.arange(n)
        chosen = torch.zeros_like(labels, dtype=torch.uint8)
        chosen[places[order[:count].to(places.device)]] = 1
        return chosen


def seed_samplers(model: Any, seed: int) -> None:
    """Give both samplers of a detector a generator of their own for the coming step."""
    for owner in (model.rpn, model.roi_heads):
        owner.fg_bg_sampler.generator = torch.Generator().manual_seed(seed)


def _best_cluster_of_each_box(
    self: Any,
    class_logits: Tensor,
    box_regression: Tensor,
    proposals: list[Tensor],
    image_shapes: list[tuple[int, int]],
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Return boxes, scores and labels of each picture, in place of torchvision's method.

    Each box speaks for its best cluster alone, with one suppression over all. The score is the
    probability of being any object: noisy cluster ids split the probability of one object over
    several clusters, and their largest share says little about whether there is an object.

    Args:
        self: torchvision's RoIHeads, whose thresholds are used.
        class_logits: (n, categories), n the boxes of all pictures.
        box_regression: (n, 4 * categories). proposals: (n_i, 4) of each picture.
        image_shapes: (height, width) of each.
    """
    counts = [len(each) for each in proposals]
    decoded = self.box_coder.decode(box_regression, proposals).split(counts)
    probabilities = functional.softmax(class_logits, -1).split(counts)
    boxes, scores, labels = [], [], []
    for box, probability, shape in zip(decoded, probabilities, image_shapes, strict=True):
        label = probability[:, 1:].argmax(dim=1) + 1
        score = 1 - probability[:, 0]
        box = box_ops.clip_boxes_to_image(box[torch.arange(len(box)), label], shape)
        kept = torch.where(
            (score > self.score_thresh) & ((box[:, 2:] - box[:, :2]) >= 1e-2).all(dim=1)
        )[0]
        kept = kept[box_ops.nms(box[kept], score[kept], self.nms_thresh)[: self.detections_per_img]]
        boxes.append(box[kept])
        scores.append(score[kept])
        labels.append(label[kept])
    return boxes, scores, labels


def body_state(state: dict[str, Tensor], *, pyramid: bool = False) -> dict[str, Tensor]:
    """Return the part of a detector's state dict that a segmenter may start from: its body.

    Args:
        state: of a whole detector. pyramid: the feature pyramid too.
    """
    prefix = "backbone." if pyramid else "backbone.body."
    return {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }
