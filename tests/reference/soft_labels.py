"""Soft labels pixel by pixel: the area that each pixel and each patch have in common; float64."""

import numpy as np


def shares(label_map, scaled, n_classes, patch, ignore=255):
    height, width = label_map.shape
    rows, cols = -(-scaled[0] // patch), -(-scaled[1] // patch)
    found = np.zeros((rows, cols, n_classes))
    for row in range(rows):
        for col in range(cols):
            for y in range(height):
                for x in range(width):
                    if label_map[y, x] != ignore:
                        down = common(y, height, scaled[0], row, patch)
                        across = common(x, width, scaled[1], col, patch)
                        found[row, col, label_map[y, x]] += down * across / patch**2
    return found


def common(pixel, pixels, shown, number, patch):
    """Length of the axis, in px shown, that a pixel and a patch have in common."""
    low = max(pixel * shown / pixels, number * patch)
    high = min((pixel + 1) * shown / pixels, (number + 1) * patch)
    return max(0.0, high - low)
