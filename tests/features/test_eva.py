"""Timm's Eva family (DINOv3, EVA-02) beside its own forward pass."""

import functools

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from maskdistill.errors import WeightsError
from maskdistill.features import vit

ALL = ("queries", "keys", "values", "tokens")
# Registers and no absolute positions; own biases; rotations that differ by block; absolute
# positions and no biases.
MODELS = {
    "timm/vit_small_patch16_dinov3": 16,
    "timm/eva02_tiny_patch14_224": 14,
    "timm/vit_small_patch16_rope_mixed_224": 16,
    "timm/vit_pe_core_tiny_patch16_384": 16,
}


@functools.cache
def backbone(name: str, rotated: bool = False) -> vit.ViT:
    made = vit.load(name, weights="none", rotated=rotated)
    generator = torch.Generator().manual_seed(2)
    for key, value in made.model.named_parameters():
        if key.endswith("_bias"):  # zero as they are drawn: a mistake in them would not be seen
            value.copy_(torch.randn(value.shape, generator=generator))
    return made


@torch.inference_mode()
def heard(
    model: torch.nn.Module, batch: Tensor, block: int, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Tensor]:
    """Return what timm's own forward pass makes in a block: queries and keys before and after the
    rotation, values, the tokens that leave it."""
    found: dict[str, Tensor] = {}
    attention = model.blocks[block].attn
    own = torch.nn.functional.scaled_dot_product_attention
    listening = False

    def listen(q: Tensor, k: Tensor, v: Tensor, **rest: object) -> Tensor:
        if listening:
            found.update(rotated_queries=q, rotated_keys=k, values=v)
        return own(q, k, v, **rest)

    def begin(*_: object) -> None:
        nonlocal listening
        listening = True

    def end(_: object, __: object, out: Tensor) -> None:
        nonlocal listening
        listening = False
        found["tokens"] = out

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", listen)
    hooks = [
        model.blocks[block].register_forward_pre_hook(begin),
        model.blocks[block].register_forward_hook(end),
        attention.q_norm.register_forward_hook(lambda _, __, out: found.update(queries=out)),
        attention.k_norm.register_forward_hook(lambda _, __, out: found.update(keys=out)),
    ]
    try:
        found["end"] = model.forward_features(batch)
    finally:
        for hook in hooks:
            hook.remove()
        monkeypatch.undo()
    return found


@pytest.mark.parametrize("block", [0, 7, -1])
@pytest.mark.parametrize("name", MODELS)
def test_queries_keys_values_and_tokens_are_those_of_timms_own_forward_pass(
    name, block, monkeypatch
):
    side = MODELS[name]
    batch = torch.randn(2, 3, 3 * side, 5 * side, generator=torch.Generator().manual_seed(1))
    plain, rotated = backbone(name), backbone(name, rotated=True)
    wanted = heard(plain.model, batch, block, monkeypatch)
    prefix = plain.model.num_prefix_tokens

    def own(values: Tensor, dim: int) -> Tensor:
        first = values.narrow(dim, 0, 1)
        return torch.cat([first, values.narrow(dim, prefix, values.shape[dim] - prefix)], dim=dim)

    for row, (before, after) in enumerate(
        zip(
            plain.features(batch, block=block, want=ALL),
            rotated.features(batch, block=block, want=ALL),
            strict=True,
        )
    ):
        assert before.grid == (3, 5)
        assert before.has_class
        for field in ("queries", "keys"):
            torch.testing.assert_close(
                getattr(before, field), own(wanted[field][row], 1), rtol=1e-5, atol=1e-5
            )
            expected = own(wanted[f"rotated_{field}"][row], 1)
            torch.testing.assert_close(getattr(after, field), expected, rtol=1e-5, atol=1e-5)
            assert (getattr(before, field) - getattr(after, field)).abs().max() > 1e-2
        torch.testing.assert_close(
            before.values, own(wanted["values"][row], 1), rtol=1e-5, atol=1e-5
        )
        tokens = own(plain.model.norm(wanted["tokens"][row]), 0)
        torch.testing.assert_close(before.tokens, tokens, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_the_tokens_of_pictures_are_those_of_timms_features(name):
    side = MODELS[name]
    batch = torch.randn(1, 3, 2 * side, 4 * side, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted = backbone(name).model.forward_features(batch)
    torch.testing.assert_close(
        backbone(name).tokens_of(list(batch), pack=512)[0][0], wanted[0, 0], rtol=1e-5, atol=1e-4
    )


def test_a_file_with_the_names_that_dinov3_gives_its_tensors_fits(tmp_path):
    torch.manual_seed(5)
    own = timm.create_model("vit_small_patch16_dinov3", pretrained=False).state_dict()
    words = {"reg_token": "storage_tokens", "gamma_1": "ls1.gamma", "gamma_2": "ls2.gamma"}
    theirs = {"mask_token": torch.zeros(1, 384), "rope_embed.periods": torch.ones(16)}
    for key, value in own.items():
        for ours, other in words.items():
            key = key.replace(ours, other)
        theirs[key] = value
        if key.endswith("qkv.weight"):
            theirs[key.replace("weight", "bias")] = torch.zeros(3 * 384)
            theirs[key.replace("weight", "bias_mask")] = torch.zeros(3 * 384)
    save_file(theirs, tmp_path / "dinov3_vits16.safetensors")
    found = vit.load(
        "timm/vit_small_patch16_dinov3", weights=tmp_path / "dinov3_vits16.safetensors"
    ).model.state_dict()
    assert found
    assert all(torch.equal(found[key], own[key]) for key in found)


@pytest.mark.parametrize("name", ["timm/eva_giant_patch14_224", "timm/vit_tiny_patch16_224"])
def test_a_rotation_is_refused_of_a_network_that_has_none(name):
    with torch.device("meta"), pytest.raises(WeightsError, match="does not rotate by position"):
        vit.load(name, weights="none", rotated=True, device="meta")


def test_a_relative_with_norms_after_its_attention_is_refused():
    with torch.device("meta"), pytest.raises(WeightsError, match="not supported"):
        vit.load("timm/eva02_enormous_patch14_clip_224", weights="none", device="meta")
