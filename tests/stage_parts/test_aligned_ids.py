"""Ids in line with those of another clustering: of another run, or of this run's proposals."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskdistill import api
from maskdistill.artifacts import clusterings
from maskdistill.artifacts.mask_lines import MaskFile, with_clusters
from maskdistill.clusters.alignment import aligned
from maskdistill.engine.job import Image
from maskdistill.masks import rle
from maskdistill.runs.layout import RunFolder
from maskdistill.settings import load, resolve
from maskdistill.stage_parts import aligned_ids
from maskdistill.stages import cluster
from tests.made import lines_of
from tests.tiny_runs import TinyRun


def shared(out: Path) -> np.ndarray:
    """Pixels that each cluster of detections shares with each of proposals, counted one by one."""
    folder = RunFolder(out)
    counts = np.zeros((4, 4), np.int64)
    rows = [
        list(with_clusters(masks, clusters))
        for masks, clusters in (
            (folder.detect.masks, folder.recluster.clusters),
            (folder.propose.masks, folder.cluster.clusters),
        )
    ]
    for found, proposed in zip(*rows, strict=True):
        for one in found["masks"]:
            for other in proposed["masks"]:
                both = rle.decode([one["rle"]])[0] & rle.decode([other["rle"]])[0]
                counts[one["cluster"], other["cluster"]] += both.sum()
    return counts


def test_detections_have_the_ids_of_the_proposals_that_they_overlap(tiny: TinyRun) -> None:
    overlap = shared(tiny.out)
    assert overlap.sum() > 0
    assert aligned(overlap).tolist() == [0, 1, 2, 3]
    # Nothing but ids is other than by size: sizes, centroids and exemplars are of the new ids.
    about = json.loads((tiny.out / "recluster" / "clusters.json").read_text("utf-8"))
    rows = lines_of(tiny.out / "recluster" / "clusters.jsonl")
    ids = [row["cluster"] for row in rows]
    assert about["sizes"] == np.bincount(ids, minlength=4).tolist()
    assert sorted(about["groups"]) == [0, 1, 2, 3]
    events = lines_of(tiny.out / "ledger.jsonl")
    notes = [row for row in events if row.get("what") == "ids aligned"]
    assert [(row["stage"], row["value"]) for row in notes] == [("recluster", "cluster")]


def test_another_clustering_of_the_proposals_makes_the_second_one_stale(
    tiny: TinyRun, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(tiny.out, tmp_path / "copy"))
    reads = json.loads((out / "recluster" / "stage.json").read_text("utf-8"))["parts"]["reads"]
    assert set(reads) == {"scan", "propose", "cluster", "detect"}
    api.cluster(out=out, settings={"cluster": {"restarts": 3}}, redo=True)
    states = {row["stage"]: row for row in api.status(out=out)}
    assert states["recluster"]["state"] == "stale"


@pytest.mark.parametrize(
    "own", [{"detect": {"import_file": "x.json"}}, {"cluster": {"align_to": "RUN2"}}], ids=str
)
def test_without_proposals_or_with_another_run_to_follow_the_first_clustering_is_not_read(
    own: dict[str, Any],
) -> None:
    alone = {"again": True, "again_with": "detections"}
    again = {**own, "cluster": {**alone, **own.get("cluster", {})}}
    stage = cluster.again(resolve(load({**again, "weights": ["segment=none"]})))
    assert (stage.version, stage.reads) == (3, ("scan", "detect"))


def test_detections_take_the_ids_of_another_run_by_the_pixels_that_they_share(
    tiny: TinyRun, tmp_path: Path
) -> None:
    out, other = (Path(shutil.copytree(tiny.out, tmp_path / name)) for name in ("copy", "other"))
    names = [2, 0, 3, 1]
    path = other / "cluster" / "clusters.jsonl"
    rows = [{**row, "cluster": names[row["cluster"]]} for row in lines_of(path)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    api.cluster(
        out=out, settings={"cluster": {"of": "detections", "align_to": str(other)}}, redo=True
    )
    before, after = (lines_of(root / "recluster" / "clusters.jsonl") for root in (tiny.out, out))
    wanted = np.zeros((4, 4), np.int64)
    wanted[:, names] = shared(tiny.out)
    new = aligned(wanted)
    assert new.tolist() != [0, 1, 2, 3]
    assert [row["cluster"] for row in after] == [new[row["cluster"]] for row in before]
    centroids = [np.load(root / "recluster" / "centroids.npy") for root in (tiny.out, out)]
    np.testing.assert_array_equal(*centroids)


def square(left: int, width: int = 10) -> dict[str, Any]:
    mask = np.zeros((1, 20, 60), bool)
    mask[0, 5:15, left : left + width] = True
    return {"rle": rle.encode(mask)[0], "area": 10 * width}


def test_of_unlike_numbers_of_clusters_the_ids_close_up_in_the_order_of_the_others(
    tmp_path: Path,
) -> None:
    """Lay ours on the other clustering's 2 and 1, whose clusters 0, 1, 2 are at 0, 20, 40 px."""
    files = []
    for name, masks in (
        ("ours", [square(42), square(19)]),
        ("theirs", [square(0), square(20), square(40)]),
    ):
        files.append(tmp_path / f"{name}.jsonl")
        files[-1].write_text(
            json.dumps({"id": 1, "masks": masks})
            + "\n"
            + json.dumps({"id": 2, "refused": "x"})
            + "\n"
        )
    folder = RunFolder(tmp_path)
    folder.cluster.path.mkdir()
    ids = [{"id": 1, "mask": number, "cluster": number} for number in range(3)]
    folder.cluster.clusters.write_text("".join(json.dumps(row) + "\n" for row in ids))
    folder.cluster.about.write_text(json.dumps({"k": 3}))
    theirs = clusterings.Clustering(
        "cluster", "proposals", folder.cluster, files[1], folder.cluster.clusters
    )
    shape = {
        "width": 60,
        "height": 20,
        "orientation": 1,
        "bytes": 9,
        "sha256": "",
        "split": "train",
    }
    images = [Image(id=number, path=f"{number}.png", **shape) for number in (1, 2)]
    own = MaskFile(files[0])
    assert aligned_ids.names_as(images, own, np.array([0, 1]), 2, theirs).tolist() == [1, 0]
    # Of more clusters than the other has, those without a partner take the ids that are left.
    assert aligned_ids.names_as(images, own, np.array([3, 1]), 4, theirs).tolist() == [0, 1, 3, 2]
