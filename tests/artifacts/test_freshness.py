"""Stages that were made from others than are there now: never used in silence."""

import json
import shutil
from pathlib import Path

import pytest

from maskdistill import api, cli
from maskdistill.errors import RunError


@pytest.fixture(scope="module")
def once(tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that clusters its proposals alone."""
    out = Path(shutil.copytree(tiny.out, tmp_path_factory.mktemp("once") / "run"))
    shutil.rmtree(out / "recluster")
    settings = {**tiny.settings, "cluster": {**tiny.settings["cluster"], "again": False}}
    api.run(
        pictures=tiny.pictures,
        out=out,
        settings=settings,
        until="segment",
        start="label",
        quiet=True,
    )
    return out


def measured(run: Path) -> set[str]:
    api.evaluate(out=run)
    rows = json.loads((run / "evaluate" / "metrics.json").read_text())["metrics"]
    return {row["stage"] for row in rows if ":" not in row["stage"]}


def page(run: Path) -> str:
    return api.report(out=run).read_text(encoding="utf-8")


def test_another_clustering_of_proposals_is_not_what_the_detector_counts_in(
    once, tmp_path, capsys
) -> None:
    out = Path(shutil.copytree(once, tmp_path / "run"))
    api.cluster(out=out, settings={"cluster": {"k": 2}}, redo=True)
    assert measured(out) == {"propose", "cluster"}
    said = capsys.readouterr().err
    assert "evaluate: detect, label, segment: made from another cluster than is there now" in said
    assert (
        f"in this order: maskdistill detect {out} --redo; maskdistill label {out} --redo; maskdistill seg"
        in said
    )
    assert cli.main(["predict", str(out), str(out.parent), "--out", str(tmp_path / "new")]) == 2
    assert "detect/train: made from another cluster than is there now" in capsys.readouterr().err
    with pytest.raises(RunError, match="detect: made from another cluster"):
        api.export(run=out)
    assert api.export(run=out, of="proposals").exists()
    assert "made from another cluster than is there now" in page(out)


def test_label_maps_of_another_clustering_of_detections_are_not_measured(copied, capsys) -> None:
    assert measured(copied) == {"propose", "cluster", "detect", "label", "segment"}
    api.cluster(out=copied, settings={"cluster": {"of": "detections", "k": 2}}, redo=True)
    assert measured(copied) == {"propose", "cluster", "detect"}
    assert "label, segment: made from another recluster" in capsys.readouterr().err
    with pytest.raises(RunError, match="label: made from another recluster than is there now"):
        api.load(copied)
    assert "to be made again" in page(copied)
    assert api.export(run=copied).exists()  # the detections are in the new clusters
    api.label(out=copied, redo=True)
    api.segment(out=copied, redo=True)
    assert measured(copied) == {"propose", "cluster", "detect", "label", "segment"}
    assert "to be made again" not in page(copied)


def test_label_maps_made_before_the_detections_were_clustered_are_not_measured_in_the_new_clusters(
    once, tmp_path
) -> None:
    out = Path(shutil.copytree(once, tmp_path / "run"))
    api.cluster(out=out, settings={"cluster": {"of": "detections", "k": 2}})
    assert measured(out) == {"propose", "cluster", "detect"}
    with pytest.raises(RunError, match="label: made from another recluster"):
        api.load(out)


def test_another_threshold_of_detections_leaves_the_trained_networks_usable(
    once, tiny, tmp_path
) -> None:
    out = Path(shutil.copytree(once, tmp_path / "run"))
    api.detect(out=out, settings={"detect": {"min_score": 0.3}}, redo=True)
    assert measured(out) == {"propose", "cluster", "detect"}
    api.load(out).predict(tiny.validation / "v0001.png")
    api.export(run=out)


def test_a_second_clustering_of_older_detections_is_not_what_these_are_named_by(
    copied, tiny
) -> None:
    api.detect(out=copied, settings={"detect": {"max_detections": 3}}, redo=True)
    assert measured(copied) == {"propose", "cluster", "detect"}
    with pytest.raises(RunError, match="recluster: made from another detect than is there now"):
        api.export(run=copied)
    page(copied)
    named = api.name_clusters(out=copied, labelled=tiny.truth)
    assert {row["stage"] for row in named} == {"cluster"}


def test_a_clustering_that_is_gone_is_told_too(once, tmp_path) -> None:
    out = Path(shutil.copytree(once, tmp_path / "run"))
    (out / "cluster" / "stage.json").unlink()
    assert measured(out) == {"propose"}
    page(out)


def test_a_model_without_the_stages_that_it_was_made_from_predicts(tiny, copied) -> None:
    for name in ("propose", "cluster", "detect/detections.jsonl", "label", "segment/predictions"):
        place = copied / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    prediction = api.load(copied).predict(tiny.validation / "v0001.png")
    assert prediction.label_map is not None
