"""scan: ids by path, and what is said when pictures change or a run moves."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from maskdistill import api
from maskdistill.errors import PictureError, RunError, StaleError
from maskdistill.runs.journal import Journal
from tests.made import states
from tests.stages.scans import BY_HAND, draw, many, rows, run, small, times


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("drawn"))


@pytest.fixture
def pictures(drawn: Path, tmp_path: Path) -> Path:
    """Four pictures that a test may change."""
    return Path(shutil.copytree(drawn / "pictures", tmp_path / "pictures"))


def test_ids_count_from_one_in_the_order_of_the_paths_bytes_in_utf_8(tmp_path):
    names = [
        "Z.png",
        "a-b.png",
        "a.png",
        "a/b.png",
        "z.png",
        "ä.png",
        "名前.png",
        "\U0001f600.png",
        "\uffee.png",
    ]
    run(many(tmp_path / "pictures", names), tmp_path / "out")
    assert [row["path"] for row in rows(tmp_path / "out")] == sorted(
        names, key=lambda name: name.encode("utf-8")
    )
    assert [row["id"] for row in rows(tmp_path / "out")] == list(range(1, len(names) + 1))


def test_a_row_says_what_a_picture_is(tmp_path):
    import hashlib

    folder = tmp_path / "pictures"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter
    Image.new("RGB", (5, 3)).save(folder / "a.jpg", exif=exif)
    run(folder, tmp_path / "out")
    content = (folder / "a.jpg").read_bytes()
    assert rows(tmp_path / "out") == [
        {
            "id": 1,
            "root": "pictures",
            "path": "a.jpg",
            "width": 3,
            "height": 5,
            "orientation": 6,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "split": "train",
        }
    ]
    run(folder, tmp_path / "stored", orientation="stored")
    assert (rows(tmp_path / "stored")[0]["width"], rows(tmp_path / "stored")[0]["height"]) == (5, 3)


def test_refused_pictures_get_no_id_and_stand_with_their_reason_in_the_file_and_in_the_ledger(
    pictures, tmp_path
):
    (pictures / "p0002.png").write_bytes(b"")
    Image.new("L", (1200, 900)).save(pictures / "large.png")
    out = tmp_path / "out"
    run(pictures, out, max_megapixels=1.0)
    assert [(row["id"], row["path"]) for row in rows(out)] == [
        (1, "p0001.png"),
        (2, "p0003.png"),
        (3, "p0004.png"),
    ]
    refused = [
        json.loads(line) for line in (out / "scan" / "refused.jsonl").read_text().splitlines()
    ]
    assert [row["path"] for row in refused] == ["large.png", "p0002.png"]
    assert "megapixels" in refused[0]["refused"]
    assert "0 bytes" in refused[1]["refused"]
    events = [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]
    assert {event["picture"] for event in events if event["event"] == "refused"} == {
        "large.png",
        "p0002.png",
    }
    assert (
        next(row for row in api.status(out=out) if row["stage"] == "scan")["counts"]["refused"] == 2
    )


def test_where_all_pictures_are_refused_that_is_an_error_and_mended_pictures_are_seen_afterwards(
    tmp_path,
):
    folder, out = tmp_path / "pictures", tmp_path / "out"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"no picture")
    with pytest.raises(
        PictureError, match=r"none of the 1 pictures can be read. The first: .*a\.png"
    ):
        run(folder, out)
    assert states(out)["scan"] == "missing"
    small(folder / "a.png")
    run(folder, out)
    assert [row["path"] for row in rows(out)] == ["a.png"]


def test_limit_takes_the_first_pictures_of_each_folder(drawn, tmp_path):
    run(drawn / "pictures", tmp_path / "out", limit=1, validation=str(drawn / "validation"))
    assert [(row["path"], row["split"]) for row in rows(tmp_path / "out")] == [
        ("p0001.png", "train"),
        ("v0001.png", "validation"),
    ]
    run(drawn / "pictures", tmp_path / "all", limit=99)
    assert len(rows(tmp_path / "all")) == 4


@pytest.mark.parametrize(
    "before, after, words",
    [
        ({"limit": 2}, {}, "settings.limit: 2 -> 0"),
        ({}, {"validation": "0.5"}, "settings.validation: None -> 0.5"),
        (
            {"validation": "0.5"},
            {"validation": "0.5", "seed": 1},
            "settings.validation_seed: 0 -> 1",
        ),
        ({}, {"orientation": "stored"}, "settings.orientation: exif -> stored"),
        ({}, {"max_megapixels": 50.0}, "settings.max_megapixels: 100.0 -> 50.0"),
    ],
)
def test_another_setting_is_refused_with_both_values_and_from_scans_again(
    pictures, tmp_path, before, after, words
):
    out = tmp_path / "out"
    run(pictures, out, **before)
    with pytest.raises(StaleError, match="--from scan") as caught:
        run(pictures, out, **after)
    assert words in str(caught.value)
    run(pictures, out, start="scan", **after)
    assert states(out)["scan"] == "done"


def test_a_validation_folder_that_is_left_out_later_is_told_as_a_setting(drawn, tmp_path):
    run(drawn / "pictures", tmp_path / "out", validation=str(drawn / "validation"))
    with pytest.raises(StaleError, match=r"settings\.validation: folder -> None"):
        run(drawn / "pictures", tmp_path / "out")


def test_settings_that_change_no_row_do_not_scan_again(pictures, tmp_path):
    out = tmp_path / "out"
    run(pictures, out)
    before = times(out)
    run(pictures, out, seed=4, workers=0, device="cpu", label={"min_score": 0.1})
    assert times(out) == before


def test_pictures_that_came_went_or_were_replaced_are_counted_and_named(pictures, tmp_path):
    out = tmp_path / "out"
    run(pictures, out)
    (pictures / "p0001.png").unlink()
    small(pictures / "new.png")
    small(pictures / "p0003.png", 7)  # another size in bytes
    with pytest.raises(
        RunError, match=r"\+1 and -1, 1 replaced \(\+new\.png, -p0001\.png, ~p0003\.png\)"
    ) as caught:
        run(pictures, out)
    assert "--from scan, or give another --out" in str(caught.value)
    assert len(rows(out)) == 4


def test_a_picture_that_was_refused_and_is_still_there_is_no_change(pictures, tmp_path):
    (pictures / "broken.png").write_bytes(b"")
    run(pictures, tmp_path / "out")
    run(pictures, tmp_path / "out")
    (pictures / "broken.png").unlink()
    with pytest.raises(RunError, match=r"\+0 and -1 \(-broken\.png\)"):
        run(pictures, tmp_path / "out")


def test_after_pictures_changed_a_scan_from_the_start_makes_later_stages_stale(pictures, tmp_path):
    out = tmp_path / "out"
    run(pictures, out, until="propose")
    small(pictures / "p0003.png", 7)
    with pytest.raises(RunError, match=r"1 replaced \(~p0003\.png\)"):
        run(pictures, out, until="propose")
    run(pictures, out, start="scan")
    assert (rows(out)[2]["width"], rows(out)[2]["height"]) == (5, 3)
    assert states(out)["scan"] == "done"
    assert states(out)["propose"] == "stale"
    with pytest.raises(StaleError, match=r"reads\.scan: "):
        run(pictures, out, until="propose")
    run(pictures, out, until="propose", start="scan")
    assert (states(out)["scan"], states(out)["propose"]) == ("done", "done")
    assert not (out / "old").exists()


def test_later_stages_know_pictures_by_content_even_where_size_and_name_are_the_same(tmp_path):
    folder, out = tmp_path / "pictures", tmp_path / "out"
    folder.mkdir()
    for name, value in (("a.bmp", 1), ("b.bmp", 2)):
        Image.new("RGB", (40, 32), (value, 0, 0)).save(folder / name)
    run(folder, out, until="propose")
    n_bytes = (folder / "b.bmp").stat().st_size
    Image.new("RGB", (40, 32), (200, 0, 0)).save(folder / "b.bmp")
    assert (folder / "b.bmp").stat().st_size == n_bytes
    run(
        folder, out, until="propose"
    )  # the size alone is looked at each time: nobody hashes a million pictures for it
    run(folder, out, start="scan")
    assert states(out)["propose"] == "stale"


def test_a_scan_from_the_start_of_unchanged_pictures_leaves_later_stages_as_they_are(
    pictures, tmp_path
):
    out = tmp_path / "out"
    run(pictures, out, until="propose")
    before = times(out)
    run(pictures, out, until="propose", start="scan")
    assert times(out)["scan"] > before["scan"]
    assert times(out)["propose"] == before["propose"]


def test_a_run_that_moves_with_its_pictures_is_not_stale(drawn, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for name in ("pictures", "validation"):
        shutil.copytree(drawn / name, here / name)
    run(here / "pictures", here / "run", until="propose", validation=str(here / "validation"))
    before = times(here / "run")
    shutil.move(here, there)
    run(there / "pictures", there / "run", until="propose", validation=str(there / "validation"))
    assert times(there / "run") == before
    assert (states(there / "run")["scan"], states(there / "run")["propose"]) == ("done", "done")
    assert not here.exists()
    api.run(
        out=there / "run", until="propose", quiet=True
    )  # the new places stand in config.yaml now
    assert times(there / "run") == before


def test_pictures_that_are_not_at_hand_do_not_stop_what_needs_none(pictures, tmp_path):
    out = tmp_path / "out"
    run(pictures, out, until="propose")
    shutil.rmtree(pictures)
    api.run(out=out, until="propose", quiet=True)
    assert states(out)["propose"] == "done"


def test_an_unfinished_scan_goes_on_and_begins_anew_where_pictures_came_or_went(pictures, tmp_path):
    def begun(out: Path, paths: list[str]) -> None:
        with Journal(out / "scan" / "parts") as journal:
            for number, path in enumerate(paths, 1):
                row = {"root": "pictures", "path": path, "width": 1, "height": 1, "orientation": 1}
                journal.add(
                    number,
                    {**row, "bytes": (pictures / path).stat().st_size, "sha256": "of the journal"},
                )

    begun(tmp_path / "goes on", ["p0001.png", "p0002.png"])
    run(pictures, tmp_path / "goes on")
    assert [row["sha256"] == "of the journal" for row in rows(tmp_path / "goes on")] == [
        True,
        True,
        False,
        False,
    ]
    begun(tmp_path / "came", ["p0001.png", "p0003.png"])
    run(pictures, tmp_path / "came")
    assert "of the journal" not in {row["sha256"] for row in rows(tmp_path / "came")}
    begun(tmp_path / "went", ["p0001.png", "p0002.png", "p0003.png", "p0004.png"])
    (pictures / "p0004.png").unlink()
    run(pictures, tmp_path / "went")
    assert [row["path"] for row in rows(tmp_path / "went")] == [
        "p0001.png",
        "p0002.png",
        "p0003.png",
    ]


def test_a_scan_that_was_stopped_just_before_its_end_goes_on(pictures, tmp_path):
    out = tmp_path / "out"
    run(pictures, out)
    whole = (out / "images.jsonl").read_bytes()
    for gone in ("stage.json", "refused.jsonl"):  # images.jsonl is written first, stage.json last
        (out / "scan" / gone).unlink()
    run(pictures, out)
    assert (out / "images.jsonl").read_bytes() == whole


def test_what_is_passed_over_is_told_counted_and_noted_and_moves_nothing_else(
    pictures, tmp_path, capsys
):
    plain, mixed = tmp_path / "plain", tmp_path / "mixed"
    run(pictures, plain)
    for name in ("a.dcm", "b/c.dcm", "noname", ".hidden.dcm", "Thumbs.db"):
        (pictures / name).parent.mkdir(exist_ok=True)
        (pictures / name).write_bytes(b"x")
    api.run(pictures=pictures, out=mixed, settings=BY_HAND, until="scan")
    said = "3 files passed over: 2 .dcm, 1 without suffix"
    assert said in capsys.readouterr().err.splitlines()
    records = [json.loads((out / "scan/stage.json").read_text()) for out in (plain, mixed)]
    assert "passed_over" not in records[0]["counts"]
    assert records[1]["counts"] == {**records[0]["counts"], "passed_over": 3}
    assert records[0]["fingerprint"] == records[1]["fingerprint"]
    assert (plain / "images.jsonl").read_bytes() == (mixed / "images.jsonl").read_bytes()
    events = [json.loads(line) for line in (mixed / "ledger.jsonl").read_text().splitlines()]
    assert [event["what"] for event in events if event["event"] == "note"] == [said]
    api.report(out=mixed, quiet=True)
    assert said in (mixed / "report" / "index.html").read_text(encoding="utf-8")


def test_another_file_that_is_no_picture_is_no_change_of_the_pictures(pictures, tmp_path):
    run(pictures, tmp_path / "out")
    before = times(tmp_path / "out")
    (pictures / "notes.dcm").write_bytes(b"x")
    run(pictures, tmp_path / "out")
    assert times(tmp_path / "out") == before


def test_pages_that_are_left_out_are_told_and_stand_in_no_row(tmp_path, capsys):
    folder, out = tmp_path / "pictures", tmp_path / "out"
    many(folder, ["a.png", "b.png"])
    frames = [Image.new("L", (5, 3), 9 * number) for number in range(20)]
    frames[0].save(folder / "stack.tif", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "few.gif", save_all=True, append_images=frames[1:4])
    api.run(pictures=folder, out=out, settings=BY_HAND, until="scan")
    said = "2 of 4 pictures have more pages: 22 pages left out, the first of each is read"
    assert said in capsys.readouterr().err.splitlines()
    record = json.loads((out / "scan" / "stage.json").read_text())
    assert record["counts"]["pages_left_out"] == 22
    assert {len(row) for row in rows(out)} == {9}
    assert "pages" not in rows(out)[3]
    events = [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]
    assert said in [event.get("what") for event in events]
    (folder / "few.gif").unlink()
    frames[0].save(folder / "stack.tif", save_all=True, append_images=frames[1:2])
    api.run(pictures=folder, out=tmp_path / "one", settings=BY_HAND, until="scan")
    assert "1 of 3 pictures has more pages: 1 page left out" in capsys.readouterr().err
