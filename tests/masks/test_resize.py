import numpy as np
import pytest

from maskdistill.masks.resize import resized, within


@pytest.mark.parametrize(
    "size, max_side, wanted",
    [
        ((30, 40), 40, (30, 40)),
        ((30, 40), 20, (15, 20)),
        ((40, 30), 20, (20, 15)),
        ((1, 100), 10, (1, 10)),
    ],
)
def test_the_longer_side_is_at_most_what_is_allowed_and_no_side_vanishes(size, max_side, wanted):
    assert within(size, max_side) == wanted


def test_a_mask_of_blocks_survives_enlarging_and_reducing():
    mask = np.zeros((3, 5), bool)
    mask[1:, 2:4] = True
    large = resized(mask, (30, 50))
    assert large.shape == (30, 50)
    assert large[15:, 25:35].all()
    assert not large[:8].any()
    np.testing.assert_array_equal(resized(large, (3, 5)), mask)
