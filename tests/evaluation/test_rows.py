"""Rows of metrics.json: built once, rounded once."""

import json

import numpy as np
import pytest

from maskdistill import api
from maskdistill.evaluation import bootstrap, rows
from maskdistill.evaluation.bootstrap import ratio
from maskdistill.evaluation.rows import Measure
from maskdistill.masks import rle

SAMPLES = bootstrap.draws(3, resamples=50)
THIRDS = Measure("detect", "AP", "in words", ratio(np.array([1, 0, 0]), np.ones(3)))
NONE = Measure("detect", "AR100", "in words", ratio(np.zeros(3), np.zeros(3)))


def test_a_row_has_value_and_interval_of_its_statistic_and_files_have_six_digits():
    (row,) = rows.built([THIRDS], SAMPLES, split="train")
    assert row["value"] == 1 / 3
    assert tuple(row["interval"]) == bootstrap.spread(THIRDS.statistic(SAMPLES), around=1 / 3)
    assert list(row) == ["stage", "name", "split", "value", "interval", "pictures", "protocol"]
    (written,) = rows.rounded([row])
    assert written["value"] == 0.333333
    assert written["interval"] == [round(edge, 6) for edge in row["interval"]]
    assert row["value"] == 1 / 3  # what is handed in stays as it is
    assert rows.rounded([written]) == [written]


def test_what_has_no_value_has_no_interval_and_without_samples_nothing_has_one():
    (row,) = rows.built([NONE], SAMPLES, split="train")
    assert (row["value"], row["interval"]) == (None, None)
    assert rows.rounded([row]) == [row]
    (row,) = rows.built([THIRDS], bootstrap.draws(3, resamples=0), split="train")
    assert (row["value"], row["interval"], row["pictures"]) == (1 / 3, None, 3)
    nan = {"split": "all", "interval": (0.0, 0.5), "pictures": 3, "protocol": "in words"}
    assert rows.row("detect", "AP", value=float("nan"), **nan)["interval"] is None


def test_the_row_of_two_results_has_the_interval_of_their_difference_and_both_protocols():
    other = Measure("detect", "AP", "other words", ratio(np.array([1, 1, 0]), np.ones(3)))
    row = rows.compared(THIRDS, other, SAMPLES, split="train")
    wanted = bootstrap.paired(THIRDS.statistic, other.statistic, SAMPLES)
    assert (row["value"], row["other"], row["p"]) == (1 / 3, 2 / 3, wanted.p)
    assert row["difference"] == wanted.difference == pytest.approx(-1 / 3)
    assert tuple(row["interval"]) == wanted.interval
    assert row["protocol"] == "in words / other words; pictures drawn for both runs alike"
    same = rows.compared(THIRDS, THIRDS, SAMPLES, split="train")
    assert same["protocol"] == "in words; pictures drawn for both runs alike"
    (written,) = rows.rounded([row])
    assert (written["other"], written["difference"]) == (0.666667, -0.333333)
    missing = rows.rounded([rows.compared(THIRDS, NONE, SAMPLES, split="train")])[0]
    assert (missing["other"], missing["difference"], missing["p"]) == (None, None, None)


def test_files_of_score_have_the_digits_of_a_runs_metrics(tmp_path):
    masks = np.zeros((3, 6, 7), bool)
    masks[0, :3], masks[1, :2], masks[2, 3:] = True, True, True
    found = rle.encode(masks)
    images = [{"id": n, "file_name": f"{n}.png", "height": 6, "width": 7} for n in (1, 2, 3)]
    objects = [
        {"id": n, "image_id": n, "category_id": 1, "iscrowd": 0, "segmentation": found[0]}
        | {"bbox": [0, 0, 7, 3], "area": 21}
        for n in (1, 2, 3)
    ]
    truth = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "x"}]}
    results = [
        {"image_id": n, "category_id": 1, "segmentation": found[n - 1], "score": 0.5}
        for n in (1, 2, 3)
    ]
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "results.json").write_text(json.dumps(results))
    score = api.score_instances(
        predictions=tmp_path / "results.json",
        ground_truth=tmp_path / "truth.json",
        out=tmp_path / "score.json",
        bootstrap=20,
    )
    written = json.loads((tmp_path / "score.json").read_text())["metrics"]
    assert written == rows.rounded(score.rows)
    assert any(row["value"] == 0.666667 for row in written)
    assert 2 / 3 in [pytest.approx(row["value"], abs=1e-12) for row in score.rows]
