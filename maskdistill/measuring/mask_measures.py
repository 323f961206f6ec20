"""Measures of masks: each number of evaluation with its name and its protocol in metrics.json.

In:   objects and masks of pictures, as records
Out:  measures; what of a run they are is read in run_measures.py
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from maskdistill.evaluation import boundary, corloc, false_mask_rate, mean_best_iou, records
from maskdistill.evaluation.curves import NAMES, Curves
from maskdistill.evaluation.records import Records
from maskdistill.evaluation.rows import Measure


def of_masks(
    stage: str, truth: Records, masks: Records, *, refused: Collection[int] = ()
) -> list[Measure]:
    """Return the numbers of masks of one class: CorLoc, mean best IoU, boundary IoU, AP, AR.

    Objects without a mask count by their box alone; where none has one, so do all numbers.

    Args:
        refused: pictures that the stage could not use: they have no masks, and their objects are
            missed; where there was nothing to find they do not count as right.
    """
    text = corloc.PROTOCOL.format(what="mask")
    found = [Measure(stage, "CorLoc", text, corloc.statistic(truth, masks))]
    if (shaped := records.with_masks(truth)) is not None:
        ious = records.ious(shaped, masks)
        outlines = boundary.of_best_masks(shaped, masks, ious)
        found += [
            Measure(stage, "mean_best_iou", mean_best_iou.PROTOCOL, mean_best_iou.statistic(ious)),
            Measure(stage, "boundary_iou", boundary.OF_MASKS, outlines),
        ]
    found += curves(stage, truth, masks, classes=None)
    counted = false_mask_rate.counted(truth, refused=refused)
    if counted.any():
        text = false_mask_rate.PROTOCOL.format(n=int(counted.sum()))
        text += ", refused ones left out" if refused else ""
        rate = false_mask_rate.statistic(truth, masks, counted)
        found.append(Measure(stage, "false_mask_rate", text, rate))
    return found


def curves(
    stage: str, truth: Records, masks: Records, *, classes: str | None, single: bool = False
) -> list[Measure]:
    """Return AP and AR by mask, of objects that have one, then by box.

    Args:
        classes: how clusters were given their class; None: all masks are of one class.
        single: truth and masks are those of instances.most_confident.
    """
    which = "all masks"
    if single:
        which = "most confident mask a picture against the object whose box it overlaps most"
    suffix = f"{'_agnostic' if classes is None else ''}{'_single' if single else ''}"
    kinds: tuple[tuple[Literal["segm", "bbox"], str, str, Records | None], ...] = (
        ("segm", "mask", "", records.with_masks(truth)),
        ("bbox", "box", "box_", truth),
    )
    found: list[Measure] = []
    for iou_type, by, prefix, objects in kinds:
        if objects is None:
            continue
        of = Curves(objects, masks, iou_type=iou_type, class_agnostic=classes is None)
        protocol = f"COCO by {by}, {which}, {classes or 'one class'}"
        for name in NAMES:
            # AR100 is always of one class here, so that its name says all.
            if name == "AR100" and (classes is not None or single):
                continue
            shown = f"{prefix}{name}{'' if name == 'AR100' else suffix}"
            found.append(Measure(stage, shown, protocol, of.statistic(name)))
    return found
