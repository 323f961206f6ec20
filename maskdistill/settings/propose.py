"""Settings of the stage `propose`: backbone, method, the constants of each, the step to pixels."""

import typing
from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from maskdistill.settings.ranges import Range, check_ranges

Method = Literal["auto", "maskdistill", "lost", "tokencut", "maskcut"]
METHODS: tuple[str, ...] = tuple(name for name in typing.get_args(Method) if name != "auto")
Facet = Literal["keys", "queries", "values", "tokens"]
FACETS: tuple[str, ...] = typing.get_args(Facet)
# Written out, not built of Facet: a type checker reads literals alone.
FacetOrAuto = Literal["auto", "keys", "queries", "values", "tokens"]
# What a sweep can choose; short_side: of lost and tokencut, whose input has no size of its own.
CHOOSABLE = ("method", "block", "facet", "centre_keys", "short_side")


@dataclass(frozen=True, kw_only=True)
class MaskDistillSettings:
    """Constants of MaskDistill's own proposals."""

    # px that the shorter side is resized to; 0: own size; 640 in the paper (ours: half the time)
    short_side: Annotated[int, Range(0)] = 480
    # of the patches that are candidates, in (0, 1]; source: MaskDistill release
    top_fraction: Annotated[float, Range(0, 1, low_open=True)] = 0.4
    # share of the class token's attention that is kept, in (0, 1]; source: MaskDistill, Sec. 3.1
    mass: Annotated[float, Range(0, 1, low_open=True)] = 0.5
    # signed: as the release does it; positive: as it is meant
    mass_rule: Literal["signed", "positive"] = "positive"

    def __post_init__(self) -> None:
        check_ranges(self, "propose.maskdistill")


@dataclass(frozen=True, kw_only=True)
class LostSettings:
    """Constants of LOST."""

    # px that the shorter side is resized to; 0: own size, as LOST, Sec. 4; None:
    # features.short_side, handcrafted: own size
    short_side: Annotated[int | None, Range(0)] = None
    # patches of the lowest degree that may join the seed patch; source: LOST, Sec. 3.3
    n_candidates: Annotated[int, Range(1)] = 100
    # of equal degrees: paper: the lowest patch first; sound: the least liked
    rule: Literal["paper", "sound"] = "sound"

    def __post_init__(self) -> None:
        check_ranges(self, "propose.lost")


@dataclass(frozen=True, kw_only=True)
class TokenCutSettings:
    """Constants of TokenCut, the spectral cut."""

    # px that the shorter side is resized to; 0: own size, as TokenCut, Sec. 4; None:
    # features.short_side, handcrafted: own size
    short_side: Annotated[int | None, Range(0)] = None
    # auto: gaussian for handcrafted, else threshold
    affinity: Literal["auto", "threshold", "gaussian"] = "auto"
    # cosine above which two patches are joined, in [-1, 1]; source: TokenCut, Sec. 3.2
    threshold: Annotated[float, Range(-1, 1)] = 0.2
    # weight of an absent edge, above 0; source: TokenCut, Sec. 3.2
    floor: Annotated[float, Range(0, 1, low_open=True, high_open=True)] = 1e-5
    # paper: the first mask is returned whatever it is; sound: judged too
    rule: Literal["paper", "sound"] = "sound"
    # of the patches: a judged mask that has more is rejected, in (0, 1]; ours
    max_area: Annotated[float, Range(0, 1, low_open=True)] = 0.5
    # of the border's patches: a judged mask that holds more is rejected, in (0, 1]; ours
    max_border: Annotated[float, Range(0, 1, low_open=True)] = 0.5

    def __post_init__(self) -> None:
        check_ranges(self, "propose.tokencut")


@dataclass(frozen=True, kw_only=True)
class MaskCutSettings:
    """Constants of MaskCut, repeated spectral cuts."""

    # px of the sides that pictures are squeezed to; 0: own size and shape; source: CutLER, Sec. 4
    square: Annotated[int, Range(0)] = 480
    # cosine above which two patches are joined, in [-1, 1]; source: CutLER, Sec. 4
    threshold: Annotated[float, Range(-1, 1)] = 0.15
    # weight of an absent edge, above 0; source: TokenCut, Sec. 3.2
    floor: Annotated[float, Range(0, 1, low_open=True, high_open=True)] = 1e-5
    # of the patches: a mask that has no more is rejected, in [0, 1); source: CutLER release
    min_share: Annotated[float, Range(0, 1, high_open=True)] = 0.01
    # IoU with the mask before above which one is rejected; source: CutLER release
    max_overlap: Annotated[float, Range(0, 1)] = 0.5
    # paper: rejected masks come back and pass; sound: painted out for good
    rule: Literal["paper", "sound"] = "sound"
    # sound: of the patches: a mask that has more is rejected, in (0, 1]; ours
    max_area: Annotated[float, Range(0, 1, low_open=True)] = 0.5
    # sound: of the border's patches: a mask that holds more is rejected, in (0, 1]; ours
    max_border: Annotated[float, Range(0, 1, low_open=True)] = 0.5

    def __post_init__(self) -> None:
        check_ranges(self, "propose.maskcut")


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """Pool of what several methods, blocks, facets and scales find; off where all are empty."""

    # each with each block, facet and scale, all shown the picture as propose.method is; auto: that
    # one; empty: that one alone; ours, docs/log/proposals.md
    methods: tuple[Method, ...] = ()
    # of the backbone, -1 the last; empty: propose.block; ours
    blocks: tuple[int, ...] = ()
    # what patches are compared by; empty: propose.facet; ours
    facets: tuple[Facet, ...] = ()
    # factors of the size at which pictures are shown; empty: 1; ours, docs/log/proposals.md
    scales: Annotated[tuple[float, ...], Range(0, 8, low_open=True)] = ()
    # IoU from which two masks are one, that of the higher score; 1: equal ones alone; ours
    overlap: Annotated[float, Range(0, 1, low_open=True)] = 0.5
    # subtract the mean key; each: for each method and facet by the rule of propose.centre_keys auto
    centre_keys: Literal["each", "yes", "no"] = "each"

    def __post_init__(self) -> None:
        check_ranges(self, "propose.pool")

    @property
    def is_on(self) -> bool:
        """Return whether masks are pooled."""
        return bool(self.methods or self.blocks or self.facets or self.scales)


@dataclass(frozen=True, kw_only=True)
class ProposeSettings:
    """From pictures to proposals: masks of a self-supervised backbone's attention."""

    # dino_vits16 | dino_vits8 | dino_vitb16 | dino_vitb8 | timm/<model> | handcrafted
    backbone: str = "dino_vits16"
    # what a sweep on 24 pictures chooses first, without labels: auto: of method, block, facet,
    # centre_keys, short_side all that nobody gave, where the weights are not known
    # (settings/known_weights.py); no: nothing; or some of these names, with commas
    choose: str = "no"
    # auto: that of the weights where they are known (settings/known_weights.py); else maskdistill
    # for dino_*, whose attention it was made for, and tokencut; docs/log/proposals.md, 2026-12-01
    method: Method = "auto"
    # of the backbone whose features are used, -1 the last; None: -1 (source: MaskDistill, Sec.
    # 3.1), but -2 for tokencut and maskcut on networks that are not dino_*
    block: int | None = None
    # of the block: what patches are compared by; auto: keys, as all four papers have it, but tokens
    # for tokencut and maskcut on networks that are not dino_*
    facet: FacetOrAuto = "auto"
    # queries and keys after the rotation by position of DINOv3 and its kin; others have none
    rotated: bool = False
    # subtract the mean key; auto: not for dino_*, handcrafted, nor where tokencut or maskcut
    # compare tokens
    centre_keys: Literal["auto", "yes", "no"] = "auto"
    # directions of position taken out of what patches are compared by, those in which the patches
    # of a black picture differ most; 0: none; source: INSID3, arXiv:2603.28480, for DINOv3: 500 of
    # 1024 (ViT-L), 20 of 768 (ViT-B, release); docs/log/proposals.md
    positions: Annotated[int, Range(0)] = 0
    # a picture at most; one in MaskDistill, LOST and TokenCut, three in MaskCut
    max_masks: Annotated[int, Range(1)] = 6
    # the search for more ends at a mask below it, in [0, 1]; 0: no end; docs/log/proposals.md
    stop_score: Annotated[float, Range(0, 1)] = 0.05
    min_score: Annotated[float, Range(0, 1)] = 0.05  # proposals below it are left out, in [0, 1]
    # grid to pixels: nearest (the paper), bilinear (smooth contours), refine (bilinear, then moved
    # to the picture's edges), crf (a dense CRF as in MaskCut; the best, docs/log/proposals.md);
    # auto: refine for handcrafted, else crf
    pixels: Literal["auto", "nearest", "bilinear", "refine", "crf"] = "auto"
    # of the grid; a larger picture is made smaller first; 0: 2400 for handcrafted, else 12000
    max_patches: Annotated[int, Range(0)] = 0
    # pictures that a GPU sees together (a CPU sees one); moves last bits, no more
    gpu_batch: Annotated[int, Range(1)] = 32
    # FILE or folder of masks that others found, in place of ours (COCO results or dataset, a folder
    # of `masks`); in YAML import_file
    import_file: Annotated[str, tyro.conf.arg(name="import")] = ""
    # COCO dataset that lists the images of a results list; without it image ids are the run's
    import_images: str = ""
    # crowds (iscrowd) of that file: left out, or taken as others are
    import_crowds: Literal["ignored", "objects"] = "ignored"
    import_top: Annotated[int, Range(0)] = 0  # imported masks a picture, the best by score; 0: all
    maskdistill: MaskDistillSettings = field(default_factory=MaskDistillSettings)
    lost: LostSettings = field(default_factory=LostSettings)
    tokencut: TokenCutSettings = field(default_factory=TokenCutSettings)
    maskcut: MaskCutSettings = field(default_factory=MaskCutSettings)
    pool: PoolSettings = field(default_factory=PoolSettings)

    def __post_init__(self) -> None:
        check_ranges(self, "propose")
        if self.choose in ("auto", "no"):
            return
        if unknown := set(self.choose.split(",")) - set(CHOOSABLE):
            raise ValueError(
                f"propose.choose: there is no {', '.join(sorted(unknown))!r}. "
                f"Give auto, no, or some of {','.join(CHOOSABLE)}"
            )
