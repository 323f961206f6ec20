"""Timm's Eva family where it differs from a plain ViT: rotary positions, projections beside them.

Paper:    DINOv3, Simeoni et al., 2025, arXiv:2508.10104; EVA-02, Fang et al., arXiv:2303.11331
In:       a timm Eva, the stream of tokens (B, prefix + patches, width)
Out:      the same after a block; queries, keys, values (B, heads, prefix + patches, dim) of one
Differs:  nothing
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
    """Return whether `projected` computes what a model's blocks do.

    They need norms before the attention, and as many keys as queries.
    """
    return type(model.patch_embed) is PatchEmbed and all(
        type(block) is EvaBlock
        and type(block.attn) in (EvaAttention, AttentionRope)
        and getattr(block.attn, "num_kv_groups", 1) == 1
        for block in model.blocks
    )


def embedded(model: Eva, batch: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the tokens that enter the first block, and the rotations by position.

    Args:
        batch: (B, 3, H, W), normalised, of the weights' dtype and device.
    Returns:
        (B, prefix + patches, width); rotations, one for all blocks or stacked by block, or None.
    """
    stream, rotations = model._pos_embed(model.patch_embed(batch))
    return model.norm_pre(stream), rotations


def through(model: Eva, number: int, stream: Tensor, rotations: Tensor | None) -> Tensor:
    """Return the stream (B, prefix + patches, width) after a block, counted from 0."""
    after: Tensor = model.blocks[number](stream, rope=_of(model, number, rotations))
    return after


def projected(
    model: Eva, number: int, stream: Tensor, rotations: Tensor | None, *, rotated: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys, values of a block, as its attention makes them.

    Args:
        number: of the block, from 0.
        stream: (B, prefix + patches, width), what enters the block.
        rotations: as `embedded` gives them.
        rotated: queries and keys of patches after their rotation by position; prefix tokens have
            none.
    Returns:
        (B, heads, prefix + patches, dim) each.
    """
    block: Any = model.blocks[number]
    attention, x = block.attn, block.norm1(stream)
    if attention.qkv is not None:
        joined = attention.qkv(x)
        # Biases are kept apart, because that of the keys is fixed at 0.
        if getattr(attention, "q_bias", None) is not None:
            joined = joined + torch.cat([attention.q_bias, attention.k_bias, attention.v_bias])
        parts = joined.chunk(3, dim=-1)
    else:
        parts = (attention.q_proj(x), attention.k_proj(x), attention.v_proj(x))
    q, k, v = (part.unflatten(2, (attention.num_heads, -1)).transpose(1, 2) for part in parts)
    q, k = attention.q_norm(q), attention.k_norm(k)
    rotation = _of(model, number, rotations)
    if rotated and rotation is not None:
        q, k = (_rotated(each, rotation, model, attention.rotate_half) for each in (q, k))
    return q, k, v


def _rotated(values: Tensor, rotation: Tensor, model: Eva, half: bool) -> Tensor:
    """Return queries or keys (B, heads, prefix + patches, dim), those of patches rotated."""
    first = model.num_prefix_tokens
    patches = apply_rot_embed_cat(values[:, :, first:], rotation, half=half)
    return torch.cat([values[:, :, :first], patches], dim=2)


def _of(model: Eva, number: int, rotations: Tensor | None) -> Tensor | None:
    """Return a block's own rotations."""
    return rotations[number] if rotations is not None and model.rope_mixed else rotations
