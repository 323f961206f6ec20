"""What evaluate writes: tables, by class, confusion, figures of others, weights and their licence."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskdistill import api
from maskdistill.artifacts import weights_used
from maskdistill.datasets import voc
from maskdistill.errors import GroundTruthError
from maskdistill.measuring import published, tables
from maskdistill.runs.layout import RunFolder
from maskdistill.settings import load, resolve


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def metrics(out: Path) -> dict[str, Any]:
    return json.loads((out / "evaluate" / "metrics.json").read_text(encoding="utf-8"))


def test_the_csv_has_every_row_of_the_json_with_its_interval(tiny):
    rows, lines = metrics(tiny.out)["metrics"], read_csv(tiny.out / "evaluate" / "metrics.csv")
    assert len(rows) == len(lines)
    for row, line in zip(rows, lines, strict=True):
        assert [line[key] for key in ("stage", "name", "split", "protocol")] == [
            row[key] for key in ("stage", "name", "split", "protocol")
        ]
        low, high = row["interval"] or ("", "")
        wanted = ["" if row["value"] is None else str(row["value"]), str(low), str(high)]
        assert [line[key] for key in ("value", "low", "high")] == wanted
        assert line["seeds"] == ""


def test_the_table_by_class_has_a_row_a_class_and_a_column_a_stage(tiny):
    text = (tiny.out / "evaluate" / "classes.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in lines[0].split("|")[1:-1]] == [
        "class",
        "cluster",
        "label",
        "segment",
    ]
    of_classes = [row for row in metrics(tiny.out)["metrics"] if row["name"].startswith("IoU/")]
    assert len(read_csv(tiny.out / "evaluate" / "classes.csv")) == len(of_classes)
    assert "background" in lines[2]


def test_the_confusion_names_its_classes_and_gives_the_iou_that_is_reported(tiny):
    found = tables.read_confusion(RunFolder(tiny.out).evaluate, "validation", "segment")
    assert found is not None
    names, counts = found
    assert counts.shape == (len(names), len(names) + 1)
    rows = metrics(tiny.out)["metrics"]
    reported = {
        row["name"].removeprefix("IoU/"): row["value"]
        for row in rows
        if row["stage"] == "segment"
        and row["split"] == "validation"
        and row["name"].startswith("IoU/")
    }
    for place, name in enumerate(names):
        union = counts[place].sum() + counts[:, place].sum() - counts[place, place]
        if counts[place].sum():
            assert counts[place, place] / union == pytest.approx(reported[name], abs=1e-6)
    assert (
        read_csv(tiny.out / "evaluate" / "confusion-validation-segment.csv")[0]["truth"]
        == "background"
    )


def test_a_confusion_of_no_stage_any_more_is_removed(tiny, tmp_path):
    folder = RunFolder(tmp_path).evaluate
    counts = np.array([[3, 1, 0], [0, 2, 5]])
    made = tables.Evaluated(
        names=["background", 'cat, "big"'], confusions={("train", "segment:x"): counts}
    )
    tables.write(folder, made, resolve(load({"propose": {"backbone": "handcrafted"}})))
    found = tables.read_confusion(folder, "train", "segment:x")
    assert found is not None
    assert found[0] == made.names
    np.testing.assert_array_equal(found[1], counts)
    tables.write(
        folder, tables.Evaluated(), resolve(load({"propose": {"backbone": "handcrafted"}}))
    )
    assert tables.read_confusion(folder, "train", "segment:x") is None


def test_each_file_of_results_names_the_weights_and_their_licence(tiny):
    rows = metrics(tiny.out)["weights"]
    assert [row["stage"] for row in rows] == ["propose", "cluster", "detect", "segment"]
    told = weights_used.line(rows)
    assert "handcrafted (none needed: no weights)" in told
    assert "this run's detector" in told
    folder = tiny.out / "evaluate"
    for name in ("metrics.md", "classes.md"):
        assert told in (folder / name).read_text(encoding="utf-8")
    for name in ("metrics.csv", "classes.csv"):
        assert {line["weights"] for line in read_csv(folder / name)} == {told}
    clusters = json.loads((tiny.out / "cluster" / "clusters.json").read_text(encoding="utf-8"))
    assert clusters["weights"]["licence"] == "none needed: no weights"


def test_the_papers_weights_are_told_with_their_licences():
    rows = {
        row["stage"]: row for row in weights_used.used(resolve(load(preset_name="paper-voc12")))
    }
    assert (rows["cluster"]["weights"], rows["cluster"]["licence"]) == ("dino_vits8", "Apache-2.0")
    assert (rows["segment"]["weights"], rows["segment"]["licence"]) == (
        "moco_v2_resnet50",
        "CC-BY-NC-4.0",
    )
    given = resolve(load({"weights": ["propose=/home/somebody/own.pth"]}))
    rows = {row["stage"]: row for row in weights_used.used(given)}
    assert rows["propose"]["weights"] == "dino_vits16, own.pth"
    assert rows["cluster"]["licence"] == "unknown: look at the source"


def test_a_file_of_figures_without_figures_is_refused(tmp_path):
    (tmp_path / "none.csv").write_text("class,value,source\n")
    with pytest.raises(GroundTruthError, match=r"none\.csv: holds no figures"):
        published.by_class(tmp_path / "none.csv", ["background", "disc"])


def test_what_was_published_stands_beside_a_run_on_voc_and_nowhere_else():
    names = list(voc.CLASSES[1:])
    assert published.of_run(load(), ["disc", "star"]) == []
    for settings in (load(), load(preset_name="paper-voc12")):
        rows = published.of_run(settings, names)
        assert {row["value"] for row in rows if row["name"] == "mIoU"} == {0.458, 0.489, 0.4846}
        assert all(published.CAUTION in row["protocol"] and row["source"] for row in rows)
    assert {row["value"] for row in published.of_run(load(preset_name="paper-coco20k"), ["x"])} == {
        0.153,
        0.08,
    }


def test_a_users_figures_by_class_stand_in_columns_of_their_own(tiny, tmp_path):
    copied = Path(shutil.copytree(tiny.out, tmp_path / "copied"))
    file = tmp_path / "others.csv"
    file.write_text(
        "class,value,source\nbackground,84.5,a paper\ndisc,12,a paper\nmIoU,40,a paper\n"
    )
    api.evaluate(out=copied, settings={"evaluate": {"published": str(file)}})
    text = (copied / "evaluate" / "classes.md").read_text(encoding="utf-8")
    assert "published: a paper" in text
    assert "84.5" in text
    assert published.CAUTION in text
    found = metrics(copied)["published"]
    assert {row["name"]: row["value"] for row in found} == {
        "IoU/background": 0.845,
        "IoU/disc": 0.12,
        "mIoU": 0.4,
    }
    assert "a paper" in (copied / "evaluate" / "metrics.md").read_text(encoding="utf-8")
    assert metrics(copied)["metrics"] == metrics(tiny.out)["metrics"]


@pytest.mark.parametrize(
    "content, message",
    [
        ("class,value\ncat,1\n", "wanted the columns class, value, source"),
        ("", "wanted the columns"),
        (
            "class,value,source\ncut,1,a\n",
            r"line 2: 'cut' is no class of the ground truth. Perhaps you meant cat",
        ),
        ("class,value,source\ncat,101,a\n", "'101' is no percentage"),
        ("class,value,source\ncat,nan,a\n", "'nan' is no percentage"),
        ("class,value,source\ncat,x,a\n", "'x' is no percentage"),
        ("class,value,source\ncat,1,\n", "says no source"),
        ("class,value,source\ncat,1,a\ncat,2,a\n", "line 3: cat of a stands there twice"),
    ],
)
def test_figures_that_nobody_could_read_or_look_up_are_refused(tmp_path, content, message):
    file = tmp_path / "others.csv"
    file.write_text(content)
    with pytest.raises(GroundTruthError, match=message):
        published.by_class(file, ["background", "cat"])
    with pytest.raises(GroundTruthError, match="cannot be read as CSV"):
        published.by_class(tmp_path / "missing.csv", ["background", "cat"])


def numbers(*rows: tuple[Any, ...]) -> tables.Evaluated:
    """Rows of stage, name, split, value and, over seeds, spread."""
    made = []
    for stage, name, split, value, *over in rows:
        row = {"stage": stage, "name": name, "split": split, "value": value, "interval": None}
        made.append(row | ({"seeds": 3, "spread": over[0], "of": "chain"} if over else {}))
    return tables.Evaluated(rows=made)


def test_the_end_of_a_run_is_one_number_a_stage_and_where_all_are(tiny):
    rows = metrics(tiny.out)["metrics"]
    made = tables.Evaluated(rows=rows)
    lines = tables.summary(made, RunFolder(tiny.out).evaluate).splitlines()
    assert len(lines) <= 10
    shown = [line.split()[:2] for line in lines[1:-1]]
    assert shown == [
        ["propose", "CorLoc"],
        ["cluster", "cluster_accuracy"],
        ["detect", "AP50_agnostic"],
        ["label", "mIoU"],
        ["segment", "mIoU"],
    ]
    for (stage, name), line in zip(shown, lines[1:-1], strict=True):
        (row,) = [
            row
            for row in rows
            if (row["stage"], row["name"], row["split"]) == (stage, name, "validation")
        ]
        assert f" {100 * row['value']:.1f} (" in line
        assert line.endswith("validation")
    where, how = tiny.out / "evaluate" / "metrics.md", f"maskdistill evaluate {tiny.out} --all"
    assert lines[-1] == f"All {len(rows)} numbers: {where}, or {how}"


def test_a_number_is_of_the_training_pictures_where_the_held_out_ones_have_none(tmp_path):
    made = numbers(
        ("cluster", "mIoU", "train", 0.1),
        ("propose", "CorLoc", "train", 0.25),
        ("segment", "mIoU", "train", 0.5),
        ("segment", "mIoU", "validation", None),
        ("segment", "mIoU", "train", 0.4, 0.02),
    )
    text = tables.summary(made, RunFolder(tmp_path).evaluate)
    assert [line.split() for line in text.splitlines()[1:-1]] == [
        ["propose", "CorLoc", "25.0", "train"],
        ["cluster", "mIoU", "10.0", "train"],
        ["segment", "mIoU", "50.0", "over", "seeds", "40.0", "±", "2.0", "(3", "seeds)", "train"],
    ]
    assert tables.summary(tables.Evaluated(), RunFolder(tmp_path).evaluate).startswith(
        "No ground truth was given"
    )


def test_notes_stand_in_the_ten_lines_and_many_are_counted(tmp_path):
    made = numbers(("label", "mIoU", "train", 0.1), ("segment", "mIoU", "train", 0.5))
    made.notes = {("train", "label"): "first", ("train", "segment"): "second"}
    assert "  - label, train: first\n  - segment, train: second\n" in tables.summary(
        made, RunFolder(tmp_path).evaluate
    )
    made.notes |= {("validation", "segment"): "third"}
    text = tables.summary(made, RunFolder(tmp_path).evaluate)
    assert "  - label, train: first\n  - 2 more notes there\n" in text


def test_the_whole_table_is_said_where_it_is_asked_for(tiny, tmp_path, capsys):
    out = Path(shutil.copytree(tiny.out, tmp_path / "run"))
    api.evaluate(out=out)
    assert len(capsys.readouterr().err.splitlines()) <= 12
    api.evaluate(out=out, show_all=True)
    said = capsys.readouterr().err
    assert (out / "evaluate" / "metrics.md").read_text(encoding="utf-8") in said
