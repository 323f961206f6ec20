import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskdistill import crf
from tests.reference import crf as exact

NEITHER = {"gaussian": (1.0, 0.0), "bilateral": (67.0, 3.0, 0.0)}


def drawn(seed, n_classes, height, width):
    """A picture with some structure, and probabilities."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:height, :width]
    image = 60 * ((rows > height // 2)[..., None] + (cols > width // 3)[..., None] * [0.5, 1, 1.5])
    image = (image + rng.integers(0, 12, (height, width, 3))).clip(0, 255).astype(np.uint8)
    return image, exact.softmax(2 * rng.standard_normal((n_classes, height, width))).astype(
        np.float32
    )


sizes = {"seed": st.integers(0, 99), "n_classes": st.integers(2, 9), "height": st.integers(1, 9)}


@settings(max_examples=30)
@given(**sizes, width=st.integers(1, 9))
def test_probabilities_sum_to_one(seed, n_classes, height, width):
    image, probabilities = drawn(seed, n_classes, height, width)
    for setting in (crf.MASKDISTILL, crf.MASKCUT):
        found = crf.dense_crf(image, probabilities, **setting)
        assert found.shape == probabilities.shape
        assert found.dtype == np.float32
        assert (found >= 0).all()
        np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)


@settings(max_examples=30)
@given(**sizes, width=st.integers(1, 9))
def test_without_weights_the_probabilities_come_back_clipped(seed, n_classes, height, width):
    image, probabilities = drawn(seed, n_classes, height, width)
    clipped = np.clip(probabilities, 1e-5, 1)
    for iterations in (0, 3):
        found = crf.dense_crf(image, probabilities, iterations=iterations, **NEITHER)
        np.testing.assert_allclose(found, clipped / clipped.sum(axis=0), atol=1e-5)


@settings(max_examples=30)
@given(**sizes, width=st.integers(1, 9))
def test_renaming_classes_renames_the_result(seed, n_classes, height, width):
    image, probabilities = drawn(seed, n_classes, height, width)
    names = np.random.default_rng(seed).permutation(n_classes)
    # Heavier weights would make float16's steps grow.
    gentle = {"iterations": 3, "gaussian": (2.0, 1.0), "bilateral": (10.0, 20.0, 1.0)}
    found = crf.dense_crf(image, probabilities[names], **gentle)
    np.testing.assert_allclose(
        found, crf.dense_crf(image, probabilities, **gentle)[names], atol=2e-3
    )


@pytest.mark.parametrize("accuracy", ("lattice", "close"))
@pytest.mark.parametrize("n_classes", (2, 3, 21, 33))
@pytest.mark.parametrize("size", ((1, 1), (1, 40), (37, 1), (13, 7), (33, 50)))
def test_the_number_of_threads_changes_no_byte(n_classes, size, accuracy):
    image, probabilities = drawn(1, n_classes, *size)
    one = crf.dense_crf(image, probabilities, accuracy=accuracy)
    np.testing.assert_allclose(one.sum(axis=0), 1, atol=1e-5)
    for threads in (2, 3):
        found = crf.dense_crf(image, probabilities, accuracy=accuracy, threads=threads)
        assert found.tobytes() == one.tobytes()


@pytest.mark.parametrize("n_classes", (2, 3, 5, 9, 21, 30, 40))
def test_one_lone_kernel_that_reaches_nobody_is_exact(n_classes):
    # Deviations so small that pixels are strangers: K is the identity, and so is the lattice's
    # filter, normalised.
    image, probabilities = drawn(3, n_classes, 3, 5)
    # Three and more classes are kept as float16 between the iterations.
    narrow = {"iterations": 2, "gaussian": (0.05, 3.0), "bilateral": (0.05, 0.5, 4.0)}
    found = crf.dense_crf(image, probabilities, **narrow)
    wanted = exact.dense_crf(image, probabilities, **narrow)
    np.testing.assert_allclose(found, wanted, atol=2e-5 if n_classes == 2 else 5e-3)


@pytest.mark.parametrize("n_classes", (2, 3, 21))
def test_one_iteration_is_near_the_exact_sums(n_classes):
    image, probabilities = drawn(4, n_classes, 24, 31)
    found = crf.dense_crf(image, probabilities, iterations=1)
    assert np.abs(found - exact.dense_crf(image, probabilities, iterations=1)).mean() < 0.02


def test_the_labels_of_a_constant_map_on_a_constant_picture_stay():
    probabilities = np.full((3, 11, 17), 0.2, np.float32)
    probabilities[1] = 0.6
    found = crf.dense_crf(np.full((11, 17, 3), 90, np.uint8), probabilities)
    assert (found.argmax(axis=0) == 1).all()
    assert np.abs(found - probabilities).max() > 0.1


def test_heavy_weights_do_not_overflow():
    image, probabilities = drawn(5, 4, 12, 15)
    found = crf.dense_crf(image, probabilities, gaussian=(3, 500), bilateral=(50, 5, 500))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)


def test_the_arguments_are_not_changed():
    image, probabilities = drawn(6, 3, 9, 8)
    before = image.copy(), probabilities.copy()
    image.flags.writeable = probabilities.flags.writeable = False
    crf.dense_crf(image, probabilities)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(probabilities, before[1])


def test_many_pictures_give_what_each_gives_alone():
    pairs = [drawn(seed, n_classes, 5 + seed, 9) for seed, n_classes in ((0, 2), (1, 3), (2, 2))]
    for threads in (1, 2):
        found = crf.dense_crf_many(
            *map(list, zip(*pairs, strict=True)), threads=threads, **crf.MASKCUT
        )
        for answer, pair in zip(found, pairs, strict=True):
            np.testing.assert_array_equal(answer, crf.dense_crf(*pair, **crf.MASKCUT))
    assert crf.dense_crf_many([], []) == []


@pytest.mark.parametrize("n_classes", (2, 3, 21))
def test_the_close_answer_is_nearer_to_the_exact_sums(n_classes):
    image, probabilities = drawn(4, n_classes, 24, 31)
    wanted = exact.dense_crf(image, probabilities, **crf.MASKDISTILL)
    lattice, close = (
        np.abs(
            crf.dense_crf(image, probabilities, accuracy=accuracy, **crf.MASKDISTILL) - wanted
        ).mean()
        for accuracy in ("lattice", "close")
    )
    assert close < lattice / 2


@pytest.mark.parametrize("n_classes, tolerance", ((2, 2e-5), (3, 2e-3), (21, 2e-3)))
def test_the_close_kernel_of_place_is_exact(n_classes, tolerance):
    # Three and more classes are kept as float16 between the iterations.
    image, probabilities = drawn(7, n_classes, 14, 23)
    alone = {"iterations": 2, "gaussian": (2.0, 3.0), "bilateral": (67.0, 3.0, 0.0)}
    found = crf.dense_crf(image, probabilities, accuracy="close", **alone)
    np.testing.assert_allclose(
        found, exact.dense_crf(image, probabilities, **alone), atol=tolerance
    )
