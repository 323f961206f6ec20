import numpy as np
import pytest

from maskdistill.evaluation import bootstrap, boundary, records
from maskdistill.masks import rle
from tests.evaluation.test_instances import drawn
from tests.reference import boundary as reference


@pytest.mark.parametrize("width", [1, 2, 4])
def test_the_band_is_that_of_the_definition(rng, width):
    for density in (0.5, 0.9, 0.97):
        mask = rng.random((11, 17)) < density
        np.testing.assert_array_equal(boundary.band(mask, width=width), reference.band(mask, width))


def test_the_border_of_the_picture_is_an_outline():
    found = boundary.band(np.ones((7, 9), bool), width=2)
    assert found.sum() == 7 * 9 - 3 * 5
    assert not found[2:5, 2:7].any()


def test_a_mask_thinner_than_its_band_is_all_band_and_no_mask_has_none():
    thin = np.zeros((9, 12), bool)
    thin[4:6] = True
    np.testing.assert_array_equal(boundary.band(thin, width=1), thin)
    assert not boundary.band(np.zeros((3, 5), bool), width=1).any()


def test_the_band_is_two_per_cent_of_the_diagonal_wide():
    assert boundary.width_px((375, 500)) == 12  # 12.5, halves to even
    assert boundary.width_px((3, 4)) == 1


def test_a_large_mask_that_is_a_little_off_is_judged_harder_than_by_iou():
    mask, moved = np.zeros((2, 100, 100), bool)
    mask[10:90, 10:90] = True
    moved[12:92, 10:90] = True
    assert (mask & moved).sum() / (mask | moved).sum() > 0.95
    # Bands of 3 px: the two horizontal ones meet in one of 3 + 2 rows, the vertical ones all along.
    assert boundary.iou(mask, moved) < 0.65
    assert boundary.iou(mask, mask) == 1


def test_nothing_beside_something_is_0_and_nothing_beside_nothing_has_no_value():
    nothing, something = np.zeros((5, 6), bool), np.ones((5, 6), bool)
    assert boundary.iou(nothing, something) == boundary.iou(something, nothing) == 0
    assert np.isnan(boundary.iou(nothing, nothing))


def test_counts_of_label_maps_are_those_of_each_class_alone(rng):
    truth = np.repeat(np.repeat(rng.integers(0, 3, (4, 5)), 7, axis=0), 9, axis=1).astype(np.uint8)
    prediction = np.roll(truth, 2, axis=1)
    found = boundary.counts(prediction, truth, 4)
    for which in range(3):
        assert found[0, which] / found[1, which] == pytest.approx(
            boundary.iou(prediction == which, truth == which)
        )
    assert found[:, 3].tolist() == [0, 0]


def test_bands_of_a_truth_that_are_made_once_give_the_same_counts(rng):
    truth = rng.integers(0, 4, (13, 17)).astype(np.uint8)
    truth[:3, :4] = 255
    known = boundary.bands(truth, 6)
    assert sorted(known) == [0, 1, 2, 3]
    for which, found in known.items():
        np.testing.assert_array_equal(found, reference.band(truth == which, 1))
    for prediction in (np.roll(truth, 1, axis=0), np.full_like(truth, 5), np.full_like(truth, 255)):
        np.testing.assert_array_equal(
            boundary.counts(prediction, truth, 6, of_truth=known),
            boundary.counts(prediction, truth, 6),
        )
    # A class of the truth alone and one of the prediction alone have their band and nothing common.
    shared, either = boundary.counts(np.full_like(truth, 5), truth, 6, of_truth=known)
    assert shared.sum() == 0
    assert (either[[0, 1, 2, 3, 5]] > 0).all()


def test_ignored_pixels_are_in_no_band():
    truth = np.zeros((10, 12), np.uint8)
    truth[:, 6:8] = 255
    truth[:, 8:] = 1
    prediction = np.where(np.arange(12) < 7, 0, 1) * np.ones((10, 1), int)
    shared, either = boundary.counts(prediction, truth, 2)
    assert (either <= (truth != 255).sum()).all()
    wanted = reference.band(truth == 1, 1)
    one = reference.band(prediction == 1, 1) & (truth != 255)
    assert shared[1] == (one & wanted).sum()
    assert either[1] == (one | wanted).sum()


def test_over_masks_it_is_of_the_mask_of_best_iou_for_each_object(rng):
    truth, results = drawn(rng)
    ious = records.ious(truth, results)
    each = []
    for (number, objects), iou in zip(truth.items(), ious, strict=True):
        solid = [row for row in objects if not row["crowd"]]
        for place, row in enumerate(solid):
            best = int(iou[:, place].argmax()) if len(iou) else 0
            met = len(iou) > 0 and iou[best, place] > 0
            pair = [results[number][best]["rle"], row["rle"]] if met else []
            each.append(boundary.iou(*rle.decode(pair)) if met else 0.0)
    found = bootstrap.value(boundary.of_best_masks(truth, results, ious), len(truth))
    assert found == pytest.approx(np.mean(each))
    assert 0 < found < 1


def test_over_label_maps_bands_are_summed_over_pictures_and_the_mean_is_of_classes_that_occur():
    bands = [np.array([[1, 2, 0], [2, 4, 5]]), np.array([[3, 0, 0], [4, 4, 0]])]
    of = boundary.of_label_maps(bands, np.array([True, True, False]))
    wanted = [(4 / 6 + 2 / 8) / 2, (1 / 2 + 2 / 4) / 2]
    np.testing.assert_allclose(of(np.array([[1, 1], [1, 0]])), wanted)


def test_unlike_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 5\).*\(5, 3\)"):
        boundary.iou(np.ones((3, 5), bool), np.ones((5, 3), bool))
    with pytest.raises(ValueError, match=r"\(3, 5\).*\(5, 3\)"):
        boundary.counts(np.ones((3, 5), int), np.ones((5, 3), int), 2)
