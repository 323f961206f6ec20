import numpy as np
import pytest

from maskdistill.clusters import whitening


def test_the_scale_is_the_deviation_by_hand():
    rows = np.array([[1, 10, 7], [3, 10, 7], [5, 40, 7]], np.float32)
    wanted = [np.sqrt(8 / 3), np.sqrt(200), 1]  # of all rows, not all but one; 1 where nothing varies
    np.testing.assert_allclose(whitening.scale_of(rows), wanted, rtol=1e-6)
    assert whitening.scale_of(rows).dtype == np.float32
    np.testing.assert_array_equal(whitening.scale_of(rows, whiten=False), [1, 1, 1])


@pytest.mark.parametrize("n", [100, 1000, 20_001])
def test_a_dimension_that_never_varies_has_scale_1_however_many_rows(n):
    rows = np.full((n, 3), 0.3, np.float32)
    rows[::2, 1] = 0.7
    np.testing.assert_allclose(whitening.scale_of(rows), [1, 0.2, 1], rtol=1e-3)


def test_rows_are_divided_by_the_scale_then_by_their_length():
    rows = np.array([[6, 4], [0, 0], [-2, 0]], np.float32)
    found = whitening.normalise(rows, np.array([2, 1], np.float32))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0], [-1, 0]], rtol=1e-6)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(rows[0], [6, 4])  # not in place


def test_rows_that_are_not_finite_become_zeros():
    rows = np.array([[1, 2], [np.nan, 1], [3, np.inf]], np.float32)
    np.testing.assert_array_equal(whitening.finite(rows), [[1, 2], [0, 0], [0, 0]])
