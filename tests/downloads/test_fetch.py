"""Data sets fetched over a real server, in the exact layouts: whole or not there, never twice."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from maskdistill import api, cli
from maskdistill.datasets import truth, voc
from maskdistill.datasets.coco import instances_file
from maskdistill.downloads import fetch, run_command, sources
from maskdistill.downloads.fetch import Fetch
from maskdistill.downloads.sources import Archive, Dataset
from maskdistill.errors import DatasetError, GroundTruthError, RunError, SettingsError
from maskdistill.runs.lock import RunLock
from maskdistill.runs.progress import Progress
from tests.datasets import trees
from tests.downloads.server import Manner, serving

QUICKLY = {"pause": lambda seconds: None, "tries": 2, "timeout_seconds": 5}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Archives of the trees: voc.tar (VOCdevkit), sbd.tgz (benchmark_RELEASE)."""
    root = tmp_path_factory.mktemp("made")
    home = trees.voc(root / "voc")
    trees.sbd(root / "sbd", home)
    return {
        "voc.tar": trees.tar(root / "voc" / "VOCdevkit", root / "voc.tar"),
        "sbd.tgz": trees.tar(root / "sbd" / "benchmark_RELEASE", root / "sbd.tgz", mode="w:gz"),
    }


def archive_of(path: Path, *urls: str, wanted: tuple[str, ...], published: bool = True) -> Archive:
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest() if published else None
    return Archive(path.name, urls, wanted, len(data), "made by the tests", sha256=digest)


def small_voc(made: dict[str, Path], *urls: str, n: int = 11, published: bool = True) -> Dataset:
    home = "VOCdevkit/VOC2012"
    return Dataset(
        name="voc2012",
        archives=(archive_of(made["voc.tar"], *urls, wanted=(home,), published=published),),
        places=(home,),
        unpacked=made["voc.tar"].stat().st_size,
        counts=((f"{home}/JPEGImages/*.jpg", n), (f"{home}/SegmentationObject/*.png", 7)),
        lines=((f"{home}/ImageSets/Segmentation/val.txt", 3),),
        cited="",
        terms="made of nothing, free for all",
    )


def small_sbd(made: dict[str, Path], *urls: str) -> Dataset:
    home = "benchmark_RELEASE/dataset"
    archive = archive_of(made["sbd.tgz"], *urls, wanted=(home,))
    return Dataset(
        "sbd",
        (archive,),
        (home,),
        1,
        ((f"{home}/cls/*.mat", 7),),
        ((f"{home}/val.txt", 3),),
        "",
        "",
    )


def how(out: Path, **more: Any) -> Fetch:
    return Fetch(out, progress=Progress(quiet=True), options=QUICKLY, **more)


def serve(made: dict[str, Path], **more: Manner) -> Any:
    return serving(**{name: Manner(path.read_bytes()) for name, path in made.items()}, **more)


def test_a_data_set_is_fetched_unpacked_whole_and_not_again(made, tmp_path, capsys):
    out = tmp_path / "data"
    with serve(made) as served:
        wanted = small_voc(made, served.url("gone.tar"), served.url("voc.tar"))
        told = Fetch(out, options=QUICKLY)
        fetch.work(wanted, told)
        said = capsys.readouterr().err
        assert len(served.asked) == 2
        fetch.work(wanted, told)
        assert len(served.asked) == 2
    assert "voc2012: 1 MB to fetch" in said or "voc2012: 0 MB to fetch" in said
    assert f"of disk in {out}" in said
    assert "voc2012: made of nothing, free for all" in said
    assert f"no luck: {served.url('gone.tar')}: HTTP 404 Not Found" in said
    assert "voc2012: is there already, and whole" in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == [".fetched.json", ".lock", "VOCdevkit"]
    assert len(voc.find(out).names("segmentation/train")) == 4
    record = json.loads((out / ".fetched.json").read_text())
    assert record["datasets"] == {"voc2012": "complete"}
    assert record["archives"]["voc.tar"]["url"] == served.url("voc.tar")


def test_with_sbd_beside_it_the_command_of_a_run_has_trainaug_val_and_the_truth(made, tmp_path):
    out = tmp_path / "data"
    with serve(made) as served:
        fetch.work(small_voc(made, served.url("voc.tar")), how(out))
        lines = run_command.make("voc2012", out, Progress(quiet=True))
        assert (
            lines[0]
            == f"trainaug (10582 pictures) needs SBD's lists too: maskdistill data sbd --out {out}"
        )
        assert f"--only {out}/maskdistill/voc2012/train.txt" in lines[1]
        fetch.work(small_sbd(made, served.url("sbd.tgz")), how(out))
        (line,) = run_command.make("sbd", out, Progress(quiet=True))
    home = out / "maskdistill" / "voc2012"
    assert line == (
        f"maskdistill run {out}/VOCdevkit/VOC2012/JPEGImages --only {home}/trainaug.txt "
        f"--validation {home}/val.txt --preset paper-voc12 --ground-truth {home}/val.json "
        "--out runs/voc12"
    )
    found = voc.find(out)
    assert (home / "trainaug.txt").read_text().split() == [
        f"{name}.jpg" for name in voc.trainaug(found, out)
    ]
    assert (home / "val.txt").read_text().split() == [
        f"{name}.jpg" for name in found.names("segmentation/val")
    ]
    assert instances_file.read(home / "val.json").notes == []
    before = (home / "val.json").stat().st_mtime_ns
    assert run_command.make("voc2012", out, Progress(quiet=True)) == [line]
    assert (home / "val.json").stat().st_mtime_ns == before


def test_2007_has_lists_of_both_splits(tmp_path):
    trees.voc(tmp_path, year=2007)
    line, support = run_command.make("voc2007", tmp_path, Progress(quiet=True))
    assert f"--only {tmp_path}/maskdistill/voc2007/trainval.txt" in line
    assert support.endswith("--cluster.support runs/voc07")
    assert len((tmp_path / "maskdistill" / "voc2007" / "test.txt").read_text().split()) == 3
    assert instances_file.read(tmp_path / "maskdistill" / "voc2007" / "test.json").has_masks


def test_an_archive_put_there_by_hand_is_checked_used_and_kept(made, tmp_path):
    wanted = small_voc(made, "http://127.0.0.1:9/voc.tar")
    place = tmp_path / "archives" / "voc.tar"
    with pytest.raises(DatasetError) as raised:
        fetch.work(wanted, how(tmp_path))
    said = str(raised.value)
    assert said.startswith("voc.tar: no mirror gave it. Tried:\n  http://127.0.0.1:9/voc.tar: ")
    assert f"put it at {place}; or give --mirror URL" in said
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(made["voc.tar"].read_bytes()[:-1])
    with pytest.raises(DatasetError, match=r"voc\.tar: has \d+ bytes, wanted \d+\. Move it away"):
        fetch.work(wanted, how(tmp_path))
    place.write_bytes(made["voc.tar"].read_bytes())
    fetch.work(wanted, how(tmp_path))
    assert voc.find(tmp_path)
    assert place.is_file()


def test_a_tree_put_there_by_hand_is_verified_and_used_or_refused(made, tmp_path):
    trees.voc(tmp_path)
    wanted = small_voc(made, "http://127.0.0.1:9/voc.tar")
    (picture, *_) = sorted((tmp_path / "VOCdevkit" / "VOC2012" / "JPEGImages").glob("*.jpg"))
    data = picture.read_bytes()
    picture.unlink()
    with pytest.raises(
        DatasetError, match=r"voc2012 is not whole: .*JPEGImages/\*\.jpg: 10 of 11\. Move it away"
    ):
        fetch.work(wanted, how(tmp_path))
    picture.write_bytes(data)
    fetch.work(wanted, how(tmp_path))


def test_a_mirror_of_ones_own_comes_first(made, tmp_path):
    with serve(made) as served, serve(made) as own:
        wanted = small_voc(made, served.url("voc.tar"))
        for number, mirror in enumerate((own.root, own.url("voc.tar"), own.url("other-name?x=1"))):
            own.paths["other-name?x=1"] = own.paths["voc.tar"]
            fetch.work(wanted, how(tmp_path / str(number), mirrors=[mirror]))
        assert [path for path, *_ in own.asked] == ["/voc.tar", "/voc.tar", "/other-name?x=1"]
        assert served.asked == []
        for bad in ("file:///voc.tar", "voc.tar", "http://"):
            with pytest.raises(SettingsError, match="is no http or https URL"):
                fetch.work(wanted, how(tmp_path / "bad", mirrors=[bad]))


def test_too_small_a_disk_is_refused_before_anything_is_fetched(made, tmp_path):
    with serve(made) as served:
        wanted = small_voc(made, served.url("voc.tar"))
        need = int(2 * made["voc.tar"].stat().st_size * fetch.SLACK)
        with pytest.raises(
            DatasetError, match=r"wants .* of disk in .*, .* are free\. Free some space"
        ):
            fetch.work(wanted, how(tmp_path, free_bytes=lambda folder: need - 1))
        assert served.asked == []
        # What is there already needs no room: half of the archive.
        (tmp_path / "archives").mkdir()
        (tmp_path / "archives" / "voc.tar.part").write_bytes(made["voc.tar"].read_bytes()[:5000])
        fetch.work(wanted, how(tmp_path, free_bytes=lambda folder: need - 5000))
        assert served.asked[0][1] == "bytes=5000-"


def test_an_archive_without_a_published_checksum_is_compared_with_its_first_fetch(made, tmp_path):
    with serve(made) as served:
        wanted = small_voc(made, served.url("voc.tar"), published=False)
        fetch.work(wanted, how(tmp_path))
        digest = hashlib.sha256(made["voc.tar"].read_bytes()).hexdigest()
        assert (
            json.loads((tmp_path / ".fetched.json").read_text())["archives"]["voc.tar"]["sha256"]
            == digest
        )
        (tmp_path / "VOCdevkit").rename(tmp_path / "away")
        body = bytearray(served.paths["voc.tar"].body)
        body[-1] ^= 1
        served.paths["voc.tar"].body = bytes(body)
        with pytest.raises(
            DatasetError, match=rf"another checksum \(sha256 \w+, wanted {digest}\)"
        ):
            fetch.work(wanted, how(tmp_path))
    assert not (tmp_path / "VOCdevkit").exists()


def test_an_archive_that_holds_less_than_it_should_leaves_nothing_in_place(made, tmp_path):
    with (
        serve(made) as served,
        pytest.raises(DatasetError, match=r"not whole: .*JPEGImages/\*\.jpg: 11 of 12"),
    ):
        fetch.work(small_voc(made, served.url("voc.tar"), n=12), how(tmp_path))
    assert not (tmp_path / "VOCdevkit").exists()
    assert not list(tmp_path.glob(".unpacking*"))


def test_a_truncated_archive_is_named_and_leaves_nothing_in_place(made, tmp_path):
    cut = tmp_path / "cut" / "voc.tar"
    cut.parent.mkdir()
    cut.write_bytes(made["voc.tar"].read_bytes()[:100_000])
    with serving(**{"voc.tar": Manner(cut.read_bytes())}) as served:
        wanted = small_voc({"voc.tar": cut}, served.url("voc.tar"))
        with pytest.raises(DatasetError, match=r"voc\.tar: cut short, or no archive"):
            fetch.work(wanted, how(tmp_path / "data"))
    assert not (tmp_path / "data" / "VOCdevkit").exists()


def test_archives_are_kept_where_that_is_wanted(made, tmp_path):
    with serve(made) as served:
        fetch.work(small_voc(made, served.url("voc.tar")), how(tmp_path, keep_archives=True))
    assert [path.name for path in (tmp_path / "archives").iterdir()] == ["voc.tar"]


def test_two_at_once_in_one_folder_are_refused_and_a_bad_record_is_named(made, tmp_path):
    wanted = small_voc(made, "http://127.0.0.1:9/voc.tar")
    with RunLock(tmp_path / ".lock"), pytest.raises(RunError, match="another process works"):
        fetch.work(wanted, how(tmp_path))
    (tmp_path / ".fetched.json").write_text("[]")
    with pytest.raises(DatasetError, match=r"\.fetched\.json: no record of what was fetched"):
        fetch.work(wanted, how(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match=r"file: cannot be made"):
        fetch.work(wanted, how(tmp_path / "file"))


PROGRAM = """
import sys, time
from pathlib import Path
from maskdistill.downloads import fetch
from tests.downloads.test_fetch import small_voc

wanted = small_voc({"voc.tar": Path(sys.argv[1])}, sys.argv[2])
slowly = lambda n_bytes: time.sleep(0.01)
fetch.work(wanted, fetch.Fetch(Path(sys.argv[3]), unpacked=slowly))
"""


@pytest.mark.slow
def test_killed_in_the_middle_of_unpacking_it_goes_on_to_the_same_files(made, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "no_proxy": "127.0.0.1",
    }
    with serve(made) as served:
        fetch.work(small_voc(made, served.url("voc.tar")), how(whole))
        words = [
            sys.executable,
            "-c",
            PROGRAM,
            str(made["voc.tar"]),
            served.url("voc.tar"),
            str(killed),
        ]
        kills = 0
        for n_files in (2, 9, 17):
            with subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL) as process:
                while (
                    process.poll() is None
                    and len(list(killed.glob(".unpacking-*/**/*.*"))) < n_files
                ):
                    time.sleep(0.002)
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)
                    kills += 1
            assert not (killed / "VOCdevkit").exists()
        assert kills == 3
        asked = len(served.asked)
        fetch.work(small_voc(made, served.url("voc.tar")), how(killed))
        assert len(served.asked) == asked == 2  # each archive came once
    assert trees.files_below(killed / "VOCdevkit") == trees.files_below(whole / "VOCdevkit")
    assert not list(killed.glob(".unpacking*"))


def test_killed_between_two_moves_it_goes_on_with_the_rest(made, tmp_path):
    """A kill leaves it verified, said to be moving, one of two places there, the archive gone."""
    home = "VOCdevkit/VOC2012"
    two = (f"{home}/JPEGImages", f"{home}/SegmentationObject")
    wanted = small_voc(made)
    wanted = Dataset(**{**vars(wanted), "places": two, "lines": ()})
    trees.voc(tmp_path / "whole")
    (tmp_path / home).mkdir(parents=True)
    (tmp_path / ".unpacking-voc2012" / home).mkdir(parents=True)
    (tmp_path / "whole" / two[0]).rename(tmp_path / two[0])
    (tmp_path / "whole" / two[1]).rename(tmp_path / ".unpacking-voc2012" / two[1])
    (tmp_path / ".fetched.json").write_text(
        json.dumps({"archives": {}, "datasets": {"voc2012": "moving"}})
    )
    fetch.work(wanted, how(tmp_path))
    assert json.loads((tmp_path / ".fetched.json").read_text())["datasets"] == {
        "voc2012": "complete"
    }
    assert not list(tmp_path.glob(".unpacking*"))
    assert len(list((tmp_path / two[1]).iterdir())) == 7


def test_the_command_fetches_and_prints_the_run(made, tmp_path, capsys, monkeypatch):
    with serve(made) as served:
        monkeypatch.setitem(
            sources.DATASETS, "voc2012", small_voc(made, "http://127.0.0.1:9/voc.tar")
        )
        out = tmp_path / "data"
        assert (
            cli.main(["data", "voc2012", "--out", str(out), "--mirror", served.root, "--quiet"])
            == 0
        )
    shown = capsys.readouterr().out.splitlines()
    assert shown[-1].startswith(f"maskdistill run {out}/VOCdevkit/VOC2012/JPEGImages --only ")
    label_map = truth.read(out / "maskdistill" / "voc2012" / "val.json")
    assert len(label_map.objects) == 3


def test_flags_of_one_data_set_are_refused_for_another(tmp_path, capsys):
    assert cli.main(["data", "coco2077", "--out", str(tmp_path)]) == 2
    assert "there is no 'coco2077'. There are: voc-instances, voc2012" in capsys.readouterr().err
    with pytest.raises(SettingsError, match="pictures: is of coco20k alone, not of voc2012"):
        api.fetch(dataset="voc2012", out=tmp_path, pictures=tmp_path)
    with pytest.raises(
        SettingsError, match=r"there is no data set 'voc2013'\. There are: voc2012, "
    ):
        api.fetch(dataset="voc2013", out=tmp_path)


def test_the_table_is_whole():
    """Checksums have the length of their kind; each archive has mirrors, and cites its facts."""
    assert list(sources.DATASETS) == ["voc2012", "voc2007", "sbd", "coco20k", "coco2017"]
    archives = [archive for each in sources.DATASETS.values() for archive in each.archives]
    for archive in (*archives, sources.TRAIN2014, sources.COCO20K_LIST):
        assert archive.urls
        assert all(
            url.startswith(("https://", "http://")) and url.endswith(archive.name)
            for url in archive.urls
        )
        assert archive.cited
        assert archive.sha256 is None or len(bytes.fromhex(archive.sha256)) == 32
        assert archive.md5 is None or len(bytes.fromhex(archive.md5)) == 16
        assert archive.sha256 or archive.md5
    for dataset in sources.DATASETS.values():
        assert all(
            any(what.startswith(place) for place in dataset.places) for what, _ in dataset.counts
        )
        assert all(
            any(place.startswith(each) for each in dataset.places) for place, _ in dataset.lines
        )
    trains = dict(sources.VOC2012.lines)
    assert trains["VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt"] == 2913 - 1449


def test_a_name_of_trainaug_without_a_picture_is_refused(tmp_path):
    home = trees.voc(tmp_path)
    trees.sbd(tmp_path, home)
    (name, *_) = (tmp_path / "benchmark_RELEASE" / "dataset" / "train.txt").read_text().split()
    (home / "JPEGImages" / f"{name}.jpg").unlink()
    with pytest.raises(GroundTruthError, match=f"the picture of 1 of 8 names is missing: {name}"):
        run_command.make("voc2012", tmp_path, Progress(quiet=True))
    (tmp_path / "benchmark_RELEASE" / "dataset" / "val.txt").unlink()
    with pytest.raises(GroundTruthError, match=r"val\.txt: missing\. Put SBD's lists there"):
        run_command.make("voc2012", tmp_path, Progress(quiet=True))
