import re
from pathlib import Path

import numpy as np
import pytest

from maskdistill import crf
from maskdistill.crf import compat
from tests.reference import crf as exact


def drawn(rng, n_classes, height, width):
    image = rng.integers(0, 40, (height, width, 3)).astype(np.uint8)
    return image, exact.softmax(2 * rng.standard_normal((n_classes, height, width))).astype(
        np.float32
    )


def as_pydensecrf_is_called(image, probabilities, **more):
    n_classes, height, width = probabilities.shape
    d = compat.DenseCRF2D(width, height, n_classes)
    d.setUnaryEnergy(compat.unary_from_softmax(probabilities))
    d.addPairwiseGaussian(sxy=3, compat=7, **more)
    d.addPairwiseBilateral(sxy=50, srgb=5, rgbim=image, compat=10, **more)
    return d.inference(10)


@pytest.mark.parametrize("n_classes", (1, 2, 3, 21))
def test_the_class_gives_what_the_function_gives(rng, n_classes):
    image, probabilities = drawn(rng, n_classes, 13, 22)
    found = as_pydensecrf_is_called(image, probabilities)
    assert found.shape == (n_classes, 13 * 22)
    wanted = crf.dense_crf(image, probabilities, **crf.MASKCUT)
    np.testing.assert_allclose(found.reshape(wanted.shape), wanted, atol=1e-5)


@pytest.mark.parametrize("kernel", list(compat.KernelType))
def test_each_kind_of_kernel_is_the_same_where_nothing_is_learned(rng, kernel):
    image, probabilities = drawn(rng, 3, 9, 8)
    found = as_pydensecrf_is_called(image, probabilities, kernel=kernel)
    np.testing.assert_array_equal(found, as_pydensecrf_is_called(image, probabilities))


def test_normalization_before_or_after_moves_the_division_to_one_side(rng):
    # Of one iteration with one kernel the twin shows what each normalisation means; the lattice is
    # near the exact sums.
    image, probabilities = drawn(rng, 3, 12, 15)
    unary = compat.unary_from_softmax(probabilities)
    sums = exact.kernel(exact.features(image, 2.0))
    total = sums.sum(axis=1)
    for kind, matrix in (
        (compat.NORMALIZE_AFTER, sums / total[:, None]),
        (compat.NORMALIZE_BEFORE, sums / total[None, :]),
        (compat.NORMALIZE_SYMMETRIC, exact.normalised(sums)),
    ):
        d = compat.DenseCRF2D(15, 12, 3)
        d.setUnaryEnergy(unary)
        d.addPairwiseGaussian(sxy=2, compat=5, normalization=kind)
        found = d.inference(1)
        wanted = exact.mean_field(unary.astype(np.float64), [matrix], [5.0], 1)
        assert np.abs(found - wanted).mean() < 0.01


def test_features_of_any_dimension_are_taken(rng):
    features = rng.standard_normal((4, 30)).astype(np.float32)
    unary = rng.random((3, 30)).astype(np.float32)
    d = compat.DenseCRF(30, 3)
    d.setUnaryEnergy(unary)
    d.addPairwiseEnergy(features, compat=2)
    wanted = exact.mean_field(
        unary.astype(float), [exact.normalised(exact.kernel(features.T.astype(float)))], [2.0], 3
    )
    assert np.abs(d.inference(3) - wanted).mean() < 0.05


def test_a_deviation_for_each_axis_and_channel_is_taken(rng):
    image, probabilities = drawn(rng, 2, 7, 9)
    answers = []
    for sxy, srgb in ((4, 6), ((4, 4), (6, 6, 6)), ((4, 9), (6, 6, 60))):
        d = compat.DenseCRF2D(9, 7, 2)
        d.setUnaryEnergy(compat.unary_from_softmax(probabilities))
        d.addPairwiseBilateral(sxy=sxy, srgb=srgb, rgbim=image, compat=4)
        answers.append(d.inference(3))
    np.testing.assert_array_equal(answers[0], answers[1])
    assert np.abs(answers[0] - answers[2]).max() > 1e-3


def test_the_example_of_the_guide_runs():
    guide = (Path(__file__).parents[2] / "docs" / "guide.md").read_text()
    example = next(
        block for block in re.findall(r"```python\n(.*?)```", guide, re.S) if "DenseCRF2D" in block
    )
    names: dict = {}
    exec(example, names)
    assert names["refined"].shape == (2, 30, 40)


def test_adding_a_constant_to_the_energies_of_a_pixel_changes_nothing(rng):
    image, probabilities = drawn(rng, 3, 8, 11)
    unary = compat.unary_from_softmax(probabilities)
    answers = []
    for added in (0, rng.standard_normal(88).astype(np.float32)):
        d = compat.DenseCRF2D(11, 8, 3)
        d.setUnaryEnergy(unary + added)
        d.addPairwiseBilateral(sxy=20, srgb=13, rgbim=image, compat=4)
        answers.append(d.inference(5))
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-4)


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


BILATERAL = {"sxy": 5, "srgb": 5, "rgbim": np.zeros((2, 3, 3), np.uint8), "compat": 3}


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda d: d.inference(1), "setUnaryEnergy"),
        (lambda d: d.setUnaryEnergy(np.zeros((2, 5))), r"need \(2, 6\), got \(2, 5\)"),
        (lambda d: d.setUnaryEnergy(np.full((2, 6), np.inf)), "finite"),
        (lambda d: d.addPairwiseGaussian(sxy=0, compat=3), "sxy: deviations must be above zero"),
        (lambda d: d.addPairwiseGaussian(sxy=(1, 2, 3), compat=3), "sxy must be a number or 2"),
        (lambda d: d.addPairwiseGaussian(sxy=1, compat=np.eye(2)), "Potts"),
        (lambda d: d.addPairwiseGaussian(sxy=1, compat=np.nan), "compat must be finite"),
        (lambda d: d.addPairwiseGaussian(sxy=1, compat=3, kernel=7), "DIAG_KERNEL"),
        (lambda d: d.addPairwiseGaussian(sxy=1, compat=3, normalization=7), "NORMALIZE_SYMMETRIC"),
        (
            lambda d: d.addPairwiseBilateral(
                **{**BILATERAL, "rgbim": np.zeros((3, 2, 3), np.uint8)}
            ),
            "rgbim",
        ),
        (lambda d: d.addPairwiseBilateral(**{**BILATERAL, "srgb": -1}), "srgb"),
        (lambda d: d.addPairwiseEnergy(np.zeros((2, 5)), compat=3), "features"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call(compat.DenseCRF2D(3, 2, 2))


def test_what_is_not_here_is_refused_by_name():
    with pytest.raises(AttributeError, match=r"stepInference.*addPairwiseBilateral"):
        compat.DenseCRF2D(3, 2, 2).stepInference()


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
