"""Bands of masks from the definition, pixel by pixel."""

import numpy as np


def band(mask, width):
    """Pixels of the mask with a pixel outside it, or the border beyond the picture, at most `width` steps away."""
    found = np.zeros(mask.shape, bool)
    height, columns = mask.shape
    for row, col in np.argwhere(mask):
        for other_row in range(row - width, row + width + 1):
            for other_col in range(col - width, col + width + 1):
                inside = 0 <= other_row < height and 0 <= other_col < columns
                if not inside or not mask[other_row, other_col]:
                    found[row, col] = True
    return found
