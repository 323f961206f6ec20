import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskdistill.evaluation import clusters
from tests.reference import clusters as reference

samples = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=30)


@given(samples, st.permutations(range(4)))
def test_renaming_clusters_changes_nothing(pairs, order):
    found, classes = np.array(pairs).T
    renamed = np.array(order)[found]
    for ids in (found, renamed):
        assert clusters.table(ids, classes, n_clusters=4, n_classes=3).sum() == len(pairs)
    first, second = (
        [
            measure(clusters.table(ids, classes, n_clusters=4, n_classes=3))
            for measure in (clusters.accuracy, clusters.nmi, clusters.ari)
        ]
        for ids in (found, renamed)
    )
    assert first == pytest.approx(second)


def test_clusters_that_are_the_classes_agree_whole():
    ids, classes = np.array([2, 2, 0, 1]), np.array([0, 0, 1, 2])
    counts = clusters.table(ids, classes, n_clusters=3, n_classes=3)
    assert clusters.accuracy(counts) == 1
    assert clusters.nmi(counts) == pytest.approx(1)
    assert clusters.ari(counts) == pytest.approx(1)


def test_the_table_counts_every_meeting():
    found = clusters.table(np.array([0, 0, 2]), np.array([1, 1, 0]), n_clusters=3, n_classes=2)
    np.testing.assert_array_equal(found, [[0, 2], [0, 0], [1, 0]])


def test_samples_of_a_cluster_without_a_class_are_wrong():
    counts = np.array([[5, 0], [3, 0], [0, 2]])
    assert clusters.accuracy(counts) == pytest.approx(0.7)
    assert clusters.accuracy(counts, {0: 0, 1: 0, 2: 1}) == 1


def test_without_samples_there_is_no_value():
    nothing = np.zeros(0, np.int64)
    counts = clusters.table(nothing, nothing, n_clusters=2, n_classes=3)
    assert np.isnan(clusters.accuracy(counts))
    assert np.isnan(clusters.nmi(counts))
    assert np.isnan(clusters.ari(counts))


def test_a_mask_gets_the_class_of_the_object_that_it_overlaps_most():
    iou = np.array([[0.2, 0.7], [0.4, 0.3], [0.0, 0.0]])
    assert clusters.class_of_best(iou, np.array([5, 6]), at_least=0.5).tolist() == [6, -1, -1]
    assert clusters.class_of_best(iou, np.array([5, 6])).tolist() == [6, 5, 5]


def test_without_objects_or_masks_no_class_is_given():
    assert clusters.class_of_best(np.zeros((2, 0)), np.zeros(0, int)).tolist() == [-1, -1]
    assert clusters.class_of_best(np.zeros((0, 2)), np.array([1, 2])).tolist() == []


@given(samples)
def test_a_table_says_as_much_as_the_samples(pairs):
    ids, classes = np.array(pairs).T
    counts = clusters.table(ids, classes, n_clusters=4, n_classes=3)
    assert clusters.nmi(counts) == pytest.approx(reference.nmi(ids, classes), abs=1e-12)
    assert clusters.ari(counts) == pytest.approx(reference.ari(ids, classes), abs=1e-12)


def test_a_weight_is_as_many_copies_of_a_pictures_masks_under_the_matching_of_all(rng):
    pictures, ids, classes = (
        np.sort(rng.integers(0, 5, 40)),
        rng.integers(0, 4, 40),
        rng.integers(0, 3, 40),
    )
    of = clusters.Samples(pictures, ids, classes, n_clusters=4, n_classes=3)
    weights = np.array([1, 0, 2, 0, 3])
    copies = np.repeat(np.arange(40), weights[pictures])
    counts = clusters.table(ids[copies], classes[copies], n_clusters=4, n_classes=3)
    found = {name: of.statistic(name)(weights[None])[0] for name in ("accuracy", "nmi", "ari")}
    assert found["accuracy"] == clusters.accuracy(counts, of.mapping)
    assert found["nmi"] == pytest.approx(reference.nmi(ids[copies], classes[copies]))
    assert found["ari"] == pytest.approx(reference.ari(ids[copies], classes[copies]))


def test_one_single_cluster_reaches_the_share_of_the_most_frequent_class():
    of = clusters.Samples(
        np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([2, 2, 0]), n_clusters=2, n_classes=3
    )
    np.testing.assert_allclose(of.largest_class(np.array([[1, 1], [0, 1]])), [2 / 3, 0])


def test_entropy_is_one_for_even_clusters_and_zero_for_one_alone():
    assert clusters.entropy(np.array([7, 7, 7])) == pytest.approx(1)
    assert clusters.entropy(np.array([0, 9, 0])) == clusters.entropy(np.array([4])) == 0
    # Shares 3/4 and 1/4 of two clusters: 2 ln 2 - 3/4 ln 3 over ln 2.
    wanted = (2 * np.log(2) - 0.75 * np.log(3)) / np.log(2)
    assert clusters.entropy(np.array([3, 1])) == pytest.approx(wanted)
    # Of four clusters, two of them empty: half of it.
    assert clusters.entropy(np.array([3, 0, 1, 0])) == pytest.approx(wanted / 2)
    assert np.isnan(clusters.entropy(np.zeros(3, int)))
