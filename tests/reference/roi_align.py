"""RoIAlign sample by sample, and hence slow: the definition of He et al., Sec. 3, at cells centred at 0, 1, 2, ..."""

import math


def bilinear(cells, row, col):
    """Of one map (rows, cols); 0 further than one cell beyond it, the edge's value nearer."""
    rows, cols = cells.shape
    if row < -1 or row > rows or col < -1 or col > cols:
        return 0.0
    row, col = min(max(row, 0.0), rows - 1), min(max(col, 0.0), cols - 1)
    top, left = math.floor(row), math.floor(col)
    bottom, right = min(top + 1, rows - 1), min(left + 1, cols - 1)
    down, along = row - top, col - left
    above = (1 - along) * float(cells[top, left]) + along * float(cells[top, right])
    below = (1 - along) * float(cells[bottom, left]) + along * float(cells[bottom, right])
    return (1 - down) * above + down * below


def pooled(cells, box_xyxy, side, samples):
    """side x side lists of one box in cells of the map; a box under one cell is widened to one."""
    x1, y1, x2, y2 = (float(value) for value in box_xyxy)
    high, wide = max(y2 - y1, 1.0) / side, max(x2 - x1, 1.0) / side
    bins = [[0.0] * side for _ in range(side)]
    for row in range(side):
        for col in range(side):
            for i in range(samples):
                for j in range(samples):
                    y = y1 + (row + (i + 0.5) / samples) * high
                    x = x1 + (col + (j + 0.5) / samples) * wide
                    bins[row][col] += bilinear(cells, y, x) / samples**2
    return bins
