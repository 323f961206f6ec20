"""Directions of position by their definition: by power iteration, one after the other, in float64.

Source: INSID3, arXiv:2603.28480, models/insid3.py of visinf/INSID3.
"""

import numpy as np


def covariance(rows: np.ndarray) -> np.ndarray:
    """Return the sum of outer products of rows made 1 long, their mean taken off."""
    n_rows, width = rows.shape
    unit = np.zeros((n_rows, width))
    for row in range(n_rows):
        length = np.sqrt(sum(float(value) ** 2 for value in rows[row]))
        unit[row] = rows[row] / length if length > 0 else 0.0
    mean = sum(unit) / n_rows
    total = np.zeros((width, width))
    for row in range(n_rows):
        total += np.outer(unit[row] - mean, unit[row] - mean)
    return total


def directions(rows: np.ndarray, most: int) -> np.ndarray:
    """Return (width, most): the leading eigenvectors of the covariance, deflated one by one."""
    total = covariance(rows)
    found = []
    for number in range(most):
        vector = np.cos(np.arange(len(total)) * (number + 1.7))
        for _ in range(3000):
            vector = total @ vector
            vector = vector / np.sqrt(vector @ vector)
        found.append(vector)
        total = total - (vector @ total @ vector) * np.outer(vector, vector)
    return np.array(found).T


def without(rows: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return rows without their part along each direction, taken off one by one."""
    rest = rows.astype(float).copy()
    for row in range(len(rest)):
        for column in range(found.shape[1]):
            rest[row] -= (rest[row] @ found[:, column]) * found[:, column]
    return rest
