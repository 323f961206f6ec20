"""Settings of the stage `label`: which detections are painted, and how."""

from dataclasses import dataclass
from typing import Annotated, Literal

from maskdistill.settings.ranges import Range, check_ranges


@dataclass(frozen=True, kw_only=True)
class LabelSettings:
    """From detections to label maps."""

    min_score: Annotated[float, Range(0, 1)] = 0.9  # of a detection, in [0, 1]; 0.9 in the release
    # detections from this score on that are not painted are ignored, not background (255 where
    # nothing is painted), in [0, 1]; 1: none; None: 0.3 for segment.size backbone, else none;
    # docs/log/segmenter.md
    unsure_score: Annotated[float | None, Range(0, 1)] = None
    # paint the best detection of a picture that has none above min_score; source: release
    keep_best: bool = True
    # paint the clustered proposals in place of detections where the detector finds less than a
    # quarter of its training masks again: all proposals that it was trained on, whatever min_score,
    # which is of detections; no in the paper; docs/log/segmenter.md
    keep_best_stage: bool = True
    # later masks: left out, painted below, or as the release did; auto: below for detect.size
    # backbone, whose detections overlap more, else skip; docs/log/detector.md
    overlap: Literal["auto", "skip", "below", "legacy"] = "auto"
    # what is painted of a detection; box: its whole box, as the release can too
    shape: Literal["mask", "box"] = "mask"

    def __post_init__(self) -> None:
        check_ranges(self, "label")
