"""Settings of the training of both networks; defaults that differ stand in each stage's file."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from maskdistill.settings.ranges import Range, check_ranges


@dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """How far a training picture is turned, moved and coloured, drawn evenly for each."""

    flip: bool = True  # mirror every other picture
    # turned at most, either way, in [0, 180]; 5 in MaskDistill's segmenter
    degrees: Annotated[float, Range(0, 180)] = 5.0
    # least and most, in (0, 8]; 0.75 to 1.25 in MaskDistill's segmenter
    scale: Annotated[tuple[float, float], Range(0, 8, low_open=True)] = (0.75, 1.25)
    # of the middle at most, either way, as a share of each side, in [0, 1]
    shift: Annotated[float, Range(0, 1)] = 0.0
    # c: channels times 1 - c to 1 + c, values to the power of exp(-c) to exp(c), in [0, 1]
    colour: Annotated[float, Range(0, 1)] = 0.0

    def __post_init__(self) -> None:
        check_ranges(self, "augment")
        if self.scale[0] > self.scale[-1]:
            raise ValueError(f"augment.scale must not fall, got {self.scale}")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """The schedule of one network."""

    # of training; 0: from the number of pictures, see epochs; of a detector of size backbone 400
    steps: Annotated[int, Range(0)] = 0
    # of all pictures, where steps is 0; a detector then has at least 600 steps, a segmenter 1500,
    # each at most 12000; docs/log/training.md
    epochs: Annotated[int, Range(1)] = 25
    # pictures a step; 16 in the paper (docs/log/training.md: more, smaller steps learn faster)
    batch: Annotated[int, Range(1)] = 4
    optimiser: Literal["adamw", "sgd"] = "adamw"  # sgd in the paper
    learning_rate: Annotated[float, Range(0, low_open=True)] = 1e-3  # at the top of the schedule
    weight_decay: Annotated[float, Range(0)] = 1e-4  # source: MaskDistill release
    warm_up: Annotated[int, Range(0)] = 20  # steps of linear warm-up
    # steps: tenfold down at each of `drops`, as the paper
    decay: Literal["cosine", "steps"] = "cosine"
    # shares of the schedule, in (0, 1]; source: LOST's configuration
    drops: Annotated[tuple[float, ...], Range(0, 1, low_open=True)] = (3 / 4, 11 / 12)
    clip_norm: Annotated[float, Range(0)] = 5.0  # largest norm of the gradient; 0: none
    # decay a step of the averaged weights, which are the result; 0: the last weights
    average: Annotated[float, Range(0, 1, high_open=True)] = 0.99
    checkpoint_seconds: Annotated[int, Range(0)] = 60  # between two checkpoints
    augment: AugmentSettings = field(default_factory=AugmentSettings)

    def __post_init__(self) -> None:
        check_ranges(self, "train")
