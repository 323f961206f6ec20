"""Predictions of the detector: pictures of like size in one forward, their masks pasted one by one.

In:       pictures (H, W, 3) uint8, a trained network in eval mode
Out:      Detections of each: half-open boxes, masks as RLE, twins of a mask left out
Differs:  torchvision pastes all masks of a picture at once, which needs gigabytes where it is large
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.models.detection.transform import resize_boxes

from maskdistill.detector.token_rcnn import TokenRCNN
from maskdistill.detector.train import resized
from maskdistill.detector.views import View
from maskdistill.masks import rle
from maskdistill.types import Detections, Rle

MASK_THRESHOLD = 0.5  # of the mask head's probability, as in the paper


@dataclass(frozen=True)
class Unpasted:
    """Detections of one picture whose masks are still those of the head, in the CPU's memory.

    Attributes:
        size: (height, width) of the picture.
        boxes_xyxy: (n, 4) float32, px of the picture, by falling score.
        masks: (n, 1, 28, 28) float32, probabilities inside the boxes.
        scores: (n,) float32, that a box holds an object. labels: (n,) int64, 1 + cluster.
        min_score: the least score of the network that found them.
    """

    size: tuple[int, int]
    boxes_xyxy: Tensor
    masks: Tensor
    scores: Tensor
    labels: Tensor
    min_score: float


def predict(
    model: MaskRCNN,
    rgb: np.ndarray,
    *,
    mask_score: bool = False,
    mask_nms: float = 1.0,
    refine: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> Detections:
    """Return the detections of a picture, by falling score.

    Args:
        model: in eval mode. rgb: (H, W, 3) uint8.
        mask_score, mask_nms, refine: as `pasted` takes them.
    """
    (found,) = unpasted_many(model, [rgb])
    return pasted(found, rgb, mask_score=mask_score, mask_nms=mask_nms, refine=refine)


@torch.inference_mode()
def unpasted_many(model: MaskRCNN, pictures: Sequence[np.ndarray]) -> list[Unpasted]:
    """Return the detections of each picture, by one forward, before their masks are pasted.

    Beside others a picture's scores move in their last bits (by 1e-5), and its boxes by 1e-3 px:
    a convolution may add up in another order.

    Args:
        model: in eval mode.
        pictures: (H, W, 3) uint8 each, of one size after the detector's resize (`resized`);
            none gives none.
    Raises:
        ValueError: pictures of unlike sizes after the resize.
    """
    if not len(pictures):
        return []
    device = next(model.parameters()).device
    sides = {"short_side": model.transform.min_size[0], "max_side": model.transform.max_size}
    sizes = [resized(rgb.shape[:2], **sides) for rgb in pictures]
    if len(set(sizes)) > 1:
        raise ValueError(f"pictures: wanted one size after the resize, found {sorted(set(sizes))}")
    # The parts of torchvision's forward, without its pasting.
    images, _ = model.transform([_as_input(rgb, sizes[0]).to(device) for rgb in pictures])
    maps = model.backbone(images.tensors)
    proposals, _ = model.rpn(images, maps)
    found = model.roi_heads(maps, proposals, images.image_sizes)[0]
    return [
        _sorted(each, image_size, rgb.shape[:2], model.roi_heads.score_thresh)
        for each, image_size, rgb in zip(found, images.image_sizes, pictures, strict=True)
    ]


@torch.inference_mode()
def unpasted_of_views(
    model: TokenRCNN, views: Sequence[View], sizes: Sequence[tuple[int, int]]
) -> list[Unpasted]:
    """Return the detections of each picture from its tokens, by one forward, before pasting.

    Beside others a picture's scores move in their last bits.

    Args:
        model: in eval mode. views: of any grids; none gives none.
        sizes: (height, width) of each picture, in px of which boxes are.
    """
    if not len(views):
        return []
    return [
        _sorted(each, view.frame, size, model.roi_heads.score_thresh)
        for each, view, size in zip(model(views), views, sizes, strict=True)
    ]


@torch.inference_mode()
def pasted(
    found: Unpasted,
    rgb: np.ndarray,
    *,
    mask_score: bool = False,
    mask_nms: float = 1.0,
    refine: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> Detections:
    """Return detections with masks of the picture's size, by falling score.

    Detections whose mask is empty in pixels are left out; boxes are those of the masks.

    Args:
        rgb: the picture (H, W, 3) uint8 that they are of.
        mask_score: multiply the score by the mean probability inside the mask: a mask that the
            network is not sure of is ranked lower, and left out where the product is below the
            network's least score.
        mask_nms: IoU of masks above which the weaker one goes, whatever their clusters; 1 keeps
            all.
        refine: from (rgb, mask (H, W) bool) to a better mask (H, W) bool, before masks are
            compared.
    """
    rles: list[Rle] = []
    scores: list[float] = []
    clusters: list[int] = []
    for row in range(len(found.scores)):
        # One at a time: a hundred full-size float masks of a large picture need gigabytes.
        mask = paste_masks_in_image(
            found.masks[row : row + 1], found.boxes_xyxy[row : row + 1], found.size
        )[0, 0]
        binary = (mask > MASK_THRESHOLD).numpy()
        refined = refine(rgb, binary) if refine and binary.any() else binary
        if refined.any():
            sure = float(mask.numpy()[binary].mean()) if mask_score else 1.0
            score = float(found.scores[row]) * sure
            if score < found.min_score:
                continue
            rles += rle.encode(refined[None])
            scores.append(score)
            clusters.append(int(found.labels[row]) - 1)
    kept = distinct(rles, np.array(scores), mask_nms)
    rles = [rles[row] for row in kept]
    return Detections(
        size=found.size,
        rles=rles,
        boxes_xyxy=rle.boxes(rles),
        scores=np.array(scores, np.float32)[kept],
        clusters=np.array(clusters, np.int64)[kept],
    )


def distinct(rles: list[Rle], scores: np.ndarray, mask_nms: float) -> list[int]:
    """Return the positions of the masks that stay, by falling score; of a tie the first.

    Args:
        rles: n masks of one picture. scores: (n,).
        mask_nms: IoU with a better mask that stays above which a mask goes; 1 keeps all.
    """
    order = np.argsort(-scores, kind="stable").tolist()
    if mask_nms >= 1 or not rles:
        return order
    overlap = rle.iou(rles, rles)
    kept: list[int] = []
    for row in order:
        if not kept or overlap[row, kept].max() <= mask_nms:
            kept.append(row)
    return kept


def _as_input(rgb: np.ndarray, size: tuple[int, int]) -> Tensor:
    """Return a picture (H, W, 3) uint8 as (3, *size) float32 in [0, 1]."""
    resampled = Image.fromarray(rgb).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(resampled)).permute(2, 0, 1).float().div(255)


def _sorted(
    found: dict[str, Tensor],
    image_size: tuple[int, int],
    size: tuple[int, int],
    min_score: float,
) -> Unpasted:
    """Return what torchvision's heads found in a picture shown at `image_size`, in px of `size`."""
    order = torch.argsort(found["scores"], descending=True, stable=True)
    return Unpasted(
        size=size,
        boxes_xyxy=resize_boxes(found["boxes"], image_size, size)[order].cpu(),
        masks=found["masks"][order].float().cpu(),
        scores=found["scores"][order].cpu(),
        labels=found["labels"][order].cpu(),
        min_score=min_score,
    )
