"""The slow twin of the dense CRF: mean field with all pairs of pixels summed, in float64.

q0 = softmax(-U), U = -log(clip(p, 1e-5, 1)); then, all pixels at once,
q <- softmax(-U + sum of weight * N(q)) with N(q) = D^-1/2 K D^-1/2 q,
K_ij = exp(-|f_i - f_j|^2 / 2), i = j included, D = diag(K 1).
"""

import numpy as np


def features(image, std_px, std_grey=None):
    """Rows (height * width, 2 or 5): x and y over their deviation, then the colours over theirs."""
    height, width = image.shape[:2]
    rows = []
    for row in range(height):
        for col in range(width):
            place = [col / std_px, row / std_px]
            rows.append(
                place if std_grey is None else [*place, *(image[row, col].astype(float) / std_grey)]
            )
    return np.array(rows)


def kernel(points):
    sums = np.empty((len(points), len(points)))
    for one, point in enumerate(points):
        sums[one] = np.exp(-0.5 * ((points - point) ** 2).sum(axis=1))
    return sums


def normalised(sums):
    root = np.sqrt(sums.sum(axis=1) + 1e-20)
    return sums / root[:, None] / root[None, :]


def softmax(logits):
    """Over axis 0."""
    raised = np.exp(logits - logits.max(axis=0))
    return raised / raised.sum(axis=0)


def mean_field(unary, kernels, weights, iterations):
    """Energies (classes, n) and normalised kernels (n, n) to probabilities (classes, n)."""
    q = softmax(-unary)
    for _ in range(iterations):
        logits = -unary
        for sums, weight in zip(kernels, weights, strict=True):
            logits = logits + weight * (q @ sums.T)
        q = softmax(logits)
    return q


def dense_crf(image, probabilities, *, iterations=10, gaussian=(1, 3), bilateral=(67, 3, 4)):
    n_classes, height, width = probabilities.shape
    unary = -np.log(np.clip(np.asarray(probabilities, np.float64), 1e-5, 1)).reshape(n_classes, -1)
    kernels = [
        normalised(kernel(features(image, gaussian[0]))),
        normalised(kernel(features(image, bilateral[0], bilateral[1]))),
    ]
    return mean_field(unary, kernels, (gaussian[1], bilateral[2]), iterations).reshape(
        n_classes, height, width
    )
