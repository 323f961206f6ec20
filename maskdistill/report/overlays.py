"""Overlays: masks and label maps painted over pictures, in colours that everybody tells apart.

In:       RGB (h, w, 3) uint8, masks (n, H, W) bool or a label map (H, W) uint8
Out:      RGB (h, w, 3) uint8, the size of the RGB that came in
Differs:  masks may be larger than the RGB: a thumbnail that is painted is sharper than a painted
          picture that is shrunk
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from maskdistill.masks import resize
from maskdistill.report.colours import IGNORE_COLOUR, palette
from maskdistill.types import MOST_IDS

DIMMED = 0.30  # of an exemplar's background, what remains of its light


def overlay_masks(
    rgb: np.ndarray,
    masks: np.ndarray,
    clusters: np.ndarray | None = None,
    scores: np.ndarray | None = None,
    *,
    alpha: float = 0.45,
) -> np.ndarray:
    """Paint each mask over a picture, tinted and thinly outlined; the best score is on top.

    Args:
        rgb: (h, w, 3) uint8.
        masks: (n, H, W) bool of the same picture, n >= 0; H, W = h, w or the size before shrinking.
        clusters: (n,) int, 0 .. 253, the colour of each; None: a colour for each mask, in the order
            given.
        scores: (n,) float in [0, 1]; a lower one is tinted more faintly. None: all alike, the first
            on top.
        alpha: weight of the tint in [0, 1]; 0 leaves outlines alone.
    Returns:
        (h, w, 3) uint8; a copy of `rgb` where there are no masks.
    Raises:
        ValueError: wrong rank or length, alpha out of range.
    """
    _check_rgb(rgb)
    if masks.ndim != 3:
        raise ValueError(f"masks: wanted (n, H, W), got shape {masks.shape}")
    for name, values in (("clusters", clusters), ("scores", scores)):
        if values is not None and len(values) != len(masks):
            raise ValueError(f"{name}: wanted {len(masks)}, one a mask, got {len(values)}")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be in [0, 1], got {alpha}")
    n_masks = len(masks)
    if n_masks == 0:
        return rgb.copy()
    # More masks than colours: they start again.
    ids = np.arange(n_masks) % MOST_IDS if clusters is None else np.asarray(clusters)
    colours = palette(int(ids.max()) + 1)[1 + ids].astype(np.float32)
    strength = np.ones(n_masks) if scores is None else 0.4 + 0.6 * np.asarray(scores, np.float64)
    order = np.arange(n_masks)[::-1] if scores is None else np.argsort(scores, kind="stable")
    painted = rgb.astype(np.float32)
    for index in order:
        share = resize.shares(masks[index], rgb.shape[:2])
        weight = (alpha * strength[index] * share)[..., None]
        painted = painted * (1 - weight) + colours[index] * weight
    for index in order:  # after all the tints: an outline is never tinted by a neighbour
        painted[_inner_edge(resize.resized(masks[index], rgb.shape[:2]))] = colours[index]
    return np.rint(painted).astype(np.uint8)


def overlay_label_map(rgb: np.ndarray, label_map: np.ndarray, *, alpha: float = 0.55) -> np.ndarray:
    """Paint each region of a label map over a picture, tinted and outlined.

    Background is left as it is, 255 turns grey.

    Args:
        rgb: (h, w, 3) uint8.
        label_map: (H, W) uint8, 0 background, 1 + cluster, 255 ignore; another size than the
            picture's is resized by nearest.
        alpha: weight of the tint in [0, 1].
    Returns:
        (h, w, 3) uint8.
    Raises:
        ValueError: wrong rank or dtype.
    """
    _check_rgb(rgb)
    if label_map.ndim != 2 or label_map.dtype != np.uint8:
        raise ValueError(
            f"label_map: wanted (H, W) uint8, got shape {label_map.shape} {label_map.dtype}"
        )
    height, width = rgb.shape[:2]
    if label_map.shape != (height, width):
        label_map = np.asarray(
            Image.fromarray(label_map).resize((width, height), Image.Resampling.NEAREST)
        )
    table = np.vstack([palette(MOST_IDS), IGNORE_COLOUR])
    tint = table[label_map].astype(np.float32)
    labelled = (label_map != 0)[..., None]
    painted = np.where(labelled, rgb * (1 - alpha) + tint * alpha, rgb)
    edge = _label_edge(label_map) & (label_map != 0) & (label_map != 255)
    painted[edge] = tint[edge]
    return np.rint(painted).astype(np.uint8)


def thumbnail(rgb: np.ndarray, side: int) -> np.ndarray:
    """Shrink a picture until its longer side is at most `side` px; a smaller one is copied.

    Args:
        rgb: (h, w, 3) uint8.
    Raises:
        ValueError: not (h, w, 3) uint8, or side < 1.
    """
    _check_rgb(rgb)
    if side < 1:
        raise ValueError(f"side must be at least 1, got {side}")
    size = resize.within(rgb.shape[:2], side)
    if size == rgb.shape[:2]:
        return rgb.copy()
    picture = Image.fromarray(rgb)
    return np.asarray(picture.resize(size[::-1], Image.Resampling.LANCZOS, reducing_gap=3.0))


def crop_exemplar(rgb: np.ndarray, mask: np.ndarray, box: np.ndarray, side: int) -> np.ndarray:
    """Cut one object out in a square, thinly outlined, all around it dimmed and grey.

    Args:
        rgb: (H, W, 3) uint8.
        mask: (H, W) bool of the same picture.
        box: (4,) xyxy half-open, in pixels. The square is a tenth larger than its longer side and
            stays within the picture where it fits; what lies outside is black.
        side: of the result, in px.
    Returns:
        (side, side, 3) uint8.
    Raises:
        ValueError: sizes of rgb and mask differ, side < 1.
    """
    _check_rgb(rgb)
    if mask.shape != rgb.shape[:2]:
        raise ValueError(f"mask: wanted the picture's size {rgb.shape[:2]}, got {mask.shape}")
    if side < 1:
        raise ValueError(f"side must be at least 1, got {side}")
    x1, y1, x2, y2 = (float(edge) for edge in box)
    square = max(1, round(1.1 * max(x2 - x1, y2 - y1)))
    top = _start((y1 + y2) / 2, square, mask.shape[0])
    left = _start((x1 + x2) / 2, square, mask.shape[1])
    rows, cols = (slice(max(0, start), start + square) for start in (top, left))
    seen, share = rgb[rows, cols].astype(np.float32), mask[rows, cols]
    grey = seen.mean(axis=2, keepdims=True)
    background = DIMMED * (0.6 * grey + 0.4 * seen)
    shown = np.rint(np.where(share[..., None], seen, background)).astype(np.uint8)
    canvas, inside = np.zeros((square, square, 3), np.uint8), np.zeros((square, square), bool)
    row, col = max(0, -top), max(0, -left)
    within = (slice(row, row + shown.shape[0]), slice(col, col + shown.shape[1]))
    canvas[within], inside[within] = shown, share
    crop = np.asarray(Image.fromarray(canvas).resize((side, side), Image.Resampling.LANCZOS)).copy()
    # A dark object on a dimmed background would not be seen without its outline.
    edge = _inner_edge(resize.resized(inside, (side, side)))
    crop[edge] = crop[edge] // 3 + 170
    return crop


def _start(centre: float, length: int, limit: int) -> int:
    """Return the first pixel of a span around `centre`, within 0 .. limit if it fits there."""
    if length >= limit:
        return -((length - limit) // 2)
    return int(np.clip(round(centre - length / 2), 0, limit - length))


def _inner_edge(mask: np.ndarray) -> np.ndarray:
    """Return (h, w) bool: pixels of the mask with a 4-neighbour outside; the border is no edge."""
    inside = mask.copy()
    inside[1:] &= mask[:-1]
    inside[:-1] &= mask[1:]
    inside[:, 1:] &= mask[:, :-1]
    inside[:, :-1] &= mask[:, 1:]
    return mask & ~inside


def _label_edge(label_map: np.ndarray) -> np.ndarray:
    """Return (h, w) bool: pixels with a 4-neighbour of another label."""
    edge = np.zeros(label_map.shape, bool)
    rows, cols = label_map[1:] != label_map[:-1], label_map[:, 1:] != label_map[:, :-1]
    edge[1:] |= rows
    edge[:-1] |= rows
    edge[:, 1:] |= cols
    edge[:, :-1] |= cols
    return edge


def _check_rgb(rgb: np.ndarray) -> None:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"rgb: wanted (h, w, 3) uint8, got shape {rgb.shape} {rgb.dtype}")
