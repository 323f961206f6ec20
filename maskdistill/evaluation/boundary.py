"""Boundary IoU: the IoU of two masks near their outlines alone, where large masks differ.

Paper:    Cheng et al., CVPR 2021, arXiv:2103.16562: the band inside each mask, 2 % of the diagonal
          wide
In:       masks (H, W) bool, or label maps (H, W) uint8
Out:      the IoU of bands of one picture, and of a whole set as a statistic
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

from maskdistill.evaluation import bootstrap, records
from maskdistill.evaluation.bootstrap import Statistic
from maskdistill.evaluation.records import Record, Records
from maskdistill.masks import rle
from maskdistill.masks.boxes import slices

SHARE = 0.02  # of the picture's diagonal; source: the paper
OF_MASKS = "boundary IoU (2 % of the diagonal) of the mask of best mask IoU, mean over objects"
OF_LABEL_MAPS = (
    "bands of 2 % of the diagonal summed over pictures, mean over the classes that occur"
)


def iou(mask: np.ndarray, other: np.ndarray, *, width: int | None = None) -> float:
    """Return the IoU of the bands of two masks (H, W) bool; 0 where one is empty, nan where both.

    Args:
        width: of the band, in pixels; default: 2 % of the diagonal.
    Raises:
        ValueError: unlike shapes.
    """
    if mask.shape != other.shape:
        raise ValueError(f"mask {mask.shape} and other {other.shape} must have one shape")
    width = width_px(mask.shape) if width is None else width
    one, two = band(mask, width=width), band(other, width=width)
    union = int((one | two).sum())
    return float((one & two).sum() / union) if union else float("nan")


def of_best_masks(truth: Records, results: Records, ious: Sequence[np.ndarray]) -> Statistic:
    """Return the mean over objects of the boundary IoU with the mask of highest mask IoU.

    Args:
        truth, results: rle (and crowd) of objects and masks; two masks at a time are decoded.
        ious: for each picture (masks, objects that are no crowds), as `records.ious` gives them; an
            object that no mask meets has 0.
    """
    sums = [
        _sum_of_best(results.get(number, ()), records.solid(objects), iou_of)
        for (number, objects), iou_of in zip(truth.items(), ious, strict=True)
    ]
    return bootstrap.ratio(np.array(sums), np.array([each.shape[1] for each in ious]))


def _sum_of_best(masks: Sequence[Record], objects: Sequence[Record], ious: np.ndarray) -> float:
    """Return the sum over a picture's objects of the boundary IoU with their best mask."""
    total = 0.0
    for place, row in enumerate(objects):
        if len(masks) and ious[:, place].max() > 0:
            pair = rle.decode([masks[int(ious[:, place].argmax())]["rle"], row["rle"]])
            total += float(np.nan_to_num(iou(*pair)))
    return total


def of_label_maps(bands: Sequence[np.ndarray], held: np.ndarray) -> Statistic:
    """Return the mean over classes of the IoU of bands that are summed over pictures.

    Args:
        bands: `counts` of each picture. held: (classes,) bool, those that the mean is over.
    """
    parts, wholes = np.array(bands)[:, :, held].transpose(1, 0, 2)
    return bootstrap.mean_of_ratios(parts, wholes)


def counts(
    prediction: np.ndarray,
    truth: np.ndarray,
    classes: int,
    *,
    ignore: int = 255,
    of_truth: Mapping[int, np.ndarray] | None = None,
) -> np.ndarray:
    """Return (2, classes) int64: common and all pixels of each class's two bands in one picture.

    Args:
        prediction, truth: (H, W), classes named alike; pixels whose truth is `ignore` are in no
            class and not counted, so where a void strip lies around objects, the band of the truth
            begins inside it.
        of_truth: `bands` of the truth, where several predictions are held against it; None: made
            here.
    Raises:
        ValueError: unlike shapes.
    """
    if prediction.shape != truth.shape:
        raise ValueError(
            f"prediction {prediction.shape} and truth {truth.shape} must have one shape"
        )
    valid = truth != ignore
    found = np.zeros((2, classes), np.int64)
    ours = bands(prediction, classes, ignore=ignore)
    theirs = bands(truth, classes, ignore=ignore) if of_truth is None else of_truth
    nothing = np.zeros(truth.shape, bool)
    for which in {*ours, *theirs}:
        one = ours.get(which, nothing) & valid
        two = theirs.get(which, nothing)
        found[:, which] = (one & two).sum(), (one | two).sum()
    return found


def bands(label_map: np.ndarray, classes: int, *, ignore: int = 255) -> dict[int, np.ndarray]:
    """Return class -> band (H, W) bool of each class that occurs in a label map, but `ignore`."""
    width, present = width_px(label_map.shape), np.unique(label_map)
    return {
        int(which): band(label_map == which, width=width)
        for which in present[(present >= 0) & (present < classes) & (present != ignore)]
    }


def band(mask: np.ndarray, *, width: int) -> np.ndarray:
    """Return the pixels (H, W) bool of a mask at most `width` steps from a pixel outside it.

    A step goes to any of 8 neighbours; what lies beyond the picture's border is outside.
    """
    found = np.zeros(mask.shape, bool)
    if box := slices(mask):
        inside = mask[box]
        # Erosion by a square of 2 width + 1: two one-dimensional minima, whatever the width.
        kept = ndimage.minimum_filter(
            inside.astype(np.uint8), size=2 * width + 1, mode="constant", cval=0
        )
        found[box] = inside & (kept == 0)
    return found


def width_px(size: tuple[int, int], *, share: float = SHARE) -> int:
    """Return the width of the band for a picture of (height, width), at least 1 px."""
    return max(1, round(share * float(np.hypot(*size))))
