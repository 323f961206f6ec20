"""Our ViT beside timm's own forward pass, which the hooks here listen to.

DINO's outputs: tests/golden/test_vit.py.
"""

import functools
import math

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from maskdistill.errors import WeightsError
from maskdistill.features import vit

ALL = ("queries", "keys", "values", "tokens")


@functools.cache
def drawn_backbone(name: str = "timm/vit_tiny_patch16_224") -> vit.ViT:
    return vit.load(name, weights="none")


def drawn_batch(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def heard(backbone: vit.ViT, batch: Tensor, block: int) -> dict[str, Tensor]:
    """Return what timm's forward pass computes on its way: a block's joined projection, its mixed
    values, its output."""
    found, model = {}, backbone.model
    attention = model.blocks[block].attn
    hooks = [
        attention.qkv.register_forward_hook(lambda _, given, out: found.update(joined=out)),
        attention.proj.register_forward_hook(lambda _, given, out: found.update(mixed=given[0])),
        model.blocks[block].register_forward_hook(lambda _, given, out: found.update(left=out)),
    ]
    try:
        found["end"] = model.forward_features(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def split(joined: Tensor, field: int, heads: int) -> Tensor:
    """Return queries (0), keys (1) or values (2), copied head by head: (heads, tokens, dim)."""
    width = joined.shape[-1] // 3
    dim = width // heads
    parts = []
    for head in range(heads):
        start = field * width + head * dim
        parts.append(joined[:, start : start + dim])
    return torch.stack(parts)


@pytest.mark.parametrize("block", [0, 5, 11, -1, -12])
def test_queries_keys_values_and_tokens_are_those_of_timms_own_forward_pass(block):
    backbone, batch = drawn_backbone(), drawn_batch(2, 3, 48, 80)
    expected = heard(backbone, batch, block)
    for row, found in enumerate(backbone.features(batch, block=block, want=ALL)):
        assert found.grid == (3, 5)
        assert found.patch == backbone.patch == 16
        assert found.has_class
        for number, field in enumerate(("queries", "keys", "values")):
            values = getattr(found, field)
            assert values.shape == (3, 1 + 15, 64)
            assert values.dtype == torch.float32
            torch.testing.assert_close(
                values, split(expected["joined"][row], number, backbone.heads)
            )
        assert found.tokens.shape == (1 + 15, 192)
        torch.testing.assert_close(
            found.tokens, backbone.model.norm(expected["left"][row]), atol=1e-5, rtol=1e-5
        )


def test_attention_by_our_queries_keys_and_values_is_what_the_block_mixes():
    backbone, batch = drawn_backbone(), drawn_batch(1, 3, 48, 80)
    found = backbone.features(batch, block=3, want=("queries", "keys", "values"))[0]
    mixed = []
    for queries, keys, values in zip(found.queries, found.keys, found.values, strict=True):
        weights = (queries @ keys.T / math.sqrt(queries.shape[1])).softmax(dim=1)
        mixed.append(weights @ values)
    torch.testing.assert_close(
        torch.cat(mixed, dim=1), heard(backbone, batch, 3)["mixed"][0], atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("size", [(224, 224), (48, 80), (16, 32)])
def test_the_last_blocks_tokens_and_the_class_tokens_are_timms_features(size):
    backbone, batch = drawn_backbone(), drawn_batch(1, 3, *size)
    with torch.inference_mode():
        expected = backbone.model.forward_features(batch)
    found = backbone.features(batch, want=("tokens",))[0]
    torch.testing.assert_close(found.tokens, expected[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        backbone.tokens_of(list(batch))[0], expected[0], atol=1e-5, rtol=1e-5
    )


def test_a_picture_does_not_depend_on_its_neighbours_in_the_batch():
    backbone, batch = drawn_backbone(), drawn_batch(3, 3, 48, 80)
    together = backbone.features(batch, want=ALL)
    for row in range(3):
        alone = backbone.features(batch[row : row + 1], want=ALL)[0]
        for field in ALL:
            torch.testing.assert_close(
                getattr(together[row], field), getattr(alone, field), atol=1e-5, rtol=1e-5
            )
    assert not torch.allclose(together[0].keys, together[1].keys, atol=1e-3)


def test_only_what_is_wanted_is_given():
    found = drawn_backbone().features(drawn_batch(1, 3, 32, 16), want=["values"])[0]
    assert found.values is not None
    assert found.queries is found.keys is found.tokens is None


@pytest.mark.parametrize("block", [12, -13])
def test_a_block_that_is_not_there_is_refused_with_the_number_of_blocks(block):
    with pytest.raises(ValueError, match=f"block: timm/vit_tiny_patch16_224 has 12, got {block}"):
        drawn_backbone().features(drawn_batch(1, 3, 32, 16), block=block)


def test_a_field_that_is_not_there_is_refused_with_the_list():
    with pytest.raises(ValueError, match="want: takes queries, keys, values, tokens, got masks"):
        drawn_backbone().features(drawn_batch(1, 3, 32, 16), want=("keys", "masks"))


@pytest.mark.parametrize(
    "shape", [(1, 3, 32, 40), (1, 3, 40, 32), (1, 1, 32, 32), (3, 32, 32), (1, 3, 0, 32)]
)
def test_a_batch_that_is_not_of_whole_patches_is_refused_with_its_shape(shape):
    with pytest.raises(ValueError, match="multiples of 16") as refusal:
        drawn_backbone().features(torch.zeros(shape))
    assert str(shape) in str(refusal.value)


def test_registers_are_neither_patches_nor_the_class_token():
    backbone, batch = (
        drawn_backbone("timm/vit_small_patch14_reg4_dinov2"),
        drawn_batch(1, 3, 28, 42),
    )
    assert backbone.model.num_prefix_tokens == 5
    found = backbone.features(batch, want=ALL)[0]
    expected = heard(backbone, batch, -1)
    kept = [0, 5, 6, 7, 8, 9, 10]  # the class token and six patches; 1 to 4 are the registers
    assert found.grid == (2, 3)
    assert found.has_class
    for number, field in enumerate(("queries", "keys", "values")):
        torch.testing.assert_close(
            getattr(found, field), split(expected["joined"][0], number, 6)[:, kept]
        )
    torch.testing.assert_close(found.tokens, expected["end"][0, kept], atol=1e-5, rtol=1e-5)


def test_without_a_class_token_the_mean_of_the_patches_stands_in():
    backbone, batch = drawn_backbone("timm/test_vit3"), drawn_batch(1, 3, 32, 48)
    expected = heard(backbone, batch, -1)
    found = backbone.features(batch, want=ALL)[0]
    assert not found.has_class
    assert found.grid == (2, 3)
    # Token 0 of timm's is a register, which counts for nothing.
    torch.testing.assert_close(found.tokens[1:], expected["end"][0, 1:], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.keys[:, 1:], split(expected["joined"][0], 1, 3)[:, 1:])
    torch.testing.assert_close(found.tokens[0], found.tokens[1:].mean(0))
    torch.testing.assert_close(found.keys[:, 0], found.keys[:, 1:].mean(1))
    torch.testing.assert_close(backbone.tokens_of(list(batch))[0], found.tokens)


def test_bfloat16_gives_float32_results_near_the_exact_ones():
    batch = drawn_batch(1, 3, 32, 48)
    exact = drawn_backbone("timm/test_vit").features(batch, want=ALL)[0]
    rough = vit.load("timm/test_vit", weights="none", dtype=torch.bfloat16).features(
        batch, want=ALL
    )[0]
    for field in ALL:
        found, expected = getattr(rough, field), getattr(exact, field)
        assert found.dtype == torch.float32
        assert not torch.equal(found, expected)
        assert (found - expected).norm() < 0.02 * expected.norm()


def cubic(distance: float) -> float:
    """Keys' kernel with a = -0.75, as torch has it."""
    x = abs(distance)
    if x <= 1:
        return 1.25 * x**3 - 2.25 * x**2 + 1
    return -0.75 * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def test_dinos_position_embedding_is_sampled_bicubically_on_a_grid_a_tenth_larger():
    backbone, (rows, cols) = drawn_backbone("dino_vits16"), (3, 17)
    own = backbone.model.pos_embed[0].double()
    table = own[1:, :4].reshape(14, 14, 4)
    expected = torch.zeros(rows, cols, 4, dtype=torch.float64)
    for row in range(rows):
        for col in range(cols):
            at_row, at_col = (
                (row + 0.5) * 14 / (rows + 0.1) - 0.5,
                (col + 0.5) * 14 / (cols + 0.1) - 0.5,
            )
            for i in range(math.floor(at_row) - 1, math.floor(at_row) + 3):
                for j in range(math.floor(at_col) - 1, math.floor(at_col) + 3):
                    weight = cubic(at_row - i) * cubic(at_col - j)
                    expected[row, col] += weight * table[min(max(i, 0), 13), min(max(j, 0), 13)]
    found = backbone.position_embedding((rows, cols))[0].double()
    assert found.shape == (1 + 3 * 17, 384)
    torch.testing.assert_close(found[0], own[0])
    torch.testing.assert_close(found[1:, :4].reshape(rows, cols, 4), expected, atol=1e-6, rtol=0)
    assert torch.equal(backbone.position_embedding((14, 14))[0], backbone.model.pos_embed[0])


def test_dinos_tokens_at_its_own_size_are_timms():
    backbone, batch = drawn_backbone("dino_vits16"), drawn_batch(1, 3, 224, 224)
    with torch.inference_mode():
        expected = backbone.model.forward_features(batch)
    torch.testing.assert_close(
        backbone.features(batch, want=ALL)[0].tokens, expected[0], atol=1e-5, rtol=1e-5
    )


def test_a_backbone_says_what_a_picture_must_be_made_ready_with():
    dino, tiny = drawn_backbone("dino_vits16"), drawn_backbone()
    assert (dino.name, dino.patch, dino.heads, dino.width) == ("dino_vits16", 16, 6, 384)
    assert (dino.mean, dino.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert (tiny.name, tiny.patch, tiny.heads, tiny.width) == (
        "timm/vit_tiny_patch16_224",
        16,
        3,
        192,
    )
    assert (tiny.mean, tiny.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # as this model was trained


def test_weights_none_are_the_same_each_time_and_leave_the_callers_draws_alone(monkeypatch):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    monkeypatch.setattr(
        torch.cuda, "manual_seed_all", lambda seed: pytest.fail("a GPU's generator was seeded")
    )
    first = vit.load("timm/test_vit", weights="none").model.state_dict()
    assert torch.equal(torch.rand(4), expected)
    second = vit.load("timm/test_vit", weights="none").model.state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(
    "name", ["test_vit", "test_vit2", "test_vit3", "test_vit4", "vit_tiny_patch16_224"]
)
def test_a_file_of_timms_own_weights_with_its_classifier_fits(tmp_path, name):
    torch.manual_seed(5)
    state = timm.create_model(name, pretrained=False).state_dict()
    save_file(state, tmp_path / "model.safetensors")
    found = vit.load(f"timm/{name}", weights=tmp_path / "model.safetensors").model.state_dict()
    assert found
    assert all(torch.equal(found[key], state[key]) for key in found)


@pytest.mark.parametrize(
    "name", ["timm/resnet18", "timm/swin_tiny_patch4_window7_224", "timm/beit_base_patch16_224"]
)
def test_a_model_of_another_family_is_refused_with_some_that_are_taken(name):
    with (
        torch.device("meta"),
        pytest.raises(WeightsError, match="not of timm's VisionTransformer or Eva") as refusal,
    ):
        vit.load(name, weights="none")
    assert name in str(refusal.value)
    assert all(other in str(refusal.value) for other in vit.SOME_OF_TIMM)


@pytest.mark.parametrize("name", vit.SOME_OF_TIMM)
def test_what_the_errors_recommend_is_taken(name):
    with torch.device("meta"):
        assert vit.load(name, weights="none", device="meta").name == name


@pytest.mark.parametrize(
    "name",
    [
        "timm/vit_pwee_patch16_reg1_gap_256",  # one projection for attention and MLP
        "timm/vit_base_patch16_rpn_224",  # norms after the attention: its input is not ours
        "timm/vit_dwee_patch16_reg1_gap_256",  # differential attention: two queries a head
        "timm/vit_tiny_r_s16_p8_224",  # a ResNet cuts the patches, a patch is not 8 px
    ],
)
def test_a_relative_whose_blocks_or_patches_are_not_plain_is_refused(name):
    with torch.device("meta"), pytest.raises(WeightsError, match="not supported") as refusal:
        vit.load(name, weights="none")
    assert name in str(refusal.value)
    assert all(other in str(refusal.value) for other in vit.SOME_OF_TIMM)


@pytest.mark.parametrize(
    "name, near",
    [
        ("dino_vits61", "dino_vits16"),
        ("dino_vit_s16", "dino_vits16"),
        ("timm/vit_tiny_patch16_242", "timm/vit_tiny_patch16_224"),
        ("timm/vit_tiny_patch16_224.augreg_in12k", "timm/vit_tiny_patch16_224.augreg_in21k"),
        ("vit_tiny_patch16_224", "timm/vit_tiny_patch16_224"),
    ],
)
def test_an_unknown_name_is_answered_with_the_list_and_the_nearest(name, near):
    with pytest.raises(WeightsError, match="is not known") as refusal:
        vit.load(name, weights="none")
    listed, _, nearest = str(refusal.value).partition("nearest: ")
    assert repr(name) in listed
    assert all(known in listed for known in ("handcrafted", *vit.DINO, "timm/<model>"))
    assert near in nearest.split(", ")


@pytest.mark.parametrize("size", [(32, 48), (160, 224)])
def test_several_blocks_of_one_pass_are_those_of_a_pass_each(size):
    backbone, batch = drawn_backbone(), drawn_batch(2, 3, *size)
    want = {-1: ("queries", "keys"), -3: ("tokens",), -2: ALL, 2: ("values",)}
    found, left = backbone.of_blocks(batch, wanted=want)
    assert left == {}
    assert list(found) == list(want)
    for block, fields in want.items():
        alone = backbone.features(batch, block=block, want=fields)
        for one, other in zip(found[block], alone, strict=True):
            assert one.grid == other.grid
            for field in ALL:
                got, wanted = getattr(one, field), getattr(other, field)
                assert (got is None) == (wanted is None)
                assert got is None or torch.equal(got, wanted)


def test_of_several_blocks_one_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="has 12, got 12"):
        drawn_backbone().of_blocks(drawn_batch(1, 3, 32, 32), wanted={-1: ("keys",), 12: ("keys",)})
