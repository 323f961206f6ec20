"""Settings of the stage `segment`: the segmenter of each size and its training."""

from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from maskdistill.settings.ranges import Range, check_ranges
from maskdistill.settings.training import AugmentSettings, TrainSettings

BEST = "best_on_the_reported_data"
BACKBONE: Final = "backbone"  # the size whose body is the backbone that proposes


@dataclass(frozen=True, kw_only=True)
class PatchHeadSettings:
    """The head of size backbone, on patches."""

    hidden: Annotated[int, Range(0)] = 384  # width of its one hidden layer; 0: a linear head
    # of each view's patches, drawn evenly, in (0, 1]: neighbours are alike, so that more cost time
    # alone (docs/log/segmenter.md)
    share: Annotated[float, Range(0, 1, low_open=True)] = 0.3
    passes: Annotated[int, Range(1)] = 8  # over all drawn patches, where train.steps is 0
    batch: Annotated[int, Range(1)] = 2048  # patches a step
    learning_rate: Annotated[float, Range(0, low_open=True)] = 1e-3  # at the first step
    weight_decay: Annotated[float, Range(0)] = 1e-3  # of AdamW; docs/log/segmenter.md

    def __post_init__(self) -> None:
        check_ranges(self, "segment.patch_head")


@dataclass(frozen=True, kw_only=True)
class SegmentSettings:
    """From label maps to a segmenter, and from it to predictions."""

    # small; resnet50: the paper's, for GPUs; backbone: a head on the tokens of the backbone that
    # proposes, which alone has patches and patch_head, and of train its steps and
    # checkpoint_seconds; side, hardest and the rest of train are of the other two; auto: small for
    # handcrafted and where weights are given to start from, else backbone
    size: Literal["auto", "small", "resnet50", "backbone"] = "auto"
    # of all pictures at most, of size backbone, drawn evenly and held in memory: of three blocks of
    # a ViT-S 3.5 GB
    patches: Annotated[int, Range(1)] = 1_500_000
    # px of the square that pictures are squeezed to; 512 in the paper
    side: Annotated[int, Range(32)] = 256
    # share of the pixels, the hardest ones, that the loss takes, in (0, 1]; 0.2 in the release
    hardest: Annotated[float, Range(0, 1, low_open=True)] = 0.3
    # move outlines to edges: plain (no), refine (by colours), crf (the paper's dense CRF); auto:
    # refine for handcrafted, crf for size backbone, whose patches are coarse, else plain;
    # docs/log/segmenter.md, 2026-12-01
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

    patch_head: PatchHeadSettings = field(default_factory=PatchHeadSettings)

    train: TrainSettings = field(
        default_factory=lambda: TrainSettings(
            learning_rate=5e-4, augment=AugmentSettings(colour=0.15)
        )  # colour: ours
    )

    def __post_init__(self) -> None:
        check_ranges(self, "segment")
