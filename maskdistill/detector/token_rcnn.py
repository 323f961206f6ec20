"""Mask R-CNN on the tokens of a frozen ViT: the small heads on a simple feature pyramid.

Paper:    He et al., ICCV 2017, arXiv:1703.06870; Li et al., ECCV 2022, arXiv:2203.16527; DropLoss:
          Wang et al., CVPR 2023, arXiv:2301.11320
In:       views (tokens of one picture each) of unlike grids, in training their targets
Out:      losses by name, or what torchvision's heads find, in px of each view's frame
Differs:  the ViT stays as it is; whatever lies beside a picture in a batch changes its last bits
          alone: padding has no anchors, no statistics, and no box is pooled from it
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.roi_heads import maskrcnn_loss
from torchvision.models.detection.rpn import concat_box_prediction_layers

from maskdistill.detector.drop_loss import box_losses, overlapping
from maskdistill.detector.model import SMALL_SIDES, in_our_ways, small_heads
from maskdistill.detector.pyramid import (
    STRIDES,
    TOKEN_PX,
    Grid,
    SimplePyramid,
    cells,
    inside_of,
    padded,
)
from maskdistill.detector.roi_align import SeparableRoIAlign
from maskdistill.detector.views import View

WIDTH = 64  # channels of the maps, as in the small detector
# Score of an anchor in the padding, and probability from which an anchor counts: none there does.
_NOWHERE, _SOMEWHERE = -1e4, 1e-30


def build_on_tokens(
    *,
    channels: int,
    n_clusters: int = 1,
    drop: float = 0.0,
    min_score: float = 0.05,
    nms: float = 0.5,
    max_detections: int = 100,
    seed: int = 0,
) -> TokenRCNN:
    """Return a detector on tokens with weights drawn from a seed, in eval mode.

    Args:
        channels: of a token, all blocks together.
        n_clusters: at least 1; 1: class-agnostic, all training masks are of cluster 0.
        drop: IoU with every training box below which a proposal has no loss (DropLoss; 0.01 in its
            paper); 0: all proposals have one.
        min_score, nms, max_detections: as `build` takes them.
    Raises:
        ValueError: no cluster or channel.
    """
    if n_clusters < 1 or channels < 1:
        raise ValueError(
            f"n_clusters and channels must be at least 1, got {n_clusters} and {channels}"
        )
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed GPUs too: nothing restores them.
        torch.default_generator.manual_seed(seed)
        parts = MaskRCNN(
            SimplePyramid(channels, WIDTH),
            rpn_anchor_generator=AnchorGenerator(
                SMALL_SIDES, ((0.5, 1.0, 2.0),) * len(SMALL_SIDES)
            ),
            rpn_score_thresh=_SOMEWHERE,
            box_score_thresh=min_score,
            box_nms_thresh=nms,
            box_detections_per_img=max_detections,
            **small_heads(n_clusters, width=WIDTH, pooling=InsideRoIAlign),
        )
    in_our_ways(parts)
    return TokenRCNN(parts, drop=drop).eval()


class TokenRCNN(nn.Module):
    """Find objects in tokens.

    Attributes:
        backbone: the pyramid. rpn, roi_heads: torchvision's, whose parts are called here.
        drop: as `build_on_tokens` takes it.
    """

    def __init__(self, parts: MaskRCNN, *, drop: float) -> None:
        super().__init__()
        self.backbone, self.rpn, self.roi_heads = parts.backbone, parts.rpn, parts.roi_heads
        self.drop = drop

    def forward(self, views: Sequence[View], targets: list[dict[str, Tensor]] | None = None) -> Any:
        """Return what is found in each view, or in training mode the five losses by name.

        Args:
            views: at least one; their tokens are moved to the device of the weights.
            targets: in training mode, of each view, as `targets_of` gives them, on that device.
        Returns:
            A mapping a view: boxes (n, 4) in px of its frame, scores (n,), labels (n,) 1 + cluster,
            masks (n, 1, 28, 28); or the losses, scalars.
        """
        device = self.backbone.reduce.weight.device
        tokens = padded([view.tokens.to(device) for view in views])
        grids, frames = [view.grid for view in views], [view.frame for view in views]
        maps = self.backbone(tokens, grids)
        proposals, losses = self._proposals(maps, grids, frames, targets)
        if targets is None:
            return self.roi_heads(maps, proposals, frames)[0]
        return {**losses, **self._losses(maps, proposals, frames, targets)}

    def _proposals(
        self,
        maps: dict[str, Tensor],
        grids: Sequence[Grid],
        frames: Sequence[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None,
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Return boxes (n, 4) of each view that may hold an object, and in training two losses."""
        rpn, every = self.rpn, list(maps.values())
        scores, moves = rpn.head(every)
        per_map = [each.shape[1] * each.shape[2] * each.shape[3] for each in scores]
        scores, moves = concat_box_prediction_layers(scores, moves)
        anchors, inside = self._anchors(maps, grids)
        scores = torch.where(inside.view(-1, 1), scores, _NOWHERE)
        boxes = rpn.box_coder.decode(moves.detach(), [anchors] * len(grids))
        proposals, _ = rpn.filter_proposals(
            boxes.view(len(grids), -1, 4), scores, list(frames), per_map
        )
        if targets is None:
            return proposals, {}
        labels, boxes_of = zip(
            *(self._matched(anchors, held, own) for held, own in zip(inside, targets, strict=True)),
            strict=True,
        )
        wanted = rpn.box_coder.encode(list(boxes_of), [anchors] * len(grids))
        objectness, moved = rpn.compute_loss(scores, moves, list(labels), wanted)
        return proposals, {"loss_objectness": objectness, "loss_rpn_box_reg": moved}

    def _matched(
        self, anchors: Tensor, held: Tensor, target: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return of each anchor (n, 4) its label (n,) and the box (n, 4) that it should move to.

        Args:
            held: (n,) bool, the anchors in the picture; the others have label -1: ignored.
        """
        labels, boxes = torch.full_like(anchors[:, 0], -1.0), anchors.clone()
        (own,), (matched,) = self.rpn.assign_targets_to_anchors([anchors[held]], [target])
        labels[held], boxes[held] = own, matched
        return labels, boxes

    def _anchors(self, maps: dict[str, Tensor], grids: Sequence[Grid]) -> tuple[Tensor, Tensor]:
        """Return the anchors (n, 4) of the batch, and which are in each picture (B, n) bool."""
        generator, first = self.rpn.anchor_generator, maps["1"]
        generator.set_cell_anchors(torch.float32, first.device)
        strides = [[torch.tensor(stride, device=first.device)] * 2 for stride in STRIDES.values()]
        boxes = generator.grid_anchors([each.shape[-2:] for each in maps.values()], strides)
        shape = first.shape[2], first.shape[3]  # the map of the tokens themselves
        per_cell = generator.num_anchors_per_location()
        inside = [
            inside_of(grids, name, shape, device=first.device)
            .flatten(1)
            .bool()
            .repeat_interleave(n_anchors, dim=1)
            for name, n_anchors in zip(maps, per_cell, strict=True)
        ]
        return torch.cat(boxes), torch.cat(inside, dim=1)

    def _losses(
        self,
        maps: dict[str, Tensor],
        proposals: list[Tensor],
        frames: Sequence[tuple[int, int]],
        targets: list[dict[str, Tensor]],
    ) -> dict[str, Tensor]:
        """Return the losses of the box head, without dropped proposals, and of the mask head."""
        heads = self.roi_heads
        proposals, matched, labels, wanted = heads.select_training_samples(proposals, targets)
        logits, moves = heads.box_predictor(
            heads.box_head(heads.box_roi_pool(maps, proposals, list(frames)))
        )
        counts = torch.cat(
            [
                overlapping(boxes, target["boxes"], at_least=self.drop)
                for boxes, target in zip(proposals, targets, strict=True)
            ]
        )
        classifier, box = box_losses(
            logits, moves, torch.cat(labels), torch.cat(wanted), counts=counts
        )
        positive = [torch.where(each > 0)[0] for each in labels]
        boxes = [each[rows] for each, rows in zip(proposals, positive, strict=True)]
        masks = heads.mask_predictor(
            heads.mask_head(heads.mask_roi_pool(maps, boxes, list(frames)))
        )
        mask = maskrcnn_loss(
            masks.float(),
            boxes,
            [target["masks"] for target in targets],
            [target["labels"] for target in targets],
            [each[rows] for each, rows in zip(matched, positive, strict=True)],
        )
        return {"loss_classifier": classifier, "loss_box_reg": box, "loss_mask": mask}


class InsideRoIAlign(SeparableRoIAlign):
    """Pool boxes picture by picture, from its own cells: beyond an edge the last one counts."""

    def forward(
        self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> Tensor:
        """Return (n, channels, side, side), n the boxes of all pictures in their order.

        Args:
            x: maps by name, (pictures, channels, rows, cols) each.
            boxes: (n_i, 4) of each picture, px. image_shapes: (height, width) of each.
        """
        found = []
        for picture, (own, shape) in enumerate(zip(boxes, image_shapes, strict=True)):
            grid = -(-shape[0] // TOKEN_PX), -(-shape[1] // TOKEN_PX)
            held = {name: cells(grid, name) for name in self.featmap_names}
            cut = {
                name: x[name][picture : picture + 1, :, :rows, :cols]
                for name, (rows, cols) in held.items()
            }
            found.append(super().forward(cut, [own], [shape]))
        return torch.cat(found)
