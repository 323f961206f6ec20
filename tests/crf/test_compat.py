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


BILATERAL = {"sxy": 5, "srgb": 5, "rgbim": np.zeros((2, 3, 3), np.uint8), "compat": 3}


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda d: d.inference(1), "setUnaryEnergy"),
        (lambda d: d.setUnaryEnergy(np.zeros((2, 5))), r"need \(2, 6\), got \(2, 5\)"),
        (lambda d: d.setUnaryEnergy(np.full((2, 6), np.inf)), "finite"),
        (lambda d: d.addPairwiseGaussian(sxy=0, compat=3), "sxy: deviations must be above zero"),
        (lambda d: d.addPairwiseGaussian(sxy=(1, 2, 3), compat=3), "sxy must be a number or 2"),
        (lambda d: d.addPairwiseGaussian(sxy=1, compat=np.eye(3)), r"2 x 2 labels, got .*3, 3"),
        (lambda d: d.addPairwiseGaussian(sxy=1, compat=[1, 2, 3]), r"compat must be .*\(3,\)"),
        (lambda d: d.addPairwiseGaussian(sxy=1, compat=[1, np.inf]), "compat must be finite"),
        (lambda d: d.startInference(), "setUnaryEnergy"),
        (lambda d: d.klDivergence(np.zeros((2, 5), np.float32)), r"Q .*\(2, 6\) float32, got"),
        (lambda d: d.stepInference(np.zeros((2, 6)), 0, 0), "float32, got .* float64"),
        (lambda d: d.setUnaryEnergy(np.ones((2, 3)), np.ones((4, 6))), "L and f"),
        (lambda d: d.addPairwiseGaussian(sxy=1, compat=np.nan), "compat must be finite"),
        (lambda d: d.addPairwiseGaussian(sxy=1, compat=3, kernel=7), "DIAG_KERNEL"),
        (lambda d: d.addPairwiseGaussian(sxy=1, compat=3, normalization=7), "NORMALIZE_SYMMETRIC"),
        (
            lambda d: d.addPairwiseBilateral(
                **{**BILATERAL, "rgbim": np.zeros((3, 2, 3), np.uint8)}
            ),
            "rgbim: .*width first",
        ),
        (
            lambda d: d.addPairwiseBilateral(**{**BILATERAL, "rgbim": np.zeros((2, 3), int)}),
            "rgbim must be uint8, 0 to 255, got int64",
        ),
        (
            lambda d: d.addPairwiseBilateral(**{**BILATERAL, "rgbim": np.full((2, 3), 256.0)}),
            r"rgbim must be in \[0, 255\]",
        ),
        (
            lambda d: d.addPairwiseBilateral(**{**BILATERAL, "rgbim": np.full((2, 3), np.nan)}),
            r"rgbim must be in \[0, 255\] and finite",
        ),
        (lambda d: d.addPairwiseBilateral(**{**BILATERAL, "srgb": (1, 2)}), "srgb .* 3 of them"),
        (lambda d: d.addPairwiseBilateral(**{**BILATERAL, "srgb": -1}), "srgb"),
        (lambda d: d.addPairwiseEnergy(np.zeros((2, 5)), compat=3), "features"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call(compat.DenseCRF2D(3, 2, 2))


def test_what_is_not_here_is_refused_by_name():
    with pytest.raises(AttributeError, match=r"gradient.*addPairwiseBilateral.*klDivergence"):
        compat.DenseCRF2D(3, 2, 2).gradient()
    with pytest.raises(AttributeError, match=r"'utils'.*one namespace.*create_pairwise_bilateral"):
        _ = compat.utils


def test_every_name_of_pydensecrf_that_callers_use_is_here():
    from maskdistill.crf.compat import (  # noqa: F401  as callers do
        CONST_KERNEL,
        DIAG_KERNEL,
        FULL_KERNEL,
        NO_NORMALIZATION,
        NORMALIZE_AFTER,
        NORMALIZE_BEFORE,
        NORMALIZE_SYMMETRIC,
        ConstUnary,
        DenseCRF,
        DenseCRF2D,
        LogisticUnary,
        compute_unary,
        create_pairwise_bilateral,
        create_pairwise_gaussian,
        softmax_to_unary,
        unary_from_labels,
        unary_from_softmax,
    )

    d = DenseCRF2D(3, 2, 2)
    for method in (
        d.setUnary,
        d.setUnaryEnergy,
        d.addPairwiseGaussian,
        d.addPairwiseBilateral,
        d.addPairwiseEnergy,
        d.inference,
        d.startInference,
        d.stepInference,
        d.klDivergence,
        d.map,
    ):
        assert callable(method)


def exact_kernels(image, std_px, std_grey, kind="symmetric"):
    """The kernel's sums of a picture, (height, width, channels), normalised as pydensecrf names."""
    sums = exact.kernel(exact.features(image, std_px, std_grey))
    total = sums.sum(axis=1)
    return {
        "symmetric": exact.normalised(sums),
        "after": sums / total[:, None],
        "before": sums / total[None, :],
    }[kind]


def with_one_kernel(unary, image, weights, **more):
    n_labels = len(unary)
    d = compat.DenseCRF2D(image.shape[1], image.shape[0], n_labels, **more)
    d.setUnaryEnergy(unary)
    d.addPairwiseGaussian(sxy=2, compat=weights)
    d.addPairwiseBilateral(sxy=9, srgb=20, rgbim=image, compat=weights)
    return d


def test_energies_of_pairs_of_labels_are_those_of_the_exact_twin(rng):
    image, probabilities = drawn(rng, 3, 9, 11)
    unary = compat.unary_from_softmax(probabilities)
    sums = [exact_kernels(image, 2, None), exact_kernels(image, 9, 20)]
    drawn_weights = rng.standard_normal((3, 3)) * 3
    for given, matrix in (
        (drawn_weights, (drawn_weights + drawn_weights.T) / 2),
        (np.array([-4, -1, 2], np.float32), np.diag([-4, -1, 2])),
    ):
        wanted = exact.softmax(-unary.astype(float))
        for _ in range(3):
            wanted = exact.softmax(-unary - sum(matrix @ wanted @ one.T for one in sums))
        found = with_one_kernel(unary, image, given).inference(3)
        assert np.abs(found - wanted).mean() < 0.03
        assert np.abs(found - exact.softmax(-unary)).mean() > 0.1


@pytest.mark.parametrize("n_labels", (2, 3))
def test_a_vector_and_a_matrix_of_potts_are_potts(rng, n_labels):
    image, probabilities = drawn(rng, n_labels, 19, 22)
    unary = compat.unary_from_softmax(probabilities)
    wanted = with_one_kernel(unary, image, 3.0).inference(4)
    for given in (np.full(n_labels, -3.0), 3 * (1 - np.eye(n_labels)), -3 * np.eye(n_labels)):
        found = with_one_kernel(unary, image, given).inference(4)
        np.testing.assert_allclose(found, wanted, atol=2e-3)


@pytest.mark.parametrize("n_labels", (1, 2, 3, 5))
def test_steps_are_what_inference_does_at_once(rng, n_labels):
    image, probabilities = drawn(rng, n_labels, 19, 22)
    d = with_one_kernel(compat.unary_from_softmax(probabilities), image, 2.0)
    found, tmp1, tmp2 = d.startInference()
    for step in range(4):
        np.testing.assert_allclose(found, d.inference(step), atol=2e-3)
        assert d.stepInference(found, tmp1, tmp2) is None
    assert found.dtype == np.float32
    np.testing.assert_array_equal(d.map(4), d.inference(4).argmax(axis=0))


def test_steps_are_the_same_bytes_on_any_number_of_threads(rng):
    image, probabilities = drawn(rng, 3, 19, 22)
    unary = compat.unary_from_softmax(probabilities)
    one, three = (
        with_one_kernel(unary, image, [-1, -2, -3], threads=threads).inference(3)
        for threads in (1, 3)
    )
    np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("kind", ("symmetric", "before", "after"))
def test_the_divergence_is_that_of_the_exact_sums(rng, kind):
    image, probabilities = drawn(rng, 3, 9, 11)
    unary = compat.unary_from_softmax(probabilities)
    d = compat.DenseCRF2D(11, 9, 3)
    d.setUnaryEnergy(unary)
    d.addPairwiseGaussian(
        sxy=2, compat=3, normalization=compat.NormalizationType[f"NORMALIZE_{kind.upper()}"]
    )
    found, *scratch = d.startInference()
    d.stepInference(found, *scratch)
    q = found.astype(float)
    pairs = -3 * (q * (q @ exact_kernels(image, 2, None, kind).T)).sum()
    wanted = (q * np.log(q)).sum() + (unary * q).sum() + pairs
    assert d.klDivergence(found) == pytest.approx(wanted, rel=0.02)
    alone = compat.DenseCRF(99, 3)
    alone.setUnaryEnergy(unary)
    assert alone.klDivergence(found) == pytest.approx(wanted - pairs, rel=1e-5)


def test_a_kernel_added_after_a_step_counts_in_the_next(rng):
    image, probabilities = drawn(rng, 3, 9, 11)
    unary = compat.unary_from_softmax(probabilities)
    d = compat.DenseCRF2D(11, 9, 3)
    d.setUnaryEnergy(unary)
    d.addPairwiseGaussian(sxy=2, compat=2.0)
    before = d.klDivergence(d.startInference()[0])
    d.addPairwiseBilateral(sxy=9, srgb=20, rgbim=image, compat=2.0)
    wanted = with_one_kernel(unary, image, 2.0)
    assert d.klDivergence(d.startInference()[0]) == wanted.klDivergence(wanted.startInference()[0])
    assert d.klDivergence(d.startInference()[0]) != before


def test_unary_objects_are_their_energies(rng):
    unary = rng.random((2, 6)).astype(np.float32)
    weights, features = rng.random((2, 4)), rng.random((4, 6))
    d = compat.DenseCRF(6, 2)
    d.setUnary(compat.ConstUnary(unary))
    np.testing.assert_allclose(d.inference(0), exact.softmax(-unary), rtol=1e-5)
    for give in (
        lambda: d.setUnary(compat.LogisticUnary(weights, features)),
        lambda: d.setUnaryEnergy(weights, features),
    ):
        d.setUnaryEnergy(unary)
        give()
        np.testing.assert_allclose(d.inference(0), exact.softmax(-(weights @ features)), rtol=1e-5)
