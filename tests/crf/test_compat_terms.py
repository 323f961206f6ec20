import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskdistill.crf import compat
from tests.reference import crf as exact


def test_energies_of_a_softmax_are_its_negative_logarithms():
    sm = np.array([[[0.9, 0.0]], [[0.1, 1.0]]])
    found = compat.unary_from_softmax(sm)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, -np.log([[0.9, 1e-5], [0.1, 1.0]]), rtol=1e-6)
    scaled = compat.unary_from_softmax(sm, scale=0.5, clip=None)
    np.testing.assert_allclose(scaled, -np.log([[0.7, 0.25], [0.3, 0.75]]), rtol=1e-6)


def test_energies_of_labels_say_how_sure_they_are():
    found = compat.unary_from_labels(np.array([[0, 1], [2, 0]]), 2, 0.7)
    np.testing.assert_allclose(
        found, -np.log([[0.5, 0.7, 0.3, 0.5], [0.5, 0.3, 0.7, 0.5]]), rtol=1e-6
    )
    found = compat.unary_from_labels(np.array([0, 2]), 3, 0.8, zero_unsure=False)
    np.testing.assert_allclose(found, -np.log([[0.8, 0.1], [0.1, 0.1], [0.1, 0.8]]), rtol=1e-6)


@pytest.mark.parametrize(
    "labels, n_labels, gt_prob, words",
    [
        ([0, 3], 2, 0.7, "0 to 2, got 0 to 3"),
        ([-1, 1], 2, 0.7, "0 to 2"),
        ([0, 1], 1, 0.7, "n_labels"),
        ([0, 1], 2, 1.0, "gt_prob"),
        ([0.0, 1.0], 2, 0.7, "integers"),
    ],
)
def test_bad_labels_are_named(labels, n_labels, gt_prob, words):
    with pytest.raises(ValueError, match=words):
        compat.unary_from_labels(np.array(labels), n_labels, gt_prob)


def test_deprecated_names_give_what_their_successors_give():
    labels, sm = np.array([[0, 1], [2, 0]]), np.array([[0.9, 0.5], [0.1, 0.5]])
    with pytest.warns(DeprecationWarning, match="unary_from_labels"):
        found = compat.compute_unary(labels, 3, GT_PROB=0.8)
    np.testing.assert_array_equal(found, compat.unary_from_labels(labels, 3, 0.8))
    with pytest.warns(DeprecationWarning, match="unary_from_labels"):
        np.testing.assert_array_equal(
            compat.compute_unary(labels, 3), compat.unary_from_labels(labels, 3, 0.5)
        )
    for gt_prob, scale in ((1, None), (0.7, 0.7)):
        with pytest.warns(DeprecationWarning, match="unary_from_softmax"):
            found = compat.softmax_to_unary(sm, GT_PROB=gt_prob)
        np.testing.assert_array_equal(found, compat.unary_from_softmax(sm, scale, clip=None))
    with (
        pytest.warns(DeprecationWarning, match="clips too"),
        pytest.raises(ValueError, match="every probability must be above 0"),
    ):
        compat.softmax_to_unary(np.array([[1.0], [0.0]]))


@pytest.mark.parametrize("channels", (1, 3, 4))
def test_features_of_a_picture_are_the_twins_but_rows_first(rng, channels):
    image = rng.integers(0, 255, (3, 5, channels)).astype(np.uint8)
    order = [1, 0, *range(2, 2 + channels)]
    found = compat.create_pairwise_bilateral(sdims=(4, 4), schan=7, img=image, chdim=2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact.features(image, 4, 7).T[order], rtol=1e-6)
    moved = compat.create_pairwise_bilateral(
        sdims=(4, 4), schan=(7,) * channels, img=np.moveaxis(image, 2, 0), chdim=0
    )
    np.testing.assert_array_equal(moved, found)
    places = compat.create_pairwise_gaussian(sdims=(4, 4), shape=(3, 5))
    np.testing.assert_array_equal(places, found[:2])


def test_each_axis_and_channel_has_its_own_deviation():
    image = np.full((2, 3, 2), 12, np.uint8)
    found = compat.create_pairwise_bilateral((2, 4), (3, 6), image, chdim=2)
    np.testing.assert_array_equal(found[:, -1], [0.5, 0.5, 4, 2])


@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    channels=st.one_of(st.none(), st.integers(1, 5)),
    at=st.integers(0, 4),
)
def test_features_have_a_row_an_axis_and_channel_and_a_column_a_variable(shape, channels, at):
    n = int(np.prod(shape))
    places = compat.create_pairwise_gaussian([2.0] * len(shape), shape)
    assert places.shape == (len(shape), n)
    assert places.dtype == np.float32
    at = min(at, len(shape))
    whole = shape if channels is None else [*shape[:at], channels, *shape[at:]]
    found = compat.create_pairwise_bilateral(
        [2.0] * len(shape), 9, np.full(whole, 18, np.uint8), chdim=-1 if channels is None else at
    )
    assert found.shape == (len(shape) + (channels or 1), n)
    np.testing.assert_array_equal(found[: len(shape)], places)
    np.testing.assert_array_equal(found[len(shape) :], 2)


def test_a_volume_is_inferred_over_its_three_axes(rng):
    volume, unary = rng.integers(0, 50, (2, 3, 4)), rng.random((2, 24)).astype(np.float32)
    features = compat.create_pairwise_bilateral((3, 3, 3), 20, volume)
    d = compat.DenseCRF(24, 2)
    d.setUnaryEnergy(unary)
    d.addPairwiseEnergy(features, compat=3)
    sums = exact.normalised(exact.kernel(features.T.astype(float)))
    wanted = exact.mean_field(unary.astype(float), [sums], [3.0], 4)
    assert np.abs(d.inference(4) - wanted).mean() < 0.05


def test_floats_in_0_to_1_with_deviations_of_bytes_are_told():
    image = np.linspace(0, 1, 18).reshape(2, 3, 3)
    with pytest.warns(UserWarning, match=r"floats in \[0, 1\] and schan is 13"):
        compat.create_pairwise_bilateral((5, 5), 13, image, chdim=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compat.create_pairwise_bilateral((5, 5), 0.05, image, chdim=2)
        compat.create_pairwise_bilateral((5, 5), 13, 255 * image, chdim=2)
        compat.create_pairwise_bilateral((5, 5), 13, np.zeros((2, 3), np.uint8))


IMAGE = np.zeros((2, 3, 3), np.uint8)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: compat.create_pairwise_gaussian((1, 2, 3), (2, 3)), "sdims must be .* 2 of them"),
        (lambda: compat.create_pairwise_gaussian((1, 0), (2, 3)), "sdims: deviations"),
        (lambda: compat.create_pairwise_gaussian((), ()), "shape must have at least one axis"),
        (lambda: compat.create_pairwise_gaussian((1, 1), (2, 0)), "shape must be at least 1"),
        (
            lambda: compat.create_pairwise_bilateral((1, 1), 5, IMAGE),
            r"3 axes, got shape \(2,\) for img \(2, 3, 3\) with chdim -1: img has no axis",
        ),
        (
            lambda: compat.create_pairwise_bilateral((1, 1, 1), 5, IMAGE, chdim=2),
            "2 axes, .* with chdim 2",
        ),
        (lambda: compat.create_pairwise_bilateral((1, 1), 5, IMAGE, chdim=3), "chdim must be"),
        (lambda: compat.create_pairwise_bilateral((1, 1), (5, 5), IMAGE, chdim=2), "schan .* 3 of"),
        (lambda: compat.create_pairwise_bilateral((1, 1), 0, IMAGE, chdim=2), "schan: deviations"),
        (lambda: compat.create_pairwise_bilateral((1, 1), 5, IMAGE[:0], chdim=2), "img must be"),
        (
            lambda: compat.create_pairwise_bilateral((1, 1), 5, np.full((2, 3), np.nan)),
            "img must be finite",
        ),
    ],
)
def test_bad_terms_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
