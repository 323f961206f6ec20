"""pictures/batches.py: which pictures a device sees together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskdistill.pictures import of_like_shape

SHAPES = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 2)))


def test_pictures_of_one_shape_go_together_in_the_order_of_the_first():
    shapes = ["wide", "tall", "wide", "wide", "tall", "square", "wide"]
    assert of_like_shape(shapes, size=3) == [[0, 2, 3], [1, 4], [5], [6]]


@given(SHAPES, st.integers(1, 4))
def test_every_picture_is_in_one_batch_of_its_shape(shapes, size):
    batches = of_like_shape(shapes, size=size)
    assert sorted(position for batch in batches for position in batch) == list(range(len(shapes)))
    assert all(
        len({shapes[position] for position in batch}) == 1 and len(batch) <= size
        for batch in batches
    )
    assert batches == sorted(batches)
    # Full but for the last of each shape.
    short = [shapes[batch[0]] for batch in batches if len(batch) < size]
    assert len(short) == len(set(short))


@given(SHAPES)
def test_one_at_a_time_is_the_order_of_the_pictures(shapes):
    assert of_like_shape(shapes, size=1) == [[position] for position in range(len(shapes))]


def test_a_size_below_one_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        of_like_shape(["wide"], size=0)
