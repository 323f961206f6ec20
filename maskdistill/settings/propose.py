"""What the stage `propose` can be told: backbone, method, the constants of each method, the step to pixels."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from maskdistill.settings.checks import at_least, in_unit

Method = Literal["auto", "maskdistill", "lost", "tokencut", "maskcut"]


@dataclass(frozen=True, kw_only=True)
class MaskDistillSettings:
    """Constants of MaskDistill's own proposals."""

    # px that the shorter side is resized to; 0: own size; 640 in the paper (ours: half the time)
    short_side: int = 480
    # of the patches that are candidates, in (0, 1]; source: MaskDistill release
    top_fraction: float = 0.4
    # share of the class token's attention that is kept, in (0, 1]; source: MaskDistill, Sec. 3.1
    mass: float = 0.5
    # signed: as the release does it; positive: as it is meant
    mass_rule: Literal["signed", "positive"] = "positive"

    def __post_init__(self) -> None:
        at_least("propose.maskdistill.short_side", self.short_side, 0)
        for name in ("top_fraction", "mass"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(
                    f"propose.maskdistill.{name} must be in (0, 1], got {getattr(self, name)}"
                )


@dataclass(frozen=True, kw_only=True)
class LostSettings:
    """Constants of LOST."""

    short_side: int = 0  # px that the shorter side is resized to; 0: own size; source: LOST, Sec. 4
    # patches of the lowest degree that may join the seed patch; source: LOST, Sec. 3.3
    n_candidates: int = 100
    # of equal degrees: paper: the lowest patch first; sound: the least liked
    rule: Literal["paper", "sound"] = "sound"

    def __post_init__(self) -> None:
        at_least("propose.lost.short_side", self.short_side, 0)
        at_least("propose.lost.n_candidates", self.n_candidates, 1)


@dataclass(frozen=True, kw_only=True)
class TokenCutSettings:
    """Constants of TokenCut, the spectral cut."""

    # px that the shorter side is resized to; 0: own size; source: TokenCut, Sec. 4
    short_side: int = 0
    # auto: gaussian for handcrafted, else threshold
    affinity: Literal["auto", "threshold", "gaussian"] = "auto"
    # cosine above which two patches are joined, in [-1, 1]; source: TokenCut, Sec. 3.2
    threshold: float = 0.2
    floor: float = 1e-5  # weight of an absent edge, above 0; source: TokenCut, Sec. 3.2
    # paper: the first mask is returned whatever it is; sound: judged too
    rule: Literal["paper", "sound"] = "sound"
    # of the patches: a judged mask that has more is rejected, in (0, 1]; ours
    max_area: float = 0.5
    # of the border's patches: a judged mask that holds more is rejected, in (0, 1]; ours
    max_border: float = 0.5

    def __post_init__(self) -> None:
        at_least("propose.tokencut.short_side", self.short_side, 0)
        if not -1 <= self.threshold <= 1:
            raise ValueError(f"propose.tokencut.threshold must be in [-1, 1], got {self.threshold}")
        if not 0 < self.floor < 1:
            raise ValueError(f"propose.tokencut.floor must be in (0, 1), got {self.floor}")
        for name in ("max_area", "max_border"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(
                    f"propose.tokencut.{name} must be in (0, 1], got {getattr(self, name)}"
                )


@dataclass(frozen=True, kw_only=True)
class MaskCutSettings:
    """Constants of MaskCut, repeated spectral cuts."""

    # px of the sides that pictures are squeezed to; 0: own size and shape; source: CutLER, Sec. 4
    square: int = 480
    # cosine above which two patches are joined, in [-1, 1]; source: CutLER, Sec. 4
    threshold: float = 0.15
    floor: float = 1e-5  # weight of an absent edge, above 0; source: TokenCut, Sec. 3.2
    # of the patches: a mask that has no more is rejected, in [0, 1); source: CutLER release
    min_share: float = 0.01
    # IoU with the mask before above which one is rejected; source: CutLER release
    max_overlap: float = 0.5
    # paper: rejected masks come back and pass; sound: painted out for good
    rule: Literal["paper", "sound"] = "sound"
    # sound: of the patches: a mask that has more is rejected, in (0, 1]; ours
    max_area: float = 0.5
    # sound: of the border's patches: a mask that holds more is rejected, in (0, 1]; ours
    max_border: float = 0.5

    def __post_init__(self) -> None:
        at_least("propose.maskcut.square", self.square, 0)
        if not -1 <= self.threshold <= 1:
            raise ValueError(f"propose.maskcut.threshold must be in [-1, 1], got {self.threshold}")
        if not 0 < self.floor < 1:
            raise ValueError(f"propose.maskcut.floor must be in (0, 1), got {self.floor}")
        if not 0 <= self.min_share < 1:
            raise ValueError(f"propose.maskcut.min_share must be in [0, 1), got {self.min_share}")
        in_unit("propose.maskcut.max_overlap", self.max_overlap)
        for name in ("max_area", "max_border"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(
                    f"propose.maskcut.{name} must be in (0, 1], got {getattr(self, name)}"
                )


@dataclass(frozen=True, kw_only=True)
class ProposeSettings:
    """From pictures to proposals: masks of a self-supervised backbone's attention."""

    # dino_vits16 | dino_vits8 | dino_vitb16 | dino_vitb8 | timm/<model> | handcrafted
    backbone: str = "dino_vits16"
    method: Method = "auto"  # auto: tokencut for handcrafted, else maskdistill
    # of the backbone whose queries and keys are used, -1 the last; source: MaskDistill, Sec. 3.1
    block: int = -1
    # of the block: what patches are compared by
    facet: Literal["keys", "queries", "values", "tokens"] = "keys"
    # queries and keys after the rotation by position of DINOv3 and its kin; others have none
    rotated: bool = False
    # subtract the mean key; auto: not for dino_*, handcrafted, nor where tokencut or maskcut
    # compare tokens
    centre_keys: Literal["auto", "yes", "no"] = "auto"
    max_masks: int = 6  # a picture at most; one in MaskDistill, LOST and TokenCut, three in MaskCut
    # the search for more ends at a mask below it, in [0, 1]; 0: no end; docs/log/proposals.md
    stop_score: float = 0.05
    min_score: float = 0.05  # proposals below it are left out, in [0, 1]
    # grid to pixels: nearest (the paper), bilinear (smooth contours), refine (bilinear, then moved
    # to the picture's edges), crf (a dense CRF as in MaskCut; the best, docs/log/proposals.md);
    # auto: refine for handcrafted, else crf
    pixels: Literal["auto", "nearest", "bilinear", "refine", "crf"] = "auto"
    # of the grid; a larger picture is made smaller first; 0: 2400 for handcrafted, else 12000
    max_patches: int = 0
    # pictures that a GPU sees together (a CPU sees one); moves last bits, no more
    gpu_batch: int = 32
    # FILE or folder of masks that others found, in place of ours (COCO results or dataset, a folder
    # of `masks`); in YAML import_file
    import_file: Annotated[str, tyro.conf.arg(name="import")] = ""
    # COCO dataset that lists the images of a results list; without it image ids are the run's
    import_images: str = ""
    import_top: int = 0  # imported masks a picture, the best by score; 0: all
    maskdistill: MaskDistillSettings = field(default_factory=MaskDistillSettings)
    lost: LostSettings = field(default_factory=LostSettings)
    tokencut: TokenCutSettings = field(default_factory=TokenCutSettings)
    maskcut: MaskCutSettings = field(default_factory=MaskCutSettings)

    def __post_init__(self) -> None:
        at_least("propose.max_masks", self.max_masks, 1)
        at_least("propose.max_patches", self.max_patches, 0)
        at_least("propose.gpu_batch", self.gpu_batch, 1)
        at_least("propose.import_top", self.import_top, 0)
        in_unit("propose.stop_score", self.stop_score)
        in_unit("propose.min_score", self.min_score)
