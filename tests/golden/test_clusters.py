"""The paper's clustering, from stored features to matched clusters, against what the original gave."""

import json

import numpy as np
import pytest

from maskdistill.clusters import kmeans, whitening
from maskdistill.evaluation import clusters, matching
from maskdistill.settings import load, resolve


@pytest.fixture
def stored(reference):
    """(features (900, 32) float32, the file's other arrays, the expected numbers)."""
    folder = reference / "golden" / "evaluation"
    arrays = np.load(folder / "kmeans.npz")
    expected = json.loads((folder / "kmeans_expected.json").read_text(encoding="utf-8"))
    return arrays["features"].astype(np.float32), arrays, expected


def test_whitened_rows_are_those_of_the_original(stored):
    rows, _, expected = stored
    found = whitening.normalise(rows, whitening.scale_of(rows))
    np.testing.assert_allclose(found[:5, :4], expected["whitened_normalised_first5x4"], atol=1e-6)


@pytest.mark.parametrize("preset", ["paper-voc12", "paper-coco20k"])
@pytest.mark.parametrize("seed", [1234, 0, 1, 2])
def test_the_papers_presets_reach_the_accuracy_of_the_original_from_start_to_end(
    stored, preset, seed
):
    rows, arrays, _ = stored
    own = resolve(load(preset_name=preset)).cluster
    normalised = whitening.normalise(rows, whitening.scale_of(rows, whiten=own.whiten))
    found = kmeans.fit(normalised, k=20, algorithm=own.kmeans, restarts=own.restarts, seed=seed)
    counts = clusters.table(found.ids, arrays["labels"], n_clusters=20, n_classes=20)
    assert 0.79 <= clusters.accuracy(counts) <= 0.95
    # Between two seeds of the original itself it is 0.70 to 0.86; with its seed and its scikit-learn ours is 1.
    theirs = clusters.table(found.ids, arrays["clusters_20"], n_clusters=20, n_classes=20)
    assert clusters.ari(theirs) >= 0.65


def test_twice_as_many_clusters_by_majority_are_as_good_as_the_originals(stored):
    rows, arrays, _ = stored
    found = kmeans.fit(
        whitening.normalise(rows, whitening.scale_of(rows)), k=40, restarts=1, seed=1234
    )
    counts = clusters.table(found.ids, arrays["labels"], n_clusters=40, n_classes=20)
    assert 0.96 <= clusters.accuracy(counts, matching.majority(counts)) <= 0.99


def test_full_and_spherical_k_means_are_better_than_mini_batches_and_alike(stored):
    rows, arrays, _ = stored
    normalised = whitening.normalise(rows, whitening.scale_of(rows))
    accuracy = {}
    for algorithm, restarts in (("minibatch", 1), ("full", 10), ("spherical", 10)):
        each = []
        for seed in range(5):
            found = kmeans.fit(normalised, k=20, algorithm=algorithm, restarts=restarts, seed=seed)
            each.append(
                clusters.accuracy(
                    clusters.table(found.ids, arrays["labels"], n_clusters=20, n_classes=20)
                )
            )
        accuracy[algorithm] = np.mean(each)
    assert accuracy["full"] > accuracy["minibatch"] + 0.03
    assert accuracy["spherical"] == pytest.approx(accuracy["full"], abs=0.03)
