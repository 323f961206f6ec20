import numpy as np
import pytest

from maskdistill.proposals.spectral import products


@pytest.mark.parametrize("n", [1, 3, 4, 9])
def test_products_and_sums_are_those_of_float64(rng, n):
    rows = rng.standard_normal((n, 7)).astype(np.float32)
    vector = rng.standard_normal(7)
    some = np.flatnonzero(rng.random(n) < 0.7)
    np.testing.assert_allclose(
        products.times(rows, vector), rows.astype(float) @ vector, rtol=0, atol=1e-14
    )
    np.testing.assert_allclose(
        products.times(rows, vector, some), rows[some].astype(float) @ vector, rtol=0, atol=1e-14
    )
    np.testing.assert_allclose(
        products.total(rows, some), rows[some].astype(float).sum(axis=0), rtol=0, atol=1e-14
    )


def test_sums_do_not_drown_as_float32_would(rng):
    rows = np.array([[2**25, 1, -(2**25)]], np.float32)
    assert products.times(rows, np.ones(3))[0] == 1.0


@pytest.mark.parametrize("n", [1, 7, 300])
def test_positive_products_are_counted_with_every_row_once(rng, n):
    rows = rng.standard_normal((n, 6)).astype(np.float32)
    wanted = (rows.astype(float) @ rows.T.astype(float) > 0).sum(axis=1)
    np.testing.assert_array_equal(products.positive_counts(rows), wanted)
