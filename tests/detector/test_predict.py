import copy

import numpy as np
import pytest
import torch
from PIL import Image

from maskdistill import detector
from maskdistill.detector.predict import distinct
from maskdistill.masks import rle
from maskdistill.masks.boxes import boxes_from_masks
from maskdistill.training import seeded


@pytest.fixture(scope="module")
def small():
    """Drawn weights; the mask head's last are enlarged, so that its masks have outlines."""
    model = detector.build(
        size="small",
        n_clusters=3,
        short_side=64,
        max_side=96,
        nms=0.6,
        max_detections=9,
        min_score=0.0,
        seed=3,
    )
    with seeded(1), torch.no_grad():
        model.roi_heads.mask_predictor.mask_fcn_logits.weight.mul_(40)
        model.roi_heads.box_predictor.cls_score.weight.mul_(20)
    return model


@pytest.fixture
def rgb():
    rng = np.random.default_rng(
        0
    )  # what weights that nobody trained find in other pictures may be one blot
    coarse = rng.integers(0, 256, (5, 7, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((96, 64), Image.Resampling.BICUBIC))


def check_consistent(found, size):
    """Boxes are those of the masks, no mask is empty, scores fall."""
    masks = rle.decode(found.rles, size=size)
    assert found.size == size
    assert masks.any(axis=(1, 2)).all()
    np.testing.assert_array_equal(found.boxes_xyxy, boxes_from_masks(masks))
    assert (np.diff(found.scores) <= 0).all()
    assert found.scores.dtype == np.float32
    assert found.clusters.dtype == np.int64
    return masks


@pytest.mark.parametrize("mask_score", [False, True])
def test_boxes_are_those_of_the_masks_sorted_by_falling_score(small, rgb, mask_score):
    found = detector.predict(small, rgb, mask_score=mask_score)
    masks = check_consistent(found, (64, 96))
    assert 3 < len(found) <= 9
    assert len({mask.tobytes() for mask in masks}) > 3
    assert len(set(found.scores.tolist())) > 3
    assert set(found.clusters.tolist()) <= {0, 1, 2}


def test_detections_are_those_of_torchvisions_forward(small, rgb):
    tensor = torch.from_numpy(rgb.copy()).permute(2, 0, 1).float() / 255
    with torch.inference_mode():
        wanted = small([tensor])[0]  # a picture that needs no resizing
    masks = (wanted["masks"][:, 0] > 0.5).numpy()
    shown = masks.any(axis=(1, 2))
    found = detector.predict(small, rgb)
    np.testing.assert_array_equal(rle.decode(found.rles, size=(64, 96)), masks[shown])
    np.testing.assert_array_equal(found.scores, wanted["scores"].numpy()[shown])
    np.testing.assert_array_equal(found.clusters, wanted["labels"].numpy()[shown] - 1)


def test_an_unsure_mask_costs_score_and_may_cost_rank(small, rgb):
    plain, weighed = (
        detector.predict(small, rgb, mask_score=mask_score) for mask_score in (False, True)
    )
    by_mask = {each["counts"]: score for each, score in zip(plain.rles, plain.scores, strict=True)}
    assert sorted(by_mask) == sorted(each["counts"] for each in weighed.rles)
    shares = [
        score / by_mask[each["counts"]]
        for each, score in zip(weighed.rles, weighed.scores, strict=True)
    ]
    assert (
        0.5 < min(shares) < max(shares) <= 1
    )  # of pixels above one half, the mean is above it too


def test_detections_come_at_the_pictures_own_size(small, rgb):
    large = np.asarray(Image.fromarray(rgb).resize((213, 139)))
    found = detector.predict(small, large)
    check_consistent(found, (139, 213))
    assert found.boxes_xyxy[:, 2].max() > 96


def test_refine_is_called_for_each_mask_and_its_answer_is_what_counts(small, rgb):
    plain = detector.predict(small, rgb)
    seen = []

    def refine(picture, mask):
        assert picture is rgb
        seen.append(mask)
        better = np.zeros((64, 96), bool)
        better[len(seen), : 1 + len(seen)] = True
        return better

    found = detector.predict(small, rgb, refine=refine)
    np.testing.assert_array_equal(seen, rle.decode(plain.rles))
    np.testing.assert_array_equal(
        found.boxes_xyxy, [[0, n, 1 + n, n + 1] for n in range(1, len(plain) + 1)]
    )
    np.testing.assert_array_equal(found.scores, plain.scores)


def test_masks_are_compared_after_they_are_refined(small, rgb):
    plain = detector.predict(small, rgb)
    found = detector.predict(
        small, rgb, mask_nms=0.5, refine=lambda picture, mask: np.ones((64, 96), bool)
    )
    assert len(found) == 1
    assert found.scores[0] == plain.scores[0]


def test_a_mask_of_which_refine_leaves_nothing_is_left_out(small, rgb):
    plain, seen = detector.predict(small, rgb), []

    def refine(picture, mask):
        seen.append(mask)
        return mask if len(seen) != 2 else np.zeros_like(mask)

    found = detector.predict(small, rgb, refine=refine)
    check_consistent(found, (64, 96))
    np.testing.assert_array_equal(found.scores, np.delete(plain.scores, 1))


def test_no_score_is_below_the_least_after_the_masks_are_counted(small, rgb):
    all_of_them = detector.predict(small, rgb, mask_score=True).scores
    least = float(np.median(all_of_them))
    strict = copy.deepcopy(small)
    strict.roi_heads.score_thresh = least
    found = detector.predict(strict, rgb, mask_score=True).scores
    assert len(found) < len(all_of_them)
    assert (found >= least).all()
    boxes_alone = detector.predict(strict, rgb).scores
    assert len(boxes_alone) > len(found)


def test_in_bfloat16_boxes_and_scores_are_as_fine_as_in_float32(small):
    """Decoded in bfloat16, an edge beyond 512 px would be a multiple of 4, and a hundred scores a quarter as many."""
    rgb = np.random.default_rng(1).integers(0, 256, (160, 900, 3)).astype(np.uint8)
    small = copy.deepcopy(small)
    small.transform.min_size, small.transform.max_size = (160,), 900
    small.roi_heads.score_thresh, small.roi_heads.nms_thresh, small.roi_heads.detections_per_img = (
        0.0,
        1.0,
        100,
    )
    proposed, found = [], []
    small.rpn.register_forward_hook(lambda module, given, made: proposed.append(made[0][0]))
    small.roi_heads.register_forward_hook(lambda module, given, made: found.append(made[0][0]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        detector.predict(small, rgb)
    for boxes in (proposed[0], found[0]["boxes"]):
        assert boxes.dtype == torch.float32
        far = boxes[(boxes[:, 2] > 512) & (boxes[:, 2] < 900), 2]
        assert len(far) > 10
        assert (far % 1 != 0).float().mean() > 0.9
    assert found[0]["scores"].dtype == torch.float32
    assert len(found[0]["scores"].unique()) > 90


def test_a_picture_may_hold_nothing(small, rgb):
    least = small.roi_heads.score_thresh
    small.roi_heads.score_thresh = 1.0
    try:
        found = detector.predict(small, rgb, mask_score=True, mask_nms=0.5)
    finally:
        small.roi_heads.score_thresh = least
    assert len(found) == 0
    assert found.boxes_xyxy.shape == (0, 4)
    check_consistent(found, (64, 96))


def test_what_is_found_does_not_depend_on_the_picture_before(rgb):
    """A thin picture first: torchvision would guess the strides of all maps from it."""
    answers = []
    for before in (rgb, rgb[:20]):
        model = detector.build(
            size="small", n_clusters=3, short_side=64, max_side=96, min_score=0.0, seed=3
        )
        detector.predict(model, before)
        answers.append(detector.predict(model, rgb))
    np.testing.assert_array_equal(answers[0].scores, answers[1].scores)
    assert answers[0].rles == answers[1].rles


def masks_of(*spans):
    masks = np.zeros((len(spans), 3, 20), bool)
    for mask, (start, stop) in zip(masks, spans, strict=True):
        mask[1, start:stop] = True
    return rle.encode(masks)


def test_the_weaker_twin_is_left_out():
    rles = masks_of((0, 10), (2, 10), (12, 18))  # IoU 0.8 of the first two
    assert distinct(rles, np.array([0.5, 0.9, 0.7]), 0.5) == [1, 2]
    assert distinct(rles, np.array([0.9, 0.5, 0.7]), 0.5) == [0, 2]


def test_a_mask_at_the_threshold_stays():
    rles = masks_of((0, 10), (5, 10))  # IoU 0.5 exactly
    assert distinct(rles, np.array([0.9, 0.8]), 0.5) == [0, 1]
    assert distinct(rles, np.array([0.9, 0.8]), 0.49) == [0]


def test_what_was_left_out_leaves_out_nothing_itself():
    rles = masks_of((0, 10), (4, 14), (8, 18))  # each overlaps the next by 6 / 14
    assert distinct(rles, np.array([0.9, 0.8, 0.7]), 0.4) == [0, 2]


def test_of_a_tie_the_first_stays_and_ties_keep_their_order():
    twins = masks_of((0, 10), (0, 10), (0, 10))
    assert distinct(twins, np.array([0.5, 0.5, 0.5]), 0.5) == [0]
    apart = masks_of((0, 3), (4, 7), (8, 11), (12, 15))
    assert distinct(apart, np.array([0.5, 0.8, 0.5, 0.8]), 0.5) == [1, 3, 0, 2]


def test_a_threshold_of_1_keeps_all_even_equal_masks():
    assert distinct(masks_of((0, 10), (0, 10)), np.array([0.4, 0.6]), 1.0) == [1, 0]
    assert distinct([], np.array([]), 0.5) == []
    assert distinct([], np.array([]), 1.0) == []


PICTURES = [(139, 213), (86, 131), (401, 614), (70, 107)]  # all 63 x 96 after the resize


def pictures(sizes):
    drawn = np.random.default_rng(3)
    coarse = [drawn.integers(0, 256, (5, 7, 3)).astype(np.uint8) for _ in sizes]
    return [
        np.asarray(Image.fromarray(rgb).resize(size[::-1], Image.Resampling.BICUBIC))
        for rgb, size in zip(coarse, sizes, strict=True)
    ]


def test_pictures_in_one_forward_give_what_each_gives_alone(small):
    """Scores to 1e-5 and boxes to 0.01 px: a convolution may add up in another order."""
    many = pictures(PICTURES)
    alone = [detector.predict(small, rgb, mask_score=True) for rgb in many]
    together = [
        detector.pasted(found, rgb, mask_score=True)
        for found, rgb in zip(detector.unpasted_many(small, many), many, strict=True)
    ]
    for wanted, found, size in zip(alone, together, PICTURES, strict=True):
        masks = check_consistent(found, size)
        assert len(found) > 1
        np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-5)
        np.testing.assert_array_equal(found.clusters, wanted.clusters)
        assert (masks == rle.decode(wanted.rles, size=size)).mean() > 0.9999
    for one, rgb in zip(detector.unpasted_many(small, many), many, strict=True):
        (single,) = detector.unpasted_many(small, [rgb])
        torch.testing.assert_close(one.boxes_xyxy, single.boxes_xyxy, rtol=0, atol=0.01)


def test_a_picture_does_not_depend_on_its_place_among_others(small):
    many = pictures(PICTURES)
    turned = detector.unpasted_many(small, many[::-1])[::-1]
    for wanted, found in zip(detector.unpasted_many(small, many), turned, strict=True):
        assert found.size == wanted.size
        torch.testing.assert_close(found.boxes_xyxy, wanted.boxes_xyxy, rtol=0, atol=0.01)
        torch.testing.assert_close(found.masks, wanted.masks, rtol=0, atol=1e-4)


def test_pictures_of_unlike_size_after_the_resize_are_refused(small):
    with pytest.raises(ValueError, match=r"one size after the resize, found \[\(63, 96\), \(64, "):
        detector.unpasted_many(small, pictures([(139, 213), (213, 213)]))
    assert detector.unpasted_many(small, []) == []
