"""A ViT's forward pass in steps: into the first block, through one, to its queries and keys.

Paper:    ViT, Dosovitskiy et al., ICLR 2021, arXiv:2010.11929; DINO, Caron et al., ICCV 2021
In:       a network of timm's VisionTransformer or Eva family, batch (B, 3, H, W) float32
Out:      the stream of tokens (B, prefix + patches, width); of a block its queries, keys, values
Differs:  prefix tokens (class, registers) are kept here; `one_class` takes the registers out
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor
from torch.nn import functional

from maskdistill.features import attention, eva

FIELDS = ("queries", "keys", "values", "tokens")
Fields = dict[str, Tensor]


class Network:
    """Hold a timm VisionTransformer or Eva and take a batch through it step by step.

    Attributes:
        model: in eval mode.
        as_dino: position embeddings are resampled as DINO's release does it, not as timm does.
        rotated: queries and keys are those after the rotation by position (Eva alone).
        patch: side of a patch, in px.
        heads: of a block's attention.
        width: of a token.
        has_class: token 0 is the class token; else the patches' mean stands in for it.
    """

    def __init__(
        self, model: VisionTransformer | Eva, *, as_dino: bool = False, rotated: bool = False
    ) -> None:
        self.model, self.as_dino, self.rotated = model, as_dino, rotated
        self.patch = int(model.patch_embed.patch_size[0])
        first: Any = model.blocks[0]
        self.heads = int(first.attn.num_heads)
        self.width = int(model.embed_dim)
        self.has_class = model.cls_token is not None

    def grid_of(self, batch: Tensor) -> tuple[int, int]:
        """Return the patch grid of a batch, (rows, cols).

        Raises:
            ValueError: not (B, 3, H, W), or a side that is no multiple of the patch.
        """
        if (
            batch.ndim != 4
            or batch.shape[1] != 3
            or any(side % self.patch or not side for side in batch.shape[-2:])
        ):
            raise ValueError(
                f"batch: wanted (B, 3, H, W) with H and W multiples of {self.patch}, "
                f"found {tuple(batch.shape)}"
            )
        return batch.shape[2] // self.patch, batch.shape[3] // self.patch

    def embedded(self, batch: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """Return the tokens that enter the first block, and rotations by position where there are.

        Args:
            batch: (B, 3, H, W) float32, normalised; moved to the weights' device and dtype.
            grid: of the batch, as `grid_of` gives it.
        Returns:
            (B, prefix + patches, width), and the rotations that `through` and `projected` take.
        """
        model = self.model
        weight = model.patch_embed.proj.weight
        batch = batch.to(device=weight.device, dtype=weight.dtype)
        if isinstance(model, Eva):
            return eva.embedded(model, batch)
        patches = model.patch_embed(batch)
        if not self.as_dino:
            return model.norm_pre(model.patch_drop(model._pos_embed(patches))), None
        tokens = patches.flatten(1, 2) if patches.ndim == 4 else patches
        assert model.cls_token is not None
        tokens = torch.cat([model.cls_token.expand(len(batch), -1, -1), tokens], dim=1)
        return tokens + self.position_embedding(grid), None

    def position_embedding(self, grid: tuple[int, int]) -> Tensor:
        """Return the position embedding of a patch grid, resampled as DINO does it.

        Bicubic, 0.1 added to the grid's size.

        Returns:
            (1, 1 + rows*cols, width), position 0 that of the class token.
        Raises:
            ValueError: a grid that no factor gives.
        """
        embedding = self.model.pos_embed
        assert embedding is not None
        side = round((embedding.shape[1] - 1) ** 0.5)
        if grid == (side, side):
            return embedding
        patches = embedding[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2).float()
        # The factor, not the size, is given: torch then samples at (i + 0.5) * side / (rows + 0.1)
        # - 0.5, as DINO did.
        factors = ((grid[0] + 0.1) / side, (grid[1] + 0.1) / side)
        patches = functional.interpolate(
            patches, scale_factor=factors, mode="bicubic", align_corners=False
        )
        if tuple(patches.shape[-2:]) != grid:
            raise ValueError(f"grid: {grid} cannot be reached from {side} x {side} by a factor")
        flat = patches.permute(0, 2, 3, 1).flatten(1, 2).to(embedding.dtype)
        return torch.cat([embedding[:, :1], flat], dim=1)

    def through(self, number: int, stream: Tensor, rotations: Tensor | None) -> Tensor:
        """Return the stream (B, prefix + patches, width) after a block, counted from 0."""
        if isinstance(self.model, Eva):
            return eva.through(self.model, number, stream, rotations)
        block = self.model.blocks[number]
        if attention.pays(stream) and attention.applies_to(self.model):
            mixed = attention.mixed(*self.projected(number, stream, rotations))
            return attention.through(block, stream, mixed)
        after: Tensor = block(stream)
        return after

    def projected(
        self, number: int, stream: Tensor, rotations: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys, values of a block: (B, heads, prefix + patches, dim) each."""
        if isinstance(self.model, Eva):
            return eva.projected(self.model, number, stream, rotations, rotated=self.rotated)
        block: Any = self.model.blocks[number]
        joined = (
            block.attn.qkv(block.norm1(stream))
            .unflatten(2, (3, self.heads, -1))
            .permute(2, 0, 3, 1, 4)
        )
        return block.attn.q_norm(joined[0]), block.attn.k_norm(joined[1]), joined[2]

    def walked(self, batch: Tensor, want: Mapping[int, Collection[str]]) -> dict[int, Fields]:
        """Return fields of several blocks by one pass, which ends where nothing is asked any more.

        Args:
            batch: as `embedded` takes it.
            want: block, counted from 0 -> fields of FIELDS.
        Returns:
            Of each block with a field, field -> (B, heads, 1 + patches, dim) float32, of tokens,
            which are those after the last norm, (B, 1 + patches, width).
        """
        asked = {number: fields for number, fields in want.items() if fields}
        stream, rotations = self.embedded(batch, self.grid_of(batch))
        found: dict[int, Fields] = {}
        for number in range(1 + max(asked, default=-1)):
            fields = asked.get(number, ())
            own: Fields = {}
            if any(field != "tokens" for field in fields):
                projected = self.projected(number, stream, rotations)
                for field, values in zip(FIELDS, projected, strict=False):
                    if field in fields:
                        own[field] = self.one_class(values.float(), dim=2)
            if number < max(asked) or "tokens" in fields:
                stream = self.through(number, stream, rotations)
            if "tokens" in fields:
                own["tokens"] = self.one_class(self.model.norm(stream).float(), dim=1)
            if own:
                found[number] = own
        return found

    def one_class(self, values: Tensor, *, dim: int) -> Tensor:
        """Return values with one token before the patches: the class token, or the patches' mean.

        Args:
            values: prefix + patches along `dim`.
        Returns:
            1 + patches along `dim`; registers are left out.
        """
        n_prefix = self.model.num_prefix_tokens
        patches = values.narrow(dim, n_prefix, values.shape[dim] - n_prefix)
        first = values.narrow(dim, 0, 1) if self.has_class else patches.mean(dim=dim, keepdim=True)
        return torch.cat([first, patches], dim=dim)
