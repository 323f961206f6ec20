"""scan: ids by path, what is held out, and what is said when pictures change or a run moves."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskdistill import api
from maskdistill.datasets import synthetic
from maskdistill.errors import PictureError, RunError, SettingsError, StaleError
from maskdistill.runs.journal import Journal

BY_HAND: dict[str, Any] = {"propose": {"backbone": "handcrafted"}, "threads": 1}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawn")
    synthetic.write(root / "pictures", root / "truth.json", n_pictures=4, seed=5, size=(64, 80), prefix="p")
    synthetic.write(root / "validation", root / "truth.json", n_pictures=2, seed=6, size=(64, 80), prefix="v")
    return root


@pytest.fixture
def pictures(drawn: Path, tmp_path: Path) -> Path:
    """Four pictures that a test may change."""
    return Path(shutil.copytree(drawn / "pictures", tmp_path / "pictures"))


def small(path: Path, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((3, 5, 3), value, np.uint8)).save(path)


def many(folder: Path, names: list[str]) -> Path:
    for number, name in enumerate(names):
        small(folder / name, number)
    return folder


def run(pictures: Path, out: Path, *, until: str = "scan", start: str | None = None, **settings: Any) -> None:
    api.run(pictures=pictures, out=out, settings={**BY_HAND, **settings}, until=until, start=start, quiet=True)


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "images.jsonl").read_text("utf-8").splitlines()]


def held_out(out: Path) -> set[str]:
    return {row["path"] for row in rows(out) if row["split"] == "validation"}


def states(out: Path) -> dict[str, str]:
    return {row["stage"]: row["state"] for row in api.status(out=out)}


def times(out: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("*/stage.json")}


def test_ids_count_from_one_in_the_order_of_the_paths_bytes_in_utf_8(tmp_path):
    names = ["Z.png", "a-b.png", "a.png", "a/b.png", "z.png", "ä.png", "名前.png", "\U0001f600.png", "\uffee.png"]
    run(many(tmp_path / "pictures", names), tmp_path / "out")
    assert [row["path"] for row in rows(tmp_path / "out")] == sorted(names, key=lambda name: name.encode("utf-8"))
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


def test_refused_pictures_get_no_id_and_stand_with_their_reason_in_the_file_and_in_the_ledger(pictures, tmp_path):
    (pictures / "p0002.png").write_bytes(b"")
    Image.new("L", (1200, 900)).save(pictures / "large.png")
    out = tmp_path / "out"
    run(pictures, out, max_megapixels=1.0)
    assert [(row["id"], row["path"]) for row in rows(out)] == [(1, "p0001.png"), (2, "p0003.png"), (3, "p0004.png")]
    refused = [json.loads(line) for line in (out / "scan" / "refused.jsonl").read_text().splitlines()]
    assert [row["path"] for row in refused] == ["large.png", "p0002.png"]
    assert "megapixels" in refused[0]["refused"]
    assert "0 bytes" in refused[1]["refused"]
    events = [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]
    assert {event["picture"] for event in events if event["event"] == "refused"} == {"large.png", "p0002.png"}
    assert next(row for row in api.status(out=out) if row["stage"] == "scan")["counts"]["refused"] == 2


def test_where_all_pictures_are_refused_that_is_an_error_and_mended_pictures_are_seen_afterwards(tmp_path):
    folder, out = tmp_path / "pictures", tmp_path / "out"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"none of the 1 pictures can be read. The first: .*a\.png"):
        run(folder, out)
    assert states(out)["scan"] == "missing"
    small(folder / "a.png")
    run(folder, out)
    assert [row["path"] for row in rows(out)] == ["a.png"]


def test_validation_pictures_of_a_folder_come_last_whatever_their_names(drawn, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(drawn / "validation", tmp_path / "held out")
    shutil.copy(drawn / "pictures" / "p0001.png", tmp_path / "held out" / "a.png")
    run(drawn / "pictures", out, validation=str(tmp_path / "held out"))
    assert [(row["root"], row["split"]) for row in rows(out)] == [("pictures", "train")] * 4 + [
        ("validation", "validation")
    ] * 3
    assert [row["path"] for row in rows(out)][4:] == ["a.png", "v0001.png", "v0002.png"]


@pytest.mark.parametrize("inside", ["pictures", "validation"])
def test_a_validation_folder_inside_the_pictures_or_around_them_is_not_trained_on(drawn, tmp_path, inside):
    """No picture is in both splits, whichever folder lies in the other."""
    outer, inner = tmp_path / "outer", tmp_path / "outer" / "inner"
    shutil.copytree(drawn / "pictures", outer)
    shutil.copytree(drawn / "validation", inner)
    pictures, validation = (outer, inner) if inside == "validation" else (inner, outer)
    run(pictures, tmp_path / "out", validation=str(validation))
    of_outer, of_inner = {f"p000{number}.png" for number in range(1, 5)}, {"v0001.png", "v0002.png"}
    assert held_out(tmp_path / "out") == (of_inner if inside == "validation" else of_outer)
    assert {row["path"] for row in rows(tmp_path / "out")} == of_outer | of_inner
    assert len(rows(tmp_path / "out")) == 6


def test_the_pictures_own_folder_cannot_be_held_out(pictures, tmp_path):
    with pytest.raises(SettingsError, match="none is left to train on"):
        run(pictures, tmp_path / "out", validation=str(pictures / ".." / "pictures"))


NAMES = [f"{number:03d}.png" for number in range(40)]


def test_a_fraction_holds_out_that_share_and_the_same_pictures_every_time(tmp_path):
    folder = many(tmp_path / "pictures", NAMES)
    run(folder, tmp_path / "a", validation="0.3")
    run(folder, tmp_path / "b", validation="0.30")
    assert len(held_out(tmp_path / "a")) == 12
    assert held_out(tmp_path / "a") == held_out(tmp_path / "b")
    run(folder, tmp_path / "c", validation="0.3", seed=1)
    assert len(held_out(tmp_path / "c")) == 12
    assert held_out(tmp_path / "c") != held_out(tmp_path / "a")


def test_a_fraction_is_drawn_from_all_of_the_folder(tmp_path):
    run(many(tmp_path / "pictures", NAMES), tmp_path / "out", validation="0.5")
    numbers = [row["id"] for row in rows(tmp_path / "out") if row["split"] == "validation"]
    assert numbers != list(range(1, 21))
    assert min(numbers) <= 10
    assert max(numbers) > 30


def test_when_pictures_come_or_go_no_more_of_the_others_change_sides_than_came_or_went(tmp_path):
    run(many(tmp_path / "all", NAMES), tmp_path / "a", validation="0.3")
    fewer = sorted(random.Random(0).sample(NAMES, 35))
    run(many(tmp_path / "fewer", fewer), tmp_path / "b", validation="0.3")
    changed = (held_out(tmp_path / "a") & set(fewer)) ^ held_out(tmp_path / "b")
    assert len(changed) <= 5
    assert len(held_out(tmp_path / "a") & held_out(tmp_path / "b")) >= 7  # drawn anew, about 3 would be left


def test_the_smallest_fraction_holds_out_one_picture_and_a_single_picture_is_trained_on(pictures, tmp_path):
    run(pictures, tmp_path / "a", validation="0.001")
    assert len(held_out(tmp_path / "a")) == 1
    run(many(tmp_path / "one", ["a.png"]), tmp_path / "b", validation="0.5")
    assert held_out(tmp_path / "b") == set()


@pytest.mark.parametrize("fraction", ["0", "1", "1.5", "-0.1", "nan", "inf"])
def test_what_is_no_fraction_between_0_and_1_is_refused(pictures, tmp_path, fraction):
    with pytest.raises(SettingsError, match=f"a fraction lies between 0 and 1, got {fraction}"):
        run(pictures, tmp_path / "out", validation=fraction)


def test_a_list_names_the_pictures_that_are_held_out(pictures, tmp_path):
    small(pictures / "sub" / "ünï.png")
    (tmp_path / "list.txt").write_text("p0003.png\n\n  sub/ünï.png  \n", encoding="utf-8")
    run(pictures, tmp_path / "out", validation=str(tmp_path / "list.txt"))
    assert held_out(tmp_path / "out") == {"p0003.png", "sub/ünï.png"}
    assert {row["root"] for row in rows(tmp_path / "out")} == {"pictures"}


def test_a_listed_picture_that_is_refused_leaves_its_namesake_where_it_was(tmp_path):
    many(tmp_path / "pictures", ["train/a.png", "train/c.png", "val/a.png", "val/c.png"])
    (tmp_path / "pictures" / "val" / "c.png").write_bytes(b"no picture")
    (tmp_path / "list.txt").write_text("val/a.png\nval/c.png\n")
    run(tmp_path / "pictures", tmp_path / "out", validation=str(tmp_path / "list.txt"))
    assert held_out(tmp_path / "out") == {"val/a.png"}
    assert [row["path"] for row in rows(tmp_path / "out")] == ["train/a.png", "train/c.png", "val/a.png"]


def test_a_name_that_stands_twice_in_the_list_beside_only_is_held_out(tmp_path):
    many(tmp_path / "pictures", ["a.png", "b.png", "c.png", "d.png"])
    (tmp_path / "only.txt").write_text("a\nb\nc\n")
    (tmp_path / "list.txt").write_text("c.png\nd.png\nd.png\n")
    lists = {"only": str(tmp_path / "only.txt"), "validation": str(tmp_path / "list.txt")}
    run(tmp_path / "pictures", tmp_path / "out", **lists)
    assert held_out(tmp_path / "out") == {"c.png", "d.png"}


def test_a_run_with_only_goes_on_from_another_folder(tmp_path, monkeypatch):
    many(tmp_path / "pictures", ["a.png", "b.png"])
    (tmp_path / "only.txt").write_text("a\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    run(tmp_path / "pictures", tmp_path / "out", only="only.txt")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert {row["state"] for row in api.status(out=tmp_path / "out") if row["stage"] == "scan"} == {"done"}


def test_a_run_with_a_validation_folder_goes_on_from_another_folder_and_says_where_it_is_gone(
    drawn, tmp_path, monkeypatch
):
    shutil.copytree(drawn / "validation", tmp_path / "held")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    run(drawn / "pictures", tmp_path / "out", validation="held", until="propose")
    monkeypatch.chdir(tmp_path / "elsewhere")
    api.report(out=tmp_path / "out")
    (tmp_path / "held").rename(tmp_path / "gone")
    with pytest.raises(RunError, match=r"held: the folder of the validation pictures is not there any more"):
        api.propose(out=tmp_path / "out", settings={"propose": {"max_masks": 2}}, redo=True)
    api.report(out=tmp_path / "out")  # without its tiles


def test_a_list_that_names_what_is_not_there_is_refused_and_can_be_mended(pictures, tmp_path):
    file, out = tmp_path / "list.txt", tmp_path / "out"
    file.write_text("p0003.png\nb.png\na.png\n")
    with pytest.raises(SettingsError, match=r"list\.txt: 2 of 3 paths are not among the pictures, the first: a\.png"):
        run(pictures, out, validation=str(file))
    file.write_text("p0003.png\n")
    run(pictures, out, validation=str(file))
    assert held_out(out) == {"p0003.png"}


def test_a_list_of_all_pictures_leaves_none_to_train_on_and_can_be_mended(pictures, tmp_path):
    file, out = tmp_path / "list.txt", tmp_path / "out"
    file.write_text("\n".join(path.name for path in pictures.iterdir()))
    with pytest.raises(SettingsError, match="holds all 4 pictures; none is left to train on"):
        run(pictures, out, validation=str(file))
    assert states(out)["scan"] == "missing"
    run(pictures, out)
    assert held_out(out) == set()


def test_a_validation_that_is_not_there_is_refused_and_the_next_one_needs_no_from(pictures, tmp_path):
    with pytest.raises(SettingsError, match="neither a folder, a fraction between 0 and 1, nor a file"):
        run(pictures, tmp_path / "out", validation=str(tmp_path / "vlaidation"))
    run(pictures, tmp_path / "out", validation="0.5")
    assert len(held_out(tmp_path / "out")) == 2


def test_another_list_is_another_scan_but_another_name_of_the_same_list_is_not(pictures, tmp_path):
    out = tmp_path / "out"
    (tmp_path / "list.txt").write_text("p0003.png\n")
    run(pictures, out, validation=str(tmp_path / "list.txt"))
    before = times(out)
    shutil.move(tmp_path / "list.txt", tmp_path / "moved.txt")
    run(pictures, out, validation=str(tmp_path / "moved.txt"))
    assert times(out) == before
    (tmp_path / "moved.txt").write_text("p0002.png\n")
    with pytest.raises(StaleError, match=r"settings\.validation: list .* -> list "):
        run(pictures, out, validation=str(tmp_path / "moved.txt"))


def test_only_takes_the_pictures_of_a_list_and_those_of_the_validation_list(pictures, tmp_path):
    import gzip

    small(pictures / "sub" / "q0001.png")
    # By path, by file name, without extension, as the lists of VOC and COCO20k have them; plain or gzipped.
    (tmp_path / "only.txt.gz").write_bytes(gzip.compress(b"p0002\nelsewhere/p0004.png"))
    (tmp_path / "held.txt").write_text("q0001\n")
    run(pictures, tmp_path / "alone", only=str(tmp_path / "only.txt.gz"))
    assert [row["path"] for row in rows(tmp_path / "alone")] == ["p0002.png", "p0004.png"]
    assert [row["id"] for row in rows(tmp_path / "alone")] == [1, 2]
    lists = {"only": str(tmp_path / "only.txt.gz"), "validation": str(tmp_path / "held.txt")}
    run(pictures, tmp_path / "out", **lists)
    assert [row["path"] for row in rows(tmp_path / "out")] == ["p0002.png", "p0004.png", "sub/q0001.png"]
    assert held_out(tmp_path / "out") == {"sub/q0001.png"}
    run(pictures, tmp_path / "out", **lists)  # nothing changed
    (pictures / "p0001.png").unlink()  # which is in no list
    run(pictures, tmp_path / "out", **lists)


def test_only_and_limit_take_the_first_of_both_lists(tmp_path):
    many(tmp_path / "pictures", [f"{letter}.png" for letter in "abcdef"])
    (tmp_path / "only.txt").write_text("c\nd\n")
    (tmp_path / "held.txt").write_text("c\ne\nf\n")  # what is held out is not trained on, whatever `only` says
    lists = {"only": str(tmp_path / "only.txt"), "validation": str(tmp_path / "held.txt")}
    run(tmp_path / "pictures", tmp_path / "out", limit=1, **lists)
    assert [(row["path"], row["split"]) for row in rows(tmp_path / "out")] == [
        ("c.png", "validation"),
        ("d.png", "train"),
    ]
    run(tmp_path / "pictures", tmp_path / "whole", **lists)
    assert [row["path"] for row in rows(tmp_path / "whole")] == ["c.png", "d.png", "e.png", "f.png"]
    assert held_out(tmp_path / "whole") == {"c.png", "e.png", "f.png"}


def test_a_fraction_of_only_may_be_held_out_and_a_folder_beside_it(drawn, tmp_path):
    (tmp_path / "only.txt").write_text("p0001\np0002\n")
    run(drawn / "pictures", tmp_path / "out", only=str(tmp_path / "only.txt"), validation="0.5")
    assert len(rows(tmp_path / "out")) == 2
    assert len(held_out(tmp_path / "out")) == 1
    run(drawn / "pictures", tmp_path / "beside", only=str(tmp_path / "only.txt"), validation=str(drawn / "validation"))
    assert [row["path"] for row in rows(tmp_path / "beside")] == ["p0001.png", "p0002.png", "v0001.png", "v0002.png"]


def test_a_list_for_only_that_is_missing_empty_or_names_others_is_refused_and_another_one_is_another_scan(
    pictures, tmp_path
):
    file, out = tmp_path / "only.txt", tmp_path / "out"
    with pytest.raises(SettingsError, match=r"only: .*only\.txt: cannot be read as a list of names"):
        run(pictures, out, only=str(file))
    file.write_text("\n")
    with pytest.raises(SettingsError, match="holds no name"):
        run(pictures, out, only=str(file))
    file.write_text("p0003\nb.png\na.png\n")
    with pytest.raises(SettingsError, match=r"only\.txt: 2 of 3 paths are not among the pictures, the first: a\.png"):
        run(pictures, out, only=str(file))
    file.write_text("p0003\n")
    run(pictures, out, only=str(file))
    file.write_text("p0002\n")
    with pytest.raises(StaleError, match=r"settings\.only: list .* -> list "):
        run(pictures, out, only=str(file))
    with pytest.raises(StaleError, match=r"settings\.only: "):
        run(pictures, out)


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
        ({"validation": "0.5"}, {"validation": "0.5", "seed": 1}, "settings.validation_seed: 0 -> 1"),
        ({}, {"orientation": "stored"}, "settings.orientation: exif -> stored"),
        ({}, {"max_megapixels": 50.0}, "settings.max_megapixels: 100.0 -> 50.0"),
    ],
)
def test_another_setting_is_refused_with_both_values_and_from_scans_again(pictures, tmp_path, before, after, words):
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
    with pytest.raises(RunError, match=r"\+1 and -1, 1 replaced \(\+new\.png, -p0001\.png, ~p0003\.png\)") as caught:
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
    run(folder, out, until="propose")  # the size alone is looked at each time: nobody hashes a million pictures for it
    run(folder, out, start="scan")
    assert states(out)["propose"] == "stale"


def test_a_scan_from_the_start_of_unchanged_pictures_leaves_later_stages_as_they_are(pictures, tmp_path):
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
    api.run(out=there / "run", until="propose", quiet=True)  # the new places stand in config.yaml now
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
                journal.add(number, {**row, "bytes": (pictures / path).stat().st_size, "sha256": "of the journal"})

    begun(tmp_path / "goes on", ["p0001.png", "p0002.png"])
    run(pictures, tmp_path / "goes on")
    assert [row["sha256"] == "of the journal" for row in rows(tmp_path / "goes on")] == [True, True, False, False]
    begun(tmp_path / "came", ["p0001.png", "p0003.png"])
    run(pictures, tmp_path / "came")
    assert "of the journal" not in {row["sha256"] for row in rows(tmp_path / "came")}
    begun(tmp_path / "went", ["p0001.png", "p0002.png", "p0003.png", "p0004.png"])
    (pictures / "p0004.png").unlink()
    run(pictures, tmp_path / "went")
    assert [row["path"] for row in rows(tmp_path / "went")] == ["p0001.png", "p0002.png", "p0003.png"]


def test_a_scan_that_was_stopped_just_before_its_end_goes_on(pictures, tmp_path):
    out = tmp_path / "out"
    run(pictures, out)
    whole = (out / "images.jsonl").read_bytes()
    for gone in ("stage.json", "refused.jsonl"):  # images.jsonl is written first, stage.json last
        (out / "scan" / gone).unlink()
    run(pictures, out)
    assert (out / "images.jsonl").read_bytes() == whole
