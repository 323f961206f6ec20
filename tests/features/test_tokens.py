"""Tokens beside timm's own forward pass, one pass for them and the features, and mirrored views."""

import functools

import numpy as np
import pytest
import torch

from maskdistill.features import tokens, vit
from maskdistill.features.tokens import Tokens

# With a class token; with registers and none; that rotates by position.
NAMES = ("timm/test_vit", "timm/test_vit3", "timm/eva02_tiny_patch14_224")


@functools.cache
def drawn_backbone(name: str = NAMES[0]) -> vit.ViT:
    return vit.load(name, weights="none")


def drawn_picture(rng, height=50, width=70):
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@torch.inference_mode()
def left_by(backbone: vit.ViT, ready: tokens.Prepared, block: int) -> torch.Tensor:
    """Return what leaves a block in timm's own forward pass, after the last norm: prefix + patches."""
    found = {}
    hook = backbone.model.blocks[block].register_forward_hook(
        lambda _, given, out: found.update(left=out)
    )
    try:
        backbone.model.forward_features(ready.tensor[None])
    finally:
        hook.remove()
    return backbone.model.norm(found["left"])[0]


def same(one: Tokens, other: Tokens) -> bool:
    return (
        torch.equal(one.patches, other.patches)
        and torch.equal(one.class_token, other.class_token)
        and (one.size, one.scaled) == (other.size, other.scaled)
    )


@pytest.mark.parametrize("name", NAMES)
def test_tokens_are_what_leaves_the_blocks_of_timms_own_forward_pass(rng, name):
    backbone, rgb = drawn_backbone(name), drawn_picture(rng)
    blocks = (-1, 0, -2)
    found = tokens.of_picture(rgb, backbone=backbone, blocks=blocks, short_side=40)
    assert (found.size, found.scaled) == ((50, 70), (40, 56))
    rows, cols = -(-40 // backbone.patch), -(-56 // backbone.patch)
    assert found.patches.shape == (3, rows, cols, backbone.width)
    assert found.class_token.shape == (backbone.width,)
    assert found.patches.dtype == found.class_token.dtype == torch.float16
    ready = tokens.made_ready(rgb, backbone=backbone, short_side=40)
    n_prefix = backbone.model.num_prefix_tokens
    for place, block in enumerate(blocks):
        expected = left_by(backbone, ready, block)[n_prefix:].unflatten(0, (rows, cols))
        torch.testing.assert_close(found.patches[place].float(), expected, atol=2e-3, rtol=1e-3)
    last = left_by(backbone, ready, -1)
    expected = last[0] if backbone.has_class else last[n_prefix:].mean(0)
    torch.testing.assert_close(found.class_token.float(), expected, atol=2e-3, rtol=1e-3)


def test_the_class_token_is_the_last_blocks_whichever_blocks_are_asked_for(rng):
    rgb = drawn_picture(rng)
    one, other = (
        tokens.of_picture(rgb, backbone=drawn_backbone(), blocks=blocks)
        for blocks in ((-3,), (-1, -2))
    )
    assert torch.equal(one.class_token, other.class_token)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("block", [-1, 1])
@pytest.mark.parametrize("want", [("queries", "keys"), ("values", "tokens"), ("tokens",), ()])
def test_one_pass_gives_the_features_of_a_pass_of_their_own_bit_by_bit(rng, name, block, want):
    backbone = drawn_backbone(name)
    pictures = [tokens.made_ready(drawn_picture(rng), backbone=backbone) for _ in range(2)]
    features, found = tokens.seen(
        pictures, backbone=backbone, blocks=(-3, -1), block=block, want=want
    )
    batch = torch.stack([each.tensor for each in pictures])
    for row, alone in enumerate(backbone.features(batch, block=block, want=want)):
        for field in ("queries", "keys", "values", "tokens"):
            given, wanted = getattr(features[row], field), getattr(alone, field)
            assert (given is None) == (wanted is None) == (field not in want)
            assert given is None or torch.equal(given, wanted)
    (_, without) = tokens.seen(pictures, backbone=backbone, blocks=(-3, -1))
    assert all(map(same, found, without))


def test_a_mirrored_view_is_that_of_the_mirrored_picture(rng):
    backbone, rgb = drawn_backbone(), drawn_picture(rng)
    mirrored = tokens.of_picture(rgb, backbone=backbone, blocks=(-2,), mirrored=True, short_side=40)
    flipped = np.ascontiguousarray(rgb[:, ::-1])
    assert same(
        mirrored, tokens.of_picture(flipped, backbone=backbone, blocks=(-2,), short_side=40)
    )
    as_it_is = tokens.of_picture(rgb, backbone=backbone, blocks=(-2,), short_side=40)
    assert not torch.equal(mirrored.patches, as_it_is.patches)


def test_a_network_can_learn_on_tokens(rng):
    found = tokens.of_picture(drawn_picture(rng), backbone=drawn_backbone(), blocks=(-1,))
    weight = torch.ones(found.class_token.shape, requires_grad=True)
    (found.patches.float() * weight + found.class_token.float() * weight).sum().backward()
    assert weight.grad is not None


def test_what_cannot_be_asked_for_is_refused(rng):
    rgb = drawn_picture(rng)
    with pytest.raises(ValueError, match=r"block: timm/test_vit has \d+, got -99"):
        tokens.of_picture(rgb, backbone=drawn_backbone(), blocks=(-1, -99))
    with pytest.raises(ValueError, match="pictures: wanted one at least"):
        tokens.seen([], backbone=drawn_backbone(), blocks=(-1,))
