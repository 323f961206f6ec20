"""Several pictures of any sizes through a ViT as one sequence, each attending to itself alone.

Paper:    as NaViT packs, Dehghani et al., NeurIPS 2023, arXiv:2307.06304
In:       a Network that attention.applies_to, pictures (3, h, w) float32 of whole patches
Out:      tokens (1 + rows*cols, width) float32 of each, on the CPU
Differs:  the weights are used as they are, nothing is padded or dropped: tokens are those of one
          picture at a time, but for the last bits
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from maskdistill.features import attention
from maskdistill.features.network import Network


def plan(sizes: Sequence[int], *, most: int) -> list[list[int]]:
    """Return which pictures go together: in order, in packs of at most so many patches.

    >>> plan([3, 4, 2, 9, 1], most=9)
    [[0, 1, 2], [3], [4]]

    Args:
        sizes: patches of each picture.
        most: patches of a pack; a picture with more goes alone.
    Returns:
        Packs of places in `sizes`; empty for no pictures.
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
def tokens(
    network: Network, pictures: Sequence[Tensor], *, class_alone: bool = False
) -> list[Tensor]:
    """Return the tokens after the last norm of each picture, token 0 the class token or the mean.

    Args:
        network: one that attention.applies_to.
        pictures: (3, h, w) float32 each, normalised, sides multiples of the patch.
        class_alone: token 0 only, of a network that has a class token: all that the last block
            then asks of the other tokens are their keys and values.
    Returns:
        (1 + rows*cols, width) float32 on the CPU each, or (1, width) for `class_alone`.
    """
    entered = [network.embedded(each[None], network.grid_of(each[None]))[0][0] for each in pictures]
    lengths = [len(each) for each in entered]
    stream = torch.cat(entered)[None]  # (1, all tokens, width)
    last = len(network.model.blocks) - 1
    for number, block in enumerate(network.model.blocks):
        if class_alone and number == last:
            return list(
                network.model.norm(_class_tokens(network, block, stream, lengths))
                .float()
                .cpu()[0]
                .split(1)
            )
        q, k, v = (each.split(lengths, dim=2) for each in network.projected(number, stream, None))
        stream = attention.through(block, stream, _mixed(q, k, v))
    after = network.model.norm(stream).float()
    return [network.one_class(each, dim=1)[0].cpu() for each in after.split(lengths, dim=1)]


def _mixed(q: Sequence[Tensor], k: Sequence[Tensor], v: Sequence[Tensor]) -> Tensor:
    """Return what attention mixes (1, all tokens, heads * dim), each picture's tokens alone.

    Args:
        q: queries (1, heads, tokens, dim) of each picture.
        k: keys, likewise.
        v: values, likewise.
    """
    return torch.cat([attention.mixed(*each) for each in zip(q, k, v, strict=True)], dim=1)


def _class_tokens(network: Network, block: Any, stream: Tensor, lengths: list[int]) -> Tensor:
    """Return the class tokens (1, pictures, width) after the last block, and nothing else of it."""
    firsts = [sum(lengths[:place]) for place in range(len(lengths))]
    normed, own = block.norm1(stream), block.attn
    weight, bias = own.qkv.weight, own.qkv.bias
    width = len(weight) // 3
    of_class, of_all = (None, None) if bias is None else (bias[:width], bias[width:])
    queries = functional.linear(normed[:, firsts], weight[:width], of_class).unflatten(
        2, (1, network.heads, -1)
    )
    joined = (
        functional.linear(normed, weight[width:], of_all)
        .unflatten(2, (2, network.heads, -1))
        .permute(2, 0, 3, 1, 4)
    )
    q = own.q_norm(queries[:, :, 0].transpose(1, 2)).split(1, dim=2)
    k, v = own.k_norm(joined[0]).split(lengths, dim=2), joined[1].split(lengths, dim=2)
    return attention.through(block, stream[:, firsts], _mixed(q, k, v))
