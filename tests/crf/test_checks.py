import subprocess
import sys

import numpy as np
import pytest

from maskdistill import crf

IMAGE = np.zeros((3, 4, 3), np.uint8)
HALVES = np.full((2, 3, 4), 0.5, np.float32)


def with_value(value, at=(0, 1, 2)):
    changed = HALVES.copy()
    changed[at] = value
    return changed


@pytest.mark.parametrize(
    "changed, words",
    [
        ({"image": np.zeros((3, 4), np.uint8)}, r"image must be \(height, width, 3\)"),
        ({"image": np.zeros((3, 4, 4), np.uint8)}, "image must be"),
        ({"image": np.zeros((0, 4, 3), np.uint8)}, "at least one pixel"),
        ({"image": np.zeros((3, 4, 3), np.int64)}, "uint8 or floating"),
        ({"image": np.full((3, 4, 3), 256.0)}, r"image must be in \[0, 255\]"),
        ({"image": np.full((3, 4, 3), -0.1)}, r"image must be in \[0, 255\]"),
        ({"image": np.full((3, 4, 3), np.nan)}, "finite"),
        ({"image": np.linspace(0, 1, 36).reshape(3, 4, 3)}, r"floats in \[0, 1\]"),
        ({"image": np.eye(3, 4)[..., None].repeat(3, axis=2)}, r"floats in \[0, 1\]"),
        ({"probabilities": HALVES[0]}, r"\(classes, height, width\)"),
        ({"probabilities": np.ones((2, 3, 4), np.int64)}, "floating"),
        ({"probabilities": HALVES[:0]}, "at least one class"),
        ({"probabilities": HALVES[:, :, :3]}, "picture's size, 3 x 4, got 3 x 3"),
        ({"probabilities": with_value(-0.5)}, "negative"),
        ({"probabilities": with_value(np.nan)}, "nan"),
        ({"probabilities": with_value(np.inf)}, "sum to 1"),
        (
            {"probabilities": with_value(0.6)},
            "sum to 1 over the classes, got 1.1 at row 1, column 2",
        ),
        ({"iterations": -1}, "iterations must be at least 0"),
        ({"iterations": 1.5}, "iterations must be a whole number"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"gaussian": (0, 3)}, "gaussian: deviations must be above zero"),
        ({"gaussian": (1, 3, 4)}, r"gaussian must be \(std_px, weight\)"),
        ({"bilateral": (67, 0, 4)}, "bilateral: deviations must be above zero"),
        ({"bilateral": (np.nan, 3, 4)}, "bilateral: deviations"),
        ({"bilateral": (67, 3)}, r"\(std_px, std_grey, weight\)"),
        ({"bilateral": (67, 3, np.inf)}, "weight must be finite"),
        (
            {
                "bilateral": (1e-12, 1e-12, 4),
                "image": IMAGE + np.arange(4, dtype=np.uint8)[:, None],
            },
            "too small",
        ),
        ({"accuracy": "best"}, "accuracy must be one of lattice, close"),
    ],
)
def test_bad_input_is_named(changed, words):
    given = {"image": IMAGE, "probabilities": HALVES, **changed}
    with pytest.raises(ValueError, match=words):
        crf.dense_crf(given.pop("image"), given.pop("probabilities"), **given)


def test_the_picture_that_is_bad_is_numbered():
    with pytest.raises(ValueError, match="picture 1 of 2: probabilities must not be negative"):
        crf.dense_crf_many([IMAGE, IMAGE], [HALVES, with_value(-1)])
    with pytest.raises(ValueError, match="as many, got 1 and 2"):
        crf.dense_crf_many([IMAGE], [HALVES, HALVES])


def test_one_class_is_certain():
    found = crf.dense_crf(IMAGE, np.ones((1, 3, 4), np.float32))
    np.testing.assert_array_equal(found, np.ones((1, 3, 4)))


@pytest.mark.parametrize("size", ((1, 1), (1, 9), (9, 1)))
def test_a_picture_of_one_row_or_column_has_an_answer(size, rng):
    probabilities = rng.random((3, *size))
    probabilities /= probabilities.sum(axis=0)
    found = crf.dense_crf(rng.integers(0, 255, (*size, 3)).astype(np.uint8), probabilities)
    assert found.shape == (3, *size)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)


def test_a_picture_of_floats_is_the_picture_of_its_bytes(rng):
    image = rng.integers(0, 255, (5, 6, 3)).astype(np.uint8)
    probabilities = np.stack([first := rng.random((5, 6)), 1 - first])
    found = crf.dense_crf(image.astype(np.float64), probabilities)
    np.testing.assert_array_equal(found, crf.dense_crf(image, probabilities))


def test_a_picture_of_one_colour_is_taken_at_any_scale(rng):
    probabilities = np.stack([first := rng.random((5, 6)), 1 - first])
    wanted = crf.dense_crf(np.full((5, 6, 3), 200, np.uint8), probabilities)
    for colour in (0.0, 0.5, 1.0, 200.0):
        found = crf.dense_crf(np.full((5, 6, 3), colour), probabilities)
        # The lattice's cells lie otherwise for each colour.
        np.testing.assert_allclose(found, wanted, atol=5e-3)


def test_arrays_that_are_not_contiguous_are_read_as_they_look(rng):
    image = rng.integers(0, 255, (10, 12, 3)).astype(np.uint8)
    probabilities = np.moveaxis(rng.dirichlet((1, 1, 1), (10, 12)), -1, 0)
    found = crf.dense_crf(image[::2, ::-1], probabilities[:, ::2, ::-1])
    wanted = crf.dense_crf(image[::2, ::-1].copy(), probabilities[:, ::2, ::-1].copy())
    np.testing.assert_array_equal(found, wanted)


def test_numpy_in_and_out_imports_no_torch():
    program = (
        "import sys, numpy as np; from maskdistill import crf; from maskdistill.crf import compat;"
        "found = crf.dense_crf(np.zeros((3, 4, 3), np.uint8), np.full((2, 3, 4), 0.5, np.float32));"
        "assert isinstance(found, np.ndarray); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
