"""pictures/folder.py: the files that are found, their order, what an unusable folder is told."""

import os
import sys
from pathlib import Path

import pytest

from maskdistill.errors import PictureError
from maskdistill.pictures import find, search, told


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_pictures_are_found_in_all_folders_below_whatever_the_case_of_their_suffix(tmp_path):
    names = [
        "a.jpg",
        "b/c.JPEG",
        "b/d/e.Png",
        "f.webp",
        "g.tif",
        "h.TIFF",
        "i.bmp",
        "j.gif",
        "k.heic",
    ]
    put(tmp_path, *names, "notes.txt", "b/Thumbs.db", "b/desktop.ini")
    assert find(tmp_path) == sorted(names)


def test_the_order_is_that_of_the_bytes_of_the_whole_path_in_utf_8(tmp_path):
    names = [
        "Z.jpg",
        "a-b.jpg",
        "a.jpg",
        "a/b.jpg",
        "a b.jpg",
        "ä.jpg",
        "z.jpg",
        "名前.png",
        "\U0001f600.png",
    ]
    put(tmp_path, *names)
    assert find(tmp_path) == sorted(names, key=lambda name: name.encode())
    assert find(tmp_path)[-3:] == ["ä.jpg", "名前.png", "\U0001f600.png"]


def test_equal_stems_in_two_folders_are_two_pictures(tmp_path):
    put(tmp_path, "one/cat.jpg", "two/cat.jpg", "two/cat.png")
    assert find(tmp_path) == ["one/cat.jpg", "two/cat.jpg", "two/cat.png"]


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    put(tmp_path, "a.jpg", ".b.jpg", "._a.jpg", ".trash/c.jpg", "d/.thumbnails/e.jpg")
    assert find(tmp_path) == ["a.jpg"]


def test_a_run_inside_the_pictures_is_passed_over_with_all_below_it(tmp_path):
    put(
        tmp_path,
        "a.jpg",
        "runs/r/config.yaml",
        "runs/r/images.jsonl",
        "runs/r/label/maps/1.png",
        "runs/b.jpg",
    )
    assert find(tmp_path) == ["a.jpg", "runs/b.jpg"]


def test_one_of_a_runs_files_alone_makes_no_run(tmp_path):
    put(tmp_path, "a/config.yaml", "a/b.jpg")
    assert find(tmp_path) == ["a/b.jpg"]


def test_excluded_folders_are_passed_over_also_when_they_are_given_by_another_path(tmp_path):
    put(tmp_path, "a.jpg", "out/b.jpg", "out/c/d.jpg")
    assert find(tmp_path, exclude=[tmp_path / "x" / ".." / "out"]) == ["a.jpg"]
    assert find(tmp_path, exclude=[tmp_path / "not there"]) == ["a.jpg", "out/b.jpg", "out/c/d.jpg"]


def test_links_in_a_circle_end(tmp_path):
    put(tmp_path, "a/b.jpg")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to("self")
    assert find(tmp_path) == ["a/b.jpg"]


def test_a_linked_folder_is_searched_once_and_its_own_path_goes_before_the_links(tmp_path):
    put(tmp_path / "outside", "c.jpg")
    put(tmp_path / "in", "z/d.jpg")
    (tmp_path / "in" / "a").symlink_to("z")
    (tmp_path / "in" / "k").symlink_to(tmp_path / "outside")
    (tmp_path / "in" / "l").symlink_to(tmp_path / "outside")
    assert find(tmp_path / "in") == ["k/c.jpg", "z/d.jpg"]


def test_the_folder_itself_may_be_a_link_or_hidden(tmp_path):
    put(tmp_path / ".photos", "a.jpg")
    (tmp_path / "link").symlink_to(".photos")
    assert find(tmp_path / "link") == find(tmp_path / ".photos") == ["a.jpg"]


def test_a_folder_named_like_a_picture_is_a_folder(tmp_path):
    put(tmp_path, "a.jpg/b.jpg")
    assert find(tmp_path) == ["a.jpg/b.jpg"]


@pytest.mark.parametrize(
    "names, what",
    [
        ([], "is empty"),
        (
            ["a.txt", "b/c.mov"],
            "holds 2 files, but none of them is a picture: 1 \\.mov, 1 \\.txt\\. .*\\.jpg",
        ),
    ],
)
def test_a_folder_without_pictures_is_told_what_was_looked_for(tmp_path, names, what):
    put(tmp_path, *names)
    with pytest.raises(PictureError, match=what):
        find(tmp_path)


@pytest.mark.parametrize("name", ["missing", "file.jpg"])
def test_what_is_not_a_folder_is_named(tmp_path, name):
    put(tmp_path, "file.jpg")
    with pytest.raises(PictureError, match=f"{name}: not a folder"):
        find(tmp_path / name)


def test_a_run_given_as_the_pictures_is_refused(tmp_path):
    put(tmp_path, "config.yaml", "images.jsonl", "label/maps/1.png")
    with pytest.raises(PictureError, match="the folder of a run"):
        find(tmp_path)


def test_the_picture_folder_as_the_place_for_outputs_is_refused(tmp_path):
    put(tmp_path, "a.jpg")
    with pytest.raises(PictureError, match="another --out"):
        find(tmp_path, exclude=[tmp_path])


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such name")
def test_a_name_that_is_not_utf_8_is_named_and_refused(tmp_path):
    put(tmp_path, "a.jpg")
    # pathlib takes no bytes
    with open(os.fsencode(tmp_path) + b"/b\xff.jpg", "wb"):  # noqa: PTH123
        pass
    with pytest.raises(PictureError, match=r"b\\xff\.jpg.*Rename"):
        find(tmp_path)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user may read everything"
)
def test_a_folder_that_may_not_be_read_is_an_error_and_not_passed_over(tmp_path):
    put(tmp_path, "a.jpg", "locked/b.jpg")
    (tmp_path / "locked").chmod(0)
    try:
        with pytest.raises(PictureError, match="locked: cannot be searched"):
            find(tmp_path)
    finally:
        (tmp_path / "locked").chmod(0o700)


def test_what_is_passed_over_is_counted_by_suffix_but_for_what_nobody_misses(tmp_path):
    put(
        tmp_path,
        *("a.jpg", "b/1.dcm", "b/2.DCM", "c.jpg_large", "noname", "other", "third"),
        *(".hidden.dcm", ".git/x.dcm", "b/Thumbs.db", "desktop.ini", "b/ehthumbs.db"),
        *("run/config.yaml", "run/images.jsonl", "run/x.dcm", "out/y.dcm"),
    )
    found = search(tmp_path, exclude=[tmp_path / "out"])
    assert found.paths == ["a.jpg"]
    assert found.passed_over == {".dcm": 2, ".jpg_large": 1, "": 3}
    assert told(found.passed_over) == (
        "6 files passed over: 3 without suffix, 2 .dcm, 1 .jpg_large"
    )


def test_nothing_passed_over_is_no_sentence_and_one_file_is_one(tmp_path):
    put(tmp_path, "a.jpg")
    assert told(search(tmp_path).passed_over) == ""
    put(tmp_path, "b.nef")
    assert told(search(tmp_path).passed_over) == "1 file passed over: 1 .nef"


def test_many_suffixes_make_no_long_sentence_and_odd_names_have_none(tmp_path):
    put(tmp_path, "a.jpg", "Rome 1. May", "b.with a space", f"c.{'x' * 40}", "d.\x1b[31m")
    put(tmp_path, *(f"{number}.{number:03}" for number in range(20)))
    assert told(search(tmp_path).passed_over) == (
        "24 files passed over: 4 without suffix, 1 .000, 1 .001, 1 .002, 1 .003, 1 .004, 1 .005, "
        "1 .006, 13 of 13 other suffixes"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such name")
def test_a_suffix_that_is_not_utf_8_can_be_told(tmp_path):
    put(tmp_path, "a.jpg")
    with open(os.fsencode(tmp_path) + b"/b.\xff", "wb"):  # noqa: PTH123
        pass
    assert told(search(tmp_path).passed_over).encode() == b"1 file passed over: 1 without suffix"
