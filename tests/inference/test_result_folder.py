"""Results at the pictures' relative paths: no two to one place, none mixed, none of others overwritten."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maskdistill import api
from maskdistill.errors import PictureError, RunError
from maskdistill.inference import result_folder, trained_run
from maskdistill.runs.progress import Progress
from maskdistill.settings import RunSettings
from maskdistill.workflows import demo_pictures


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    demo_pictures.write(folder, tmp_path / "truth.json", n_pictures=3, seed=5, size=(32, 40))
    return folder


def fill(
    pictures: Path,
    out: Path,
    *,
    seen: list[str] | None = None,
    made_with: dict | None = None,
    progress: Progress | None = None,
    **others,
) -> dict:
    """Write each picture's path where its results go."""

    def write(target: Path, path: str, rgb: np.ndarray) -> dict[str, int]:
        if seen is not None:
            seen.append(path)
        for suffix in result_folder.SUFFIXES:
            result_folder.file_of(target, suffix).write_text(path)
        return {"pixels": rgb.shape[0] * rgb.shape[1]}

    return result_folder.fill(
        out,
        pictures,
        write,
        title="test",
        made_with=made_with or {"method": "one"},
        settings=RunSettings(),
        progress=progress or Progress(quiet=True),
        **others,
    )


def test_names_keep_their_extension_where_two_pictures_would_meet():
    assert result_folder.targets(["a.jpg", "b/a.jpg"]) == {"a.jpg": "a", "b/a.jpg": "b/a"}
    assert result_folder.targets(["a.jpg", "a.png", "b.png"]) == {
        "a.jpg": "a.jpg",
        "a.png": "a.png",
        "b.png": "b",
    }
    assert result_folder.targets(["A.jpg", "a.png"]) == {
        "A.jpg": "A.jpg",
        "a.png": "a.png",
    }  # one file on some disks
    three = ["a.jpg", "a.jpg.png", "a.png"]
    assert result_folder.targets(three) == {path: path for path in three}


names = st.builds(
    "".join,
    st.lists(st.sampled_from(["a", "B", "b", ".jpg", ".png", "/c", "."]), min_size=1, max_size=5),
)


@given(st.lists(names.map(lambda name: f"x{name}.jpg"), unique_by=str.casefold))
def test_no_two_pictures_go_to_one_place(paths):
    found = result_folder.targets(paths)
    assert list(found) == paths
    assert len({target.casefold() for target in found.values()}) == len(paths)


def test_every_picture_is_done_once_and_a_replaced_one_again(pictures, tmp_path):
    seen: list[str] = []
    out = tmp_path / "out"
    assert fill(pictures, out, seen=seen) == {
        "new": 3,
        "done before": 0,
        "refused": 0,
        "pixels": 3 * 32 * 40,
    }
    assert fill(pictures, out, seen=seen) == {"new": 0, "done before": 3, "refused": 0}
    shutil.copy(pictures / "0001.png", pictures / "0002.png")
    assert fill(pictures, out, seen=seen)["new"] == 1
    assert seen == ["0001.png", "0002.png", "0003.png", "0002.png"]


def test_a_new_neighbour_that_takes_a_pictures_name_moves_its_results(pictures, tmp_path):
    out = tmp_path / "out"
    fill(pictures, out)
    shutil.copy(pictures / "0001.png", pictures / "0001.jpg")  # told by content
    assert fill(pictures, out)["new"] == 2
    assert (out / "0001.png.json").read_text() == "0001.png"
    assert (out / "0001.jpg.json").read_text() == "0001.jpg"


def test_what_was_stopped_is_gone_on_with(pictures, tmp_path):
    seen: list[str] = []
    out = tmp_path / "out"

    def write(target: Path, path: str, rgb: np.ndarray) -> dict[str, int]:
        if path == "0003.png":
            raise KeyboardInterrupt
        seen.append(path)
        return {}

    arguments = {"title": "test", "made_with": {"method": "one"}, "settings": RunSettings()}
    with pytest.raises(KeyboardInterrupt):
        result_folder.fill(out, pictures, write, progress=Progress(quiet=True), **arguments)
    assert fill(pictures, out, seen=seen) == {
        "new": 1,
        "done before": 2,
        "refused": 0,
        "pixels": 1280,
    }
    assert seen == ["0001.png", "0002.png", "0003.png"]


def test_results_of_other_settings_are_refused_with_both_values(pictures, tmp_path):
    fill(pictures, tmp_path / "out")
    with pytest.raises(
        RunError, match=r"other networks or settings \(method: one -> two\)\. Give another --out"
    ):
        fill(pictures, tmp_path / "out", made_with={"method": "two"})


def test_files_of_others_are_not_overwritten(pictures, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("of somebody")
    (out / "0002.png").write_text("of somebody")
    with pytest.raises(RunError, match=r"0002\.png: was not made by this command"):
        fill(pictures, out)
    assert (out / "0002.png").read_text() == "of somebody"
    assert not (out / "0001.png").exists()
    (out / "0002.png").unlink()
    assert fill(pictures, out)["new"] == 3


def test_a_refused_picture_is_named_with_its_reason_and_tried_again(pictures, tmp_path, capsys):
    whole = (pictures / "0002.png").read_bytes()
    (pictures / "0002.png").write_bytes(whole[:60])
    (pictures / "nowhere.png").symlink_to(tmp_path / "gone.png")
    out = tmp_path / "out"
    for done_before in (0, 2):
        counts = fill(pictures, out)
        assert (counts["done before"], counts["refused"]) == (done_before, 2)
        rows = json.loads((out / ".maskdistill" / "refused.json").read_text())
        assert [row["picture"] for row in rows] == ["0002.png", "nowhere.png"]
        assert "damaged" in rows[0]["reason"]
    assert not (out / "0002.png").exists()
    (pictures / "0002.png").write_bytes(whole)
    (pictures / "nowhere.png").unlink()
    assert fill(pictures, out) == {"new": 1, "done before": 2, "refused": 0, "pixels": 1280}
    assert not (out / ".maskdistill" / "refused.json").exists()


def test_more_refused_pictures_than_are_shown_are_said_to_be_named_in_the_file(
    pictures, tmp_path, capsys
):
    for number in range(7):
        (pictures / f"bad{number}.jpg").write_bytes(b"no picture")

    def write(target: Path, path: str, rgb: np.ndarray) -> dict[str, int]:
        return {}

    arguments = {"title": "test", "made_with": {}, "settings": RunSettings()}
    result_folder.fill(tmp_path / "out", pictures, write, progress=Progress(), **arguments)
    said = capsys.readouterr().err
    assert said.count("left out: ") == 6
    assert "left out: 2 more; " in said
    assert "refused.json names them all" in said


def test_a_folder_of_pictures_that_goes_away_stops_the_work(pictures, tmp_path):
    def write(target: Path, path: str, rgb: np.ndarray) -> dict[str, int]:
        if pictures.exists():
            pictures.rename(tmp_path / "away")
        return {}

    settings = RunSettings(workers=0)
    with pytest.raises(RunError, match=r"is not there any more\. Bring it back"):
        result_folder.fill(
            tmp_path / "out",
            pictures,
            write,
            title="test",
            made_with={"method": "one"},
            settings=settings,
            progress=Progress(quiet=True),
        )
    (tmp_path / "away").rename(pictures)
    assert fill(pictures, tmp_path / "out")["new"] == 2


def test_limit_takes_the_first_pictures_and_a_later_call_the_others(pictures, tmp_path):
    seen: list[str] = []
    assert fill(pictures, tmp_path / "out", seen=seen, limit=2)["new"] == 2
    assert fill(pictures, tmp_path / "out", seen=seen)["new"] == 1
    assert seen == ["0001.png", "0002.png", "0003.png"]


def test_results_inside_the_folder_of_pictures_are_not_taken_for_pictures(pictures):
    out = pictures / "results"
    assert fill(pictures, out)["new"] == 3
    assert fill(pictures, out) == {"new": 0, "done before": 3, "refused": 0}
    with pytest.raises(PictureError, match="cannot take what is made of them too"):
        fill(pictures, pictures)


def test_a_file_in_the_place_of_the_results_is_refused(pictures, tmp_path):
    (tmp_path / "afile").touch()
    with pytest.raises(RunError, match="is a file, where a folder for the results is wanted"):
        fill(pictures, tmp_path / "afile")


def test_a_picture_that_does_not_fit_into_memory_is_refused_and_the_others_are_made(
    tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, seen = trained_run.segment.predict, []

    def predict(model, rgb, settings, **more):
        seen.append(rgb.shape)
        if len(seen) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return own(model, rgb, settings, **more)

    monkeypatch.setattr(trained_run.segment, "predict", predict)
    counts = api.predict(run=tiny.out, pictures=tiny.validation, out=tmp_path / "out", quiet=True)
    assert (counts["refused"], counts["predicted"]) == (1, 3)
    (refused,) = json.loads((tmp_path / "out" / ".maskdistill" / "refused.json").read_text())
    assert "does not fit into memory" in refused["reason"]


def test_what_is_no_picture_is_told_at_the_end(pictures, tmp_path):
    (pictures / "slide.dcm").write_bytes(b"x")
    (pictures / ".hidden").write_bytes(b"x")
    stream = io.StringIO()
    assert fill(pictures, tmp_path / "out", progress=Progress(stream=stream))["new"] == 3
    assert stream.getvalue().splitlines()[-1] == "1 file passed over: 1 .dcm"


def test_results_of_files_stand_at_their_paths_below_the_folder_that_holds_all(pictures, tmp_path):
    for name in ("one", "two"):
        (pictures / name).mkdir()
        shutil.copy(pictures / "0001.png", pictures / name / "cat.png")
    out = tmp_path / "out"
    given = [pictures / "one" / "cat.png", pictures / "two" / "*.png"]
    assert fill(given, out)["new"] == 2
    assert sorted(path.relative_to(out).as_posix() for path in out.glob("[!.]*/*.json")) == [
        "one/cat.json",
        "two/cat.json",
    ]
    assert fill(given, out) == {"new": 0, "done before": 2, "refused": 0}


def test_a_file_whose_results_would_go_where_those_of_another_lie_is_refused(pictures, tmp_path):
    (tmp_path / "others").mkdir()
    other = tmp_path / "others" / "0001.jpg"
    shutil.copy(pictures / "0002.png", other)
    out = tmp_path / "out"
    assert fill(pictures / "0001.png", out)["new"] == 1
    assert fill(pictures / "0002.png", out)["new"] == 1
    with pytest.raises(RunError, match=r"0001\.json: holds what was made of .*pictures/0001\.png"):
        fill(other, out)
    same_name = other.with_name("0001.png")
    shutil.copy(other, same_name)
    with pytest.raises(RunError, match=r"and .*others/0001\.png would go there too"):
        fill(same_name, out)
    assert (out / "0001.json").read_text() == "0001.png"
    (pictures / "0001.png").unlink()  # then its results are no loss
    assert fill(other, out)["new"] == 1
    assert (out / "0001.json").read_text() == "0001.jpg"


def test_files_that_differ_in_their_extension_alone_go_to_two_places(pictures, tmp_path):
    shutil.copy(pictures / "0002.png", pictures / "0001.jpg")
    out = tmp_path / "out"
    assert fill([pictures / "0001.jpg", pictures / "0001.png"], out)["new"] == 2
    assert (out / "0001.jpg.json").read_text() == "0001.jpg"
    assert (out / "0001.png.json").read_text() == "0001.png"


def test_a_picture_is_never_overwritten_by_its_own_results(pictures):
    for _ in range(2):
        with pytest.raises(PictureError, match="Give another --out"):
            fill(pictures / "0001.png", pictures)
    assert np.array(Image.open(pictures / "0001.png")).shape == (32, 40, 3)
