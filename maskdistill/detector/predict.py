"""Detections of one picture: half-open boxes, masks as RLE, pasted one at a time, twins of a mask left out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.models.detection.transform import resize_boxes

from maskdistill.detector.train import resized
from maskdistill.masks import rle
from maskdistill.types import Detections, Rle

MASK_THRESHOLD = 0.5  # of the mask head's probability, as in the paper


@torch.inference_mode()
def predict(
    model: MaskRCNN,
    rgb: np.ndarray,
    *,
    mask_score: bool = False,
    mask_nms: float = 1.0,
    refine: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> Detections:
    """What a detector in eval mode finds in a picture (H, W, 3) uint8, by falling score.

    Detections whose mask is empty in pixels are left out; boxes are those of the masks.

    Args:
        mask_score: multiply the score by the mean probability inside the mask: a mask that the network is not sure
            of is ranked lower, and left out where the product is below the model's least score.
        mask_nms: IoU of masks above which the weaker one goes, whatever their clusters; 1 keeps all.
        refine: from (rgb, mask (H, W) bool) to a better mask (H, W) bool, before masks are compared.
    """
    size = rgb.shape[:2]
    device = next(model.parameters()).device
    small = resized(size, short_side=model.transform.min_size[0], max_side=model.transform.max_size)
    resampled = np.asarray(
        Image.fromarray(rgb).resize((small[1], small[0]), Image.Resampling.BILINEAR)
    )
    picture = torch.from_numpy(np.array(resampled)).permute(2, 0, 1).float().div(255).to(device)
    # The parts of torchvision's forward, without its pasting: a hundred full-size float masks of a large picture
    # need gigabytes, one at a time none.
    images, _ = model.transform([picture])
    maps = model.backbone(images.tensors)
    proposals, _ = model.rpn(images, maps)
    found = model.roi_heads(maps, proposals, images.image_sizes)[0][0]
    boxes = resize_boxes(found["boxes"], images.image_sizes[0], size).cpu()
    order = torch.argsort(found["scores"], descending=True, stable=True).cpu()
    rles: list[Rle] = []
    scores: list[float] = []
    clusters: list[int] = []
    for row in order.tolist():
        mask = paste_masks_in_image(
            found["masks"][row : row + 1].float().cpu(), boxes[row : row + 1], size
        )[0, 0]
        binary = (mask > MASK_THRESHOLD).numpy()
        refined = refine(rgb, binary) if refine and binary.any() else binary
        if refined.any():
            sure = float(mask.numpy()[binary].mean()) if mask_score else 1.0
            score = float(found["scores"][row]) * sure
            if score < model.roi_heads.score_thresh:
                continue
            rles += rle.encode(refined[None])
            scores.append(score)
            clusters.append(int(found["labels"][row]) - 1)
    kept = distinct(rles, np.array(scores), mask_nms)
    rles = [rles[row] for row in kept]
    return Detections(
        size=size,
        rles=rles,
        boxes_xyxy=rle.boxes(rles),
        scores=np.array(scores, np.float32)[kept],
        clusters=np.array(clusters, np.int64)[kept],
    )


def distinct(rles: list[Rle], scores: np.ndarray, mask_nms: float) -> list[int]:
    """Positions by falling score, without masks whose IoU with a better one exceeds `mask_nms`; of a tie the first."""
    order = np.argsort(-scores, kind="stable").tolist()
    if mask_nms >= 1 or not rles:
        return order
    overlap = rle.iou(rles, rles)
    kept: list[int] = []
    for row in order:
        if not kept or overlap[row, kept].max() <= mask_nms:
            kept.append(row)
    return kept
