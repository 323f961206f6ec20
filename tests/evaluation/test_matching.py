import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from maskdistill.evaluation import matching, semantic
from tests.reference import matching as reference

tables = arrays.arrays(
    np.int64, st.tuples(st.integers(1, 5), st.integers(1, 4)), elements=st.integers(0, 20)
)


def total(weights, mapping):
    return sum(weights[cluster, which] for cluster, which in mapping.items())


@given(tables)
def test_no_one_to_one_matching_has_a_larger_sum(counts):
    for by, weights in (("count", counts.astype(float)), ("iou", reference.ious(counts))):
        mapping = matching.hungarian(counts, by=by)
        assert len(mapping) == len(set(mapping.values())) == min(counts.shape)
        assert total(weights, mapping) == pytest.approx(reference.best_total(weights))


@given(tables)
def test_the_majority_gives_each_cluster_its_best_class(counts):
    for by, weights in (("count", counts.astype(float)), ("iou", reference.ious(counts))):
        for cluster, which in matching.majority(counts, by=by).items():
            assert weights[cluster, which] == weights[cluster].max()
            assert (
                weights[cluster, :which] < weights[cluster, which]
            ).all()  # of equal ones the lowest


def test_an_empty_cluster_has_no_majority_by_count_and_class_0_by_iou():
    counts = np.array([[0, 3], [0, 0]])
    assert matching.majority(counts) == {0: 1}
    assert matching.majority(counts, by="iou") == {0: 1, 1: 0}


def test_totals_widen_the_unions():
    counts = np.array([[4, 3], [0, 1]])
    assert matching.majority(counts, by="iou")[0] == 0
    assert matching.majority(counts, by="iou", class_totals=np.array([40, 4]))[0] == 1


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="count or iou"):
        matching.hungarian(np.ones((2, 2)), by="area")
    with pytest.raises(ValueError, match="clusters, classes"):
        matching.hungarian(np.ones(3))


def label_maps(rng, n_classes, n_clusters):
    truth = rng.integers(0, n_classes, (12, 17)).astype(np.uint8)
    prediction = rng.integers(0, n_clusters + 1, (12, 17)).astype(np.uint8)
    kept = rng.random(truth.shape) < 0.6
    prediction[kept] = (truth[kept] * 7) % (n_clusters + 1)
    return prediction, truth


@pytest.mark.parametrize("n_clusters", [1, 3, 6])
def test_renaming_clusters_leaves_the_matched_miou(rng, n_clusters):
    prediction, truth = label_maps(rng, 4, n_clusters)
    order = np.concatenate([[0], 1 + rng.permutation(n_clusters)]).astype(np.uint8)
    scores = []
    for found in (prediction, order[prediction]):
        _, renamed = matching.match_label_maps(
            semantic.confusion(found, truth, 4, columns=1 + n_clusters)
        )
        scores.append(semantic.mean_iou(renamed))
    assert scores[0] == pytest.approx(scores[1])


@pytest.mark.parametrize("n_clusters", [1, 3, 6])
def test_the_renamed_confusion_equals_that_of_the_renamed_map(rng, n_clusters):
    prediction, truth = label_maps(rng, 4, n_clusters)
    prediction[0, 0] = 255
    mapping, renamed = matching.match_label_maps(
        semantic.confusion(prediction, truth, 4, columns=1 + n_clusters)
    )
    by_value = np.full(256, 255, np.uint8)
    by_value[0] = 0
    for cluster, which in mapping.items():
        by_value[1 + cluster] = which
    np.testing.assert_array_equal(renamed, semantic.confusion(by_value[prediction], truth, 4))


def test_background_stays_background_even_where_a_cluster_covers_it_better():
    truth = np.array([[0, 0, 0, 0, 1, 2]])
    prediction = np.array([[1, 1, 1, 1, 0, 2]])
    mapping, renamed = matching.match_label_maps(
        semantic.confusion(prediction, truth, 3, columns=3)
    )
    assert set(mapping.values()) == {1, 2}
    assert mapping[1] == 2
    assert semantic.iou(renamed)[0] == 0


def test_clusters_without_a_class_are_misses_of_the_true_class_and_of_no_other():
    truth = np.array([[0, 1, 1, 1, 1]])
    prediction = np.array([[0, 1, 1, 1, 2]])
    mapping, renamed = matching.match_label_maps(
        semantic.confusion(prediction, truth, 2, columns=3)
    )
    assert mapping == {0: 1}
    np.testing.assert_array_equal(renamed, [[1, 0, 0], [0, 3, 1]])
    np.testing.assert_allclose(semantic.iou(renamed), [1, 0.75])


def test_fewer_clusters_than_classes_leave_classes_with_iou_0():
    truth = np.array([[0, 1, 1, 2]])
    _, renamed = matching.match_label_maps(
        semantic.confusion(np.array([[0, 1, 1, 0]]), truth, 3, columns=2)
    )
    np.testing.assert_allclose(semantic.iou(renamed), [0.5, 1, 0])


def test_iou_and_pixels_may_want_different_partners():
    # Cluster 0 has most of its pixels in class 1, but class 2 is small and nearly all its own.
    confusion = np.array([[0, 0, 0, 0], [0, 60, 40, 0], [0, 10, 9, 0]])
    assert matching.match_label_maps(confusion, rule="pixels")[0] == {0: 0 + 1, 1: 2}
    counts = np.array([[60, 10], [40, 9]])
    for rule, by in (("pixels", "count"), ("iou", "iou")):
        wanted = {
            cluster: which + 1 for cluster, which in matching.hungarian(counts, by=by).items()
        }
        assert matching.match_label_maps(confusion, rule=rule)[0] == wanted


def test_the_majority_lets_several_clusters_be_one_class():
    confusion = np.array([[5, 0, 0, 0, 0], [0, 8, 7, 0, 0], [0, 0, 1, 0, 0]])
    mapping, renamed = matching.match_label_maps(confusion, rule="majority")
    assert mapping == {0: 1, 1: 1}  # the third cluster has no pixel, so no class
    np.testing.assert_array_equal(renamed, [[5, 0, 0, 0], [0, 15, 0, 0], [0, 1, 0, 0]])


def test_a_cluster_that_lies_on_background_alone_has_no_majority():
    confusion = np.array([[5, 4, 0], [0, 0, 0]])
    mapping, renamed = matching.match_label_maps(confusion, rule="majority")
    assert mapping == {}
    np.testing.assert_array_equal(renamed, [[5, 0, 4], [0, 0, 0]])
    assert matching.match_label_maps(np.array([[5, 2, 1]]), rule="majority")[0] == {}


def test_an_unknown_rule_of_label_maps_is_refused():
    with pytest.raises(ValueError, match="iou, pixels or majority"):
        matching.match_label_maps(np.ones((2, 3), int), rule="count")


def test_with_background_alone_nothing_is_matched():
    mapping, renamed = matching.match_label_maps(np.array([[5, 2, 1]]))
    assert mapping == {}
    np.testing.assert_array_equal(renamed, [[5, 3]])


def test_renaming_picture_by_picture_and_in_sum_is_the_same(rng):
    each = rng.integers(0, 9, (5, 4, 8))  # pictures, classes, background + 6 clusters + other
    mapping, whole = matching.match_label_maps(each.sum(axis=0))
    np.testing.assert_array_equal(matching.rename(each, mapping, 4).sum(axis=0), whole)
    assert whole.sum() == each.sum()


def test_a_renamed_label_map_has_the_renamed_confusion(rng):
    truth, prediction = rng.integers(0, 4, (2, 9, 11)).astype(np.uint8)
    confusion = semantic.confusion(prediction, truth, 4, columns=4)
    mapping = {0: 3, 2: 1}  # the second cluster has no class
    renamed = matching.rename_map(prediction, mapping)
    assert renamed.dtype == np.uint8
    np.testing.assert_array_equal(
        semantic.confusion(renamed, truth, 4), matching.rename(confusion, mapping, 4)
    )
    assert matching.rename_map(np.array([[255]], np.uint8), {254: 1}).tolist() == [[255]]
