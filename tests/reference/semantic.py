"""Pixels counted one by one, from the definition."""

import numpy as np


def confusion(prediction, truth, classes, columns=None, ignore=255):
    columns = classes if columns is None else columns
    counts = np.zeros((classes, columns + 1), np.int64)
    for row in range(truth.shape[0]):
        for col in range(truth.shape[1]):
            if truth[row, col] != ignore:
                found = prediction[row, col]
                counts[truth[row, col], found if 0 <= found < columns else columns] += 1
    return counts


def iou_of_class(prediction, truth, which, ignore=255):
    """From the sets of pixels; nan where neither map holds the class."""
    valid = [index for index in np.ndindex(truth.shape) if truth[index] != ignore]
    found = {index for index in valid if prediction[index] == which}
    wanted = {index for index in valid if truth[index] == which}
    return len(found & wanted) / len(found | wanted) if found | wanted else float("nan")


def loop_over_classes(prediction, truth, classes, ignore=255):
    """Right, false and missed pixels of each class, (classes,) each: the usual way, the whole picture once a class."""
    right, false, missed = np.zeros((3, classes), np.int64)
    valid = truth != ignore
    for which in range(classes):
        found, wanted = prediction == which, truth == which
        right[which] = np.sum(found & wanted & valid)
        false[which] = np.sum(found & ~wanted & valid)
        missed[which] = np.sum(~found & wanted & valid)
    return right, false, missed
