"""scan: which pictures there are and which are held out: folders, fractions, lists, --only."""

import json
import random
import shutil
from pathlib import Path

import pytest

from maskdistill import api
from maskdistill.errors import RunError, SettingsError, StaleError
from maskdistill.runs.ledger import Ledger
from tests.made import states
from tests.stages.scans import BY_HAND, draw, held_out, many, rows, run, small, times


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("drawn"))


@pytest.fixture
def pictures(drawn: Path, tmp_path: Path) -> Path:
    """Four pictures that a test may change."""
    return Path(shutil.copytree(drawn / "pictures", tmp_path / "pictures"))


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
def test_a_validation_folder_inside_the_pictures_or_around_them_is_not_trained_on(
    drawn, tmp_path, inside
):
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
    assert (
        len(held_out(tmp_path / "a") & held_out(tmp_path / "b")) >= 7
    )  # drawn anew, about 3 would be left


def test_the_smallest_fraction_holds_out_one_picture_and_a_single_picture_is_trained_on(
    pictures, tmp_path
):
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
    # With the mark that Windows' editors put first.
    (tmp_path / "list.txt").write_text("p0003.png\n\n  sub/ünï.png  \n", encoding="utf-8-sig")
    run(pictures, tmp_path / "out", validation=str(tmp_path / "list.txt"))
    assert held_out(tmp_path / "out") == {"p0003.png", "sub/ünï.png"}
    assert {row["root"] for row in rows(tmp_path / "out")} == {"pictures"}


def test_a_listed_picture_that_is_refused_leaves_its_namesake_where_it_was(tmp_path):
    many(tmp_path / "pictures", ["train/a.png", "train/c.png", "val/a.png", "val/c.png"])
    (tmp_path / "pictures" / "val" / "c.png").write_bytes(b"no picture")
    (tmp_path / "list.txt").write_text("val/a.png\nval/c.png\n")
    run(tmp_path / "pictures", tmp_path / "out", validation=str(tmp_path / "list.txt"))
    assert held_out(tmp_path / "out") == {"val/a.png"}
    assert [row["path"] for row in rows(tmp_path / "out")] == [
        "train/a.png",
        "train/c.png",
        "val/a.png",
    ]


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
    assert {row["state"] for row in api.status(out=tmp_path / "out") if row["stage"] == "scan"} == {
        "done"
    }


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
    with pytest.raises(
        RunError, match=r"held: the folder of the validation pictures is not there any more"
    ):
        api.propose(out=tmp_path / "out", settings={"propose": {"max_masks": 2}}, redo=True)
    api.report(out=tmp_path / "out")  # without its tiles


def test_a_list_that_names_what_is_not_there_is_refused_and_can_be_mended(pictures, tmp_path):
    file, out = tmp_path / "list.txt", tmp_path / "out"
    file.write_text("p0003.png\nb.png\na.png\n")
    with pytest.raises(
        SettingsError,
        match=r"list\.txt: 2 of 3 paths are not among the pictures, the first: a\.png",
    ):
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


def test_a_validation_that_is_not_there_is_refused_and_the_next_one_needs_no_from(
    pictures, tmp_path
):
    with pytest.raises(
        SettingsError, match="neither a folder, a fraction between 0 and 1, nor a file"
    ):
        run(pictures, tmp_path / "out", validation=str(tmp_path / "vlaidation"))
    run(pictures, tmp_path / "out", validation="0.5")
    assert len(held_out(tmp_path / "out")) == 2


def test_a_wrong_validation_is_told_before_any_picture_is_looked_at(pictures, tmp_path):
    (pictures / "0-broken.png").write_bytes(b"no picture")  # would be told in the ledger
    (tmp_path / "list.txt").write_text("nosuch.png\n")
    for validation in ("list.txt", "vlaidation"):
        with pytest.raises(SettingsError, match=r"are not among the pictures|neither a folder"):
            run(pictures, tmp_path / "out", validation=str(tmp_path / validation))
    assert {event["event"] for event in Ledger(tmp_path / "out" / "ledger.jsonl").read()} == {
        "open",
        "start",
    }


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
    assert [row["path"] for row in rows(tmp_path / "out")] == [
        "p0002.png",
        "p0004.png",
        "sub/q0001.png",
    ]
    assert held_out(tmp_path / "out") == {"sub/q0001.png"}
    run(pictures, tmp_path / "out", **lists)  # nothing changed
    (pictures / "p0001.png").unlink()  # which is in no list
    run(pictures, tmp_path / "out", **lists)


def test_only_and_limit_take_the_first_of_both_lists(tmp_path):
    many(tmp_path / "pictures", [f"{letter}.png" for letter in "abcdef"])
    (tmp_path / "only.txt").write_text("c\nd\n")
    (tmp_path / "held.txt").write_text(
        "c\ne\nf\n"
    )  # what is held out is not trained on, whatever `only` says
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
    run(
        drawn / "pictures",
        tmp_path / "beside",
        only=str(tmp_path / "only.txt"),
        validation=str(drawn / "validation"),
    )
    assert [row["path"] for row in rows(tmp_path / "beside")] == [
        "p0001.png",
        "p0002.png",
        "v0001.png",
        "v0002.png",
    ]


def test_a_list_for_only_that_is_missing_empty_or_names_others_is_refused_and_another_one_is_another_scan(
    pictures, tmp_path
):
    file, out = tmp_path / "only.txt", tmp_path / "out"
    with pytest.raises(
        SettingsError, match=r"only: .*only\.txt: cannot be read as a list of names"
    ):
        run(pictures, out, only=str(file))
    file.write_text("\n")
    with pytest.raises(SettingsError, match="holds no name"):
        run(pictures, out, only=str(file))
    file.write_text("p0003\nb.png\na.png\n")
    with pytest.raises(
        SettingsError,
        match=r"only\.txt: 2 of 3 paths are not among the pictures, the first: a\.png",
    ):
        run(pictures, out, only=str(file))
    file.write_text("p0003\n")
    run(pictures, out, only=str(file))
    file.write_text("p0002\n")
    with pytest.raises(StaleError, match=r"settings\.only: list .* -> list "):
        run(pictures, out, only=str(file))
    with pytest.raises(StaleError, match=r"settings\.only: "):
        run(pictures, out)


def test_a_fraction_of_one_picture_holds_nothing_out_and_says_so(tmp_path, capsys):
    folder = many(tmp_path / "pictures", ["a.png"])
    said = "validation 0.2: there is one picture alone, and none is held out"
    settings = {**BY_HAND, "validation": "0.2"}
    api.run(pictures=folder, out=tmp_path / "one", settings=settings, until="scan")
    assert said in capsys.readouterr().err.splitlines()
    assert held_out(tmp_path / "one") == set()
    events = (tmp_path / "one" / "ledger.jsonl").read_text().splitlines()
    assert said in [json.loads(event).get("what") for event in events]
    many(folder, ["b.png"])
    api.run(pictures=folder, out=tmp_path / "two", settings=settings, until="scan")
    assert "held out" not in capsys.readouterr().err
    assert len(held_out(tmp_path / "two")) == 1
