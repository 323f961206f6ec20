"""The paper's clustering, from stored features to matched clusters, against what the original gave."""

import json

import numpy as np
import pytest

from maskdistill.clusters import kmeans, whitening
from maskdistill.evaluation import clusters, matching


def test_whitened_rows_are_those_of_the_original(reference):
    folder = reference / "golden" / "evaluation"
    rows = np.load(folder / "kmeans.npz")["features"].astype(np.float32)
    wanted = json.loads((folder / "kmeans_expected.json").read_text(encoding="utf-8"))["whitened_normalised_first5x4"]
    found = whitening.normalise(rows, whitening.scale_of(rows))
    np.testing.assert_allclose(found[:5, :4], wanted, atol=1e-6)


@pytest.mark.parametrize("k, rule, low", [(20, matching.hungarian, 0.79), (40, matching.majority, 0.96)])
def test_clusters_from_start_to_end_are_as_good_as_the_originals(reference, k, rule, low):
    stored = np.load(reference / "golden" / "evaluation" / "kmeans.npz")
    rows = stored["features"].astype(np.float32)
    found = kmeans.fit(whitening.normalise(rows, whitening.scale_of(rows)), k=k, restarts=1, seed=1234)
    counts = clusters.table(found.ids, stored["labels"], n_clusters=k, n_classes=20)
    assert low <= clusters.accuracy(counts, rule(counts)) <= (0.95 if k == 20 else 0.99)
