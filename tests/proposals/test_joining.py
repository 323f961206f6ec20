"""joined: masks that overlap are one, as loops over pixels say it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from maskdistill.masks import rle
from maskdistill.proposals import joined
from tests.reference import joining as reference

MASKS = arrays.arrays(bool, st.tuples(st.integers(0, 7), st.just(3), st.just(5)))
OVERLAPS = st.sampled_from([0.01, 0.25, 0.5, 2 / 3, 1.0])


@given(MASKS, OVERLAPS)
def test_masks_are_joined_as_pixel_by_pixel(masks, overlap):
    assert joined(rle.encode(masks), overlap=overlap) == reference.joined(masks, overlap)


@given(MASKS, OVERLAPS)
def test_masks_that_stay_do_not_overlap_and_every_other_overlaps_the_one_it_joins(masks, overlap):
    groups = joined(rle.encode(masks), overlap=overlap)
    assert sorted(row for group in groups for row in group) == list(range(len(masks)))
    firsts = [group[0] for group in groups]
    for first in firsts:
        for other in firsts:
            assert other == first or reference.iou(masks[first], masks[other]) < overlap
    for group in groups:
        for row in group[1:]:
            assert row > group[0]
            assert reference.iou(masks[group[0]], masks[row]) >= overlap


def test_equal_masks_are_one_at_any_overlap_and_an_empty_one_is_none_with_it():
    mask = np.zeros((3, 5), bool)
    mask[1, 1:3] = True
    rles = rle.encode(np.array([mask, np.zeros_like(mask), mask, np.zeros_like(mask), mask]))
    assert joined(rles, overlap=1.0) == [[0, 2, 4], [1], [3]]
    assert joined([], overlap=0.5) == []


@pytest.mark.parametrize("overlap", [0.0, -0.5, 1.5, float("nan")])
def test_an_overlap_out_of_range_is_refused(overlap):
    with pytest.raises(ValueError, match="overlap must be in"):
        joined([], overlap=overlap)
