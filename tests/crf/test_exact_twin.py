"""What holds for the exact sums: properties of the twin, which the lattice has only nearly."""

import numpy as np
import pytest

from maskdistill.crf import dense_crf
from tests.reference import crf as reference


@pytest.fixture
def rgb(rng):
    return rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)


@pytest.fixture
def given(rng):
    raw = rng.random((3, 7, 9)) + 0.05
    return raw / raw.sum(axis=0)


@pytest.mark.parametrize(
    "flip", [np.s_[:, ::-1], np.s_[::-1, :]], ids=["left and right", "up and down"]
)
def test_a_mirrored_picture_gives_the_mirrored_result(rgb, given, flip):
    whole = reference.dense_crf(rgb, given)
    mirrored = reference.dense_crf(rgb[flip], given[(slice(None), *flip)])
    np.testing.assert_allclose(mirrored, whole[(slice(None), *flip)], rtol=0, atol=1e-10)


def test_the_order_of_the_channels_does_not_count(rgb, given):
    wanted = reference.dense_crf(rgb, given)
    for order in ([2, 1, 0], [1, 2, 0]):
        np.testing.assert_allclose(
            reference.dense_crf(rgb[..., order], given), wanted, rtol=0, atol=1e-10
        )


def test_the_filter_is_linear_and_its_own_transpose(rgb, rng):
    kernel = reference.normalised(reference.kernel(reference.features(rgb, 5.0, 30.0)))
    one, other = rng.standard_normal((2, 63))
    np.testing.assert_allclose(
        kernel @ (2 * one - 3 * other), 2 * (kernel @ one) - 3 * (kernel @ other), atol=1e-12
    )
    assert one @ (kernel @ other) == pytest.approx(other @ (kernel @ one), abs=1e-12)
    np.testing.assert_allclose(kernel, kernel.T, rtol=1e-13)


def test_a_constant_of_a_pixel_leaves_the_twins_mean_field_alone(rgb, given, rng):
    unary = -np.log(given).reshape(3, -1)
    kernels = [reference.normalised(reference.kernel(reference.features(rgb, 2.0)))]
    wanted = reference.mean_field(unary, kernels, (3.0,), 5)
    moved = reference.mean_field(unary + rng.standard_normal(63), kernels, (3.0,), 5)
    np.testing.assert_allclose(moved, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("what", [reference.dense_crf, dense_crf], ids=["twin", "lattice"])
def test_the_labels_of_a_constant_map_on_a_constant_picture_stay_but_not_the_probabilities(what):
    rgb = np.full((7, 9, 3), 128, np.uint8)
    given = np.broadcast_to(np.array([0.3, 0.5, 0.2])[:, None, None], (3, 7, 9)).copy()
    found = what(rgb, given)
    assert (found.argmax(axis=0) == 1).all()
    assert (found[1] > 0.9).all()
