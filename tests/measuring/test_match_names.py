"""Clusters named by a few labelled pictures: the names flow on, nothing that is trained changes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskdistill import api, cli
from maskdistill.datasets import truth as truths
from maskdistill.errors import GroundTruthError, RunError
from maskdistill.evaluation import clusters


@pytest.fixture
def copy(tiny, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny.out, tmp_path / "copy"))


def names_of(out: Path, stage: str) -> dict:
    return json.loads((out / stage / "names.json").read_text(encoding="utf-8"))


def test_names_flow_to_exports_predictions_and_the_report_and_nothing_becomes_stale(
    tiny, copy, tmp_path
) -> None:
    rows = api.name_clusters(out=copy, labelled=tiny.truth[0])
    assert [(row["stage"], row["cluster"]) for row in rows] == [
        (stage, number) for stage in ("cluster", "recluster") for number in range(4)
    ]
    kinds = {"disc", "star", "ring", "block", "cross"}
    for stage, of in (("cluster", "proposals"), ("recluster", "detections")):
        found = names_of(copy, stage)
        assert found["names"] == [row["name"] for row in rows if row["stage"] == stage]
        assert len(set(found["names"])) == 4
        for number, (name, agreed) in enumerate(zip(found["names"], found["agreed"], strict=True)):
            assert (name in kinds) == (agreed > 0)
            assert agreed > 0 or name == f"cluster {number}"
        assert found["labelled"] == [tiny.truth[0]]
        exported = json.loads(api.export(run=copy, of=of, out=tmp_path / "coco.json").read_text())
        assert [each["name"] for each in exported["categories"]] == found["names"]
    words = names_of(copy, "recluster")["names"]
    assert set(names_of(copy, "cluster")["names"]) & kinds
    assert api.load(copy).names == words
    assert {row["state"] for row in api.status(out=copy)} == {"done"}
    api.report(out=copy)
    page = (copy / "report" / "index.html").read_text(encoding="utf-8")
    assert all(f"</i>{name}" in page for name in words)


def test_predictions_under_other_names_are_not_mixed(tiny, copy, tmp_path: Path) -> None:
    api.predict(run=copy, pictures=tiny.validation, out=tmp_path / "out", quiet=True)
    named = {"names": ["moon", "drop", "block", "cross"]}
    (copy / "recluster" / "names.json").write_text(json.dumps(named), encoding="utf-8")
    with pytest.raises(RunError, match="names"):
        api.predict(run=copy, pictures=tiny.validation, out=tmp_path / "out", quiet=True)
    api.predict(run=copy, pictures=tiny.validation, out=tmp_path / "named", quiet=True)
    found = [
        json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "named").glob("*.json")
    ]
    assert {tuple(each["names"]) for each in found} == {tuple(named["names"])}
    for each in found:
        assert all(one["name"] == named["names"][one["cluster"]] for one in each["instances"])


def test_the_names_are_the_best_one_to_one_matching_of_masks_and_classes(tiny, copy) -> None:
    api.name_clusters(out=copy, labelled=tiny.truth)
    metrics = json.loads((copy / "evaluate" / "metrics.json").read_text(encoding="utf-8"))[
        "metrics"
    ]
    total = right = 0
    for row in metrics:
        if (row["stage"], row["name"]) == ("cluster", "cluster_accuracy"):
            masks = int(row["protocol"].split(";")[1].split()[0])
            total, right = total + masks, right + round(row["value"] * masks)
    found = names_of(copy, "cluster")
    assert sum(found["masks"]) == total
    assert 0 < sum(found["agreed"]) <= right  # evaluate matches each split anew


def test_label_maps_name_as_objects_do(tiny, copy, tmp_path: Path) -> None:
    source = truths.read(Path(tiny.truth[0]))
    (tmp_path / "maps").mkdir()
    for key in source.objects:
        Image.fromarray(source.label_map(key)).save(tmp_path / "maps" / f"{Path(key).stem}.png")
    assert cli.main(["cluster", str(copy), "--name-with", str(tmp_path / "maps")]) == 0
    of_maps = names_of(copy, "cluster")
    api.name_clusters(out=copy, labelled=tiny.truth[0])
    of_objects = names_of(copy, "cluster")
    assert (
        sum(of_maps["masks"]) >= sum(of_objects["masks"]) > 0
    )  # a share of the mask asks less than an IoU
    assert any(name.startswith("class ") for name in of_maps["names"])


def test_labelled_pictures_that_are_not_of_the_run_are_refused(copy, tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    Image.new("L", (120, 96), 1).save(tmp_path / "maps" / "elsewhere.png")
    with pytest.raises(GroundTruthError, match="none of its pictures is one of the run's 14"):
        api.name_clusters(out=copy, labelled=tmp_path / "maps")
    assert not (copy / "cluster" / "names.json").exists()


def test_names_for_clusters_that_are_not_there_are_refused(copy) -> None:
    for names in (["a", "b"], ["a", "b", "c", "a"], list("abcde")):
        (copy / "recluster" / "names.json").write_text(
            json.dumps({"names": names}), encoding="utf-8"
        )
        with pytest.raises(
            RunError, match=rf"holds {len(names)} names .* for 4 clusters.*--name-with"
        ):
            api.load(copy)
        with pytest.raises(RunError, match="for 4 clusters"):
            api.export(run=copy)


def test_clustering_anew_forgets_the_names(tiny, copy) -> None:
    api.name_clusters(out=copy, labelled=tiny.truth[0])
    api.cluster(out=copy, settings={"cluster": {"k": 3}}, redo=True)
    assert not (copy / "cluster" / "names.json").exists()


def test_the_class_inside_a_mask_is_the_most_frequent_one_if_it_has_enough() -> None:
    assert clusters.class_inside(np.array([3, 3, 3, 0, 0, 1]), at_least=0.5) == 3
    assert clusters.class_inside(np.array([3, 3, 0, 0, 255]), at_least=0.5) == -1
    assert clusters.class_inside(np.array([0, 0, 0]), at_least=0.0) == -1
    assert clusters.class_inside(np.array([255, 255], np.uint8), at_least=0.0) == -1
    assert clusters.class_inside(np.array([2, 1, 2, 1]), at_least=0.5) == 1
