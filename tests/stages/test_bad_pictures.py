"""Folders as people have them: what cannot be used is named with its reason, and nothing else is lost."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskdistill import api
from maskdistill.errors import PictureError, RunError, TrainingError
from maskdistill.workflows import demo_pictures
from tests.made import lines_of, states
from tests.tiny_runs import QUICK, TinyRun


def test_damaged_pictures_are_listed_with_reasons_and_the_others_go_through(tmp_path: Path) -> None:
    folder = tmp_path / "Fotos für später"
    (folder / "a").mkdir(parents=True)
    (folder / "b").mkdir()
    for number, name in enumerate(["a/same.png", "b/same.png", "ünï ©ode.png"]):
        Image.fromarray(demo_pictures.draw(0, number + 1, size=(96, 120)).rgb).save(folder / name)
    whole = tmp_path / "whole.jpg"
    Image.fromarray(demo_pictures.draw(0, 9, size=(96, 120)).rgb).save(whole, quality=95)
    (folder / "truncated.jpg").write_bytes(whole.read_bytes()[:900])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("this is no picture")
    Image.new("RGB", (1, 1), (9, 9, 9)).save(folder / "one pixel.png")
    frames = [Image.new("P", (40, 48), value) for value in (1, 2)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    out = tmp_path / "run"
    api.run(pictures=folder, out=out, settings=QUICK, quiet=True)
    rows = {
        row["path"]: row
        for row in map(json.loads, (out / "images.jsonl").read_text("utf-8").splitlines())
    }
    assert {"a/same.png", "b/same.png", "ünï ©ode.png", "one pixel.png", "moving.gif"} <= set(rows)
    refused = {
        row["path"]: row["refused"]
        for row in map(json.loads, (out / "scan/refused.jsonl").read_text().splitlines())
    }
    assert "0 bytes" in refused["empty.jpg"]
    assert "not a picture" in refused["text.jpg"]
    events = [json.loads(line) for line in (out / "ledger.jsonl").read_text("utf-8").splitlines()]
    reasons = {event["picture"]: event["reason"] for event in events if event["event"] == "refused"}
    assert "truncated.jpg" in reasons
    text = (out / "report" / "index.html").read_text(encoding="utf-8")
    assert "truncated.jpg" in text
    predictions = {path.stem for path in (out / "segment" / "predictions").glob("*.png")}
    assert predictions == {str(row["id"]) for path, row in rows.items() if path != "truncated.jpg"}


@pytest.mark.parametrize("n_pictures", [1, 2, 12])
def test_a_run_of_very_few_pictures_goes_through(tmp_path: Path, n_pictures: int) -> None:
    folder = tmp_path / "pictures"
    demo_pictures.write(
        folder,
        tmp_path / "truth.json",
        n_pictures=n_pictures,
        seed=0,
        size=(128, 160) if n_pictures < 12 else (64, 80),
    )
    api.run(pictures=folder, out=tmp_path / "run", settings=QUICK, quiet=True)
    assert (tmp_path / "run" / "report" / "index.html").exists()


@pytest.mark.parametrize(
    ("size", "until", "n_masks"),
    [((5500, 7300), "cluster", 1), ((40, 9000), "propose", 0)],
    ids=["40 megapixels", "a panorama"],
)
def test_a_large_picture_is_made_smaller_for_the_backbone_and_its_masks_have_its_own_size(
    tmp_path: Path, size: tuple[int, int], until: str, n_masks: int
) -> None:
    (tmp_path / "pictures").mkdir()
    drawn = Image.fromarray(demo_pictures.draw(3, 23, size=(64, 80)).rgb).resize(
        size[::-1], Image.Resampling.NEAREST
    )
    drawn.save(tmp_path / "pictures" / "large.png", compress_level=1)
    out = tmp_path / "run"
    settings = {**QUICK, "propose": {**QUICK["propose"], "max_masks": 1, "max_patches": 200}}
    api.run(pictures=tmp_path / "pictures", out=out, settings=settings, until=until, quiet=True)
    (line,) = map(json.loads, (out / "propose" / "proposals.jsonl").read_text().splitlines())
    assert "refused" not in line
    assert [mask["rle"]["size"] for mask in line["masks"]] == [list(size)] * n_masks


def test_a_folder_without_any_readable_picture_says_so(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    with pytest.raises(PictureError, match="is empty"):
        api.run(pictures=tmp_path / "pictures", out=tmp_path / "run", settings=QUICK, quiet=True)
    (tmp_path / "pictures" / "a.jpg").write_bytes(b"")
    with pytest.raises(PictureError, match="none of the 1 pictures can be read"):
        api.run(pictures=tmp_path / "pictures", out=tmp_path / "run", settings=QUICK, quiet=True)


def test_the_run_folder_inside_the_pictures_is_not_searched(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    demo_pictures.write(folder, tmp_path / "truth.json", n_pictures=2, seed=5, size=(64, 80))
    out = folder / "run"
    api.run(pictures=folder, out=out, settings=QUICK, until="propose", quiet=True)
    (out / "label").mkdir()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(out / "label" / "1.png")
    api.run(pictures=folder, out=out, settings=QUICK, until="propose", quiet=True)


def test_a_folder_that_goes_away_stops_the_run_and_nothing_is_recorded_of_its_pictures(
    tmp_path: Path,
) -> None:
    folder, away = tmp_path / "pictures", tmp_path / "away"
    demo_pictures.write(folder, tmp_path / "truth.json", n_pictures=3, seed=3, size=(64, 80))
    out = tmp_path / "run"
    api.run(pictures=folder, out=out, settings=QUICK, until="scan", quiet=True)
    folder.rename(away)
    with pytest.raises(RunError, match="cannot be opened any more"):
        api.run(out=out, until="propose", quiet=True)
    away.rename(folder)
    api.run(out=out, until="propose", quiet=True)
    lines = list(map(json.loads, (out / "propose" / "proposals.jsonl").read_text().splitlines()))
    assert [line["id"] for line in lines] == [1, 2, 3]
    assert not any("refused" in line for line in lines)


def test_a_picture_that_was_mended_is_tried_again_when_the_stage_is_done_again(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "pictures"
    demo_pictures.write(folder, tmp_path / "truth.json", n_pictures=2, seed=3, size=(64, 80))
    whole = (folder / "0002.png").read_bytes()
    # Only the head of the file, at the same size, so that the scan sees no change.
    (folder / "0002.png").write_bytes(whole[:60] + bytes(len(whole) - 60))
    out = tmp_path / "run"
    api.run(pictures=folder, out=out, settings=QUICK, until="propose", quiet=True)
    lines = list(map(json.loads, (out / "propose" / "proposals.jsonl").read_text().splitlines()))
    assert "refused" in lines[1]
    (folder / "0002.png").write_bytes(whole)
    api.propose(out=out, redo=True)
    lines = list(map(json.loads, (out / "propose" / "proposals.jsonl").read_text().splitlines()))
    assert "refused" not in lines[1]


@pytest.mark.parametrize(
    ("verb", "other"),
    [("detect", {"detect": {"min_score": 0.01}}), ("segment", {"segment": {"pixels": "plain"}})],
    ids=["detect", "segment"],
)
def test_a_picture_that_a_trained_network_could_not_read_is_tried_again_once_it_is_mended(
    tiny: TinyRun, tmp_path: Path, verb: str, other: dict[str, Any]
) -> None:
    out = Path(shutil.copytree(tiny.out, tmp_path / "run"))
    held_out = Path(shutil.copytree(tiny.validation, tmp_path / "validation"))
    damaged = held_out / "v0002.png"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:60] + bytes(len(whole) - 60))
    again = getattr(api, verb)
    again(out=out, settings={**other, "validation": str(held_out)}, redo=True)
    (number,) = (
        row["id"]
        for row in map(json.loads, (out / "images.jsonl").read_text("utf-8").splitlines())
        if row["path"] == "v0002.png"
    )

    def state() -> tuple[int, bool]:
        """How many the record says were refused, and whether the stage has something of it."""
        entry = json.loads((out / verb / "stage.json").read_text("utf-8"))
        if verb == "segment":
            return entry["counts"]["refused"], f"predictions/{number}.png" in entry["outputs"]
        lines = (out / "detect" / "detections.jsonl").read_text("utf-8").splitlines()
        line = next(line for line in map(json.loads, lines) if line["id"] == number)
        return entry["counts"]["refused"], "refused" not in line

    assert state() == (1, False)
    damaged.write_bytes(whole)
    again(out=out, redo=True)
    assert state() == (0, True)


def test_the_report_lists_the_pictures_that_are_left_out_now_and_not_those_that_were_mended(
    tmp_path: Path,
) -> None:
    folder, out = tmp_path / "pictures", tmp_path / "run"
    demo_pictures.write(folder, tmp_path / "truth.json", n_pictures=2, seed=3, size=(64, 80))
    whole = (folder / "0001.png").read_bytes()
    (folder / "x.png").write_bytes(b"no picture")
    (folder / "0002.png").write_bytes(
        whole[:60] + bytes(len(whole) - 60)
    )  # its head is whole: the scan takes it
    api.run(pictures=folder, out=out, settings=QUICK, until="propose", quiet=True)
    page = api.report(out=out).read_text(encoding="utf-8")
    assert "2 pictures were left out" in page
    for name in ("x.png", "0002.png"):
        (folder / name).write_bytes(whole)
    api.run(pictures=folder, out=out, settings=QUICK, until="propose", start="scan", quiet=True)
    assert "left out. Nothing else" not in api.report(out=out).read_text(encoding="utf-8")


def test_pictures_that_are_left_out_are_named_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pictures"
    demo_pictures.write(folder, tmp_path / "truth.json", n_pictures=1, seed=3, size=(64, 80))
    for number in range(7):
        (folder / f"bad{number}.jpg").write_bytes(b"no picture")
    api.run(pictures=folder, out=tmp_path / "run", settings=QUICK, until="scan")
    said = capsys.readouterr().err
    assert said.count("left out: ") == 6
    assert "bad0.jpg" in said
    assert "left out: 2 more; the report and ledger.jsonl name them all" in said


def test_a_picture_replaced_by_one_of_the_same_size_is_noticed(tmp_path: Path) -> None:
    folder, out = tmp_path / "pictures", tmp_path / "run"
    demo_pictures.write(folder, tmp_path / "truth.json", n_pictures=3, seed=3, size=(64, 80))
    settings = {**QUICK, "cluster": {"k": 2}}
    api.run(pictures=folder, out=out, settings=settings, until="cluster", quiet=True)
    (folder / "0002.png").write_bytes((folder / "0003.png").read_bytes())
    with pytest.raises(PictureError, match=r"0002\.png: is another picture than was scanned"):
        api.detect(out=out)  # of a picture that is learnt from; one that is predicted is left out


def test_a_mended_picture_is_told_and_read_by_all_stages_behind_its_proposals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "pictures", tmp_path / "run"
    demo_pictures.write(folder, tmp_path / "truth.json", n_pictures=3, seed=3, size=(64, 80))
    whole = (folder / "0002.png").read_bytes()
    (folder / "0002.png").write_bytes(whole[:60] + bytes(len(whole) - 60))
    settings = {**QUICK, "cluster": {"k": 2}}
    api.run(pictures=folder, out=out, settings=settings, until="scan", quiet=True)
    (folder / "0002.png").write_bytes(whole)
    capsys.readouterr()
    for verb in (api.propose, api.cluster, api.detect):
        verb(out=out)
    assert "propose: 1 pictures changed since the scan" in capsys.readouterr().err
    lines = lines_of(out / "propose/proposals.jsonl")
    assert [("content" in line, "refused" in line) for line in lines] == [
        (False, False),
        (True, False),
        (False, False),
    ]
    assert not any("refused" in line for line in lines_of(out / "detect/detections.jsonl"))
    (folder / "0002.png").write_bytes((folder / "0003.png").read_bytes())  # and replaced again
    api.detect(out=out, settings={"detect": {"nms": 0.3}}, redo=True)
    lines = list(map(json.loads, (out / "detect/detections.jsonl").read_text().splitlines()))
    assert "another picture than was scanned" in lines[1]["refused"]


def test_a_picture_that_is_put_back_is_refused_behind_the_proposals_of_the_other_one(
    tmp_path: Path,
) -> None:
    folder, out = tmp_path / "pictures", tmp_path / "run"
    demo_pictures.write(folder, tmp_path / "truth.json", n_pictures=3, seed=3, size=(64, 80))
    own = (folder / "0002.png").read_bytes()
    settings = {**QUICK, "cluster": {"k": 2}}
    api.run(pictures=folder, out=out, settings=settings, until="scan", quiet=True)
    (folder / "0002.png").write_bytes((folder / "0001.png").read_bytes())  # which has masks
    api.propose(out=out, quiet=True)
    (folder / "0002.png").write_bytes(own)
    with pytest.raises(TrainingError, match="another picture than was scanned"):
        api.cluster(out=out, quiet=True)


def test_what_was_made_of_a_refused_picture_is_stale_once_the_picture_is_mended(
    tmp_path: Path,
) -> None:
    folder, held_out, out = tmp_path / "pictures", tmp_path / "held", tmp_path / "run"
    demo_pictures.write(folder, tmp_path / "a.json", n_pictures=3, seed=3, size=(64, 80))
    demo_pictures.write(held_out, tmp_path / "b.json", n_pictures=2, seed=4, size=(64, 80))
    settings = {**QUICK, "cluster": {"k": 2}, "validation": str(held_out)}
    api.run(pictures=folder, out=out, settings=settings, until="cluster", quiet=True)
    whole = (held_out / "0001.png").read_bytes()
    (held_out / "0001.png").write_bytes(whole[:60] + bytes(len(whole) - 60))
    api.detect(out=out, quiet=True)
    api.label(out=out, quiet=True)
    assert states(out)["label"] == "done"
    (held_out / "0001.png").write_bytes(whole)
    api.detect(out=out, redo=True, quiet=True)
    assert states(out)["label"] == "stale"
    api.label(out=out, redo=True, quiet=True)
    coverage = json.loads((out / "label" / "coverage.json").read_text())
    assert coverage["4"]["masks"] > 0


def test_a_damaged_record_of_what_is_done_each_time_stops_nobody(tmp_path: Path) -> None:
    folder, out = tmp_path / "pictures", tmp_path / "run"
    demo_pictures.write(folder, tmp_path / "truth.json", n_pictures=2, seed=3, size=(64, 80))
    api.run(pictures=folder, out=out, settings=QUICK, until="propose", quiet=True)
    api.report(out=out, quiet=True)
    (out / "report" / "stage.json").write_text("{")
    assert states(out)["report"] == "done"
    api.report(out=out, quiet=True)
    assert json.loads((out / "report" / "stage.json").read_text())["stage"] == "report"
    (out / "report" / "parts").mkdir()  # as a kill leaves it
    assert states(out)["report"] == "unfinished"
