"""What two looks at a picture found, as one: pairs, halves, limits."""

import numpy as np
import pytest

from maskdistill.detector import flips
from maskdistill.masks import rle
from maskdistill.types import Detections

SIZE = 20, 30


def box(left: int, right: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[5:15, left:right] = True
    return mask


def detections(*rows: tuple[np.ndarray, float, int], size=SIZE) -> Detections:
    masks = np.array([mask for mask, _, _ in rows], bool).reshape(len(rows), *size)
    rles = rle.encode(masks)
    return Detections(
        size,
        rles,
        rle.boxes(rles),
        np.array([score for _, score, _ in rows], np.float32),
        np.array([cluster for _, _, cluster in rows], np.int64),
    )


def merged(found, other, *, min_score=0.05, mask_nms=0.5, most=100):
    return flips.merged(found, other, min_score=min_score, mask_nms=mask_nms, most=most)


def rows(found: Detections) -> list[tuple[int, int, float, int]]:
    return [
        (int(each[0]), int(each[2]), round(float(score), 4), int(cluster))
        for each, score, cluster in zip(found.boxes_xyxy, found.scores, found.clusters, strict=True)
    ]


def test_what_both_looks_found_is_one_with_the_mean_score_and_the_surer_mask():
    found = merged(detections((box(3, 13), 0.4, 1)), detections((box(4, 13), 0.8, 2)))
    assert rows(found) == [(4, 13, 0.6, 2)]


def test_what_one_look_found_has_half_its_score():
    found = merged(detections((box(3, 13), 0.9, 0)), detections((box(20, 28), 0.4, 1)))
    assert rows(found) == [(3, 13, 0.45, 0), (20, 28, 0.2, 1)]


def test_what_two_looks_are_less_sure_of_can_lose_its_first_place():
    one = detections((box(0, 9), 0.9, 0), (box(18, 28), 0.7, 0))
    assert rows(merged(one, detections((box(18, 28), 0.7, 0))))[0][:2] == (18, 28)


def test_a_partner_is_taken_once():
    twins = detections((box(3, 13), 0.9, 0), (box(4, 13), 0.8, 0))
    found = merged(twins, detections((box(3, 13), 0.5, 0)), mask_nms=1)
    assert rows(found) == [(3, 13, 0.7, 0), (4, 13, 0.4, 0)]


def test_looks_that_agree_leave_scores_as_they_are():
    one = detections((box(3, 13), 0.9, 3), (box(20, 28), 0.4, 1))
    assert rows(merged(one, one)) == rows(one)


@pytest.mark.parametrize(
    ("limits", "left"),
    [({"min_score": 0.3}, 1), ({"most": 1}, 1), ({"min_score": 0.2, "most": 5}, 2)],
)
def test_the_limits_hold_of_what_is_merged(limits, left):
    found = merged(detections((box(3, 13), 0.9, 0)), detections((box(20, 28), 0.5, 0)), **limits)
    assert len(found) == left


def test_twins_of_the_two_looks_are_left_out_as_those_of_one():
    # Of IoU 0.45 with each other: no partners, and twins by a lower limit.
    found = merged(detections((box(0, 10), 0.9, 0)), detections((box(4, 14), 0.8, 0)), mask_nms=0.4)
    assert rows(found) == [(0, 10, 0.45, 0)]


def test_nothing_and_nothing_is_nothing():
    assert len(merged(detections(), detections())) == 0
    assert rows(merged(detections(), detections((box(0, 8), 0.8, 1)))) == [(0, 8, 0.4, 1)]


def test_masks_of_the_mirror_image_are_turned_back():
    found = flips.mirrored(detections((box(3, 13), 0.9, 1)))
    assert rows(found) == [(17, 27, 0.9, 1)]
    assert np.array_equal(rle.decode(found.rles, size=SIZE)[0], box(17, 27))
    assert rows(flips.mirrored(found)) == [(3, 13, 0.9, 1)]


def test_pictures_of_two_sizes_are_refused():
    other = np.zeros((4, 4), bool)
    with pytest.raises(ValueError, match="sizes"):
        merged(detections(), detections((other, 0.5, 0), size=(4, 4)))
