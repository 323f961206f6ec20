"""Several pictures of any sizes through a ViT as one sequence, each attending to itself alone.

Paper:    as NaViT packs, Dehghani et al., NeurIPS 2023, arXiv:2307.06304; the weights are used as they are
In:       a ViT of timm's VisionTransformer family, pictures (3, h, w) float32 normalised, sides multiples of the patch
Out:      tokens (1 + rows*cols, width) float32 of each, on the CPU: what one at a time gives, but for the last bits
Differs:  nothing is padded, nothing is dropped
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from maskdistill.features import attention


def can_pack(model: Any) -> bool:
    """Whether `tokens` computes what the blocks do: those of the Eva family rotate by position, some others gate."""
    return isinstance(model, VisionTransformer) and all(
        getattr(block.attn, "gate", None) is None for block in model.blocks
    )


def plan(sizes: Sequence[int], *, most: int) -> list[list[int]]:
    """Places 0 .. n-1 in order, in packs of at most `most` patches; what has more alone goes alone.

    Args:
        sizes: patches of each picture.
    """
    packs: list[list[int]] = []
    room = -1
    for place, size in enumerate(sizes):
        if size > room:
            packs.append([])
            room = most
        packs[-1].append(place)
        room = room - size if size <= most else -1
    return packs


@torch.inference_mode()
def tokens(vit: Any, pictures: Sequence[Tensor]) -> list[Tensor]:
    """All tokens after the last norm, token 0 the class token or the patches' mean."""
    entered = [vit._embedded(each[None], vit._check(each[None]))[0][0] for each in pictures]
    lengths = [len(each) for each in entered]
    stream = torch.cat(entered)[None]  # (1, all tokens, width)
    for number, block in enumerate(vit.model.blocks):
        q, k, v = (each.split(lengths, dim=2) for each in vit._projected(number, stream, None))
        own = [attention.mixed(*each) for each in zip(q, k, v, strict=True)]
        stream = attention.through(block, stream, torch.cat(own, dim=1))  # (1, all tokens, width)
    after = vit.model.norm(stream).float()
    return [vit._one_class(each, dim=1)[0].cpu() for each in after.split(lengths, dim=1)]
