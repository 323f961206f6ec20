"""COCO's average precision and recall from its definition: loops over classes, pictures, thresholds, masks, objects."""

import numpy as np

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
SIZES = {"": (0, 1e10), "s": (0, 32**2), "m": (32**2, 96**2), "l": (96**2, 1e10)}


def evaluate(truth, results, iou_of, *, class_agnostic, first_id=1):
    """The twelve numbers; nan where no object is of that size.

    Args:
        truth, results: as instances.average_precision has them, but that each object has its `area`.
        iou_of: (mask, object) -> IoU, over the mask's area where the object is a crowd.
            An object's `id` counts from 0; without one its place does.
        first_id: 0: whoever takes the first object is told id 0, which reads as "none": a miss (the original).
    """
    rows_in_order = [row for rows in truth.values() for row in rows]
    ids = {id(row): first_id + row.get("id", place) for place, row in enumerate(rows_in_order)}
    one = lambda row: 1 if class_agnostic else row["category"]  # noqa: E731
    classes = {one(row) for rows in truth.values() for row in rows}
    found = {}
    for size, (low, high) in SIZES.items():
        for most in (1, 10, 100):
            precisions, recalls = [], []
            for which in sorted(classes):
                objects = {
                    n: [row for row in rows if one(row) == which] for n, rows in truth.items()
                }
                masks = {n: [row for row in results.get(n, []) if one(row) == which] for n in truth}
                ap, ar = _of_class(objects, masks, iou_of, ids, low, high, most)
                precisions.append(ap)
                recalls.append(ar)
            precisions, recalls = np.array(precisions), np.array(recalls)  # (classes, thresholds)
            counted = ~np.isnan(precisions[:, 0])

            def mean(values, counted=counted):
                return values[counted].mean() if counted.any() else float("nan")

            if most == 100:
                found[f"AP{size}"], found[f"AR{size or 100}"] = mean(precisions), mean(recalls)
                if not size:
                    found["AP50"], found["AP75"] = mean(precisions[:, 0]), mean(precisions[:, 5])
            elif not size:
                found[f"AR{most}"] = mean(recalls)
    return found


def _of_class(objects, masks, iou_of, ids, low, high, most):
    n_objects = sum(not _ignored(row, low, high) for rows in objects.values() for row in rows)
    if not n_objects:
        return np.full(10, np.nan), np.full(10, np.nan)
    precisions, recalls = [], []
    for threshold in THRESHOLDS:
        judged = []  # (score, hit) of the masks that count
        for number, rows in objects.items():
            judged += _of_picture(rows, masks[number], iou_of, ids, low, high, most, threshold)
        judged.sort(key=lambda pair: -pair[0])
        curve, hits = [], 0
        for place, (_, hit) in enumerate(judged, 1):
            hits += hit
            curve.append((hits / n_objects, hits / place))
        reached = [max([p for r, p in curve if r >= recall], default=0.0) for recall in RECALLS]
        precisions.append(np.mean(reached))
        recalls.append(hits / n_objects)
    return np.array(precisions), np.array(recalls)


def _of_picture(objects, masks, iou_of, ids, low, high, most, threshold):
    taken, judged = set(), []
    for mask in sorted(masks, key=lambda row: -row["score"])[:most]:
        best, best_iou = None, threshold
        for place, row in enumerate(objects):
            if (
                place not in taken
                and not _ignored(row, low, high)
                and iou_of(mask, row) >= best_iou
            ):
                best, best_iou = place, iou_of(mask, row)
        if best is None:
            for place, row in enumerate(objects):
                free = place not in taken or row["crowd"]
                if free and _ignored(row, low, high) and iou_of(mask, row) >= best_iou:
                    best, best_iou = place, iou_of(mask, row)
        if best is not None:
            taken.add(best)
        told = 0 if best is None else ids[id(objects[best])]
        x1, y1, x2, y2 = mask["box"]
        out_of_range = not low <= (x2 - x1) * (y2 - y1) <= high
        if best is not None and _ignored(objects[best], low, high):
            continue
        if told == 0 and out_of_range:
            continue
        judged.append((mask["score"], told != 0))
    return judged


def _ignored(row, low, high):
    return row["crowd"] or not low <= row["area"] <= high
