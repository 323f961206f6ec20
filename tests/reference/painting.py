"""Label maps painted pixel by pixel, from the description of what the release means and does."""

import numpy as np


def paint(masks, clusters, size, overlap):
    label_map = np.zeros(size, np.uint8)
    for number, (mask, cluster) in enumerate(zip(masks, clusters, strict=True)):
        if overlap == "skip" and any(
            mask[pixel] and label_map[pixel] for pixel in np.ndindex(size)
        ):
            continue
        if overlap == "legacy" and number > 0:
            rows = set(mask.astype(int).ravel().tolist())
            if any(label_map[row].any() for row in rows if row < size[0]):
                continue
        for pixel in np.ndindex(size):
            if mask[pixel] and not (overlap == "below" and label_map[pixel]):
                label_map[pixel] = 1 + cluster
    return label_map


def chosen(scores, min_score, keep_best):
    if len(scores) and scores[0] < min_score:
        return [0] if keep_best else []
    taken = []
    for position, score in enumerate(scores):
        if score < min_score:
            break
        taken.append(position)
    return taken
