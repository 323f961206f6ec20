"""Attention by blocks of rows is the attention of the definition."""

import pytest
import torch

from maskdistill.features import attention, vit


def plain(queries, keys, values):
    """By the definition, in float64."""
    queries, keys, values = (each.double() for each in (queries, keys, values))
    shares = (queries @ keys.transpose(2, 3) / queries.shape[3] ** 0.5).softmax(dim=3)
    return (shares @ values).transpose(1, 2).flatten(2)


def drawn(*, n_pictures, heads, n, dim, dtype=torch.float32):
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(n_pictures, heads, n, dim, generator=generator).to(dtype) for _ in range(3)]


@pytest.mark.parametrize(
    ("n_pictures", "heads", "n"), [(1, 3, 300), (2, 3, 257), (1, 1, 1), (2, 2, 256)]
)
def test_by_blocks_equals_the_definition(n_pictures, heads, n):
    given = drawn(n_pictures=n_pictures, heads=heads, n=n, dim=8)
    found = attention.by_blocks(*given)
    assert found.shape == (n_pictures, n, heads * 8)
    torch.testing.assert_close(found.double(), plain(*given), rtol=1e-5, atol=1e-6)


def test_in_bfloat16_it_is_off_by_about_one_rounding():
    given = drawn(n_pictures=1, heads=3, n=300, dim=64, dtype=torch.bfloat16)
    wanted = plain(*given)
    off = (attention.by_blocks(*given) - wanted).norm() / wanted.norm()
    assert off < 2**-7  # bfloat16 has 8 bits: one rounding is off by at most 2^-8


@pytest.mark.parametrize(
    "name", ["timm/vit_tiny_patch16_224", "dino_vits16", "timm/vit_small_patch14_reg4_dinov2"]
)
def test_a_network_gives_the_same_either_way(name, monkeypatch):
    backbone = vit.load(name, weights="none")
    batch = torch.randn(
        1, 3, 16 * backbone.patch, 15 * backbone.patch, generator=torch.Generator().manual_seed(1)
    )
    wanted = backbone.features(batch, want=("keys", "tokens"))[0]
    calls = []
    monkeypatch.setattr(attention, "pays", lambda some: True)
    by_blocks = attention.by_blocks
    monkeypatch.setattr(attention, "by_blocks", lambda *given: calls.append(1) or by_blocks(*given))
    found = backbone.features(batch, want=("keys", "tokens"))[0]
    assert len(calls) == len(backbone.model.blocks)
    for field in ("keys", "tokens"):
        torch.testing.assert_close(
            getattr(found, field), getattr(wanted, field), rtol=1e-4, atol=1e-4
        )


def test_float32_and_few_tokens_are_left_to_the_library(monkeypatch):
    monkeypatch.setattr(attention, "_products_alone", lambda: True)
    assert not attention.pays(torch.zeros(1))
    assert attention.pays(torch.zeros(1, dtype=torch.bfloat16))
    monkeypatch.setattr(attention, "by_blocks", lambda *given: pytest.fail("by blocks"))
    attention.mixed(*drawn(n_pictures=1, heads=2, n=20, dim=8, dtype=torch.bfloat16))
    attention.mixed(*drawn(n_pictures=1, heads=2, n=300, dim=8))
