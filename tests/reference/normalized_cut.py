"""The slow twin of the normalised cut: the generalised problem (D - W, D) handed to a dense solver."""

import numpy as np
from scipy import linalg


def weights_of_cosines(keys, threshold, floor):
    n = len(keys)
    weights = np.empty((n, n))
    for one in range(n):
        for other in range(n):
            lengths = np.linalg.norm(keys[one]) * np.linalg.norm(keys[other])
            cosine = keys[one] @ keys[other] / lengths if lengths else 0.0
            weights[one, other] = 1.0 if cosine > threshold else floor
    return weights


def eigenpairs(weights):
    """Values ascending and vectors (n, n) in columns, each v'Dv = 1."""
    weights = np.asarray(weights, np.float64)
    degrees = np.diag(weights.sum(axis=1))
    return linalg.eigh(degrees - weights, degrees)
