"""pictures/batches.py: like sizes together, each position once, the same whatever is done already."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskdistill.pictures import plan

SIZES = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), max_size=30)


def test_pictures_of_like_size_are_grouped_in_the_order_of_their_first_position():
    sizes = [(3, 5), (5, 3), (3, 5), (3, 5), (5, 3), (2, 2)]
    assert plan(sizes, batch=2) == [[0, 2], [1, 4], [3], [5]]


def test_no_pictures_make_no_batches():
    assert plan([], batch=4) == []


@given(SIZES, st.integers(1, 5))
def test_each_position_is_there_once_among_its_like_and_only_a_sizes_last_batch_is_short(sizes, batch):
    batches = plan(sizes, batch=batch)
    assert sorted(position for some in batches for position in some) == list(range(len(sizes)))
    for some in batches:
        assert len({sizes[position] for position in some}) == 1
        assert some == sorted(some)
    for size in set(sizes):
        lengths = [len(some) for some in batches if sizes[some[0]] == size]
        assert all(length == batch for length in lengths[:-1])
        assert 1 <= lengths[-1] <= batch


def test_a_batch_of_none_is_refused():
    with pytest.raises(ValueError, match="batch"):
        plan([(1, 1)], batch=0)
