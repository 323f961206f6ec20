import numpy as np
import pytest
import torch

from maskdistill.proposals.spectral import bits
from maskdistill.proposals.spectral.bits import Bits
from tests.reference.bits import packed


def unit_rows(rng, n, width=24, common=0.5):
    rows = rng.standard_normal((n, width)) + common * rng.standard_normal(width)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("n", [1, 5, 8, 31, 32, 33, 257, 300])
@pytest.mark.parametrize("threshold", [0.2, -0.1])
def test_bits_are_the_cosines_above_the_threshold(rng, n, threshold):
    unit = unit_rows(rng, n)
    wanted = unit.astype(float) @ unit.T.astype(float) > threshold
    made = Bits.of_cosines(unit, threshold, bfloat16=False)
    np.testing.assert_array_equal(made.packed, packed(wanted).packed)


@pytest.mark.parametrize("threshold", [0.2, -0.1, 0.15])
def test_bfloat16_with_a_second_look_near_the_threshold_gives_the_same_bits(rng, threshold):
    unit = unit_rows(rng, 270, width=48)
    wanted = Bits.of_cosines(unit, threshold, bfloat16=False).entries()
    np.testing.assert_array_equal(Bits.of_cosines(unit, threshold, bfloat16=True).entries(), wanted)


def test_bfloat16_alone_would_not(rng, monkeypatch):
    unit = unit_rows(rng, 270, width=48)
    wanted = Bits.of_cosines(unit, 0.2, bfloat16=False).entries()
    monkeypatch.setattr(bits, "_COARSE", -1.0)
    assert (Bits.of_cosines(unit, 0.2, bfloat16=True).entries() != wanted).any()


def test_where_the_bound_does_not_hold_bfloat16_is_not_used(rng, monkeypatch):
    monkeypatch.setattr(bits, "_fill_coarsely", None)
    unit = unit_rows(rng, 20)
    wanted = unit.astype(float) @ unit.T.astype(float) > 0.8
    np.testing.assert_array_equal(Bits.of_cosines(unit, 0.8, bfloat16=True).entries(), wanted)


def test_bits_do_not_depend_on_the_blocks(rng, monkeypatch):
    unit = unit_rows(rng, 100)
    whole = Bits.of_cosines(unit, 0.2, bfloat16=False).packed
    monkeypatch.setattr(bits, "_ROWS", 8)
    np.testing.assert_array_equal(Bits.of_cosines(unit, 0.2, bfloat16=False).packed, whole)


@pytest.mark.parametrize("n", [1, 3, 40, 129])
def test_a_product_is_that_of_the_matrix(rng, n):
    entries = rng.random((n, n)) < 0.4
    entries |= entries.T
    vector = rng.standard_normal(n)
    made = packed(entries)
    np.testing.assert_array_equal(made.entries(), entries)
    np.testing.assert_allclose(made.product(vector), entries @ vector, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [1, 31, 32, 300])
@pytest.mark.parametrize("threshold", [0.2, -0.1])
def test_bits_packed_by_torch_are_the_same(rng, n, threshold, monkeypatch):
    unit = unit_rows(rng, n)
    wanted = Bits.of_cosines(unit, threshold, bfloat16=False)
    for rows in (256, 8):
        monkeypatch.setattr(bits, "_ROWS", rows)
        np.testing.assert_array_equal(
            Bits.of_device(torch.from_numpy(unit), threshold).packed, wanted.packed
        )
