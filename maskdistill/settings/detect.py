"""Settings of the stage `detect`: the Mask R-CNN, its training, which detections are kept."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from maskdistill.settings.ranges import Range, check_ranges
from maskdistill.settings.training import AugmentSettings, TrainSettings


@dataclass(frozen=True, kw_only=True)
class DetectSettings:
    """From noisy masks to a detector, and from it to detections."""

    # backbone: heads on the tokens of the frozen network that proposes; small: drawn from nothing;
    # resnet50, in the paper: for GPUs; auto: small for handcrafted and where weights are given to
    # start from, else backbone; docs/log/detector.md
    size: Literal["auto", "small", "resnet50", "backbone"] = "auto"
    # to train on, in [0, 1]; None: 0.45 for handcrafted, else 0, all (paper)
    min_proposal_score: Annotated[float | None, Range(0, 1)] = None
    # of size backbone: one: what is an object is learnt, not of which cluster, which a clustering
    # of the detections says afterwards (sets cluster.again); proposals: those of the proposals,
    # for long trainings
    clusters: Literal["one", "proposals"] = "one"
    # of size backbone: whose tokens; those of features.blocks are kept; docs/log/detector.md
    blocks: tuple[int, ...] = (-2, -1)
    # of size backbone: what meets no training mask by this IoU is not learnt to be background; 0:
    # it is; source: DropLoss (CutLER, Wang et al., CVPR 2023)
    drop_loss: Annotated[float, Range(0, 1)] = 0.01
    # px that the shorter side is resized to; 480-800 in the paper (assumed); not of size backbone,
    # which sees what propose saw
    short_side: Annotated[int, Range(32)] = 256
    max_side: int = 512  # px at most of the longer side; 1333 in torchvision
    # detections kept, in [0, 1]; source: torchvision
    min_score: Annotated[float, Range(0, 1)] = 0.05
    # IoU above which the weaker box goes, whatever its cluster; 0.4 in LOST's configuration
    nms: Annotated[float, Range(0, 1)] = 0.5
    # IoU above which the weaker mask goes, in [0, 1]; 1: none goes, as in the paper
    mask_nms: Annotated[float, Range(0, 1)] = 0.5
    # multiply scores by the mean probability inside the mask; no in the paper
    mask_score: bool = True
    # move outlines to edges; auto: refine for handcrafted alone
    pixels: Literal["auto", "plain", "refine"] = "auto"
    max_detections: Annotated[int, Range(1)] = 100  # a picture; source: COCO
    # pictures of like size that a GPU sees together (a CPU sees one); moves last bits, no more;
    # docs/log/training.md, 2026-11-30
    gpu_batch: Annotated[int, Range(1)] = 8
    # FILE or folder of detections of others, nothing is trained (COCO results or dataset); in YAML
    # import_file
    import_file: Annotated[str, tyro.conf.arg(name="import")] = ""
    # what clusters they are of: their categories; one for all; again: of a clustering of them (sets
    # cluster.again)
    import_clusters: Literal["categories", "one", "again"] = "categories"
    # COCO dataset that lists the images of a results list; without it image ids are the run's
    import_images: str = ""
    # crowds (iscrowd) of that file: left out, or taken as others are
    import_crowds: Literal["ignored", "objects"] = "ignored"
    # imported detections a picture, the best by score; 0: all
    import_top: Annotated[int, Range(0)] = 0

    train: TrainSettings = field(
        default_factory=lambda: TrainSettings(
            augment=AugmentSettings(degrees=10.0, scale=(0.7, 1.3), shift=0.1, colour=0.2)  # ours
        )
    )

    @property
    def on_tokens(self) -> bool:
        """Return whether a detector is trained on tokens; settings are resolved."""
        return self.size == "backbone" and not self.import_file

    @property
    def brings_clusters(self) -> bool:
        """Return whether detections are of clusters of their own: imported, or all of one."""
        return bool(self.import_file) or (self.on_tokens and self.clusters == "one")

    def __post_init__(self) -> None:
        check_ranges(self, "detect")
        if not self.blocks or len(set(self.blocks)) < len(self.blocks):
            raise ValueError(f"detect.blocks must name blocks, each once, got {self.blocks}")
        if not self.max_side >= self.short_side:
            raise ValueError(
                f"detect.max_side must be at least {self.short_side}, got {self.max_side}"
            )
