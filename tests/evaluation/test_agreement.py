import numpy as np
import pytest

from maskdistill.evaluation import agreement, bootstrap, semantic


def joint(one, other, n_one, n_other):
    return semantic.confusion(other, one, 1 + n_one, columns=1 + n_other)


def pixels(counts):
    """Agreement of label maps over one picture."""
    return bootstrap.value(agreement.of_label_maps([counts]), 1)


def masks(*ious):
    """Agreement of masks over as many pictures."""
    return bootstrap.value(agreement.of_masks(ious), len(ious))


def test_a_result_agrees_with_itself_whatever_its_clusters_are_called(rng):
    one = rng.integers(0, 5, (9, 13)).astype(np.uint8)
    renamed = np.array([0, 3, 1, 4, 2], np.uint8)[one]
    assert pixels(joint(one, renamed, 4, 4)) == 1


def test_it_does_not_matter_which_result_comes_first(rng):
    for n_one, n_other in ((4, 4), (2, 6)):
        one = rng.integers(0, 1 + n_one, (9, 13)).astype(np.uint8)
        other = rng.integers(0, 1 + n_other, (9, 13)).astype(np.uint8)
        first = pixels(joint(one, other, n_one, n_other))
        assert first == pytest.approx(pixels(joint(other, one, n_other, n_one)))
        assert 0 < first < 1


def test_background_is_background_in_both():
    assert pixels(joint(np.array([[0, 0, 0, 1]]), np.array([[1, 1, 1, 0]]), 1, 1)) == 0


def test_the_share_is_that_of_the_pixels():
    one, other = np.array([[0, 1, 1, 1, 2]]), np.array([[0, 2, 2, 1, 1]])
    assert pixels(joint(one, other, 2, 2)) == pytest.approx(4 / 5)


def test_without_pixels_or_masks_there_is_no_value():
    assert np.isnan(pixels(np.zeros((3, 4), int)))
    assert np.isnan(masks())
    assert np.isnan(masks(np.zeros((0, 0))))


def test_masks_agree_where_each_has_a_partner_of_its_own():
    assert masks(np.eye(3)) == 1
    # One partner, three masks.
    assert masks(np.array([[0.9], [0.8]])) == pytest.approx(2 / 3)
    assert masks(np.array([[0.5]]), np.array([[0.49]])) == pytest.approx(0.5)
    assert masks(np.zeros((0, 2))) == 0


def test_clusters_are_matched_over_all_pictures_and_a_weight_is_as_many_copies(rng):
    maps = rng.integers(0, 4, (3, 2, 5, 7)).astype(np.uint8)
    joined = [joint(*pair, 3, 3) for pair in maps]
    of = agreement.of_label_maps(joined)
    assert of(np.ones((1, 3), int))[0] == pytest.approx(pixels(sum(joined)))
    doubled = agreement.of_label_maps([*joined, joined[0]])
    assert of(np.array([[2, 1, 1]]))[0] == pytest.approx(doubled(np.ones((1, 4), int))[0])


def test_as_many_partners_as_can_be_are_found():
    # The first mask would take the only partner that the second one has.
    assert agreement.partners(np.array([[0.9, 0.6], [0.7, 0.0]])) == 2


def test_training_masks_are_found_again_where_a_detection_meets_them_by_half():
    iou = np.array([[0.5, 0.1, 0.0], [0.6, 0.0, 0.2], [0.4, 0.49, 0.3]])
    assert agreement.found_again(iou) == 2  # both by the first detection
    assert agreement.found_again(iou.T) == 1
    assert agreement.found_again(np.zeros((3, 0))) == agreement.found_again(np.zeros((0, 3))) == 0


def test_equal_pixels_are_counted_without_matching_clusters():
    one = np.array([[0, 1, 2], [255, 2, 0]], np.uint8)
    assert agreement.equal(one, one) == (6, 6)
    assert agreement.equal(one, np.array([[0, 2, 2], [255, 1, 1]])) == (3, 6)
    with pytest.raises(ValueError, match="one shape"):
        agreement.equal(one, one[:, :2])
