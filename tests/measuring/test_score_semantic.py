"""score: what fits is counted, what does not is refused by name, what is odd stands beside the number."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskdistill import api, cli
from maskdistill.errors import GroundTruthError, PredictionError, SettingsError
from maskdistill.evaluation import matching, semantic
from maskdistill.evaluation.rows import rounded

NAMES = ["ground", "cat", "dog"]
# The first two rows of 31, 12 and 14 pixels, of 20 x 31, 16 x 12 and 9 x 14.
VOID = "void (255): 12.2 % of the truth's pixels are not counted"


def save(path: Path, label_map: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(label_map.astype(np.uint8)).save(path)


@pytest.fixture
def maps(tmp_path: Path, rng) -> dict[str, Path]:
    """Three truths of unlike sizes with void, predictions that are mostly right, and the classes' file."""
    for name, size in (("a", (20, 31)), ("b/c", (16, 12)), ("d", (9, 14))):
        truth = rng.integers(0, 3, size)
        prediction = np.where(rng.random(size) < 0.3, rng.integers(0, 3, size), truth)
        truth[:2] = 255
        save(tmp_path / "truth" / f"{name}.png", truth)
        save(tmp_path / "found" / f"{name}.png", prediction)
    (tmp_path / "classes.txt").write_text("\n".join(NAMES) + "\n")
    return {
        "predictions": tmp_path / "found",
        "ground_truth": tmp_path / "truth",
        "classes": tmp_path / "classes.txt",
    }


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


def counts(maps: dict[str, Path], columns: int = 3) -> np.ndarray:
    return sum(
        semantic.confusion(
            read(maps["predictions"] / path.relative_to(maps["ground_truth"])),
            read(path),
            3,
            columns=columns,
        )
        for path in maps["ground_truth"].rglob("*.png")
    )


def value(score, name: str, stage: str = "score") -> float:
    return next(row["value"] for row in score.rows if (row["stage"], row["name"]) == (stage, name))


def test_label_maps_are_scored_over_the_whole_set(maps) -> None:
    score = api.score_semantic(**maps)
    total = counts(maps)
    assert value(score, "mIoU") == pytest.approx(semantic.mean_iou(total))
    assert value(score, "pixel_accuracy") == pytest.approx(semantic.pixel_accuracy(total))
    assert value(score, "IoU/dog") == pytest.approx(semantic.iou(total)[2])
    assert value(score, "pixel_accuracy", "baseline:background") == pytest.approx(
        total[0].sum() / total.sum()
    )
    assert score.notes == [VOID]
    for row in score.rows:
        assert row["interval"][0] <= row["value"] <= row["interval"][1]
        assert row["pictures"] == 3
        assert "255 ignored" in row["protocol"]


@pytest.mark.parametrize("rule", ["iou", "pixels", "majority"])
def test_clusters_are_matched_with_classes(maps, rule) -> None:
    for path in maps["predictions"].rglob("*.png"):
        save(path, np.array([0, 4, 2])[read(path)])
    score = api.score_semantic(**maps, matching=rule)
    _, renamed = matching.match_label_maps(counts(maps, columns=5), rule=rule)
    assert value(score, "mIoU") == pytest.approx(semantic.mean_iou(renamed))
    assert "2 clusters were predicted, 2 of 2 classes have one" in score.notes[0]
    assert value(score, "mIoU") > 0.6 > value(api.score_semantic(**maps), "mIoU")


def test_the_names_of_voc_are_known(maps) -> None:
    score = api.score_semantic(**maps | {"classes": "voc"}, protocol="paper")
    assert value(score, "mIoU") == pytest.approx(
        np.nan_to_num(semantic.iou(counts(maps))).sum() / 21
    )
    assert {row["name"] for row in score.rows} >= {"IoU/background", "IoU/aeroplane", "IoU/bicycle"}
    assert any(
        "18 classes occur in neither truth nor prediction: bird" in note for note in score.notes
    )


def test_a_missing_prediction_is_refused_or_counted_as_background_and_told(maps) -> None:
    (maps["predictions"] / "b" / "c.png").unlink()
    with pytest.raises(
        PredictionError, match=r"1 of 3 label maps of .* have no prediction \(b/c.png\)"
    ):
        api.score_semantic(**maps)
    score = api.score_semantic(**maps, missing="background")
    assert "1 of 3 truths have no prediction, counted as background: b/c.png" in score.notes
    save(maps["predictions"] / "b" / "c.png", np.zeros((16, 12)))
    assert value(score, "mIoU") == value(api.score_semantic(**maps), "mIoU")
    assert score.rows[0]["pictures"] == 3


def test_predictions_without_truth_are_told_and_not_counted(maps) -> None:
    before = api.score_semantic(**maps)
    save(maps["predictions"] / "extra.png", np.ones((4, 4)))
    after = api.score_semantic(**maps)
    assert after.rows == before.rows
    assert after.notes == [
        "1 predictions have no ground truth and are not counted: extra.png",
        VOID,
    ]


def test_ids_that_are_no_class_are_misses_and_told(maps) -> None:
    path = maps["predictions"] / "a.png"
    changed = read(path)
    changed[5, :4] = 7
    changed[6, :3] = 255
    changed[0] = 9  # where the truth is ignored
    save(path, changed)
    score = api.score_semantic(**maps)
    assert value(score, "mIoU") == pytest.approx(semantic.mean_iou(counts(maps)))
    assert (
        "4 valid pixels are predicted ids that are no class (0 to 2): 7; counted as misses"
        in score.notes
    )
    assert "3 valid pixels are predicted 255, no class: counted as misses" in score.notes


def test_classes_that_are_never_predicted_or_never_true_are_told(maps) -> None:
    for path in maps["predictions"].rglob("*.png"):
        save(path, np.minimum(read(path), 1))
    assert "1 classes of the truth are never predicted: dog" in api.score_semantic(**maps).notes
    turned = {**maps, "predictions": maps["ground_truth"], "ground_truth": maps["predictions"]}
    assert (
        "1 classes are predicted that the truth never holds: dog"
        in api.score_semantic(**turned).notes
    )


def test_predictions_of_another_size_are_refused_with_both_sizes(maps) -> None:
    save(maps["predictions"] / "d.png", np.zeros((14, 9)))
    with pytest.raises(
        PredictionError,
        match=r"1 of 3 predictions have another size.*d.png is 9 x 14 px, d.png 14 x 9 px",
    ):
        api.score_semantic(**maps)


def test_a_truth_outside_its_classes_is_refused(maps) -> None:
    save(maps["ground_truth"] / "d.png", np.full((9, 14), 3))
    with pytest.raises(
        GroundTruthError, match=r"d\.png: truth: holds 3\.\.3, wanted 0\.\.2 or 255.*--classes"
    ):
        api.score_semantic(**maps)


def test_two_predictions_of_one_name_are_refused(maps) -> None:
    (maps["predictions"] / "b" / "c.png").rename(maps["predictions"] / "c.png")
    assert len(api.score_semantic(**maps).rows) > 3  # by file name
    save(maps["predictions"] / "x" / "c.png", np.zeros((16, 12)))
    with pytest.raises(PredictionError, match=r"b/c.png may be c.png or x/c.png"):
        api.score_semantic(**maps)


@pytest.mark.parametrize(
    "change, said, error",
    [
        ({"predictions": "nowhere"}, "nowhere: no such folder", PredictionError),
        ({"predictions": "."}, "holds no .png", PredictionError),
        ({"ground_truth": "nowhere"}, "nowhere: no such folder", GroundTruthError),
        (
            {"classes": "nowhere.txt"},
            "nowhere.txt: cannot be read as a list of names",
            GroundTruthError,
        ),
        (
            {"matching": "iuo"},
            "matching: 'iuo' is none of none, iou, pixels, majority. Perhaps you meant iou",
            SettingsError,
        ),
        ({"protocol": "x"}, "protocol: 'x' is none of occurring, paper", SettingsError),
        ({"missing": "drop"}, "missing: 'drop' is none of refuse, background", SettingsError),
        ({"bootstrap": -1}, "bootstrap must be at least 0, got -1", SettingsError),
        ({"out": "x.txt"}, r"x.txt ends in none of .json, .csv, .md", SettingsError),
    ],
)
def test_what_cannot_be_scored_is_refused(maps, tmp_path, monkeypatch, change, said, error) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(error, match=said):
        api.score_semantic(**(maps | change))


def test_a_list_of_classes_that_names_one_twice_or_too_few_is_refused(maps) -> None:
    maps["classes"].write_text("ground\ncat\ncat\n")
    with pytest.raises(SettingsError, match="names cat more than once"):
        api.score_semantic(**maps)
    maps["classes"].write_text("ground\n")
    with pytest.raises(SettingsError, match="has 1 names, wanted 2 to 255, background first"):
        api.score_semantic(**maps)


def test_a_coloured_prediction_is_named(maps) -> None:
    Image.new("RGB", (14, 9)).save(maps["predictions"] / "d.png")
    with pytest.raises(PredictionError, match=r"d\.png: its mode is RGB"):
        api.score_semantic(**maps)


def test_the_table_goes_to_standard_output_and_to_a_file_of_each_form(
    maps, tmp_path, capsys
) -> None:
    flags = [f"--{name.replace('_', '-')}={path}" for name, path in maps.items()]
    for suffix in ("json", "csv", "md"):
        assert (
            cli.main(["score", "semantic", *flags, "--out", str(tmp_path / f"score.{suffix}")]) == 0
        )
    said = capsys.readouterr().out
    assert "| score" in said
    assert "| mIoU" in said
    score = api.score_semantic(**maps)
    wanted = rounded(score.rows)  # files have six digits, as metrics.json of a run has
    assert json.loads((tmp_path / "score.json").read_text()) == {
        "format": 1,
        "weights": "unknown: look at the source",
        "metrics": wanted,
        "notes": [VOID],
    }
    assert (tmp_path / "score.md").read_text() == score.table() + "\n"
    rows = list(csv.DictReader((tmp_path / "score.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == [row["name"] for row in wanted]
    assert [float(row["value"]) for row in rows] == [row["value"] for row in wanted]
    assert [float(row["low"]) for row in rows] == [row["interval"][0] for row in wanted]


def test_the_command_says_what_is_wrong_in_one_line(maps, capsys) -> None:
    (maps["predictions"] / "a.png").unlink()
    flags = [f"--{name.replace('_', '-')}={path}" for name, path in maps.items()]
    assert cli.main(["score", "semantic", *flags]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("maskdistill score: ")
    assert said.err.count("\n") == 1
