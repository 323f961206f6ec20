import numpy as np
import pytest

from maskdistill.clusters import chunks, whitening


def test_the_scale_is_the_deviation_by_hand():
    rows = np.array([[1, 10, 7], [3, 10, 7], [5, 40, 7]], np.float32)
    wanted = [
        np.sqrt(8 / 3),
        np.sqrt(200),
        1,
    ]  # of all rows, not all but one; 1 where nothing varies
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


def test_principal_components_have_variance_1_and_do_not_correlate(rng):
    rows = (rng.standard_normal((500, 3)) * [5, 1, 0.2]) @ rng.standard_normal((3, 6)) + 7
    rows = rows.astype(np.float32)
    projection = whitening.principal(rows, dims=64)
    assert projection.shape == (6, 4)  # the other directions hold nothing
    turned = (rows - projection[:, 0]) @ projection[:, 1:]
    np.testing.assert_allclose(np.cov(turned.T, bias=True), np.eye(3), atol=1e-3)
    np.testing.assert_allclose(turned.mean(axis=0), 0, atol=1e-3)
    found = whitening.projected(rows, projection)
    np.testing.assert_allclose(found, whitening.unit(turned), atol=1e-6)
    np.testing.assert_array_equal(whitening.Whitening(projection=projection)(rows), found)


def test_the_components_of_the_largest_variance_are_kept_with_a_sign_by_rule(rng):
    rows = (rng.standard_normal((400, 3)) * [1, 9, 3]).astype(np.float32)
    projection = whitening.principal(rows, dims=2)
    assert np.abs(projection[:, 1:]).argmax(axis=0).tolist() == [1, 2]
    mirrored = whitening.principal(-rows, dims=2)
    np.testing.assert_allclose(mirrored[:, 1:], projection[:, 1:], atol=1e-5)


def test_equal_rows_and_a_single_one_have_a_component_that_is_0_for_them():
    for n in (1, 7):
        rows = np.full((n, 3), 0.3, np.float32)
        projection = whitening.principal(rows, dims=5)
        assert projection.shape == (3, 2)
        assert np.isfinite(projection).all()
        assert not whitening.projected(rows, projection).any()


def test_a_whitening_of_nothing_is_refused():
    with pytest.raises(ValueError, match="found neither"):
        whitening.Whitening()(np.ones((2, 2), np.float32))


def test_of_more_rows_than_a_chunk_holds_scale_and_components_are_the_same(rng, monkeypatch):
    rows = (4 + (rng.standard_normal((300, 3)) * [9, 3, 1]) @ rng.standard_normal((3, 5))).astype(
        np.float32
    )
    rows[:, 4] = 0.3
    scale, projection = whitening.scale_of(rows), whitening.principal(rows, dims=2)
    monkeypatch.setattr(chunks, "BYTES", 4 * 5 * 7)
    several = chunks.Chosen([(rows, np.arange(100)), (rows[100:], np.arange(200))])
    for given in (rows, several):
        np.testing.assert_allclose(whitening.scale_of(given), scale, rtol=1e-5)
        np.testing.assert_allclose(
            whitening.principal(given, dims=2), projection, rtol=1e-3, atol=1e-5
        )
    assert whitening.scale_of(rows)[4] == 1
    rows[299, 4] = 0.4  # in the last chunk alone
    assert whitening.scale_of(rows)[4] != 1


@pytest.mark.parametrize("dims", [0, -1])
def test_fewer_than_one_component_are_refused(dims):
    with pytest.raises(ValueError, match=f"dims must be at least 1, got {dims}"):
        whitening.principal(np.eye(3, dtype=np.float32), dims=dims)
