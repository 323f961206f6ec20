"""What the stage `detect` can be told: the Mask R-CNN, its training, which detections are kept."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from maskdistill.settings.checks import at_least, in_unit
from maskdistill.settings.training import AugmentSettings, TrainSettings


@dataclass(frozen=True, kw_only=True)
class DetectSettings:
    """From noisy masks to a detector, and from it to detections."""

    size: Literal["small", "resnet50"] = "small"  # resnet50 in the paper: for GPUs
    # to train on, in [0, 1]; None: 0.45 for handcrafted, else 0, all (paper)
    min_proposal_score: float | None = None
    short_side: int = 256  # px that the shorter side is resized to; 480-800 in the paper (assumed)
    max_side: int = 512  # px at most of the longer side; 1333 in torchvision
    min_score: float = 0.05  # detections kept, in [0, 1]; source: torchvision
    # IoU above which the weaker box goes, whatever its cluster; 0.4 in LOST's configuration
    nms: float = 0.5
    # IoU above which the weaker mask goes, in [0, 1]; 1: none goes, as in the paper
    mask_nms: float = 0.5
    # multiply scores by the mean probability inside the mask; no in the paper
    mask_score: bool = True
    # move outlines to edges; auto: refine for handcrafted alone
    pixels: Literal["auto", "plain", "refine"] = "auto"
    max_detections: int = 100  # a picture; source: COCO
    # pictures of like size that a GPU sees together (a CPU sees one); moves last bits, no more;
    # docs/log/training.md, 2026-11-30
    gpu_batch: int = 8
    # FILE or folder of detections of others, nothing is trained (COCO results or dataset); in YAML
    # import_file
    import_file: Annotated[str, tyro.conf.arg(name="import")] = ""
    # what clusters they are of: their categories; one for all; again: of a clustering of them (sets
    # cluster.again)
    import_clusters: Literal["categories", "one", "again"] = "categories"
    # COCO dataset that lists the images of a results list; without it image ids are the run's
    import_images: str = ""
    import_top: int = 0  # imported detections a picture, the best by score; 0: all
    train: TrainSettings = field(
        default_factory=lambda: TrainSettings(
            augment=AugmentSettings(degrees=10.0, scale=(0.7, 1.3), shift=0.1, colour=0.2)  # ours
        )
    )

    def __post_init__(self) -> None:
        at_least("detect.short_side", self.short_side, 32)
        at_least("detect.max_side", self.max_side, self.short_side)
        in_unit("detect.min_score", self.min_score)
        in_unit("detect.nms", self.nms)
        in_unit("detect.mask_nms", self.mask_nms)
        if self.min_proposal_score is not None:
            in_unit("detect.min_proposal_score", self.min_proposal_score)
        at_least("detect.max_detections", self.max_detections, 1)
        at_least("detect.gpu_batch", self.gpu_batch, 1)
        at_least("detect.import_top", self.import_top, 0)
