"""Settings of the stage `cluster`: how a mask is embedded, how many clusters, which k-means."""

from dataclasses import dataclass
from typing import Annotated, Literal

from maskdistill.settings.ranges import Range, check_ranges
from maskdistill.types import MOST_IDS

IN_A_LABEL_MAP = Range(high=MOST_IDS, why="a label map has 8 bits, 0 and 255 are taken")


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """From masks to cluster ids."""

    # class_token of the box, as the paper; patch_mean: of the box's patches inside the mask;
    # descriptors: made by hand; auto: descriptors for handcrafted, else class_token
    embedding: Literal["auto", "class_token", "patch_mean", "descriptors"] = "auto"
    # of class_token and patch_mean; empty: that of propose; dino_vits8 in the paper
    backbone: str = ""
    # of a crop for the backbone, where it is not the mask's: keep, the paper; blur; fill with the
    # mean colour
    background: Literal["keep", "blur", "fill"] = "keep"
    # deviation, as a share of the crop's longer side, in [0, 1]; ours
    blur: Annotated[float, Range(0, 1)] = 0.1
    # of a crop, the vectors are averaged, in (0, 4]; 1 in the paper
    scales: Annotated[tuple[float, ...], Range(0, 4, low_open=True)] = (1.0,)
    flips: bool = False  # the mirrored crop too, averaged
    # patches of small crops that go through the backbone at once; 0: one by one; changes last bits
    pack: Annotated[int, Range(0)] = 256
    # px the longer side of a smaller crop is enlarged to, but not beyond max_side: small things are
    # told apart far better so (docs/results.md); 0: native size, as the paper
    min_side: Annotated[int, Range(0)] = 224
    # px the longer side of a crop (descriptors: picture) is reduced to; 0: native, as the paper
    max_side: Annotated[int, Range(0)] = 512
    # clusters, at most 254; 0: from the number of masks, at most 20; auto: the most that are about
    # as stable as any where halves of the masks are clustered; 20 on VOC and 80 on COCO in the
    # paper
    k: Annotated[int | Literal["auto"], Range(0), IN_A_LABEL_MAP] = 0
    k_most: Annotated[int, Range(2), IN_A_LABEL_MAP] = 16  # the most that auto tries; ours
    # clusters that k-means makes first, then joined to k by nearness, no labels; 0: k at once
    merge_from: Annotated[int, Range(0), IN_A_LABEL_MAP] = 0
    # minibatch of 1000 in the paper; spherical: full, with centroids of length 1
    kmeans: Literal["full", "minibatch", "spherical"] = "full"
    # starts of k-means, the lowest inertia is kept; 1 in the paper
    restarts: Annotated[int, Range(1)] = 10
    # what does k-means: sklearn, in memory; torch, on the device, rows read by chunks; auto: torch
    # on a GPU or above 256 MiB of embeddings, else sklearn; the same clusters but for rounding;
    # minibatch is sklearn's; ours
    solver: Literal["auto", "sklearn", "torch"] = "auto"
    whiten: bool = True  # before k-means; source: MaskDistill release
    # divide by each dimension's deviation, as the release; pca: by that of each principal component
    whitening: Literal["deviation", "pca"] = "deviation"
    # principal components kept, those of the largest variance; ours
    pca_dims: Annotated[int, Range(1)] = 64
    # RUN2: another run, whose clustered masks help to fit; VOC 2007 for VOC 2012 in the paper
    support: str = ""
    # RUN2: another run over the same pictures: clusters take the ids of those that they overlap
    align_to: str = ""
    # flag masks so many times as far from their centroid as the median; 0: none; ours
    flag_far: Annotated[float, Range(0)] = 3.0
    # flag clusters whose median mask touches more of the picture's 4 sides, in [0, 1]; ours
    flag_border: Annotated[float, Range(0, 1)] = 0.5
    # flag clusters whose median mask is more of its picture, in [0, 1]; 1: none; ours
    flag_area: Annotated[float, Range(0, 1)] = 0.5
    # flag clusters whose median score is less, in [0, 1]; 0: none; ours
    flag_score: Annotated[float, Range(0, 1)] = 0.0
    # masks of each kind (nearest to the centroid, farthest, drawn) that clusters.json names of each
    # cluster; the page shows 8 of them; ours
    exemplars: Annotated[int, Range(1)] = 12
    # leave out of training, and of label maps, what is flagged; the paper trains on all masks
    drop: bool = False
    again: bool = False  # cluster the detections once more, before label maps are made
    # of the detections that the second clustering is fitted on, in [0, 1]; None: 0.3 for
    # detect.size backbone, else 0.5; docs/log/segmenter.md
    again_min_score: Annotated[float | None, Range(0, 1)] = None
    # what the second clustering is fitted on: those detections, or the proposals too, so that the
    # many parts and twins among detections take no clusters of their own; auto: proposals for
    # detect.size backbone; docs/log/segmenter.md
    again_with: Literal["auto", "detections", "proposals"] = "auto"
    # what the verb clusters; detections: writes recluster/
    of: Literal["proposals", "detections"] = "proposals"

    def __post_init__(self) -> None:
        check_ranges(self, "cluster")
        if self.merge_from and isinstance(self.k, int) and self.merge_from < self.k:
            raise ValueError(
                f"cluster.merge_from must be at least cluster.k, {self.k}, or 0, "
                f"got {self.merge_from}"
            )
        if self.solver == "torch" and self.kmeans == "minibatch":
            raise ValueError(
                "cluster.solver torch has no cluster.kmeans minibatch: "
                "give full or spherical, or sklearn"
            )
        if not self.scales:
            raise ValueError(f"cluster.scales must name one scale at least, got {self.scales}")
