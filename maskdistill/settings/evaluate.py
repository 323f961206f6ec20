"""Settings of the stages `evaluate` and `report`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from maskdistill.settings.ranges import Range, check_ranges
from maskdistill.types import LabelValues


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """From ground truth to metrics; never changes what was trained."""

    # mIoU over classes in the truth; paper: absent ones are 0
    protocol: Literal["occurring", "paper"] = "occurring"
    # clusters of label maps to classes: one to one by IoU (the release) or by pixels; majority:
    # several may share one
    matching: Literal["iou", "pixels", "majority"] = "iou"
    # what names a detection's cluster: the object that the mask meets with IoU >= 0.5 (overlap), or
    # whatever object has the highest box IoU, none met too (release)
    votes: Literal["overlap", "release"] = "overlap"
    # of COCO instances: a crowd (iscrowd) is no object, as COCO has it; or it is one, for files of
    # tools that mark every mask so
    crowds: Literal["ignored", "objects"] = "ignored"
    # values of label maps of others: class numbers; two_valued: 0 and 255 (or 1), masks of one
    # class; voc_colours: by colour, of palettes too
    label_values: LabelValues = "indices"
    # the number in label maps of others whose pixels are not counted, beside 255; 0: unlabelled,
    # and no background is left
    void: Annotated[int, Range(0, 255)] = 255
    # CSV of others' figures by class, shown beside ours: class, value (per cent), source; "": none
    published: str = ""
    # resamplings of the pictures for the intervals; 0: no intervals
    bootstrap: Annotated[int, Range(0)] = 200
    # pictures, spread evenly, on which each stage is compared with itself on their mirror images
    # when it is made: numbers without ground truth, in its stage.json; 0: none; changes no result
    # and makes no stage again
    agreement_pictures: Annotated[int, Range(0)] = 24

    def __post_init__(self) -> None:
        check_ranges(self, "evaluate")


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """The page at the end."""

    tiles: Annotated[int, Range(1)] = 12  # pictures a contact sheet, the same ones for each stage
    tile_px: Annotated[int, Range(32)] = 280  # longer side of a tile

    def __post_init__(self) -> None:
        check_ranges(self, "report")
