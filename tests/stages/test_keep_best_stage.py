"""label.keep_best_stage: clustered proposals in place of the detections of a detector that has not learnt."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from maskdistill import api
from maskdistill.artifacts import clusterings, label_maps
from maskdistill.artifacts.clusterings import NotLearnt
from maskdistill.artifacts.finished_stages import Outputs
from maskdistill.artifacts.mask_lines import detections, with_clusters
from maskdistill.engine.job import Job
from maskdistill.errors import RunError, StaleError, TrainingError
from maskdistill.labels import paint
from maskdistill.masks import rle
from maskdistill.runs import fingerprints, lines
from maskdistill.runs.layout import RunFolder
from maskdistill.settings import load, resolve
from maskdistill.workflows import demo_pictures
from tests.made import events, states
from tests.stages.test_detect_on_tokens import ANY, SETTINGS, changed
from tests.tiny_runs import QUICK, SIZE

N, HELD_OUT = 24, 3
SENTENCE = (
    "the detector finds {} of the {} masks that it was trained on (below a quarter): "
    "label maps are painted from the clustered proposals"
)


def settings(**values: Any) -> Any:
    return resolve(load({"propose": {"backbone": "handcrafted"}}, values))


def told(folder: Path, text: str) -> RunFolder:
    run = RunFolder(folder)
    run.detect.path.mkdir(exist_ok=True)
    run.detect.found_again.write_text(text, encoding="utf-8")
    return run


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("drawn")
    for name, count, seed in (("pictures", N, 5), ("validation", HELD_OUT, 6)):
        how = {"n_pictures": count, "seed": seed, "size": SIZE, "prefix": name[0]}
        demo_pictures.write(root / name, root / f"{name}.json", **how)
    return {"pictures": root / "pictures", "validation": root / "validation"}


@pytest.fixture(scope="module")
def given(drawn) -> dict[str, Any]:
    """Settings of a detector that one step has taught nothing, on more than one mask a picture."""
    truth = [str(drawn["pictures"].parent / f"{name}.json") for name in drawn]
    return {
        **QUICK,
        "propose": {
            "backbone": "handcrafted",
            "max_masks": 3,
            "min_score": 0.0,
            "stop_score": 0.0,
        },
        "detect": {
            **QUICK["detect"],
            "max_detections": 3,
            "train": {"steps": 1, "batch": 2, "warm_up": 1},
        },
        "validation": str(drawn["validation"]),
        "ground_truth": truth,
    }


@pytest.fixture(scope="module")
def made(drawn, given, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run") / "unlearnt"
    api.run(pictures=drawn["pictures"], out=out, settings=given, quiet=True)
    return out


@pytest.fixture
def run(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def sentence(out: Path) -> str:
    known = json.loads((out / "detect" / "found_again.json").read_text())
    assert known["masks"] >= 20
    assert known["found"] < known["masks"] / 4
    return SENTENCE.format(known["found"], known["masks"])


def maps(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "label" / "maps").iterdir()}


def record(out: Path, stage: str) -> dict[str, Any]:
    return json.loads((out / stage / "stage.json").read_text())


def recorded(out: Path, stage: str, name: str) -> None:
    """Enter a file that was changed, or is gone, into the record of its stage."""
    entry, path = record(out, stage), out / stage / name
    entry["outputs"].pop(name)
    if path.exists():
        entry["outputs"][name] = fingerprints.sha256_file(path)
    (out / stage / "stage.json").write_text(json.dumps(entry))


@pytest.mark.parametrize(
    "masks, found, values, is_painted",
    [
        (187, 8, {}, True),
        (20, 4, {}, True),
        (20, 5, {}, False),  # a quarter
        (19, 0, {}, False),  # too few to say
        (0, 0, {}, False),
        (187, 8, {"label": {"keep_best_stage": False}}, False),
        (187, 8, {"detect": {"import_file": "m.json"}, "weights": ["segment=none"]}, False),
        (187, 8, {"cluster": {"again": True}}, True),
    ],
)
def test_proposals_are_painted_where_less_than_a_quarter_is_found_again_and_nothing_says_no(
    tmp_path, masks, found, values, is_painted
):
    folder, own = told(tmp_path, json.dumps({"masks": masks, "found": found})), settings(**values)
    expected = NotLearnt(masks, found) if is_painted else None
    assert clusterings.not_learnt(folder, own) == expected
    counted = clusterings.of_label_maps(folder, own)
    if is_painted:
        assert counted == clusterings.made_by(folder, "cluster")
    else:
        assert counted == clusterings.of_detections(folder, own)
    assert clusterings.of_detections(folder, own).of == "detections"


def test_of_a_detector_that_nothing_is_known_of_the_detections_are_painted(tmp_path):
    folder = RunFolder(tmp_path)
    assert clusterings.not_learnt(folder, settings()) is None
    assert clusterings.of_label_maps(folder, settings()).of == "detections"


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"masks": null, "found": 1}'])
def test_a_file_that_was_cut_short_says_nothing(tmp_path, text):
    assert clusterings.not_learnt(told(tmp_path, text), settings()) is None


@pytest.mark.parametrize("text", ["", None])
def test_a_file_that_is_damaged_or_gone_is_named_and_made_again_when_asked(
    drawn, given, run, made, text
):
    path = run / "detect" / "found_again.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(RunError, match=r"detect: found_again\.json missing or changed"):
        api.label(out=run, quiet=True)
    again = {"pictures": drawn["pictures"], "out": run, "settings": given, "quiet": True}
    api.run(**again, start="detect", until="label")
    assert path.read_bytes() == (made / "detect" / "found_again.json").read_bytes()
    assert maps(run) == maps(made)


def test_the_presets_of_the_paper_paint_detections_whatever_was_learnt():
    kept = {
        name: load(preset_name=name).label.keep_best_stage
        for name in ("quick", "demo", "paper-voc12", "paper-coco20k")
    }
    assert kept == {"quick": True, "demo": True, "paper-voc12": False, "paper-coco20k": False}


def test_the_proposals_that_were_trained_on_are_painted_as_by_hand(made, given):
    files = made / "propose" / "proposals.jsonl", made / "cluster" / "clusters.jsonl"
    painted = fainter = 0
    own = maps(made)
    for row in with_clusters(*files):
        masks = [mask for mask in row["masks"] if mask["score"] >= 0.45]
        fainter += len(row["masks"]) - len(masks)
        assert (f"{row['id']}.png" in own) == bool(masks)
        if masks:
            found = detections({"masks": masks}, SIZE)
            decoded = rle.decode(found.rles, size=SIZE)
            wanted = paint(decoded, found.clusters, found.scores, SIZE, overlap="below")
            at = made / "label" / "maps" / f"{row['id']}.png"
            np.testing.assert_array_equal(label_maps.read(at), wanted)
            painted += len(masks)
    assert painted == record(made, "label")["counts"]["masks"] > N
    assert fainter > 0  # that were not trained on


def test_a_proposal_that_is_left_out_as_noise_is_not_painted(run, given):
    path = run / "cluster" / "clusters.jsonl"
    rows = list(lines.read(path))
    rows[0]["left_out"] = "far"
    lines.write(path, rows)
    folder = RunFolder(run)
    number = rows[0]["id"]
    own = clusterings.of_label_maps(folder, settings())
    (first,) = [row for row in own.rows() if row["id"] == number]
    before = label_maps.read(folder.label.map_of(number))
    recorded(run, "cluster", "clusters.jsonl")
    shutil.rmtree(run / "label")
    api.label(out=run, quiet=True)
    left = [mask for mask in first["masks"][1:] if mask["score"] >= 0.45]
    found = detections({"masks": left}, SIZE)
    decoded = rle.decode(found.rles, size=SIZE)
    wanted = paint(decoded, found.clusters, found.scores, SIZE, overlap="below")
    assert (wanted != before).any()
    at = folder.label.map_of(number)
    after = label_maps.read(at) if at.exists() else np.zeros(SIZE, np.uint8)
    np.testing.assert_array_equal(after, wanted)


def test_ledger_numbers_and_page_say_what_is_painted_and_why(made):
    what = sentence(made)
    (warning,) = [event for event in events(made, "warning") if event["stage"] == "label"]
    assert warning["what"] == what
    rows = json.loads((made / "evaluate" / "metrics.json").read_text())["metrics"]
    of_maps = {row["protocol"] for row in rows if row["stage"] == "label"}
    assert of_maps
    assert all(what in protocol for protocol in of_maps)
    assert not any(what in row["protocol"] for row in rows if row["stage"] == "detect")
    assert what in (made / "evaluate" / "metrics.md").read_text()
    page = (made / "report" / "index.html").read_text(encoding="utf-8")
    upper = what[0].upper() + what[1:]
    assert f"what the segmenter is trained on. {upper}." in page
    assert f"The detector has not learnt: {what}." in page


def test_numbers_of_label_maps_are_those_of_the_painted_proposals(made):
    """All proposals of a picture count in `cluster`, those alone that are trained on in `label`."""
    rows = json.loads((made / "evaluate" / "metrics.json").read_text())["metrics"]
    miou = {
        row["stage"]: row["value"]
        for row in rows
        if row["name"] == "mIoU" and row["split"] == "train"
    }
    assert miou["label"] == pytest.approx(miou["cluster"], abs=0.1)
    assert {"label", "segment", "detect"} <= {row["stage"] for row in rows}


def test_nothing_is_stale_and_the_same_command_does_nothing_again(drawn, given, run):
    assert set(states(run).values()) == {"done"}
    before = len(events(run, "start"))
    api.run(pictures=drawn["pictures"], out=run, settings=given, quiet=True)
    starts = [event["stage"] for event in events(run, "start")][before:]
    assert starts == ["evaluate", "report"]


def test_switched_off_the_label_maps_and_what_follows_alone_are_made_again(drawn, given, run, made):
    off = {**given, "label": {**given["label"], "keep_best_stage": False}}
    with pytest.raises(StaleError, match=r"settings\.keep_best_stage: True -> nothing"):
        api.run(pictures=drawn["pictures"], out=run, settings=off, quiet=True)
    before = len(events(run, "start"))
    again = {"pictures": drawn["pictures"], "out": run, "settings": off, "quiet": True}
    api.run(**again, start="label")
    starts = [event["stage"] for event in events(run, "start")][before:]
    assert starts == ["label", "segment/train", "segment", "evaluate", "report"]
    assert set(states(run).values()) == {"done"}
    assert maps(run) != maps(made)
    assert set(record(run, "label")["parts"]["reads"]) == {"scan", "detect", "recluster"}
    page = (run / "report" / "index.html").read_text(encoding="utf-8")
    assert "is made of its guesses" in page
    assert "what the segmenter is trained on.</" in page  # the ledger still tells what was painted
    assert "painted from the clustered" not in (run / "evaluate" / "metrics.md").read_text()


def test_thresholds_of_detections_change_nothing_where_proposals_are_painted(run, made):
    api.label(out=run, settings={"label": {"min_score": 0.99, "unsure_score": 0.01}}, quiet=True)
    assert maps(run) == maps(made)


def test_another_detector_that_has_learnt_is_painted(run, made):
    """The fact alone decides: with another one of it the maps in place are no longer what is asked for."""
    (run / "detect" / "found_again.json").write_text(json.dumps({"masks": 20, "found": 20}))
    recorded(run, "detect", "found_again.json")
    assert states(run)["label"] == "stale"
    api.label(out=run, redo=True, quiet=True)
    assert maps(run) != maps(made)
    assert "recluster" in record(run, "label")["parts"]["reads"]


def test_a_run_from_before_whose_detector_said_nothing_is_as_it_was(drawn, given, run, made):
    """No file: label maps are painted from detections, with the fingerprint that they had."""
    (run / "detect" / "found_again.json").unlink()
    recorded(run, "detect", "found_again.json")
    api.label(out=run, redo=True, quiet=True)
    found = record(run, "label")["parts"]
    assert found["settings"] == {"min_score": 0.05, "keep_best": True, "overlap": "below"}
    assert set(found["reads"]) == {"scan", "detect", "recluster"}


def test_label_maps_of_new_pictures_are_named_as_the_proposals_and_instances_as_detections(
    run, drawn, tmp_path
):
    names = {
        "cluster": [f"proposed {n}" for n in range(4)],
        "recluster": [f"found {n}" for n in range(4)],
    }
    for stage, words in names.items():
        (run / stage / "names.json").write_text(json.dumps({"names": words}))
    picture = next(drawn["validation"].iterdir())
    found = api.load(run).predict(picture)
    assert (found.names, found.label_names) == (names["recluster"], names["cluster"])
    assert found.label_map is not None
    assert found.label_map.max() <= 4
    out = tmp_path / "predictions"
    api.predict(run=run, pictures=drawn["validation"], out=out, quiet=True)
    rows = [json.loads(path.read_text()) for path in sorted(out.glob("v*.json"))]
    assert [row["label_names"] for row in rows] == [names["cluster"]] * HELD_OUT
    assert all(row["names"] == names["recluster"] for row in rows)
    page = api.report(out=run, quiet=True).read_text(encoding="utf-8")
    assert "proposed 0" in page  # the clusters whose colours the label maps have
    assert "found 0" not in page


def test_a_model_without_the_stages_before_it_names_its_label_maps_by_number(run, drawn):
    for name in ("propose", "cluster", "recluster", "detect/detections.jsonl", "label"):
        place = run / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    found = api.load(run).predict(next(drawn["validation"].iterdir()))
    assert found.label_names == [f"cluster {number}" for number in range(4)]


def test_another_clustering_of_the_proposals_is_not_what_label_maps_count_in(run):
    path = run / "cluster" / "stage.json"
    stage = json.loads(path.read_text())
    path.write_text(json.dumps({**stage, "fingerprint": "of another"}))
    job = Job.alone(settings())
    job.folder = RunFolder(run)
    assert Outputs(job).others("label") == ["cluster"]
    with pytest.raises(RunError, match="label: made from another cluster than is there now"):
        api.load(run)


def test_label_maps_of_proposals_can_be_taken_of_another_run(drawn, given, made, tmp_path):
    out = tmp_path / "taken"
    verbs = ("propose", "cluster", "detect", "label")
    api.run(
        pictures=drawn["pictures"],
        out=out,
        settings=given,
        until="label",
        reuse=dict.fromkeys(verbs, made),
        quiet=True,
    )
    assert maps(out) == maps(made)
    assert "label" not in {event["stage"] for event in events(out, "start")}


def test_a_segmenter_on_tokens_counts_in_the_clusters_of_the_proposals_and_names_them(tmp_path):
    own = changed(
        propose=ANY,
        cluster={"k": 3},
        detect={**SETTINGS["detect"], "train": {"steps": 1, "batch": 2, "warm_up": 1}},
        segment={"train": {"steps": 2}},
    )
    folder, rng = tmp_path / "pictures", np.random.default_rng(3)
    folder.mkdir()
    for number in range(24):
        coarse = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        Pillow.fromarray(coarse).resize((56, 40)).save(folder / f"{number:02}.png")
    out = tmp_path / "run"
    api.run(pictures=folder, out=out, settings=own, until="segment", quiet=True)
    assert sentence(out) in [event["what"] for event in events(out, "warning")]
    assert set(record(out, "label")["parts"]["reads"]) == {"scan", "propose", "detect", "cluster"}
    assert set(states(out).values()) <= {"done", "missing"}
    model = api.load(out)
    assert model.label_names == [f"cluster {number}" for number in range(3)]
    ids = np.unique([label_maps.read(path) for path in (out / "label" / "maps").iterdir()])
    assert set(ids) <= {0, 1, 2, 3}  # nothing is ignored: all that is trusted is painted
    assert len(ids) == 4


def test_detections_of_a_detector_that_finds_nothing_are_not_clustered_again(
    drawn, given, tmp_path
):
    nothing = {**given, "detect": {**given["detect"], "min_score": 1.0}}
    out = tmp_path / "run"
    api.run(pictures=drawn["pictures"], out=out, settings=nothing, quiet=True)
    assert record(out, "detect")["counts"]["detections"] == 0
    assert not (out / "recluster").exists()
    assert set(states(out).values()) == {"done"}
    assert maps(out)
    found = api.load(out).predict(next(drawn["validation"].iterdir()))
    assert found.label_names == [f"cluster {number}" for number in range(4)]
    off = {**nothing, "label": {**nothing["label"], "keep_best_stage": False}}
    with pytest.raises(TrainingError, match="The detector finds nothing: train it longer"):
        api.run(
            pictures=drawn["pictures"],
            out=tmp_path / "off",
            settings=off,
            until="label",
            quiet=True,
        )


def test_an_older_clustering_of_detections_is_not_asked_where_there_are_none_now(run, drawn):
    api.detect(out=run, settings={"detect": {"min_score": 1.0}}, redo=True, quiet=True)
    api.label(out=run, redo=True, quiet=True)
    api.segment(out=run, redo=True, quiet=True)
    api.report(out=run, quiet=True)
    assert (run / "recluster" / "stage.json").exists()
    assert "recluster" not in states(run)
    assert "to be made again" not in (run / "report" / "index.html").read_text(encoding="utf-8")
    assert api.load(run).assign is None
