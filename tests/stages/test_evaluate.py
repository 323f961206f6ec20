"""evaluate: what stands in metrics.json, and two runs on the same pictures."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from maskdistill import api, cli
from maskdistill.artifacts import label_maps
from maskdistill.datasets import truth
from maskdistill.errors import GroundTruthError, RunError, SettingsError
from maskdistill.evaluation import boundary, instances, matching, semantic
from maskdistill.masks import rle
from maskdistill.report import measured as shown_numbers
from tests.tiny_runs import QUICK


def metrics(out: Path) -> dict[tuple[str, str, str], dict]:
    rows = json.loads((out / "evaluate" / "metrics.json").read_text())["metrics"]
    found = {(row["stage"], row["name"], row["split"]): row for row in rows}
    assert len(found) == len(rows)
    return found


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def validation(tiny) -> tuple[truth.Truth, dict[int, str]]:
    images = read_lines(tiny.out / "images.jsonl")
    return truth.read(Path(tiny.truth[1])), {
        row["id"]: row["path"] for row in images if row["split"] == "validation"
    }


def test_every_number_has_its_protocol_and_every_value_an_interval_around_it(tiny) -> None:
    for key, row in metrics(tiny.out).items():
        assert len(row["protocol"]) > 20, key
        assert row["pictures"] in (10, 4)
        if row["value"] is not None:
            low, high = row["interval"]
            assert low <= row["value"] <= high, key


def test_trivial_baselines_stand_beside_masks_clusters_and_label_maps(tiny) -> None:
    found = metrics(tiny.out)
    for split in ("train", "validation"):
        for stage, name in (
            ("baseline:whole", "box_AP50_agnostic"),
            ("baseline:centre", "CorLoc"),
            ("baseline:background", "mIoU"),
            ("baseline:whole", "mIoU"),
            ("baseline:centre", "pixel_accuracy"),
            ("baseline:one_cluster", "cluster_accuracy"),
        ):
            assert (stage, name, split) in found
        background = found["baseline:background", "pixel_accuracy", split]["value"]
        assert found["label", "IoU/background", split]["value"] > 0
        assert 0.5 < background < 1


def test_average_precision_is_that_of_the_runs_files(tiny) -> None:
    source, names = validation(tiny)
    objects, found = {}, {}
    for row in read_lines(tiny.out / "detect" / "detections.jsonl"):
        if row["id"] in names:
            own = source.objects[names[row["id"]]]
            boxes = rle.boxes(own.rles)
            objects[row["id"]] = [
                {**each, "box": box, "crowd": False}
                for each, box in zip(own.masked, boxes, strict=True)
            ]
            found[row["id"]] = row["masks"]
    measured = metrics(tiny.out)
    for iou_type, prefix in (("segm", ""), ("bbox", "box_")):
        wanted = instances.average_precision(objects, found, iou_type=iou_type, class_agnostic=True)
        assert measured["detect", f"{prefix}AP50_agnostic", "validation"]["value"] == round(
            wanted["AP50"], 6
        )
        assert measured["detect", f"{prefix}AR100", "validation"]["value"] == round(
            wanted["AR100"], 6
        )
        single = instances.average_precision(
            *instances.most_confident(objects, found), iou_type=iou_type, class_agnostic=True
        )
        assert measured["detect", f"{prefix}AP_agnostic_single", "validation"]["value"] == round(
            single["AP"], 6
        )


def test_miou_and_boundary_iou_are_those_of_the_runs_label_maps(tiny) -> None:
    source, names = validation(tiny)
    n_classes = 1 + len(truth.read(Path(tiny.truth[0])).names)
    k = json.loads((tiny.out / "recluster" / "clusters.json").read_text())["k"]
    pairs = [
        (
            label_maps.read(tiny.out / "segment" / "predictions" / f"{number}.png"),
            source.label_map(path),
        )
        for number, path in names.items()
    ]
    counts = sum(semantic.confusion(*pair, n_classes, columns=1 + k) for pair in pairs)
    mapping, renamed = matching.match_label_maps(counts)
    measured = metrics(tiny.out)
    assert measured["segment", "mIoU", "validation"]["value"] == round(
        semantic.mean_iou(renamed), 6
    )
    value_of = np.full(256, 255, np.uint8)
    value_of[0] = 0
    value_of[[1 + cluster for cluster in mapping]] = list(mapping.values())
    bands = sum(
        boundary.counts(value_of[prediction], wanted, n_classes) for prediction, wanted in pairs
    )
    held = renamed.sum(axis=1) > 0
    wanted = (bands[0, held] / np.maximum(bands[1, held], 1)).mean()
    assert measured["segment", "boundary_iou", "validation"]["value"] == pytest.approx(
        wanted, abs=1e-6
    )


def test_boundary_iou_of_clusters_is_that_of_the_proposals_painted_by_falling_score(tiny) -> None:
    source, names = validation(tiny)
    n_classes = 1 + len(truth.read(Path(tiny.truth[0])).names)
    k = json.loads((tiny.out / "cluster" / "clusters.json").read_text())["k"]
    pairs = []
    cluster_of = {
        (row["id"], row["mask"]): row["cluster"]
        for row in read_lines(tiny.out / "cluster" / "clusters.jsonl")
        if "left_out" not in row
    }
    for row in read_lines(tiny.out / "propose" / "proposals.jsonl"):
        if row["id"] in names:
            wanted = source.label_map(names[row["id"]])
            painted = np.zeros(wanted.shape, np.uint8)
            for place in reversed(range(len(row["masks"]))):  # they stand by falling score
                if (row["id"], place) in cluster_of:
                    mask = rle.decode([row["masks"][place]["rle"]])[0]
                    painted[mask] = 1 + cluster_of[row["id"], place]
            pairs.append((painted, wanted))
    counts = sum(semantic.confusion(*pair, n_classes, columns=1 + k) for pair in pairs)
    mapping, renamed = matching.match_label_maps(counts)
    measured = metrics(tiny.out)
    assert measured["cluster", "mIoU", "validation"]["value"] == round(
        semantic.mean_iou(renamed), 6
    )
    bands = sum(
        boundary.counts(matching.rename_map(painted, mapping), wanted, n_classes)
        for painted, wanted in pairs
    )
    held = renamed.sum(axis=1) > 0
    found = measured["cluster", "boundary_iou", "validation"]
    assert found["value"] == pytest.approx(
        (bands[0, held] / np.maximum(bands[1, held], 1)).mean(), abs=1e-6
    )
    assert "proposals painted by falling score" in found["protocol"]


def test_every_stage_has_a_number_of_outlines_in_the_table_and_on_the_page(tiny) -> None:
    stages = ("propose", "cluster", "detect", "label", "segment")
    rows = json.loads((tiny.out / "evaluate" / "metrics.json").read_text())["metrics"]
    lines = (tiny.out / "evaluate" / "metrics.md").read_text().splitlines()
    for split, groups in shown_numbers.tables(rows):
        of = {group.stage: {row.name for row in group.rows} for group in groups}
        for stage in stages:
            assert "boundary_iou" in of[stage], (stage, split)
            assert any(stage in line and "boundary_iou" in line and split in line for line in lines)
        assert not any("boundary_iou" in of[each] for each in of if each.endswith("background"))


def test_clusters_are_named_as_the_settings_say_and_the_protocol_tells(
    tiny, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(tiny.out, tmp_path / "run"))
    api.evaluate(out=out, settings={"evaluate": {"matching": "majority", "votes": "release"}})
    changed, before = metrics(out), metrics(tiny.out)
    key = ("segment", "mIoU", "train")
    assert changed[key]["value"] >= before[key]["value"]
    assert "each cluster to its class of highest IoU" in changed[key]["protocol"]
    assert "one to one by IoU" in before[key]["protocol"]
    key = ("detect", "AP50", "train")
    assert "every mask votes for the object of highest box IoU" in changed[key]["protocol"]
    assert "masks with mask IoU >= 0.5 to an object vote" in before[key]["protocol"]


def test_a_run_beside_its_copy_differs_in_nothing_and_agrees_whole(tiny, tmp_path: Path) -> None:
    one, other = (Path(shutil.copytree(tiny.out, tmp_path / name)) for name in ("one", "other"))
    theirs = {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    api.evaluate(out=one, against=other)
    assert {path: path.read_bytes() for path in other.rglob("*") if path.is_file()} == theirs
    written = json.loads((one / "evaluate" / "against.json").read_text())
    assert written["pictures"] == {"common": 14, "here": 14, "there": 14}
    rows = {(row["stage"], row["name"], row["split"]): row for row in written["metrics"]}
    own = {key: row for key, row in metrics(one).items() if not key[0].startswith("baseline:")}
    assert set(own) == {key for key in rows if key[1] != "agreement"}
    for key, row in rows.items():
        if key[1] == "agreement":
            assert row["value"] == 1
            assert row["interval"] == [1, 1]
        else:
            assert row["value"] == row["other"] == own[key]["value"]
            if row["value"] is not None:
                assert (row["difference"], row["interval"], row["p"]) == (0, [0, 0], 1)
    assert {key[0] for key in rows if key[1] == "agreement"} == {
        "propose",
        "detect",
        "label",
        "segment",
    }
    assert "| agreement" in (one / "evaluate" / "against.md").read_text()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, drawn) -> tuple[Path, Path]:
    """Two runs of proposals whose pictures overlap in part: ten and eight, of which seven are equal."""
    root = tmp_path_factory.mktemp("two")
    pictures, _, truths = drawn
    other = Path(shutil.copytree(pictures, root / "pictures"))
    for name in ("p0001.png", "p0002.png"):
        (other / name).unlink()
    shutil.copy(pictures / "p0004.png", other / "p0003.png")  # the same name, another content
    settings = {"threads": 1, "propose": {"backbone": "handcrafted"}, "ground_truth": truths[:1]}
    runs = {"one": (pictures, {"method": "lost"}), "other": (other, {"method": "tokencut"})}
    for name, (folder, propose) in runs.items():
        chosen = settings | {
            "propose": settings["propose"] | propose,
            "evaluate": {"bootstrap": 30},
        }
        api.run(pictures=folder, out=root / name, settings=chosen, until="propose", quiet=True)
    return root / "one", root / "other"


def test_only_pictures_that_both_runs_have_are_compared_and_the_others_are_counted(
    two, capsys
) -> None:
    one, other = two
    assert cli.main(["evaluate", str(one), "--against", str(other)]) == 0
    assert "7 of 10 pictures are in both" in capsys.readouterr().err
    written = json.loads((one / "evaluate" / "against.json").read_text())
    assert written["pictures"] == {"common": 7, "here": 10, "there": 8}
    rows = {(row["stage"], row["name"]): row for row in written["metrics"]}
    assert {row["pictures"] for row in rows.values()} == {7}
    best = rows["propose", "mean_best_iou"]
    assert best["difference"] == pytest.approx(best["value"] - best["other"], abs=2e-6)
    assert best["interval"][0] <= best["difference"] <= best["interval"][1]
    assert 0 < best["p"] <= 1
    assert 0 < rows["propose", "agreement"]["value"] < 1


def test_the_other_run_may_be_named_before_this_one(two) -> None:
    one, other = two
    assert cli.main(["evaluate", "--against", str(other), str(one)]) == 0
    assert json.loads((one / "evaluate" / "against.json").read_text())["runs"] == [
        str(one),
        str(other),
    ]


def test_the_other_way_round_the_difference_turns_its_sign(two) -> None:
    one, other = two
    api.evaluate(out=one, against=other)
    api.evaluate(out=other, against=one)
    first, second = (
        {
            (row["stage"], row["name"]): row
            for row in json.loads((run / "evaluate" / "against.json").read_text())["metrics"]
        }
        for run in (one, other)
    )
    for key, row in first.items():
        if row["difference"] is not None:
            assert second[key]["difference"] == -row["difference"]
            assert second[key]["p"] == row["p"]
    key = ("propose", "agreement")
    assert first[key]["value"] == second[key]["value"]


def test_without_ground_truth_two_runs_still_agree_so_far(two, tmp_path: Path) -> None:
    out = Path(shutil.copytree(two[0], tmp_path / "run"))
    api.evaluate(out=out, settings={"ground_truth": []}, against=two[1])
    rows = json.loads((out / "evaluate" / "against.json").read_text())["metrics"]
    assert [row["name"] for row in rows] == ["agreement"]


def test_ground_truth_of_other_pictures_is_refused_and_earlier_numbers_stay(
    two, drawn, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(two[0], tmp_path / "run"))
    api.evaluate(out=out)
    before = {name: (out / name).read_bytes() for name in ("config.yaml", "evaluate/metrics.json")}
    other = json.loads(Path(drawn[2][0]).read_text())
    for row in other["images"]:
        row["file_name"] = f"other-{row['file_name']}"
    (tmp_path / "truth.json").write_text(json.dumps(other))
    told = r"truth\.json: none of the 10 pictures there \(other-p0001\.png, .*\) is one of the run's 10 \(p0001\.png, "
    with pytest.raises(GroundTruthError, match=told):
        api.evaluate(out=out, settings={"ground_truth": [str(tmp_path / "truth.json")]})
    assert {name: (out / name).read_bytes() for name in before} == before


def test_a_run_is_told_of_ground_truth_of_other_pictures_before_its_first_mask(
    drawn, tmp_path: Path
) -> None:
    other = json.loads(Path(drawn[2][0]).read_text())
    for row in other["images"]:
        row["file_name"] = f"other-{row['file_name']}"
    (tmp_path / "truth.json").write_text(json.dumps(other))
    settings = {**QUICK, "ground_truth": [str(tmp_path / "truth.json")]}
    with pytest.raises(GroundTruthError, match=r"truth\.json: none of the 10 pictures there"):
        api.run(pictures=drawn[0], out=tmp_path / "run", settings=settings, quiet=True)
    assert not (tmp_path / "run" / "propose").exists()
    # With the truth of these pictures the same run goes on.
    api.run(
        out=tmp_path / "run", settings={"ground_truth": [drawn[2][0]]}, until="scan", quiet=True
    )
    assert (tmp_path / "run" / "images.jsonl").exists()


def test_runs_that_cannot_be_compared_are_refused(two, tiny, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is this run itself"):
        api.evaluate(out=two[0], against=two[0])
    with pytest.raises(RunError, match="nowhere"):
        api.evaluate(out=two[0], against=tmp_path / "nowhere")
    other = Path(shutil.copytree(two[1], tmp_path / "other"))
    rows = read_lines(other / "images.jsonl")
    for unlike in (
        {"sha256": "0"},
        {"width": rows[0]["height"], "height": rows[0]["width"]},
    ):  # turned by orientation
        (other / "images.jsonl").write_text(
            "".join(json.dumps(row | unlike) + "\n" for row in rows)
        )
        with pytest.raises(RunError, match="has no picture in common"):
            api.evaluate(out=two[0], against=other)


def test_what_each_stage_gained_stands_beside_the_numbers(tiny):
    found = json.loads((tiny.out / "evaluate" / "metrics.json").read_text())
    steps = {(row["stage"], row["before"], row["name"]) for row in found["steps"]}
    assert {("label", "cluster", "mIoU"), ("segment", "label", "mIoU")} <= steps
    assert ("detect", "propose", "CorLoc") in steps
    value = {(row["stage"], row["name"], row["split"]): row["value"] for row in found["metrics"]}
    for row in found["steps"]:
        assert row["value"] == value[row["stage"], row["name"], row["split"]]
        assert row["other"] == value[row["before"], row["name"], row["split"]]
        assert row["difference"] == pytest.approx(row["value"] - row["other"], abs=2e-6)
    table = (tiny.out / "evaluate" / "metrics.md").read_text()
    assert "What each stage gained over the one before it" in table
