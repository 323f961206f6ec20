"""Archives that are whole, cut short, or want out of their folder."""

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from maskdistill.downloads.unpack import unpack, unpacked_bytes
from maskdistill.errors import DatasetError
from tests.datasets import trees

NAMES = ["a/one.txt", "a/b/two.txt", "a/b/three.txt", "other/four.txt"]


def content(name: str) -> bytes:
    return name.encode() * 500


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in NAMES:
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(name))
    return tmp_path / "tree"


def packed(tree: Path, kind: str) -> Path:
    out = tree.parent / f"tree.{kind}"
    if kind == "zip":
        return trees.zip_of([tree], out)
    return trees.tar(tree, out, mode="w:gz" if kind == "tgz" else "w")


@pytest.mark.parametrize("kind", ["tar", "tgz", "zip"])
def test_what_is_wanted_is_unpacked_and_nothing_else(tree, tmp_path, kind):
    archive, n_bytes = packed(tree, kind), []
    assert unpack(archive, tmp_path / "out", wanted=["tree/a"], seen=n_bytes.append) == 3
    assert trees.files_below(tmp_path / "out") == {
        f"tree/{name}": content(name) for name in NAMES[:3]
    }
    assert n_bytes[-1] == sum(len(content(name)) for name in NAMES[:3])
    if kind == "zip":
        assert unpacked_bytes(archive, wanted=["tree/a"]) == n_bytes[-1]
    else:
        assert unpacked_bytes(archive, wanted=["tree/a"]) is None
    assert unpack(archive, tmp_path / "single", wanted=["tree/other/four.txt"]) == 1
    assert list(trees.files_below(tmp_path / "single")) == ["tree/other/four.txt"]
    with pytest.raises(DatasetError, match="holds nothing at tree/o"):
        unpack(archive, tmp_path / "none", wanted=["tree/o"])


@pytest.mark.parametrize("kind", ["tar", "tgz", "zip"])
def test_a_killed_unpacking_goes_on_and_leaves_whole_files_alone(tree, tmp_path, kind):
    archive, out = packed(tree, kind), tmp_path / "out"

    def killed(n_bytes: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack(archive, out, wanted=["tree"], seen=killed)
    (first,) = [path for path in out.rglob("*") if path.is_file()]
    # As a kill inside a file leaves it.
    (first.parent / f"{first.name}.partial").write_bytes(b"half")
    before = first.stat().st_mtime_ns
    assert unpack(archive, out, wanted=["tree"]) == 4
    assert first.stat().st_mtime_ns == before
    found = trees.files_below(out)
    assert {name: data for name, data in found.items() if not name.endswith(".partial")} == {
        f"tree/{name}": content(name) for name in NAMES
    }
    next(path for path in out.rglob("*") if path.name == "two.txt").write_bytes(b"short")
    unpack(archive, out, wanted=["tree"])
    assert trees.files_below(out)["tree/a/b/two.txt"] == content("a/b/two.txt")


@pytest.mark.parametrize("kind", ["tar", "tgz", "zip"])
def test_an_archive_that_was_cut_short_is_named_wherever_it_was_cut(tree, tmp_path, kind):
    data = packed(tree, kind).read_bytes()
    short = tmp_path / f"short.{kind}"
    # Between members too: a plain tar that ends there looks whole to tarfile.
    for length in sorted(
        {len(data) * share // 16 for share in range(16)} | {512 * k for k in range(1, 12)}
    ):
        if length >= len(data.rstrip(b"\0")) and kind == "tar":
            continue  # a part of the zeros at its end
        short.write_bytes(data[: min(length, len(data) - 1)])
        with pytest.raises(DatasetError, match=rf"short\.{kind}: (cut short|holds nothing)"):
            unpack(short, tmp_path / f"out-{length}", wanted=["tree"])


def test_a_damaged_file_in_a_zip_is_named(tree, tmp_path):
    data = bytearray(packed(tree, "zip").read_bytes())
    data[data.find(content("a/one.txt")) + 300] ^= 1
    (tmp_path / "bad.zip").write_bytes(data)
    with pytest.raises(
        DatasetError, match=r"bad\.zip: cut short, or no archive that can be read \(Bad CRC"
    ):
        unpack(tmp_path / "bad.zip", tmp_path / "out", wanted=["tree"])
    assert "tree/a/one.txt" not in trees.files_below(tmp_path / "out")


def test_what_is_no_archive_is_named(tmp_path):
    (tmp_path / "page.tar").write_text("<html>blocked</html>")
    with pytest.raises(DatasetError, match=r"page\.tar: cut short, or no archive"):
        unpack(tmp_path / "page.tar", tmp_path / "out", wanted=["tree"])


BAD_PATHS = [
    "../out.txt",
    "tree/../../out.txt",
    "/maskdistill-out.txt",
    "C:/out.txt",
    "tree\\..\\..\\out.txt",
    "tree/a\nb",
]


@pytest.mark.parametrize("path", BAD_PATHS)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_paths_that_leave_the_folder_are_refused(tmp_path, path, kind):
    archive = tmp_path / f"evil.{kind}"
    if kind == "tar":
        with tarfile.open(archive, "w") as file:
            for name in ("tree/first.txt", path):
                member = tarfile.TarInfo(name)
                member.size = 3
                file.addfile(member, io.BytesIO(b"abc"))
    else:
        with zipfile.ZipFile(archive, "w") as file:
            for name in ("tree/first.txt", path):
                member = zipfile.ZipInfo(name)
                member.filename = member.orig_filename = name
                file.writestr(member, b"abc")
    inside = tmp_path / "deep" / "out"
    with pytest.raises(
        DatasetError, match=rf"evil\.{kind}: holds the path .*, which leads out of its folder"
    ):
        unpack(archive, inside, wanted=["tree", path])
    assert list(trees.files_below(tmp_path / "deep")) == ["out/tree/first.txt"]
    assert not (tmp_path / "out.txt").exists()
    assert not Path("/maskdistill.txt").exists()


@pytest.mark.parametrize(
    "kind, said",
    [
        (tarfile.SYMTYPE, r"a link to '\.\./\.\./secret'"),
        (tarfile.LNKTYPE, r"a link to '\.\./\.\./secret'"),
        (tarfile.CHRTYPE, "no file"),
        (tarfile.BLKTYPE, "no file"),
        (tarfile.FIFOTYPE, "no file"),
    ],
)
def test_links_and_devices_of_a_tar_are_refused(tmp_path, kind, said):
    with tarfile.open(tmp_path / "evil.tar", "w") as file:
        member = tarfile.TarInfo("tree/thing")
        member.type, member.linkname = kind, "../../secret"
        file.addfile(member)
        behind = tarfile.TarInfo("tree/thing/below.txt")
        behind.size = 1
        file.addfile(behind, io.BytesIO(b"x"))
    with pytest.raises(
        DatasetError, match=rf"tree/thing is {said}.*\. Nothing but files is unpacked"
    ):
        unpack(tmp_path / "evil.tar", tmp_path / "out", wanted=["tree"])
    assert not (tmp_path / "out").exists()


def test_a_link_or_an_encrypted_file_of_a_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        member = zipfile.ZipInfo("tree/link")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(member, "/etc/passwd")
    with pytest.raises(DatasetError, match=r"tree/link is a link"):
        unpack(tmp_path / "evil.zip", tmp_path / "out", wanted=["tree"])
    data = bytearray(packed_of(tmp_path))
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(data)
    with pytest.raises(DatasetError, match="is encrypted"):
        unpack(tmp_path / "locked.zip", tmp_path / "out", wanted=["tree"])


def packed_of(folder: Path) -> bytes:
    with zipfile.ZipFile(folder / "one.zip", "w") as file:
        file.writestr("tree/one.txt", "one")
    return (folder / "one.zip").read_bytes()


def test_what_systems_add_for_themselves_is_passed_over(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        for name in ("tree/one.jpg", "tree/._one.jpg", "__MACOSX/tree/._one.jpg"):
            file.writestr(name, "x")
    assert unpack(tmp_path / "x.zip", tmp_path / "out", wanted=["tree"]) == 1
