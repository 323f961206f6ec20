"""What both networks can be told about their training; defaults that differ stand in each stage's own file."""

from dataclasses import dataclass, field
from typing import Literal

from maskdistill.settings.checks import at_least, in_unit


@dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """How far a training picture is turned, moved and coloured, drawn evenly for each."""

    flip: bool = True  # mirror every other picture
    degrees: float = 5.0  # turned at most, either way, in [0, 180]; 5 in MaskDistill's segmenter
    # least and most, in (0, 8]; 0.75 to 1.25 in MaskDistill's segmenter
    scale: tuple[float, float] = (0.75, 1.25)
    shift: float = 0.0  # of the middle at most, either way, as a share of each side, in [0, 1]
    # c: channels times 1 - c to 1 + c, values to the power of exp(-c) to exp(c), in [0, 1]
    colour: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.degrees <= 180:
            raise ValueError(f"augment.degrees must be in [0, 180], got {self.degrees}")
        for scale in self.scale:
            if not 0 < scale <= 8:
                raise ValueError(f"augment.scale must be in (0, 8], got {scale}")
        if self.scale[0] > self.scale[-1]:
            raise ValueError(f"augment.scale must not fall, got {self.scale}")
        in_unit("augment.shift", self.shift)
        in_unit("augment.colour", self.colour)


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """The schedule of one network."""

    steps: int = 0  # of training; 0: from the number of pictures, see epochs
    # of all pictures, where steps is 0; a detector then has at least 600 steps, a segmenter 1500,
    # each at most 12000; docs/log/training.md
    epochs: int = 25
    # pictures a step; 16 in the paper (docs/log/training.md: more, smaller steps learn faster)
    batch: int = 4
    optimiser: Literal["adamw", "sgd"] = "adamw"  # sgd in the paper
    learning_rate: float = 1e-3  # at the top of the schedule
    weight_decay: float = 1e-4  # source: MaskDistill release
    warm_up: int = 20  # steps of linear warm-up
    # steps: tenfold down at each of `drops`, as the paper
    decay: Literal["cosine", "steps"] = "cosine"
    # shares of the schedule, in (0, 1]; source: LOST's configuration
    drops: tuple[float, ...] = (3 / 4, 11 / 12)
    clip_norm: float = 5.0  # largest norm of the gradient; 0: none
    # decay a step of the averaged weights, which are the result; 0: the last weights
    average: float = 0.99
    checkpoint_seconds: int = 60  # between two checkpoints
    augment: AugmentSettings = field(default_factory=AugmentSettings)

    def __post_init__(self) -> None:
        at_least("train.steps", self.steps, 0)
        at_least("train.epochs", self.epochs, 1)
        at_least("train.batch", self.batch, 1)
        if not self.learning_rate > 0:
            raise ValueError(f"train.learning_rate must be above 0, got {self.learning_rate}")
        at_least("train.weight_decay", self.weight_decay, 0)
        at_least("train.warm_up", self.warm_up, 0)
        if not all(0 < drop <= 1 for drop in self.drops):
            raise ValueError(f"train.drops must be in (0, 1], got {self.drops}")
        at_least("train.clip_norm", self.clip_norm, 0)
        if not 0 <= self.average < 1:
            raise ValueError(f"train.average must be in [0, 1), got {self.average}")
        at_least("train.checkpoint_seconds", self.checkpoint_seconds, 0)
