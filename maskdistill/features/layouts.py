"""Layouts of ViTs' weights: the names that others give to the tensors, as timm's or DINO's.

In:       tensors of one network, float32, no prefix before them
Out:      the same tensors under timm's names; DINOv3's as Meta has them (vit.py does the rest)
Source:   each table names its own: facebookresearch/dinov2 and mae, huggingface/transformers, timm
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

# Hugging Face's names -> timm's; the first that fits. Source: the converters of
# huggingface/transformers (models/vit, deit, dinov2, dinov2_with_registers, vit_mae, dinov3_vit).
_HUGGING_FACE = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"embeddings\.cls_token$", "cls_token"),
        (r"embeddings\.distillation_token$", "dist_token"),
        (r"embeddings\.position_embeddings$", "pos_embed"),
        (r"embeddings\.register_tokens$", "register_tokens"),
        (r"embeddings\.mask_token$", "mask_token"),
        (r"embeddings\.patch_embeddings\.(?:projection\.)?", "patch_embed.proj."),
        (r"(?:layernorm|norm)\.(?=weight$|bias$)", "norm."),
    )
)
_BLOCK = re.compile(r"(?:encoder\.|model\.)?layer\.(\d+)\.")
_IN_A_BLOCK = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"attention\.(?:attention\.query|q_proj)\.", "attn.q."),
        (r"attention\.(?:attention\.key|k_proj)\.", "attn.k."),
        (r"attention\.(?:attention\.value|v_proj)\.", "attn.v."),
        (r"attention\.(?:output\.dense|o_proj)\.", "attn.proj."),
        (r"intermediate\.dense\.", "mlp.fc1."),
        (r"output\.dense\.", "mlp.fc2."),
        (r"layernorm_before\.", "norm1."),
        (r"layernorm_after\.", "norm2."),
        (r"layer_scale([12])\.lambda1", r"ls\1.gamma"),
        (r"mlp\.weights_in\.", "mlp.w12."),  # DINOv2's gated MLP
        (r"mlp\.weights_out\.", "mlp.w3."),
        (r"mlp\.gate_proj\.", "mlp.w1."),  # DINOv3's gated MLP
    )
)
_HEADS_OF_HUGGING_FACE = (
    "pooler.",
    "classifier.",
    "cls_classifier.",
    "distillation_classifier.",
    "decoder.",
    "rope_embeddings.",
)
# MAE's other half (facebookresearch/mae, models_mae.py), which its fine-tuning leaves out too.
_DECODER = (
    "decoder_embed.",
    "decoder_pos_embed",
    "decoder_blocks.",
    "decoder_norm.",
    "decoder_pred.",
)
# Known by one tensor, and not read: layout, for the text of a refusal.
_NOT_READ = {
    "visual.class_embedding": "OpenAI's CLIP",
    "vision_model.embeddings.class_embedding": "Hugging Face's CLIP",
    "blocks.0.attn.rel_pos_h": "Segment Anything's encoder",
    "layers.0.blocks.0.attn.relative_position_bias_table": "Swin",
    "layer1.0.conv1.weight": "a ResNet",
    "stages.0.blocks.0.conv_dw.weight": "ConvNeXt",
    "text_model.embeddings.token_embedding.weight": "a model of text and pictures",
}


def in_timms_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a network's tensors under timm's names; what is in them already comes back as it is.

    DINOv3 (known by its storage tokens) stays as Meta publishes it, or is brought to that.
    """
    found = dict(tensors)
    if "embeddings.cls_token" in found:
        found = _from_hugging_face(found)
    if "storage_tokens" in found:
        return found
    # Meta's DINOv2 in training: each block stands in a chunk, blocks.CHUNK.BLOCK
    # (facebookresearch/dinov2, models/vision_transformer.py, BlockChunk).
    found = {
        re.sub(r"^blocks\.\d+\.(?=\d+\.)", "blocks.", key): value for key, value in found.items()
    }
    if "patch_embed.proj.weight" in found:
        # Only training paints it over patches (DINOv2, MAE).
        found.pop("mask_token", None)
        found = {key: value for key, value in found.items() if not key.startswith(_DECODER)}
    if any(".mlp.w12." in key for key in found):
        found = {
            key.replace(".mlp.w12.", ".mlp.fc1.").replace(".mlp.w3.", ".mlp.fc2."): value
            for key, value in found.items()
        }
    return _with_registers(found)


def described(tensors: Mapping[str, Tensor]) -> str:
    """Return in a few words whose weights these are, for a refusal; "" where nothing tells."""
    for key, name in _NOT_READ.items():
        if key in tensors:
            return f"they are of {name}, another layout"
    embedding = tensors.get("patch_embed.proj.weight")
    blocks = {key.split(".")[1] for key in tensors if key.startswith("blocks.")}
    if embedding is None or embedding.ndim != 4 or not blocks:
        return ""
    registers = next(
        (tensors[key] for key in ("reg_token", "storage_tokens") if key in tensors), None
    )
    extra = "" if registers is None else f" and {registers.shape[1]} registers"
    return (
        f"they are of a ViT of width {embedding.shape[0]} with {len(blocks)} blocks, patches of "
        f"{embedding.shape[-1]} px{extra}"
    )


def _from_hugging_face(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors under Meta's and timm's names; queries, keys, values are one tensor there."""
    found: dict[str, Tensor] = {}
    gated = any(".mlp.gate_proj." in key for key in tensors)
    for key, value in tensors.items():
        if key.startswith(_HEADS_OF_HUGGING_FACE):
            continue
        block = _BLOCK.match(key)
        start = f"blocks.{block[1]}." if block else ""
        inner = key[block.end() :] if block else key
        for pattern, name in _IN_A_BLOCK if block else _HUGGING_FACE:
            inner, changed = (
                pattern.subn(name, inner, count=1) if pattern.match(inner) else (inner, 0)
            )
            if changed:
                break
        if block:
            inner = inner.replace("mlp.up_proj.", "mlp.w2." if gated else "mlp.fc1.")
            inner = inner.replace("mlp.down_proj.", "mlp.w3." if gated else "mlp.fc2.")
        found[start + inner] = value
    for key in [key for key in found if key.endswith(".attn.q.weight")]:
        _join(found, key.removesuffix("q.weight"))
    # DINOv3 has no position embedding; its registers are called storage tokens by Meta.
    if "pos_embed" not in found and "register_tokens" in found:
        found["storage_tokens"] = found.pop("register_tokens")
    return found


def _join(found: dict[str, Tensor], start: str) -> None:
    """Put queries, keys and values of one block into one tensor, in timm's order, in place."""
    for kind in ("weight", "bias"):
        parts = [found.get(f"{start}{part}.{kind}") for part in "qkv"]
        present = [part for part in parts if part is not None]
        if not present or (kind == "weight" and len(present) < 3):
            continue
        # DINOv3's keys have no bias, which is one of zeros.
        found[f"{start}qkv.{kind}"] = torch.cat(
            [torch.zeros_like(present[0]) if part is None else part for part in parts]
        )
        for part in "qkv":
            found.pop(f"{start}{part}.{kind}", None)


def _with_registers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return DINOv2 with registers as timm has it: the class token's place is in the token.

    Source: timm, models/vision_transformer.py, _convert_dinov2.
    """
    if not {"register_tokens", "pos_embed", "cls_token"} <= set(tensors):
        return tensors
    found = dict(tensors)
    found["reg_token"] = found.pop("register_tokens")
    place = found["pos_embed"]
    found["cls_token"] = found["cls_token"] + place[:, 0]
    found["pos_embed"] = place[:, 1:]
    return found
