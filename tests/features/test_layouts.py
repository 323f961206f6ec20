"""Other people's names for a ViT's tensors: each layout gives the tensors of the plain file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import Tensor

from maskdistill import discover
from maskdistill.errors import WeightsError
from maskdistill.features import layouts, vit, weights

State = dict[str, Tensor]
WIDTH, BLOCKS = 64, 6  # of timm's test_vit
PLAIN, DINO2, REGISTERS, DINO3 = (
    "timm/test_vit",
    "timm/vit_small_patch14_dinov2",
    "timm/vit_small_patch14_reg4_dinov2",
    "timm/vit_small_patch16_dinov3",
)


def drawn(name: str) -> State:
    """Weights of timm's model, all of them drawn."""
    generator = torch.Generator().manual_seed(3)
    model = timm.create_model(name.removeprefix("timm/"), pretrained=False, num_classes=0)
    return {
        key: torch.randn(value.shape, generator=generator)
        for key, value in model.state_dict().items()
    }


def same(found: State, expected: State) -> None:
    assert sorted(found) == sorted(expected)
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def split(state: State, inner: dict[str, str], *, start: str, qkv: str) -> State:
    """Each block's tensors under other names, queries, keys and values apart."""
    found: State = {}
    for key, value in state.items():
        block = re.match(r"blocks\.(\d+)\.(.+)", key)
        if not block:
            continue
        begin = f"{start}layer.{block[1]}."
        if block[2].startswith("attn.qkv."):
            kind = block[2].removeprefix("attn.qkv.")
            names = ("query", "key", "value") if "query" in qkv else ("q", "k", "v")
            for name, part in zip(names, value.chunk(3), strict=True):
                found[begin + qkv.replace("query", name).replace("Q", name) + kind] = part.clone()
            continue
        stem, _, kind = block[2].rpartition(".")
        found[f"{begin}{inner[stem]}.{kind}"] = value
    return found


def hugging_face_vit(state: State) -> State:
    inner = {
        "attn.proj": "attention.output.dense",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
    }
    return split(state, inner, start="encoder.", qkv="attention.attention.query.") | {
        "embeddings.cls_token": state["cls_token"],
        "embeddings.position_embeddings": state["pos_embed"],
        "embeddings.patch_embeddings.projection.weight": state["patch_embed.proj.weight"],
        "embeddings.patch_embeddings.projection.bias": state["patch_embed.proj.bias"],
        "layernorm.weight": state["norm.weight"],
        "layernorm.bias": state["norm.bias"],
        "pooler.dense.weight": torch.ones(WIDTH, WIDTH),
    }


def hugging_face_dino2(state: State) -> State:
    inner = {
        "attn.proj": "attention.output.dense",
    } | {name: name for name in ("norm1", "norm2", "mlp.fc1", "mlp.fc2")}
    blocks = {
        key: value for key, value in state.items() if key.startswith("blocks.") and ".ls" not in key
    }
    scales = {
        re.sub(r"blocks\.(\d+)\.ls(\d)\.gamma", r"encoder.layer.\1.layer_scale\2.lambda1", key): v
        for key, v in state.items()
        if ".ls" in key
    }
    found = split(blocks, inner, start="encoder.", qkv="attention.attention.query.") | scales
    found |= {
        "embeddings.cls_token": state["cls_token"],
        "embeddings.mask_token": torch.ones(1, 384),
        "embeddings.position_embeddings": state["pos_embed"],
        "embeddings.patch_embeddings.projection.weight": state["patch_embed.proj.weight"],
        "embeddings.patch_embeddings.projection.bias": state["patch_embed.proj.bias"],
        "layernorm.weight": state["norm.weight"],
        "layernorm.bias": state["norm.bias"],
    }
    if "register_tokens" in state:
        found["embeddings.register_tokens"] = state["register_tokens"]
    return found


def metas_dino2(state: State) -> State:
    return state | {"mask_token": torch.ones(1, 384)}


def metas_registers(state: State) -> State:
    """Meta's: the position embedding has a place for the class token, which timm adds to it."""
    found = metas_dino2(state)
    found["register_tokens"] = found.pop("reg_token")
    place = torch.full((1, 1, 384), 0.25)
    found["cls_token"] = found["cls_token"] - place
    found["pos_embed"] = torch.cat([place, found["pos_embed"]], dim=1)
    return found


def metas_dino3(state: State, *, bias: float = 0.0) -> State:
    words = {"reg_token": "storage_tokens", "gamma_1": "ls1.gamma", "gamma_2": "ls2.gamma"}
    found = {"mask_token": torch.zeros(1, 384), "rope_embed.periods": torch.ones(16)}
    for key, value in state.items():
        for ours, theirs in words.items():
            key = key.replace(ours, theirs)
        found[key] = value
        if key.endswith("qkv.weight"):
            found[key.replace("weight", "bias")] = torch.full((3 * 384,), bias)
            found[key.replace("weight", "bias_mask")] = torch.zeros(3 * 384)
    return found


def hugging_face_dino3(state: State) -> State:
    blocks = {
        key: value
        for key, value in state.items()
        if key.startswith("blocks.") and "gamma" not in key
    }
    inner = {
        "attn.proj": "attention.o_proj",
        "mlp.fc1": "mlp.up_proj",
        "mlp.fc2": "mlp.down_proj",
        "norm1": "norm1",
        "norm2": "norm2",
    }
    found = split(blocks, inner, start="", qkv="attention.Q_proj.")
    for number in range(12):
        start = f"layer.{number}."
        for which in "12":
            scale = state[f"blocks.{number}.gamma_{which}"]
            found[f"{start}layer_scale{which}.lambda1"] = scale
        for name in "qv":  # keys have none there
            found[f"{start}attention.{name}_proj.bias"] = torch.zeros(384)
    return found | {
        "embeddings.cls_token": state["cls_token"],
        "embeddings.mask_token": torch.zeros(1, 1, 384),
        "embeddings.register_tokens": state["reg_token"],
        "embeddings.patch_embeddings.weight": state["patch_embed.proj.weight"],
        "embeddings.patch_embeddings.bias": state["patch_embed.proj.bias"],
        "norm.weight": state["norm.weight"],
        "norm.bias": state["norm.bias"],
    }


def mae(state: State) -> State:
    return state | {
        "mask_token": torch.ones(1, 1, 32),
        "decoder_pos_embed": torch.ones(1, 101, 32),
        "decoder_embed.weight": torch.ones(32, WIDTH),
        "decoder_blocks.0.norm1.weight": torch.ones(32),
        "decoder_norm.weight": torch.ones(32),
        "decoder_pred.bias": torch.ones(768),
    }


def in_chunks(state: State) -> State:
    return {re.sub(r"^blocks\.(\d+)", r"blocks.0.\1", key): value for key, value in state.items()}


def under(prefix: str, layout: Callable[[State], State]) -> Callable[[State], State]:
    return lambda state: {f"{prefix}{key}": value for key, value in layout(state).items()}


LAYOUTS: dict[str, tuple[str, Callable[[State], State]]] = {
    "MAE with its decoder": (PLAIN, mae),
    "DINOv2 in training, blocks in chunks": (PLAIN, in_chunks),
    "Hugging Face's ViT": (PLAIN, hugging_face_vit),
    "Hugging Face's classifier": (PLAIN, under("vit.", hugging_face_vit)),
    "Meta's DINOv2": (DINO2, metas_dino2),
    "Hugging Face's DINOv2": (DINO2, hugging_face_dino2),
    "Hugging Face's DINOv2, as a backbone within a model": (
        DINO2,
        under("backbone.dinov2.", hugging_face_dino2),
    ),
    "Meta's DINOv3": (DINO3, metas_dino3),
    "Hugging Face's DINOv3": (DINO3, hugging_face_dino3),
    "Hugging Face's DINOv3 within a model": (DINO3, under("model.", hugging_face_dino3)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_gives_the_tensors_of_the_plain_file(tmp_path: Path, layout: str) -> None:
    name, theirs = LAYOUTS[layout]
    state = drawn(name)
    path = tmp_path / "model.safetensors"
    save_file({key: value.clone() for key, value in theirs(state).items()}, path)
    same(vit.load(name, weights=path).model.state_dict(), state)
    # A state dict in place of its file.
    same(vit.load(name, weights=weights.read(path)).model.state_dict(), state)


@pytest.mark.parametrize("layout", ["Meta's", "Hugging Face's"])
def test_dinov2_with_registers_is_what_timm_makes_of_it(tmp_path: Path, layout: str) -> None:
    theirs = metas_registers(drawn(REGISTERS))
    model = timm.create_model(REGISTERS.removeprefix("timm/"), pretrained=False, num_classes=0)
    expected = checkpoint_filter_fn(dict(theirs), model)
    path = tmp_path / "dinov2_vits14_reg4_pretrain.pth"
    torch.save(theirs if layout == "Meta's" else hugging_face_dino2(theirs), path)
    same(vit.load(REGISTERS, weights=path).model.state_dict(), expected)


def test_a_gated_mlp_of_dinov2_has_timms_names_in_both_layouts() -> None:
    one = {"patch_embed.proj.weight": torch.ones(4, 3, 2, 2), "blocks.0.mlp.w3.bias": torch.ones(4)}
    meta = one | {"blocks.0.mlp.w12.weight": torch.ones(8, 4)}
    names = {"patch_embed.proj.weight", "blocks.0.mlp.fc1.weight", "blocks.0.mlp.fc2.bias"}
    assert set(layouts.in_timms_names(meta)) == names
    hugging_face = {
        "embeddings.cls_token": torch.ones(1, 1, 4),
        "embeddings.patch_embeddings.projection.weight": torch.ones(4, 3, 2, 2),
        "encoder.layer.0.mlp.weights_in.weight": torch.ones(8, 4),
        "encoder.layer.0.mlp.weights_out.bias": torch.ones(4),
    }
    assert set(layouts.in_timms_names(hugging_face)) == names | {"cls_token"}


def test_a_gated_mlp_of_dinov3_from_hugging_face_has_metas_names() -> None:
    state = {
        "embeddings.cls_token": torch.ones(1, 1, 4),
        "embeddings.register_tokens": torch.ones(1, 4, 4),
        "model.layer.11.mlp.gate_proj.weight": torch.ones(8, 4),
        "model.layer.11.mlp.up_proj.weight": torch.ones(8, 4),
        "model.layer.11.mlp.down_proj.weight": torch.ones(4, 8),
    }
    blocks = {f"blocks.11.mlp.w{number}.weight" for number in (1, 2, 3)}
    assert set(layouts.in_timms_names(state)) == blocks | {"cls_token", "storage_tokens"}


@pytest.mark.parametrize("layout", ["plain", *(key for key in LAYOUTS if "within" not in key)])
def test_timms_names_stay_as_they_are_however_often_they_are_asked_for(layout: str) -> None:
    name, theirs = LAYOUTS.get(layout, (PLAIN, dict))
    once = layouts.in_timms_names(theirs(drawn(name)))
    same(layouts.in_timms_names(once), once)


def test_fingerprints_do_not_see_whose_names_the_tensors_had(tmp_path: Path) -> None:
    state = drawn(PLAIN)
    found = set()
    for number, theirs in enumerate((dict, mae, in_chunks, hugging_face_vit)):
        path = tmp_path / f"{number}.pth"
        torch.save(theirs(state), path)
        found.add(weights.fingerprint(weights.read(path)))
    assert found == {weights.fingerprint(state)}


def test_what_read_gives_of_metas_dinov3_has_metas_names_and_so_its_old_fingerprint(
    tmp_path: Path,
) -> None:
    theirs = metas_dino3(drawn(DINO3))
    torch.save(theirs, tmp_path / "dinov3.pth")
    same(weights.read(tmp_path / "dinov3.pth"), theirs)


def test_biases_that_the_network_does_not_have_are_refused_with_the_one_that_has(
    tmp_path: Path,
) -> None:
    torch.save(metas_dino3(drawn(DINO3), bias=0.5), tmp_path / "dinov3.pth")
    with pytest.raises(WeightsError, match=r"qkv\.bias is not zero") as refusal:
        vit.load(DINO3, weights=tmp_path / "dinov3.pth")
    assert str(refusal.value).endswith(f"Name the backbone that has: {DINO3}_qkvb")
    loaded = vit.load(f"{DINO3}_qkvb", weights=tmp_path / "dinov3.pth").model.state_dict()
    assert (loaded["blocks.3.attn.v_bias"] == 0.5).all()


@pytest.mark.parametrize(
    "key, words",
    [
        ("visual.class_embedding", "they are of OpenAI's CLIP, another layout"),
        ("image_encoder.blocks.0.attn.rel_pos_h", "they are of Segment Anything's encoder"),
        ("layer1.0.conv1.weight", "they are of a ResNet"),
    ],
)
def test_a_layout_that_is_not_read_is_named(tmp_path: Path, key: str, words: str) -> None:
    state = {key: torch.ones(2, 2)}
    if key.startswith("image_encoder."):
        state["image_encoder.patch_embed.proj.weight"] = torch.ones(64, 3, 16, 16)
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=re.escape(words)):
        vit.load(PLAIN, weights=tmp_path / "other.pth")


def test_a_vit_of_another_size_is_described(tmp_path: Path) -> None:
    torch.save(metas_registers(drawn(REGISTERS)), tmp_path / "other.pth")
    words = "they are of a ViT of width 384 with 12 blocks, patches of 14 px and 4 registers. "
    with pytest.raises(WeightsError, match=re.escape(words)):
        vit.load(PLAIN, weights=tmp_path / "other.pth")


def compiled_ema(state: State) -> State:
    return {"state_dict_ema": {f"_orig_mod.{key}": value for key, value in state.items()}}


@pytest.mark.parametrize("theirs", [mae, under("vit.", hugging_face_vit), compiled_ema])
def test_the_masks_of_a_picture_are_those_of_the_plain_file(
    tmp_path: Path, theirs: Callable[[State], State]
) -> None:
    picture = np.random.default_rng(4).integers(0, 80, (96, 128, 3)).astype(np.uint8)
    picture[30:70, 20:80] += 120
    state = {key: 0.3 * value for key, value in drawn(PLAIN).items()}

    def masks(state: State) -> list[tuple[float, list[list[bool]]]]:
        torch.save(state, tmp_path / "weights.pth")
        found = discover(
            picture,
            backbone=PLAIN,
            weights=tmp_path / "weights.pth",
            method="tokencut",
            max_masks=2,
            min_score=0.0,
            pixels="nearest",
            settings={"stop_score": 0.0, "block": -1, "facet": "keys"},
        )
        return [(mask["score"], mask["segmentation"].tolist()) for mask in found]

    wanted = masks(state)
    assert wanted
    assert masks(theirs(state)) == wanted
    assert masks({key: value.flip(0) for key, value in state.items()}) != wanted
