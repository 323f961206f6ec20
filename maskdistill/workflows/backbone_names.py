"""Backbone names: patch, width and depth of a ViT by its name, where nothing is loaded yet.

In:   a name of a backbone, as propose.backbone has it
Out:  px of a patch; width and blocks
"""

from __future__ import annotations

import re

from maskdistill.settings.run import HANDCRAFTED

WIDTHS = {  # width, blocks
    "tiny": (192, 12),
    "small": (384, 12),
    "base": (768, 12),
    "large": (1024, 24),
    "huge": (1280, 32),
    "giant": (1408, 40),
}


def patch_of(backbone: str) -> int:
    """Return the side of a backbone's patches in px, by its name.

    >>> patch_of("dino_vits8"), patch_of("timm/vit_small_patch14_dinov2"), patch_of("handcrafted")
    (8, 14, 8)
    """
    if backbone == HANDCRAFTED:
        return 8
    found = re.search(r"patch(\d+)", backbone) or re.search(r"vit[a-z]+(\d+)$", backbone)
    return int(found[1]) if found else 16


def width_of(backbone: str) -> tuple[int, int]:
    """Return (width, blocks) of a ViT by its name, those of ViT-S where the name does not say.

    >>> width_of("dino_vitb16"), width_of("timm/vit_large_patch14_dinov2")
    ((768, 12), (1024, 24))
    """
    for size, shape in WIDTHS.items():
        if size in backbone or re.search(rf"vit{size[0]}\d+$", backbone):
            return shape
    return WIDTHS["small"]
