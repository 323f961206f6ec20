"""Slow twin of pictures/orientation.py: where each stored pixel is seen, by EXIF's own words."""

import numpy as np

# Of the stored picture's row 0 and column 0: the visual edge each is, as EXIF 2.32 lists them.
EDGES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def turned(picture: np.ndarray, orientation: int) -> np.ndarray:
    height, width = picture.shape[:2]
    row_edge, col_edge = EDGES[orientation]
    swapped = row_edge in ("left", "right")
    seen = np.empty((width, height) if swapped else (height, width), picture.dtype)
    for row in range(height):
        for col in range(width):
            place = {}
            for edge, steps in ((row_edge, row), (col_edge, col)):
                axis = 0 if edge in ("top", "bottom") else 1
                place[axis] = steps if edge in ("top", "left") else seen.shape[axis] - 1 - steps
            seen[place[0], place[1]] = picture[row, col]
    return seen
