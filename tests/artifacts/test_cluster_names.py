"""A word for each cluster, no two alike."""

import json

import pytest

from maskdistill.artifacts import cluster_names
from maskdistill.errors import RunError
from maskdistill.runs.layout import ClusterFolder


def clustering(folder, k: int, names: list[str] | None = None):
    folder.mkdir()
    (folder / "clusters.json").write_text(json.dumps({"k": k}))
    if names is not None:
        (folder / "names.json").write_text(json.dumps({"names": names}))
    return ClusterFolder(folder, folder)


def test_clusters_without_names_go_by_their_number(tmp_path) -> None:
    assert cluster_names.of(clustering(tmp_path / "c", 2)) == ["cluster 0", "cluster 1"]


def test_clusters_with_names_go_by_them(tmp_path) -> None:
    assert cluster_names.of(clustering(tmp_path / "c", 2, ["cat", "dog"])) == ["cat", "dog"]


@pytest.mark.parametrize("names", [["cat"], ["cat", "cat"], ["cat", "dog", "cow"]])
def test_names_that_do_not_tell_the_clusters_apart_are_refused(tmp_path, names) -> None:
    with pytest.raises(RunError, match="Name them again"):
        cluster_names.of(clustering(tmp_path / "c", 2, names))


def test_a_name_that_occurred_before_gets_a_number_that_is_free() -> None:
    found = cluster_names.unlike(["cat", "cat 2", "cat", "dog", "cat"])
    assert found == ["cat", "cat 2", "cat 3", "dog", "cat 4"]
