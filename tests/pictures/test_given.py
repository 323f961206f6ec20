"""pictures/given.py: folders, files and patterns to one list of relative paths, each once."""

from pathlib import Path

import pytest

from maskdistill.errors import PictureError
from maskdistill.pictures import check, gather, search


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    put(folder, "a.jpg", "b.JPG", "c.png", "d.dcm", "one/cat.jpg", "two/cat.jpg", "two/deep/e.jpg")
    put(folder, "two/f.dcm", ".hidden.jpg", "Thumbs.db")
    return folder


def test_a_folder_is_searched_as_ever(photos):
    found = gather(photos)
    assert (found.root, found.is_folder) == (photos, True)
    assert found.paths == search(photos).paths
    assert found.passed_over == {".dcm": 2}
    assert gather([str(photos)]) == found


@pytest.mark.parametrize("name", ["one/cat.jpg", "d.dcm", ".hidden.jpg"])
def test_a_file_is_a_picture_whatever_its_suffix_at_its_own_name(photos, name):
    found = gather(photos / name)
    assert (found.root, found.paths) == ((photos / name).parent, [Path(name).name])
    assert (found.passed_over, found.is_folder) == ({}, False)


def test_several_files_keep_their_paths_below_the_folder_that_holds_all(photos):
    found = gather([photos / "two/cat.jpg", str(photos / "one/cat.jpg")])
    assert (found.root, found.paths) == (photos, ["one/cat.jpg", "two/cat.jpg"])
    found = gather([photos / "two/cat.jpg", photos / "two/deep/e.jpg"])
    assert (found.root, found.paths) == (photos / "two", ["cat.jpg", "deep/e.jpg"])


def test_what_is_given_twice_is_one_picture(photos, monkeypatch):
    monkeypatch.chdir(photos)
    given = ["a.jpg", "./a.jpg", "one/../a.jpg", photos / "a.jpg", "a.*"]
    assert gather(given).paths == ["a.jpg"]
    found = gather([".", "two", "two/cat.jpg", "two/f.*"])
    assert (found.root, found.paths) == (photos, search(photos).paths)
    assert found.passed_over == {".dcm": 2}


@pytest.mark.parametrize(
    "pattern, wanted",
    [
        ("*.jpg", ["a.jpg"]),
        ("?.[jJ]*", ["a.jpg", "b.JPG"]),
        ("*/cat.jpg", ["one/cat.jpg", "two/cat.jpg"]),
        ("**/*.jpg", ["a.jpg", "one/cat.jpg", "two/cat.jpg", "two/deep/e.jpg"]),
        ("tw*", ["cat.jpg", "deep/e.jpg"]),
    ],
)
def test_a_pattern_names_files_and_folders(photos, pattern, wanted):
    assert gather(str(photos / pattern)).paths == wanted


def test_of_a_pattern_the_files_of_other_suffixes_are_counted(photos):
    found = gather([photos / "*", photos / "**" / "*.dcm"])
    assert found.paths == search(photos).paths
    assert found.passed_over == {".dcm": 2}


def test_a_name_with_the_letters_of_a_pattern_is_taken_as_it_is(tmp_path):
    put(tmp_path, "a[1].jpg", "a1.jpg")
    assert gather(tmp_path / "a[1].jpg").paths == ["a[1].jpg"]
    (tmp_path / "a[1].jpg").unlink()
    assert gather(tmp_path / "a[1].jpg").paths == ["a1.jpg"]


def test_a_pattern_passes_over_runs_and_what_is_excluded(photos):
    put(photos, "run/config.yaml", "run/images.jsonl", "run/label/maps/1.jpg", "out/g.jpg")
    found = gather(photos / "**" / "*.jpg", exclude=[photos / "out"])
    assert found.paths == ["a.jpg", "one/cat.jpg", "two/cat.jpg", "two/deep/e.jpg"]
    # What is written out is meant.
    assert gather(photos / "run" / "label" / "maps" / "*.jpg").paths == ["1.jpg"]


def test_a_file_where_the_results_go_is_refused(photos):
    for out in (photos, photos / "two"):
        with pytest.raises(PictureError, match=r"cat\.jpg: lies in the folder that takes what is"):
            gather(photos / "two" / "cat.jpg", exclude=[out])


def test_an_empty_folder_beside_others_is_no_fault(photos, tmp_path):
    (photos / "empty").mkdir()
    assert gather(photos / "*").paths == search(photos).paths


@pytest.mark.parametrize(
    "given, words",
    [
        ([], "no pictures are given"),
        ("nosuch.jpg", r"nosuch\.jpg: not a folder, nor a file"),
        (["a.jpg", "nosuch.jpg"], r"nosuch\.jpg: not a folder, nor a file"),
        ("*.tif", r"\*\.tif: no file is named by this pattern"),
    ],
)
def test_what_is_not_there_is_named_by_both_doors(photos, monkeypatch, given, words):
    monkeypatch.chdir(photos)
    for door in (check, gather):
        with pytest.raises(PictureError, match=words):
            door(given)


def test_where_nothing_is_a_picture_what_is_there_is_told(photos):
    with pytest.raises(PictureError, match=r"holds no picture \(2 files passed over: 2 \.dcm\)"):
        gather(photos / "**" / "*.dcm")
