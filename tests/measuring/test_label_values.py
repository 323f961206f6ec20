"""Masks of 0 and 255, VOC's colours and other values for void: the numbers of the same maps as class numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskdistill import api, cli
from maskdistill.datasets import truth as truths
from maskdistill.datasets.label_maps import map_folder, voc_colours
from maskdistill.errors import GroundTruthError, PredictionError, SettingsError

SIZES = {"a": (20, 31), "b/c": (16, 12), "d": (9, 14)}


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(path)


def value(score: Any, name: str, stage: str = "score") -> float:
    return next(row["value"] for row in score.rows if (row["stage"], row["name"]) == (stage, name))


@pytest.fixture
def masks(tmp_path: Path, rng) -> dict[str, Path]:
    """Truths and predictions of one class: as 0 and 1, as 0 and 255, and all background."""
    for name, size in SIZES.items():
        true = rng.random(size) < 0.3
        found = true ^ (rng.random(size) < 0.2)
        for folder, times in (("01", 1), ("255", 255)):
            save(tmp_path / f"truth{folder}" / f"{name}.png", true * times)
            save(tmp_path / f"found{folder}" / f"{name}.png", found * times)
        save(tmp_path / "nothing" / f"{name}.png", found * 0)
    (tmp_path / "classes.txt").write_text("background\nobject\n")
    return {path.name: path for path in tmp_path.iterdir()}


def scored(masks: dict[str, Path], found: str, truth: str, **options: Any) -> Any:
    options = {"classes": masks["classes.txt"], "bootstrap": 0, **options}
    return api.score_semantic(predictions=masks[found], ground_truth=masks[truth], **options)


@pytest.mark.parametrize(
    "found, truth",
    [
        ("found255", "truth255"),
        ("found01", "truth255"),
        ("found255", "truth01"),
        ("nothing", "truth255"),
    ],
)
def test_two_valued_masks_score_as_the_same_masks_of_0_and_1(masks, found, truth) -> None:
    usual = scored(masks, found.replace("255", "01"), "truth01")
    score = scored(masks, found, truth, label_values="two_valued")
    assert [(row["name"], row["value"]) for row in score.rows] == [
        (row["name"], row["value"]) for row in usual.rows
    ]
    assert 0.3 < value(score, "mIoU") < 0.9
    assert "void (nothing): 0.0 % of the truth's pixels are not counted" in score.notes
    assert "nothing ignored" in score.rows[0]["protocol"]


@pytest.mark.parametrize(
    "found, truth, error",
    [
        ("nothing", "truth255", GroundTruthError),
        ("found255", "truth255", GroundTruthError),
        ("found255", "truth01", PredictionError),
    ],
)
def test_two_valued_masks_are_refused_without_the_flag(masks, found, truth, error) -> None:
    said = rf"{found if error is PredictionError else truth}: its 3 label maps hold 0 and 255 alone"
    with pytest.raises(error, match=rf"{said}.*class 1: --label-values two_valued\. Else"):
        scored(masks, found, truth)


def test_what_is_void_by_its_own_value_is_not_counted(masks, rng) -> None:
    for name, size in SIZES.items():
        file = masks["truth01"] / f"{name}.png"
        true = np.array(Image.open(file))
        strange = rng.random(size) < 0.1
        for void in (254, 255):
            save(
                masks["truth01"].parent / f"void{void}" / f"{name}.png",
                np.where(strange, void, true),
            )
    folders = {**masks, **{each: masks["truth01"].parent / each for each in ("void254", "void255")}}
    usual, score = (
        scored(folders, "found01", "void255"),
        scored(folders, "found01", "void254", void=254),
    )
    assert [row["value"] for row in score.rows] == [row["value"] for row in usual.rows]
    share = usual.notes[-1].removeprefix("void (255)")
    assert score.notes[-1] == f"void (254 and 255){share}"
    assert "254 and 255 ignored" in score.rows[0]["protocol"]
    with pytest.raises(GroundTruthError, match=r"holds 0\.\.254, wanted 0\.\.1 or 255"):
        scored(folders, "found01", "void254")


def test_void_0_leaves_no_background_and_predicted_background_is_a_miss(masks) -> None:
    score = scored(masks, "found01", "truth01", void=0)
    truth, found = (
        np.concatenate(
            [np.array(Image.open(masks[each] / f"{name}.png")).ravel() for name in SIZES]
        )
        for each in ("truth01", "found01")
    )
    assert value(score, "mIoU") == pytest.approx((found[truth == 1] == 1).mean())
    assert value(score, "mIoU", "baseline:background") == 0
    share = 100 * (truth == 0).mean()
    assert f"void (0 and 255): {share:.1f} % of the truth's pixels are not counted" in score.notes


@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_maps_in_vocs_colours_score_as_those_of_numbers(tmp_path, rng, mode) -> None:
    for name, size in SIZES.items():
        true = rng.choice([0, 7, 15, 20, 255], size)
        found = np.where(rng.random(size) < 0.2, 15, true)
        found[found == 255] = 0
        for folder, values in (("truth", true), ("found", found)):
            save(tmp_path / folder / f"{name}.png", values)
            picture = Image.fromarray(voc_colours.PALETTE[values])
            path = tmp_path / f"{folder}-in-colours" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            (picture.quantize(colors=5) if mode == "P" else picture).save(path)
    options: dict[str, Any] = {"classes": "voc", "bootstrap": 0}
    usual = api.score_semantic(
        predictions=tmp_path / "found", ground_truth=tmp_path / "truth", **options
    )
    coloured = {
        "predictions": tmp_path / "found-in-colours",
        "ground_truth": tmp_path / "truth-in-colours",
    }
    score = api.score_semantic(**coloured, **options, label_values="voc_colours")
    assert (score.rows, score.notes) == (usual.rows, usual.notes)
    if mode == "RGB":
        with pytest.raises(GroundTruthError, match=r"mode is RGB.*--label-values voc_colours"):
            api.score_semantic(**coloured, **options)
        return
    read_by_number = api.score_semantic(**coloured, **options).notes
    said = "3 of 3 label maps give VOC's colours other numbers than VOC"
    assert [said in note for note in read_by_number[-2:]] == [True, True]  # of truth, predictions
    assert "By colour: --label-values voc_colours: a.png (" in read_by_number[-1]


def test_the_flags_of_score_semantic(masks, capsys) -> None:
    flags = ["--classes", str(masks["classes.txt"]), "--bootstrap", "0"]
    for name, folder in (("predictions", "found255"), ("ground-truth", "truth255")):
        flags += [f"--{name}", str(masks[folder])]
    assert cli.main(["score", "semantic", *flags]) == 2
    assert "--label-values two_valued" in capsys.readouterr().err
    assert cli.main(["score", "semantic", *flags, "--label-values", "two_valued"]) == 0
    table = scored(masks, "found01", "truth01", label_values="two_valued").table()
    assert capsys.readouterr().out == table + "\n"
    assert cli.main(["score", "semantic", *flags, "--void", "256"]) == 2
    assert "void must be in 0 .. 255, got 256" in capsys.readouterr().err
    with pytest.raises(SettingsError, match="label_values: 'two' is none of indices, two_valued"):
        scored(masks, "found01", "truth01", label_values="two")


@pytest.fixture
def two_valued(tiny, tmp_path: Path) -> dict[str, Path]:
    """Label maps of the tiny run's pictures, all objects one class: 1, 255 and, with void, 1."""
    for source in map(truths.read, map(Path, tiny.truth)):
        for key in source.keys:
            true = source.label_map(key) > 0
            name = f"{Path(key).stem}.png"
            save(tmp_path / "01" / name, true)
            save(tmp_path / "255" / name, true * 255)
            save(tmp_path / "unlabelled" / name, true * 7)
    return {path.name: path for path in tmp_path.iterdir()}


def numbers(run: Path) -> list[Any]:
    rows = json.loads((run / "evaluate" / "metrics.json").read_text())["metrics"]
    return [(row["stage"], row["name"], row["split"], row["value"]) for row in rows]


def test_a_run_is_evaluated_on_two_valued_masks_by_the_flag(two_valued, copied, capsys) -> None:
    assert cli.main(["evaluate", str(copied), "--ground-truth", str(two_valued["01"])]) == 0
    usual = numbers(copied)
    assert {name for _, name, _, _ in usual} >= {"mIoU", "IoU/class 1"}
    flags = [str(copied), "--ground-truth", str(two_valued["255"])]
    assert cli.main(["evaluate", *flags]) == 2
    assert "read 255 as class 1: --label-values two_valued." in capsys.readouterr().err
    assert cli.main(["evaluate", *flags, "--label-values", "two_valued"]) == 0
    assert numbers(copied) == usual
    # config.yaml has it now, so that names are given by the same reading
    assert cli.main(["cluster", str(copied), "--name-with", str(two_valued["255"])]) == 0
    assert "class 1" in json.loads((copied / "cluster" / "names.json").read_text())["names"]


def test_void_of_a_run_is_a_setting(two_valued, copied, capsys) -> None:
    flags = [str(copied), "--ground-truth", str(two_valued["unlabelled"])]
    assert cli.main(["evaluate", *flags, "--void", "7"]) == 0
    assert not any(name == "IoU/class 7" for _, name, _, _ in numbers(copied))
    assert cli.main(["evaluate", *flags, "--void", "300"]) == 2
    assert "void must be in [0, 255], got 300" in capsys.readouterr().err


def test_a_run_decodes_each_map_of_its_truth_once(two_valued, small_run, monkeypatch) -> None:
    own, seen = map_folder.decoded, list[str]()

    def counted(path: Path, reading: Any) -> Any:
        seen.append(path.name)
        return own(path, reading)

    monkeypatch.setattr(map_folder, "decoded", counted)
    small_run(two_valued["01"])
    assert sorted(seen) == sorted(path.name for path in two_valued["01"].iterdir())


@pytest.fixture
def small_run(tiny, tmp_path: Path) -> Any:
    """Return what makes a run anew, from its scan to its numbers, stages of another one taken."""

    def made(truth: Path) -> None:
        api.run(
            pictures=tiny.pictures,
            out=tmp_path / "again",
            settings={**tiny.settings, "ground_truth": [str(truth)]},
            reuse={"propose": tiny.out},
            until="cluster",
            quiet=True,
        )
        api.evaluate(out=tmp_path / "again")

    return made
