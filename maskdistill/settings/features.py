"""Settings of what the backbone of the proposals sees, and of its tokens that later stages read."""

from dataclasses import dataclass
from typing import Annotated, Literal

from maskdistill.settings.ranges import Range, check_ranges


@dataclass(frozen=True, kw_only=True)
class FeaturesSettings:
    """The one scale at which a backbone sees pictures, and which tokens are kept on disk."""

    # px that the shorter side is resized to, for proposals and tokens alike, where the method of
    # propose says nothing else (maskdistill and maskcut do); 0: own size, as LOST and TokenCut;
    # 480 in quick; docs/log/features.md
    short_side: Annotated[int, Range(0)] = 0
    # tokens of the pass that makes proposals, in propose/features/; what is not kept is computed
    # again: auto: as many pictures as disk_share allows, where a later stage reads them
    # (detect.size backbone); all; none
    keep: Literal["auto", "all", "none"] = "auto"
    # of the free disk, that auto takes at most, in [0, 1]; ours
    disk_share: Annotated[float, Range(0, 1)] = 0.25
    # of the backbone, whose tokens are kept, negative from the last; docs/log/features.md
    blocks: tuple[int, ...] = (-4, -2, -1)
    mirrored: bool = True  # of the mirrored picture too: one more pass a picture

    def __post_init__(self) -> None:
        check_ranges(self, "features")
        if not self.blocks or len(set(self.blocks)) < len(self.blocks):
            raise ValueError(f"features.blocks must name blocks, each once, got {self.blocks}")
