"""Numbers without ground truth, by their definitions: pairs of masks tried out, pixels one by one."""

import math

import numpy as np


def iou(mask: np.ndarray, other: np.ndarray) -> float:
    both = either = 0
    for row in range(mask.shape[0]):
        for col in range(mask.shape[1]):
            both += mask[row, col] and other[row, col]
            either += mask[row, col] or other[row, col]
    return both / either if either else 0.0


def pairs(masks: list[np.ndarray], others: list[np.ndarray]) -> int:
    """The most pairs of IoU >= 0.5, each mask in one: every choice for the first mask is tried."""
    if not masks or not others:
        return 0
    best = pairs(masks[1:], others)
    for place, other in enumerate(others):
        if iou(masks[0], other) >= 0.5:
            best = max(best, 1 + pairs(masks[1:], others[:place] + others[place + 1 :]))
    return best


def of_masks(pictures: list[tuple[list[np.ndarray], list[np.ndarray]]]) -> float:
    met = sum(2 * pairs(*each) for each in pictures)
    return met / sum(len(masks) + len(others) for masks, others in pictures)


def of_pixels(pictures: list[tuple[np.ndarray, np.ndarray]]) -> float:
    equal = total = 0
    for label_map, other in pictures:
        for row in range(label_map.shape[0]):
            for col in range(label_map.shape[1]):
                equal += label_map[row, col] == other[row, col]
                total += 1
    return equal / total


def effective(sizes: list[int]) -> float:
    """exp(H) as the product of p ** -p: no logarithm."""
    return math.prod((size / sum(sizes)) ** -(size / sum(sizes)) for size in sizes if size)
