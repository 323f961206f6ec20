import numpy as np
import pytest
import torch
from torch.nn import functional

from maskdistill.detector import pyramid
from tests.detector.token_scenes import CHANNELS, GRIDS, scene

TOKENS = [scene(position)[0].tokens for position in range(3)]


@pytest.fixture(scope="module")
def body():
    torch.manual_seed(3)
    made = pyramid.SimplePyramid(2 * CHANNELS, 32)
    for name, parameter in made.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(parameter)  # scale 1 and shift 0 would hide what is outside
    return made


def test_maps_have_their_strides_and_are_zero_outside_of_each_picture(body):
    batch = pyramid.padded(TOKENS)
    assert batch.shape == (3, 2 * CHANNELS, 24, 24)
    maps = body(batch, GRIDS)
    assert list(maps) == list(pyramid.STRIDES)
    for name, stride in pyramid.STRIDES.items():
        assert maps[name].shape == (3, 32, 192 // stride, 192 // stride)
        for each, grid in zip(maps[name], GRIDS, strict=True):
            rows, cols = pyramid.cells(grid, name)
            assert rows == -(-8 * grid[0] // stride)
            assert each[:, :rows, :cols].abs().amax(dim=0).min() > 0
            assert not each[:, rows:].any()
            assert not each[:, :, cols:].any()


def test_a_picture_has_the_same_maps_alone_and_beside_larger_ones(body):
    together = body(pyramid.padded(TOKENS), GRIDS)
    for row, (tokens, grid) in enumerate(zip(TOKENS, GRIDS, strict=True)):
        alone = body(pyramid.padded([tokens]), [grid])
        for name, maps in alone.items():
            rows, cols = pyramid.cells(grid, name)
            found = together[name][row, :, :rows, :cols]
            torch.testing.assert_close(found, maps[0, :, :rows, :cols], rtol=1e-4, atol=1e-5)


def test_the_norm_of_a_cut_out_picture_is_torchs_group_norm():
    norm = pyramid.InsideNorm(32)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = torch.randn(2, 32, 16, 16, generator=torch.Generator().manual_seed(1)) + 3
    inside = pyramid.inside_of([(5, 7), (16, 3)], "1", (16, 16))
    found = norm(x, inside)
    for each, own, (rows, cols) in zip(found, x, [(5, 7), (16, 3)], strict=True):
        wanted = functional.group_norm(own[None, :, :rows, :cols], 2, norm.weight, norm.bias)
        torch.testing.assert_close(each[:, :rows, :cols], wanted[0], rtol=1e-4, atol=1e-5)
        assert not each[:, rows:].any()


def test_padding_goes_right_and_below_to_multiples_of_eight():
    tokens = torch.arange(12.0, dtype=torch.float16).reshape(1, 3, 4)
    found = pyramid.padded([tokens, torch.ones(1, 2, 9)])
    assert found.dtype == torch.float32
    assert found.shape == (2, 1, 8, 16)
    np.testing.assert_array_equal(found[0, :, :3, :4], tokens)
    assert found[0].sum() == tokens.sum()
    assert found[1].sum() == 18
