"""Plain twin of report.overlays.overlay_masks for masks of the picture's own size: pixel by pixel, float64."""

import numpy as np

from maskdistill.report.colours import palette


def overlay_masks(rgb, masks, clusters, scores, alpha):
    height, width = rgb.shape[:2]
    painted = rgb.astype(np.float64)
    order = sorted(
        range(len(masks)), key=lambda index: scores[index] if scores is not None else -index
    )
    for row in range(height):
        for col in range(width):
            for index in order:
                if masks[index, row, col]:
                    weight = alpha * (1 if scores is None else 0.4 + 0.6 * scores[index])
                    painted[row, col] = (1 - weight) * painted[row, col] + weight * palette(254)[
                        1 + clusters[index]
                    ]
            for index in order:
                neighbours = [(row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)]
                outside = [
                    not masks[index, r, c]
                    for r, c in neighbours
                    if 0 <= r < height and 0 <= c < width
                ]
                if masks[index, row, col] and any(outside):
                    painted[row, col] = palette(254)[1 + clusters[index]]
    return painted
