"""What the stage `cluster` can be told: how a mask is embedded, how many clusters, which k-means."""

from dataclasses import dataclass
from typing import Literal

from maskdistill.settings.checks import at_least, in_unit


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """From masks to cluster ids."""

    embedding: Literal["auto", "class_token", "descriptors"] = "auto"  # auto: descriptors for handcrafted alone
    backbone: str = ""  # of class_token; empty: that of propose; dino_vits8 in the paper
    max_side: int = 512  # px the longer side of a crop (descriptors: picture) is reduced to; 0: native, as the paper
    k: int = 0  # clusters, at most 254; 0: from the number of masks, at most 20; 20 on VOC and 80 on COCO in the paper
    # minibatch of 1000 in the paper; spherical: full, with centroids of length 1
    kmeans: Literal["full", "minibatch", "spherical"] = "full"
    restarts: int = 10  # starts of k-means, the lowest inertia is kept; 1 in the paper
    whiten: bool = True  # divide each dimension by its deviation; source: MaskDistill release
    again: bool = False  # cluster the detections once more, before label maps are made
    again_min_score: float = 0.5  # of the detections that the second clustering is fitted on, in [0, 1]
    of: Literal["proposals", "detections"] = "proposals"  # what the verb clusters; detections: writes recluster/

    def __post_init__(self) -> None:
        at_least("cluster.k", self.k, 0)
        if self.k > 254:
            raise ValueError(
                f"cluster.k must be at most 254 (a label map has 8 bits, 0 and 255 are taken), got {self.k}"
            )
        at_least("cluster.restarts", self.restarts, 1)
        in_unit("cluster.again_min_score", self.again_min_score)
        at_least("cluster.max_side", self.max_side, 0)
