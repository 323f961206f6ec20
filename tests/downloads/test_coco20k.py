"""COCO20k: the pictures of a list and their objects, one by one, from an archive or a folder."""

import gzip
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from maskdistill.downloads import coco20k, run_command, sources
from maskdistill.downloads.sources import Dataset
from maskdistill.errors import DatasetError, GroundTruthError, SettingsError
from maskdistill.runs.progress import Progress
from tests.datasets import trees
from tests.downloads.server import Manner, Served, serving
from tests.downloads.test_fetch import archive_of, how


class Coco20k:
    """Hold a server with annotations, pictures and a list, and the table that names them."""

    def __init__(self, root: Path, served: Served) -> None:
        self.json = trees.coco(root / "coco", n=6)
        self.root, self.served = root, served
        names = sorted(path.name for path in (root / "coco" / "train2014").iterdir())
        self.names = [f"train2014/{name}" for name in (names[4], names[0], names[2])]
        self.list = root / "list.txt"
        self.list.write_text("\n".join(self.names) + "\n")
        annotations = trees.zip_of([root / "coco" / "annotations"], root / "annotations.zip")
        pictures = trees.zip_of([root / "coco" / "train2014"], root / "train2014.zip")
        served.paths.update(
            {path.name: Manner(path.read_bytes()) for path in (annotations, pictures, self.list)}
        )
        for name in names:
            served.paths[f"train2014/{name}"] = Manner(
                (root / "coco" / "train2014" / name).read_bytes()
            )
        place = "annotations/instances_train2014.json"
        archive = archive_of(annotations, served.url(annotations.name), wanted=(place,))
        known = Dataset("coco20k", (archive,), (place,), 1, ((place, 1),), (), "", "")
        self.table: dict[str, Any] = {
            "annotations": known,
            "archive": archive_of(pictures, served.url(pictures.name), wanted=("train2014",)),
            "pictures_url": served.root,
            "known_list": archive_of(self.list, served.url(self.list.name), wanted=()),
        }

    def work(self, out: Path, **more: Any) -> Path:
        mirrors = more.pop("mirrors", ())
        return coco20k.work(how(out, mirrors=mirrors), **{**self.table, **more})

    def check(self, out: Path) -> None:
        folder = out / "coco20k" / "train2014"
        wanted = {Path(name).name for name in self.names}
        assert {path.name for path in folder.iterdir()} == wanted
        for path in folder.iterdir():
            assert path.read_bytes() == (self.root / "coco" / "train2014" / path.name).read_bytes()
        part = json.loads((out / "maskdistill" / "coco20k" / "instances.json").read_text())
        everything = json.loads(self.json.read_text())
        images = [row for row in everything["images"] if row["file_name"] in wanted]
        ids = {row["id"] for row in images}
        assert part == {
            "images": images,
            "annotations": [row for row in everything["annotations"] if row["image_id"] in ids],
            "licenses": [],
            "categories": everything["categories"],
        }

    def pictures_asked(self) -> list[str]:
        return sorted(path for path, *_ in self.served.asked if path.startswith("/train2014/"))


@pytest.fixture
def small(tmp_path):
    with serving() as served:
        yield Coco20k(tmp_path / "made", served)


def test_coco20k_is_the_pictures_of_the_list_one_by_one_and_their_objects(small, tmp_path):
    out = tmp_path / "data"
    folder = small.work(out)
    small.check(out)
    assert folder == out / "coco20k" / "train2014"
    assert small.pictures_asked() == sorted(f"/{name}" for name in small.names)
    n_asked = len(small.served.asked)
    small.work(out)
    assert len(small.served.asked) == n_asked
    (line,) = run_command.make("coco20k", out, Progress(quiet=True))
    assert line == (
        f"maskdistill run {folder} --only {out}/maskdistill/coco20k/names.txt "
        "--preset paper-coco20k "
        f"--ground-truth {out}/maskdistill/coco20k/instances.json --out runs/coco20k"
    )
    other = tmp_path / "other.txt"
    other.write_text(small.names[0])
    with pytest.raises(DatasetError, match=r"names\.txt: is another list than the one given now"):
        small.work(out, names=str(other))


def test_coco20k_goes_on_with_the_pictures_that_are_missing(small, tmp_path):
    out = tmp_path / "data"
    lost = small.names[1]
    kept = small.served.paths.pop(lost)
    with pytest.raises(
        DatasetError, match=r"(?s)1 pictures could not be fetched, the first: .*404"
    ) as raised:
        small.work(out)
    assert str(out / "archives" / "train2014.zip") in str(raised.value)
    small.served.paths[lost] = kept
    small.served.asked.clear()
    small.work(out)
    small.check(out)
    assert small.pictures_asked() == [f"/{lost}"]


def test_a_dead_server_of_pictures_is_given_up_after_a_few_and_a_mirror_is_tried_first(
    small, tmp_path
):
    out = tmp_path / "data"
    with pytest.raises(DatasetError, match="3 pictures could not be fetched"):
        small.work(out, pictures_url="http://127.0.0.1:9/")
    small.work(out, pictures_url="http://127.0.0.1:9/", mirrors=[small.served.root])
    small.check(out)


def jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize(
    "body, said",
    [
        (b"nothing", "is no whole picture"),
        (jpeg(Image.effect_noise((120, 96), 90))[:2000], "is no whole picture"),
        (jpeg(Image.new("RGB", (7, 5))), "is 7 x 5 px, wanted"),
    ],
    ids=["nothing", "half", "another"],
)
def test_what_is_no_picture_or_another_one_is_refused_and_not_kept(small, tmp_path, body, said):
    lost = small.names[1]
    kept = small.served.paths[lost]
    small.served.paths[lost] = Manner(body)
    with pytest.raises(DatasetError, match=f"what the server gave {said}"):
        small.work(tmp_path / "data")
    assert not (tmp_path / "data" / "coco20k" / "train2014" / Path(lost).name).exists()
    small.served.paths[lost] = kept
    small.work(tmp_path / "data")
    small.check(tmp_path / "data")


@pytest.mark.parametrize("fetched", [True, False])
def test_coco20k_takes_the_pictures_of_the_list_out_of_the_archive(small, tmp_path, fetched):
    out = tmp_path / "data"
    if not fetched:
        (out / "archives").mkdir(parents=True)
        (out / "archives" / "train2014.zip").write_bytes(
            (small.root / "train2014.zip").read_bytes()
        )
    small.work(out, whole_archive=fetched)
    small.check(out)
    assert small.pictures_asked() == []
    assert (out / "archives" / "train2014.zip").exists() != fetched


@pytest.mark.parametrize("where", ["train2014", "."])
def test_coco20k_links_pictures_that_are_on_disk(small, tmp_path, where):
    out = tmp_path / "data"
    small.work(out, pictures=small.root / "coco" / where)
    small.check(out)
    assert small.pictures_asked() == []
    linked = out / "coco20k" / "train2014" / Path(small.names[0]).name
    assert linked.samefile(small.root / "coco" / small.names[0])
    with pytest.raises(SettingsError, match="no such folder"):
        small.work(tmp_path / "other", pictures=tmp_path / "nowhere")


def test_coco20k_links_what_links_point_to(small, tmp_path):
    links = tmp_path / "links"
    links.mkdir()
    (tmp_path / "store").symlink_to(small.root / "coco" / "train2014")
    for name in small.names:
        (links / Path(name).name).symlink_to(Path("..") / "store" / Path(name).name)
    small.work(tmp_path / "data", pictures=links)
    small.check(tmp_path / "data")


def test_the_list_is_a_file_or_a_url_with_a_checksum_or_one_that_is_recorded(small, tmp_path):
    small.work(tmp_path / "file", names=str(small.list))
    small.check(tmp_path / "file")
    sha256 = hashlib.sha256(small.list.read_bytes()).hexdigest()
    small.work(tmp_path / "url", names=small.served.url("list.txt"), names_sha256=sha256)
    small.check(tmp_path / "url")
    for names in (str(small.list), small.served.url("list.txt")):
        with pytest.raises(
            DatasetError, match=rf"another checksum \(sha256 {sha256}, wanted {'0' * 64}\)"
        ):
            small.work(tmp_path / "wrong", names=names, names_sha256="0" * 64)
    out = tmp_path / "recorded"
    small.work(out, names=small.served.url("list.txt"))
    (out / "maskdistill" / "coco20k" / "list.txt").unlink()
    small.served.paths["list.txt"] = Manner(small.list.read_bytes() + b"train2014/x.jpg\n")
    with pytest.raises(DatasetError, match="another checksum"):
        small.work(out, names=small.served.url("list.txt"))


def test_a_list_with_names_that_are_no_image_or_stand_twice_is_refused(small, tmp_path):
    bad = tmp_path / "bad.txt"
    bad.write_text(f"{small.names[0]}\ntrain2014/nobody.jpg\n")
    with pytest.raises(
        GroundTruthError, match=r"1 of 2 names of the list are no image of it.*nobody\.jpg"
    ):
        small.work(tmp_path / "data", names=str(bad))
    small.work(tmp_path / "data")  # the bad list left nothing behind
    bad.write_text(f"{small.names[0]}\n{small.names[0]}\n")
    with pytest.raises(DatasetError, match="1 names stand twice"):
        small.work(tmp_path / "data", names=str(bad))
    with pytest.raises(GroundTruthError, match="cannot be read as a list of names"):
        small.work(tmp_path / "data", names=str(tmp_path / "missing.txt"))


def test_the_known_list_is_that_of_the_reference(reference):
    text = gzip.decompress((reference / "data" / "facts" / "coco20k_files.txt.gz").read_bytes())
    assert hashlib.sha256(text).hexdigest() == sources.COCO20K_LIST.sha256
    assert len(text) == sources.COCO20K_LIST.bytes
