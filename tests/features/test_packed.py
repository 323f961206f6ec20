"""Pictures of several sizes in one sequence: each has the tokens that it has alone."""

import pytest
import torch

from maskdistill.features import attention, packed, vit

SIZES = [(32, 48), (16, 16), (64, 16), (48, 80)]
NAMES = ("dino_vits8", "timm/vit_tiny_patch16_224", "timm/vit_small_patch14_reg4_dinov2")


def pictures(patch):
    generator = torch.Generator().manual_seed(3)
    return [
        torch.randn(3, rows * patch // 16, columns * patch // 16, generator=generator)
        for rows, columns in SIZES
    ]


@pytest.fixture(scope="module")
def networks():
    return {name: vit.load(name, weights="none") for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_tokens_are_those_of_one_picture_at_a_time(networks, name):
    backbone = networks[name]
    given = pictures(backbone.patch)
    alone = [backbone.features(each[None], want=("tokens",))[0].tokens for each in given]
    for pack in (0, 8, 10_000):
        found = backbone.tokens_of(given, pack=pack)
        for one, wanted in zip(found, alone, strict=True):
            torch.testing.assert_close(one, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_class_token_alone_is_that_of_all_tokens(networks, name):
    backbone = networks[name]
    given = pictures(backbone.patch)
    alone = [backbone.features(each[None], want=("tokens",))[0].tokens[:1] for each in given]
    for pack in (0, 8, 10_000):
        found = backbone.tokens_of(given, pack=pack, class_alone=True)
        for one, wanted in zip(found, alone, strict=True):
            assert one.shape == (1, backbone.width)
            torch.testing.assert_close(one, wanted, rtol=1e-4, atol=1e-5)


def test_a_network_without_a_class_token_gives_the_mean_of_its_patches_whatever_is_asked():
    backbone = vit.load("timm/vit_base_patch16_siglip_224", weights="none")
    assert not backbone.has_class
    given = pictures(16)[:2]
    for one, wanted in zip(
        backbone.tokens_of(given, pack=99, class_alone=True), backbone.tokens_of(given), strict=True
    ):
        torch.testing.assert_close(one[0], wanted[0], rtol=1e-4, atol=1e-5)


def test_a_picture_does_not_see_what_it_goes_with(networks):
    backbone = networks["timm/vit_tiny_patch16_224"]
    first, second, *_ = pictures(16)
    together = packed.tokens(backbone, [first, second])[0]
    torch.testing.assert_close(
        packed.tokens(backbone, [first, 100 * second])[0], together, rtol=1e-4, atol=1e-5
    )


def test_packs_keep_the_order_and_hold_no_more_than_they_may():
    assert packed.plan([3, 4, 2, 9, 1, 1, 8, 10, 2], most=9) == [
        [0, 1, 2],
        [3],
        [4, 5],
        [6],
        [7],
        [8],
    ]
    assert packed.plan([20, 20], most=9) == [[0], [1]]
    assert packed.plan([3, 0, 2], most=0) == [[0], [1], [2]]
    assert packed.plan([], most=5) == []


def test_networks_that_rotate_by_position_go_one_by_one():
    backbone = vit.load("timm/eva02_tiny_patch14_224", weights="none")
    assert not attention.applies_to(backbone.model)
    given = pictures(14)
    alone = [backbone.features(each[None], want=("tokens",))[0].tokens for each in given]
    for pack, class_alone in ((1000, False), (0, True)):
        found = backbone.tokens_of(given, pack=pack, class_alone=class_alone)
        assert all(torch.equal(one, wanted) for one, wanted in zip(found, alone, strict=True))
