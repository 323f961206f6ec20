"""clusterings: which one counts for proposals, and for detections with and without a second one."""

import json
from pathlib import Path

import numpy as np
import pytest

from maskdistill.artifacts import clusterings
from maskdistill.artifacts.finished_stages import Outputs
from maskdistill.engine.job import Job
from maskdistill.errors import RunError
from maskdistill.runs import lines, record
from maskdistill.runs.layout import RunFolder
from maskdistill.runs.record import StageRecord
from maskdistill.settings import RunSettings, load, resolve


def settings(**values) -> RunSettings:
    return resolve(load({"propose": {"backbone": "handcrafted"}}, values))


def complete(folder: RunFolder, name: str, reads: dict[str, str] | None = None) -> str:
    """Write a stage's record, and return its fingerprint."""
    place = folder.stage(name)
    place.path.mkdir(parents=True, exist_ok=True)
    entry = StageRecord(
        stage=name,
        version=1,
        fingerprint=f"of {name}",
        parts={"reads": reads or {}, "settings": {}},
        outputs={},
        mixed=False,
        counts={},
    )
    record.write(place.record, entry)
    return entry.fingerprint


@pytest.mark.parametrize(
    "values, is_there, stage",
    [
        ({"cluster": {"again": False}}, False, "cluster"),
        ({"cluster": {"again": False}}, True, "cluster"),  # what is there is an old one
        ({"cluster": {"again": True}}, False, "cluster"),
        ({"cluster": {"again": True}}, True, "recluster"),
        (
            {
                "detect": {"import_file": "m.json", "import_clusters": "categories"},
                "weights": ["segment=none"],
            },
            False,
            "detect",
        ),
        (
            {
                "detect": {"import_file": "m.json", "import_clusters": "again"},
                "weights": ["segment=none"],
            },
            True,
            "recluster",
        ),
    ],
)
def test_detections_count_in_the_second_clustering_where_it_is_asked_for_and_there(
    tmp_path: Path, values, is_there: bool, stage: str
) -> None:
    folder = RunFolder(tmp_path)
    if is_there:
        complete(folder, "recluster")
    found = clusterings.of_detections(folder, settings(**values))
    assert found.stage == stage
    assert found.masks == folder.detect.masks
    assert (found.file is None) == (stage != "recluster")  # else masks carry their own
    assert found.folder.about.parent.name == stage


def test_what_a_run_will_count_in_is_known_before_it_is_made() -> None:
    assert clusterings.counted_in(settings(cluster={"again": True})) == "recluster"
    assert clusterings.counted_in(settings(cluster={"again": True}), again=False) == "cluster"
    assert clusterings.counted_in(settings(cluster={"again": False})) == "cluster"


def test_a_second_clustering_that_is_stale_does_not_count(tmp_path: Path) -> None:
    job = Job.alone(settings(cluster={"again": True}))
    job.folder = folder = RunFolder(tmp_path)
    detect = complete(folder, "detect")
    complete(folder, "recluster", {"detect": detect})
    assert Outputs(job).clustering("detections").stage == "recluster"
    complete(folder, "recluster", {"detect": "of another detect"})
    assert Outputs(job).clustering("detections").stage == "cluster"


def test_proposals_have_a_clustering_once_it_is_complete(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert clusterings.of_proposals(folder) is None
    complete(folder, "cluster")
    found = clusterings.of_proposals(folder)
    assert found is not None
    assert (found.stage, found.of, found.file) == ("cluster", "proposals", folder.cluster.clusters)


def test_each_mask_gets_its_cluster_and_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    complete(folder, "cluster")
    folder.propose.path.mkdir()
    folder.cluster.about.write_text(json.dumps({"k": 3}))
    rows = [{"id": 1, "masks": [{}, {}]}, {"id": 2, "masks": []}, {"id": 3, "masks": [{}]}]
    lines.write(folder.propose.masks, rows)
    ids = [(1, 0, 2), (1, 1, 0), (3, 0, 1)]
    every = [{"id": number, "mask": mask, "cluster": own} for number, mask, own in ids]
    lines.write(folder.cluster.clusters, every)
    found = clusterings.made_by(folder, "cluster")
    assert found.k == 3
    assert [[mask["cluster"] for mask in row["masks"]] for row in found.rows()] == [[2, 0], [], [1]]
    np.testing.assert_array_equal(found.ids(), [2, 0, 1])
    lines.write(folder.cluster.clusters, every[1:])
    with pytest.raises(
        RunError, match=r"does not fit .* at picture 1\. Do it again: --from cluster"
    ):
        list(found.rows())
