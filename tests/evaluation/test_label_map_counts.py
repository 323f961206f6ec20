import numpy as np
import pytest
from scipy import sparse

from maskdistill.evaluation import label_map_counts, matching, semantic


def confusions(rng, n_pictures=5, n_classes=4, n_clusters=6):
    return [rng.integers(0, 9, (n_classes, n_clusters + 2)) for _ in range(n_pictures)]


@pytest.mark.parametrize("rule", ["iou", "pixels", "majority"])
def test_each_picture_once_is_the_confusion_matched_whole(rng, rule):
    each = confusions(rng)
    mapping, wanted = matching.match_label_maps(sum(each), rule=rule)
    found = label_map_counts.LabelMaps(each, rule=rule)
    assert found.mapping == mapping
    np.testing.assert_array_equal(found.total, wanted)
    np.testing.assert_array_equal(found.confusions(np.ones((1, 5), int))[0], wanted)


def test_a_weight_is_as_many_copies_of_the_picture_under_the_matching_of_all(rng):
    each = confusions(rng)
    of = label_map_counts.LabelMaps(each)
    samples = np.array([[2, 0, 1, 3, 0], [0, 0, 0, 0, 1]])
    for row, weights in enumerate(samples):
        total = sum(times * counts for times, counts in zip(weights, each, strict=True))
        renamed = matching.rename(total, of.mapping, 4)
        np.testing.assert_array_equal(of.confusions(samples)[row], renamed)
        assert of.mean_iou()(samples)[row] == semantic.mean_iou(renamed)
        assert of.mean_iou(protocol="paper")(samples)[row] == semantic.mean_iou(
            renamed, protocol="paper"
        )
        assert of.pixel_accuracy()(samples)[row] == semantic.pixel_accuracy(renamed)
        assert of.iou_of_class(2)(samples)[row] == semantic.iou(renamed)[2]


def test_columns_may_be_classes_already(rng):
    each = [rng.integers(0, 9, (3, 4)) for _ in range(2)]
    of = label_map_counts.LabelMaps(each, rule=None)
    np.testing.assert_array_equal(of.total, sum(each))
    np.testing.assert_array_equal(of.confusions(np.array([[1, 2]]))[0], each[0] + 2 * each[1])


def test_the_iou_of_a_class_that_a_samples_truth_does_not_hold_has_no_value():
    with_it, without = np.array([[5, 1, 0], [0, 4, 0]]), np.array([[5, 1, 0], [0, 0, 0]])
    of = label_map_counts.LabelMaps([with_it, without], rule=None)
    np.testing.assert_allclose(of.iou_of_class(1)(np.array([[1, 0], [0, 1]])), [4 / 5, np.nan])


def test_sparse_confusions_are_counted_as_whole_ones(rng):
    each = confusions(rng)
    of = label_map_counts.LabelMaps(each)
    packed = label_map_counts.LabelMaps([sparse.csr_array(one) for one in each])
    assert packed.mapping == of.mapping
    samples = rng.integers(0, 3, (4, 5))
    np.testing.assert_array_equal(packed.confusions(samples), of.confusions(samples))


def test_the_numbers_of_a_stage_are_the_whole_and_the_classes_that_the_truth_holds():
    counts = np.array([[5, 1, 0, 0], [1, 4, 0, 0], [0, 0, 0, 0]])
    of = label_map_counts.LabelMaps([counts], rule=None)
    whole = label_map_counts.whole("label", of, text="in words", protocol="paper")
    assert [(each.stage, each.name, each.protocol) for each in whole] == [
        ("label", "mIoU", "in words; classes: paper"),
        ("label", "pixel_accuracy", "in words"),
    ]
    values = [each.statistic(np.ones((1, 1), int))[0] for each in whole]
    assert values == [semantic.mean_iou(counts, protocol="paper"), 9 / 11]
    names = ["background", "cat", "dog"]
    by_class = label_map_counts.by_class("label", of, names, text="in words")
    assert [each.name for each in by_class] == ["IoU/background", "IoU/cat"]
    assert by_class[1].statistic(np.ones((1, 1), int))[0] == 4 / 6
