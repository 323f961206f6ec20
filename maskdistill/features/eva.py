"""The parts of timm's Eva family that differ from a plain ViT: rotary positions and the projections beside them.

Paper:    DINOv3, Simeoni et al., 2025, arXiv:2508.10104; EVA-02, Fang et al., 2023, arXiv:2303.11331
In:       a timm Eva, the stream of tokens (B, prefix + patches, width)
Out:      the same after a block; queries, keys, values (B, heads, prefix + patches, dim) of one
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import PatchEmbed
from timm.layers.attention import AttentionRope
from timm.layers.pos_embed_sincos import apply_rot_embed_cat
from timm.models.eva import Eva, EvaAttention, EvaBlock
from torch import Tensor


def is_plain(model: Eva) -> bool:
    """Whether `projected` computes what the blocks do: norms before the attention, as many keys as queries."""
    return type(model.patch_embed) is PatchEmbed and all(
        type(block) is EvaBlock
        and type(block.attn) in (EvaAttention, AttentionRope)
        and getattr(block.attn, "num_kv_groups", 1) == 1
        for block in model.blocks
    )


def embedded(model: Eva, batch: Tensor) -> tuple[Tensor, Tensor | None]:
    """Tokens that enter the first block, and the rotations: one for all blocks, or stacked by block."""
    stream, rotations = model._pos_embed(model.patch_embed(batch))
    return model.norm_pre(stream), rotations


def through(model: Eva, number: int, stream: Tensor, rotations: Tensor | None) -> Tensor:
    """The stream after a block."""
    after: Tensor = model.blocks[number](stream, rope=_of(model, number, rotations))
    return after


def projected(
    model: Eva, number: int, stream: Tensor, rotations: Tensor | None, *, rotated: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys, values of a block, as its attention makes them.

    Args:
        rotated: queries and keys of patches after their rotation by position; prefix tokens have none.
    """
    block: Any = model.blocks[number]
    attention, x = block.attn, block.norm1(stream)
    if attention.qkv is not None:
        joined = attention.qkv(x)
        if (
            getattr(attention, "q_bias", None) is not None
        ):  # kept apart, because that of the keys is fixed at 0
            joined = joined + torch.cat([attention.q_bias, attention.k_bias, attention.v_bias])
        parts = joined.chunk(3, dim=-1)
    else:
        parts = (attention.q_proj(x), attention.k_proj(x), attention.v_proj(x))
    q, k, v = (part.unflatten(2, (attention.num_heads, -1)).transpose(1, 2) for part in parts)
    q, k = attention.q_norm(q), attention.k_norm(k)
    rotation = _of(model, number, rotations)
    if rotated and rotation is not None:
        first = model.num_prefix_tokens
        q, k = (
            torch.cat(
                [
                    each[:, :, :first],
                    apply_rot_embed_cat(each[:, :, first:], rotation, half=attention.rotate_half),
                ],
                2,
            )
            for each in (q, k)
        )
    return q, k, v


def _of(model: Eva, number: int, rotations: Tensor | None) -> Tensor | None:
    """A block's own rotations."""
    return rotations[number] if rotations is not None and model.rope_mixed else rotations
