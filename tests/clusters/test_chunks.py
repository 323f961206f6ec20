import numpy as np
import pytest

from maskdistill.clusters import chunks


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(chunks, "BYTES", 4 * 3 * 7)  # seven rows of three


def test_pieces_cover_all_rows_in_order_and_are_a_row_at_least(rng):
    rows = rng.standard_normal((23, 3))
    parts = list(chunks.pieces(rows))
    assert [part.stop - part.start for part in parts] == [7, 7, 7, 2]
    np.testing.assert_array_equal(np.concatenate([rows[part] for part in parts]), rows)
    assert len(list(chunks.pieces(rows, n_bytes=1))) == 23
    assert list(chunks.pieces(rows[:0])) == []
    assert chunks.is_one(rows[:7])
    assert not chunks.is_one(rows[:8])


def test_chosen_rows_of_several_arrays_are_as_one(rng):
    first, second = (rng.standard_normal((n, 3)).astype(np.float32) for n in (11, 6))
    places = np.array([0, 2, 3, 9])
    found = chunks.Chosen([(first, places), (second, np.arange(0)), (second, np.arange(6))])
    wanted = np.concatenate([first[places], second])
    assert (len(found), found.shape) == (10, (10, 3))
    np.testing.assert_array_equal(found[:], wanted)
    for part in (slice(0, 3), slice(2, 7), slice(5, 99), slice(10, 12)):
        np.testing.assert_array_equal(found[part], wanted[part])
    np.testing.assert_array_equal(chunks.at(found, np.array([1, 3, 4, 9])), wanted[[1, 3, 4, 9]])


def test_sums_over_chunks_are_those_of_the_whole(rng):
    rows = (5 + rng.standard_normal((40, 3))).astype(np.float32)
    np.testing.assert_allclose(chunks.mean(rows), rows.astype(float).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(chunks.variance(rows), rows.astype(float).var(axis=0), rtol=1e-10)
    places = np.arange(1, 40, 2)
    np.testing.assert_allclose(chunks.mean_at(rows, places), rows[places].mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(chunks.mean_at(rows, places[:6]), rows[places[:6]].mean(axis=0))


def test_what_is_not_finite_is_found_in_any_chunk(rng):
    rows = rng.standard_normal((23, 3))
    assert chunks.are_finite(rows)
    rows[22, 1] = np.inf
    assert not chunks.are_finite(rows)


def test_distinct_rows_are_counted_across_chunks_up_to_a_number(rng):
    few = rng.standard_normal((5, 3)).astype(np.float32)
    rows = few[rng.integers(5, size=60)]
    assert chunks.distinct(rows, most=99) == len(np.unique(rows, axis=0)) == 5
    assert chunks.distinct(rows, most=4) == 4
    assert chunks.distinct(np.array([[0.0, 1], [-0.0, 1]], np.float32), most=9) == 1


class Watched:
    """Rows that are no array, and remember which of them were read."""

    def __init__(self, rows):
        self.rows, self.shape, self.read = rows, rows.shape, []

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, part):
        self.read += range(len(self.rows))[part]
        return self.rows[part]


def test_rows_at_few_places_read_no_chunk_without_a_place(rng):
    rows = Watched(rng.standard_normal((23, 3)).astype(np.float32))
    places = np.array([1, 6, 15])
    np.testing.assert_array_equal(chunks.at(rows, places), rows.rows[places])
    assert sorted(set(rows.read)) == [*range(7), *range(14, 21)]
    assert chunks.at(rows, np.arange(0)).shape == (0, 3)
