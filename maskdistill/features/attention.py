"""Softmax attention of a block: PyTorch's own, or by blocks of rows where that is faster.

Paper:    Vaswani et al., NeurIPS 2017, arXiv:1706.03762, Sec. 3.2.1
In:       queries, keys, values (B, heads, n, dim) of one dtype, on one device
Out:      (B, n, heads * dim), what the block's projection takes
Differs:  by blocks, inner products are rounded to bfloat16 before the softmax: 0.4 % off, PyTorch's
          kernel 0.2 %; in a network the rounding of the tokens outweighs that (the log, below)
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

# Both from docs/log/proposals.md, 2026-11-28, "bfloat16 on a processor with AVX-512 BF16".
# Rows of one head's inner products at once: they stay in the cache until the values are mixed.
# 128 to 1024 rows are within a tenth, but twice as slow where the products leave the cache.
_ROWS = 256
# Tokens below which the calls cost more than they gain; at 785 it is 1.6 times as fast.
_FEW = 200


def mixed(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Return values mixed by the softmax of the scaled inner products of queries and keys.

    Args:
        queries: (B, heads, n, dim), float32 or bfloat16.
        keys: the same shape and dtype.
        values: the same shape and dtype.
    Returns:
        (B, n, heads * dim) of that dtype, on their device.
    """
    if queries.shape[2] >= _FEW and pays(queries):
        return by_blocks(queries, keys, values)
    return functional.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2)


def pays(some: Tensor) -> bool:
    """Return whether `by_blocks` is faster than PyTorch's kernel for tensors like this one."""
    return some.dtype == torch.bfloat16 and some.device.type == "cpu" and _products_alone()


def applies_to(model: nn.Module) -> bool:
    """Return whether `mixed` and `through` compute what a model's blocks do.

    Those of timm's VisionTransformer do, but for some with a gate; Eva's rotate by position.
    """
    return isinstance(model, VisionTransformer) and all(
        getattr(block.attn, "gate", None) is None for block in model.blocks
    )


def by_blocks(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Return what `mixed` does, head by head and by blocks of rows, as plain matrix products.

    1.6 times as fast as PyTorch's kernel at 2121 tokens on a CPU with AVX-512 BF16, whose
    instructions that kernel leaves unused: benchmarks/bench_proposals.py stage
    --precision bfloat16.
    """
    n_pictures, heads, n, dim = queries.shape
    queries = (queries * dim**-0.5).flatten(0, 1).contiguous()
    keys, values = (
        keys.flatten(0, 1).transpose(1, 2).contiguous(),
        values.flatten(0, 1).contiguous(),
    )
    out = queries.new_empty(n_pictures, n, heads, dim)
    for number in range(n_pictures * heads):
        place = out[number // heads, :, number % heads]
        for first in range(0, n, _ROWS):
            shares = (queries[number, first : first + _ROWS] @ keys[number]).softmax(dim=-1)
            place[first : first + _ROWS] = shares @ values[number]
    return out.flatten(2)


def through(block: Any, stream: Tensor, attended: Tensor) -> Tensor:
    """Return the stream after a block of timm's VisionTransformer, given what `mixed` made of it.

    Args:
        block: one that `applies_to` holds for.
        stream: (B, n, width), what enters the block.
        attended: (B, n, heads * dim).
    Returns:
        (B, n, width).
    """
    attention = block.attn
    attended = attention.proj(attention.norm(attended) if hasattr(attention, "norm") else attended)
    stream = stream + block.ls1(attended)
    after: Tensor = stream + block.ls2(block.mlp(block.norm2(stream)))
    return after


@functools.cache
def _products_alone() -> bool:
    """Return whether the processor has bfloat16 products (AVX-512 BF16) but no AMX.

    PyTorch's kernel uses AMX itself, and is the faster one where there is some.
    """

    def has(name: str) -> bool:
        """Return what torch says of the processor, False where it does not know the question."""
        known = getattr(torch.cpu, name, None)
        return bool(known and known())

    return has("_is_avx512_bf16_supported") and not has("_is_amx_tile_supported")
