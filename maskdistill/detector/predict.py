"""Detections of one picture: half-open boxes, masks as RLE, pasted one at a time."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.models.detection.transform import resize_boxes

from maskdistill.detector.train import resized
from maskdistill.masks import rle
from maskdistill.types import Detections

MASK_THRESHOLD = 0.5  # of the mask head's probability, as in the paper


@torch.inference_mode()
def predict(model: MaskRCNN, rgb: np.ndarray) -> Detections:
    """What a detector in eval mode finds in a picture (H, W, 3) uint8, by falling score.

    Detections whose mask is empty in pixels are left out; boxes are those of the masks.
    """
    size = rgb.shape[:2]
    device = next(model.parameters()).device
    small = resized(size, short_side=model.transform.min_size[0], max_side=model.transform.max_size)
    resampled = np.asarray(Image.fromarray(rgb).resize((small[1], small[0]), Image.Resampling.BILINEAR))
    picture = torch.from_numpy(np.array(resampled)).permute(2, 0, 1).float().div(255).to(device)
    # The parts of torchvision's forward, without its pasting: a hundred full-size float masks of a large picture
    # need gigabytes, one at a time none.
    images, _ = model.transform([picture])
    maps = model.backbone(images.tensors)
    proposals, _ = model.rpn(images, maps)
    found = model.roi_heads(maps, proposals, images.image_sizes)[0][0]
    boxes = resize_boxes(found["boxes"], images.image_sizes[0], size).cpu()
    order = torch.argsort(found["scores"], descending=True, stable=True).cpu()
    rles, scores, clusters = [], [], []
    for row in order.tolist():
        mask = paste_masks_in_image(found["masks"][row : row + 1].float().cpu(), boxes[row : row + 1], size)[0, 0]
        binary = (mask > MASK_THRESHOLD).numpy()
        if binary.any():
            rles += rle.encode(binary[None])
            scores.append(float(found["scores"][row]))
            clusters.append(int(found["labels"][row]) - 1)
    return Detections(
        size=size,
        rles=rles,
        boxes_xyxy=rle.boxes(rles),
        scores=np.array(scores, np.float32),
        clusters=np.array(clusters, np.int64),
    )
