"""Every setting of a run: what concerns all stages, and one dataclass a stage."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from maskdistill.settings.checks import at_least
from maskdistill.settings.cluster import ClusterSettings
from maskdistill.settings.detect import DetectSettings
from maskdistill.settings.evaluate import EvaluateSettings, ReportSettings
from maskdistill.settings.label import LabelSettings
from maskdistill.settings.propose import ProposeSettings
from maskdistill.settings.segment import SegmentSettings

# On the field, not in a command's configuration: there, every tuple would be appended to.
Repeated = Annotated[tuple[str, ...], tyro.conf.UseAppendAction]
WEIGHT_STAGES = ("propose", "cluster", "detect", "segment")


@dataclass(frozen=True, kw_only=True)
class CommonSettings:
    """The dozen settings that most people touch."""

    preset: str = "quick"  # a whole choice of settings: quick | demo | paper-voc12 | paper-coco20k
    config: Path | None = None  # YAML file with settings; stands above the preset and below the flags
    weights: Repeated = ()  # STAGE=WHAT, repeatable; WHAT: a name, a file, none, for segment also detect
    validation: str | None = None  # pictures never trained on: a folder, a fraction, or a file with a list of paths
    # a list of names, one a line, plain or gzipped: of PICTURES these alone, and those of a list given to --validation
    only: str | None = None
    ground_truth: Repeated = ()  # COCO JSON or folder of label maps, repeatable; only ever evaluated with
    limit: int = 0  # first N pictures by path, for a first try; 0: all
    seed: int = 0  # of every random draw
    device: str = "auto"  # auto | cpu | cuda | cuda:N
    threads: int = 0  # of the CPU's arithmetic; another count gives other last bits; 0: all cores

    def __post_init__(self) -> None:
        at_least("limit", self.limit, 0)
        at_least("seed", self.seed, 0)
        at_least("threads", self.threads, 0)
        for entry in self.weights:
            stage, equals, what = entry.partition("=")
            if not equals or not what or stage not in WEIGHT_STAGES:
                raise ValueError(f"weights: {entry!r} is not STAGE=WHAT with STAGE one of {', '.join(WEIGHT_STAGES)}")

    def weights_of(self, stage: str) -> str | None:
        """WHAT was given for a stage (the last one counts), or None."""
        chosen = [entry.partition("=")[2] for entry in self.weights if entry.partition("=")[0] == stage]
        return chosen[-1] if chosen else None


@dataclass(frozen=True, kw_only=True)
class RunSettings(CommonSettings):
    """All settings of a run."""

    workers: int = 2  # threads that decode pictures ahead of the device; results do not depend on it
    precision: Literal["float32", "bfloat16"] = "float32"  # of the backbone and of training; bfloat16 moves a few masks
    orientation: Literal["exif", "stored"] = "exif"  # turn pictures as their EXIF tag says, or leave them as stored
    max_megapixels: float = 100.0  # larger pictures are refused
    propose: ProposeSettings = field(default_factory=ProposeSettings)
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    detect: DetectSettings = field(default_factory=DetectSettings)
    label: LabelSettings = field(default_factory=LabelSettings)
    segment: SegmentSettings = field(default_factory=SegmentSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    report: ReportSettings = field(default_factory=ReportSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("workers", self.workers, 0)
        if not self.max_megapixels > 0:
            raise ValueError(f"max_megapixels must be above 0, got {self.max_megapixels}")
