"""Every setting of a run: what concerns all stages, and one dataclass a stage."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal, TypedDict

import tyro

from maskdistill.settings.cluster import ClusterSettings
from maskdistill.settings.detect import DetectSettings
from maskdistill.settings.evaluate import EvaluateSettings, ReportSettings
from maskdistill.settings.features import FeaturesSettings
from maskdistill.settings.label import LabelSettings
from maskdistill.settings.propose import ProposeSettings
from maskdistill.settings.ranges import Range, check_ranges
from maskdistill.settings.segment import BACKBONE, SegmentSettings

# On the field, not in a command's configuration: there, every tuple would be appended to.
Repeated = Annotated[tuple[str, ...], tyro.conf.UseAppendAction]
WEIGHT_STAGES = ("propose", "cluster", "detect", "segment")
HANDCRAFTED = "handcrafted"
DINO_VITS = ("dino_vits16", "dino_vits8", "dino_vitb16", "dino_vitb8")
NETWORKS = ("dino_resnet50", "moco_v2_resnet50")  # start weights of detector and segmenter by name


_BANDS = r"\s*[1-9][0-9]{0,4}\s*(,\s*[1-9][0-9]{0,4}\s*,\s*[1-9][0-9]{0,4}\s*)?"


class Reading(TypedDict):
    """Hold the keyword arguments of `pictures.read` that settings say."""

    orientation: str
    max_megapixels: float
    levels: str | tuple[tuple[float, float], ...]
    bands: tuple[int, ...] | None


def is_name(what: str) -> bool:
    """Return whether WHAT of STAGE=WHAT is a word of ours or a name, and no file."""
    return what in (*DINO_VITS, *NETWORKS, HANDCRAFTED, "none", "detect") or what.startswith(
        "timm/"
    )


def backbone_named(stage: str, what: str | None) -> str | None:
    """Return the backbone that STAGE=WHAT names; None of a file, of `none`, of a ResNet."""
    names = {"propose": (*DINO_VITS, HANDCRAFTED), "cluster": DINO_VITS}.get(stage, ())
    return what if what and names and (what in names or what.startswith("timm/")) else None


@dataclass(frozen=True, kw_only=True)
class CommonSettings:
    """The dozen settings that most people touch."""

    preset: str = "quick"  # a whole choice of settings: quick | demo | paper-voc12 | paper-coco20k
    # YAML file with settings; stands above the preset and below the flags
    config: Path | None = None
    # STAGE=WHAT, repeatable; WHAT: a name, a file, none, for segment also detect
    weights: Repeated = ()
    # pictures never trained on: a folder, a fraction, or a file with a list of paths
    validation: str | None = None
    # a list of names, one a line, plain or gzipped: of PICTURES these alone, and those of a list
    # given to --validation
    only: str | None = None
    # COCO JSON or folder of label maps, repeatable, in place of the run's; only evaluated with; "":
    # none
    ground_truth: Repeated = ()
    limit: Annotated[int, Range(0)] = 0  # first N pictures by path, for a first try; 0: all
    seed: Annotated[int, Range(0)] = 0  # of every random draw
    # that many seeds, from this run's own on, each in RUN/seeds/N: mean and deviation of each
    # number; 1: this run alone
    seeds: Annotated[int, Range(1)] = 1
    # what is repeated: chain: all after the proposals, as papers do; clusters: k-means alone, whose
    # spread is smaller
    seeds_of: Literal["chain", "clusters"] = "chain"
    device: str = "auto"  # auto | cpu | cuda | cuda:N
    # of the CPU's arithmetic; another count gives other last bits; 0: all cores
    threads: Annotated[int, Range(0)] = 0

    def __post_init__(self) -> None:
        check_ranges(self)
        for entry in self.weights:
            stage, equals, what = entry.partition("=")
            if not equals or not what or stage not in WEIGHT_STAGES:
                raise ValueError(
                    f"weights: {entry!r} is not STAGE=WHAT "
                    f"with STAGE one of {', '.join(WEIGHT_STAGES)}"
                )

    def weights_of(self, stage: str) -> str | None:
        """Return WHAT was given for a stage (the last one counts), or None."""
        chosen = [
            entry.partition("=")[2] for entry in self.weights if entry.partition("=")[0] == stage
        ]
        return chosen[-1] if chosen else None


@dataclass(frozen=True, kw_only=True)
class RunSettings(CommonSettings):
    """All settings of a run."""

    # threads that decode pictures ahead of the device; results do not depend on it
    workers: Annotated[int, Range(0)] = 2
    # of the backbone and of training; bfloat16 moves a few masks
    precision: Literal["float32", "bfloat16"] = "float32"
    # turn pictures as their EXIF tag says, or leave them as stored
    orientation: Literal["exif", "stored"] = "exif"
    max_megapixels: Annotated[float, Range(0, low_open=True)] = 100.0  # larger pictures are refused
    # of pictures of more than 8 bits: full: the range of their type; stretch: the 0.1 percentile of
    # each is black, the 99.9 white; stretch_all: those of all pictures, for sensors that compare
    levels: Literal["full", "stretch", "stretch_all"] = "full"
    # R,G,B: of TIFFs with several bands those that are red, green and blue, counted from 1, as
    # 3,2,1; or one to be seen as a grey
    bands: str | None = None
    # of stacks, animations and MPO files: the first page, or each page as a picture of its own
    pages: Literal["first", "all"] = "first"
    # of clusters and all after them; None: as seed; each run of --seeds has its own
    chain_seed: Annotated[int | None, Range(0)] = None

    features: FeaturesSettings = field(default_factory=FeaturesSettings)
    propose: ProposeSettings = field(default_factory=ProposeSettings)
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    detect: DetectSettings = field(default_factory=DetectSettings)
    label: LabelSettings = field(default_factory=LabelSettings)
    segment: SegmentSettings = field(default_factory=SegmentSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    report: ReportSettings = field(default_factory=ReportSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bands is not None and not re.fullmatch(_BANDS, self.bands):
            raise ValueError(
                f"bands: {self.bands!r} is neither three numbers of bands, counted from 1, as 3,2,1, "
                "nor one"
            )

    @property
    def keeps_tokens(self) -> bool:
        """Return whether tokens of the pass that proposes are kept; settings are resolved.

        Handcrafted features are none that a network could learn from.
        """
        # Imported proposals need no backbone: whoever reads tokens has them computed.
        read = self.detect.on_tokens or self.segment.size == BACKBONE
        read = read and not self.propose.import_file
        keep = self.features.keep
        return self.propose.backbone != HANDCRAFTED and (keep == "all" or (keep == "auto" and read))

    @property
    def blocks_seen(self) -> tuple[int, ...]:
        """Return the blocks whose tokens are taken of a new picture, by one look of the backbone.

        Those that are kept come first, in their order, then others that a network reads.
        """
        return tuple(dict.fromkeys((*self.features.blocks, *self.detect.blocks)))

    @property
    def reading(self) -> "Reading":
        """Return how a picture is read that is no part of a set: its own levels are the set's."""
        bands = None
        if self.bands is not None:
            bands = tuple(int(band) for band in self.bands.split(","))
        return {
            "orientation": self.orientation,
            "max_megapixels": self.max_megapixels,
            "levels": "full" if self.levels == "full" else "stretch",
            "bands": bands,
        }

    @property
    def seed_of_chain(self) -> int:
        """Return the seed of clusters and all after them; scan and proposals have `seed` itself."""
        return self.seed if self.chain_seed is None else self.chain_seed

    @property
    def chain_seeds(self) -> range:
        """Return the seeds that the run is made with, its own first."""
        return range(self.seed_of_chain, self.seed_of_chain + self.seeds)

    def with_chain_seed(self, number: int) -> "RunSettings":
        """Return the settings of RUN/seeds/<number>: a run of its own, of the same proposals."""
        return replace(self, seeds=1, chain_seed=number)
