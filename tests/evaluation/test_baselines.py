import numpy as np
import pytest

from maskdistill.evaluation import baselines
from maskdistill.masks import rle


def test_the_whole_picture_is_one_mask():
    assert baselines.whole((3, 5)).all()
    assert baselines.whole((3, 5)).shape == (3, 5)


def test_the_centre_is_a_box_of_half_the_sides_in_the_middle():
    mask = baselines.centre((8, 12))
    assert mask.sum() == 4 * 6
    np.testing.assert_array_equal(mask, mask[::-1, ::-1])
    assert mask[2:6, 3:9].all()


def test_a_mask_is_the_only_record_of_its_picture():
    (row,) = baselines.records(baselines.centre((8, 12)))
    assert (row["score"], row["box"].tolist()) == (1.0, [3, 2, 9, 6])
    np.testing.assert_array_equal(rle.decode([row["rle"]])[0], baselines.centre((8, 12)))


def test_the_background_is_a_label_map_of_nothing():
    assert not baselines.background((3, 5)).any()
    assert list(baselines.LABEL_MAPS) == ["background", "whole", "centre"]


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3)])
def test_the_centre_of_a_tiny_picture_is_not_empty(size):
    assert baselines.centre(size).any()
