"""Settings of the stage `segment`: the DeepLabv3 and its training."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from maskdistill.settings.ranges import Range, check_ranges
from maskdistill.settings.training import AugmentSettings, TrainSettings

BEST = "best_on_the_reported_data"


@dataclass(frozen=True, kw_only=True)
class SegmentSettings:
    """From label maps to a segmenter, and from it to predictions."""

    size: Literal["small", "resnet50"] = "small"  # resnet50 in the paper: for GPUs
    # px of the square that pictures are squeezed to; 512 in the paper
    side: Annotated[int, Range(32)] = 256
    # share of the pixels, the hardest ones, that the loss takes, in (0, 1]; 0.2 in the release
    hardest: Annotated[float, Range(0, 1, low_open=True)] = 0.3
    # move outlines to edges: plain (no), refine (by colours), crf (the paper's dense CRF); auto:
    # refine for handcrafted
    pixels: Literal["auto", "plain", "refine", "crf"] = "auto"
    # weights that are the result: average (of train.average, the last where that is 0), last, or
    # best_on_the_reported_data: of highest mIoU on the ground truth that is reported on, as the
    # release; marked
    keep: Literal["average", "last", "best_on_the_reported_data"] = "average"
    # of best_on_the_reported_data, evenly over the schedule; the release's 45 epochs
    looks: Annotated[int, Range(1)] = 45
    # pictures that a GPU sees together (a CPU sees one); moves last bits, no more;
    # docs/log/training.md, 2026-11-30
    gpu_batch: Annotated[int, Range(1)] = 8

    train: TrainSettings = field(
        default_factory=lambda: TrainSettings(
            learning_rate=5e-4, augment=AugmentSettings(colour=0.15)
        )  # colour: ours
    )

    def __post_init__(self) -> None:
        check_ranges(self, "segment")
