import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskdistill.errors import PictureError, RunError
from maskdistill.runs import atomic

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_half(path: Path, failure: BaseException) -> None:
    with atomic.writing(path) as file:
        file.write(b"new" * 100_000)
        raise failure


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "a.txt"
    atomic.write_text(path, "old\n")
    atomic.write_text(path, "größer\n")
    assert path.read_bytes() == "größer\n".encode()
    assert names(tmp_path) == ["a.txt"]


def test_text_keeps_its_newlines_on_every_system(tmp_path):
    with atomic.writing(tmp_path / "a.txt", "w") as file:
        file.write("é\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9\n"


@pytest.mark.parametrize(
    "failure", [ValueError("ours"), KeyboardInterrupt(), PictureError("p: cannot be decoded")]
)
def test_the_old_file_stays_whole_when_the_writer_raises(tmp_path, failure):
    path = tmp_path / "a.bin"
    atomic.write_bytes(path, b"old")
    with pytest.raises(type(failure)):
        write_half(path, failure)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_until_the_block_ends_the_old_file_is_what_others_read(tmp_path):
    path = tmp_path / "a.bin"
    atomic.write_bytes(path, b"old")
    with atomic.writing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_a_full_disk_is_told_with_the_path_and_what_to_do(tmp_path):
    path = tmp_path / "a.bin"
    atomic.write_bytes(path, b"old")
    with pytest.raises(
        RunError, match=r"a\.bin: cannot be written: No space left.*Free some space"
    ):
        write_half(path, OSError(errno.ENOSPC, "No space left on device"))
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up_at_the_last_flush_leaves_no_file(tmp_path):
    # The temporary file is a link to a device that takes nothing.
    (tmp_path / f"a.bin{atomic.SUFFIX}").symlink_to("/dev/full")
    with pytest.raises(RunError, match=r"a\.bin: cannot be written: No space left"):
        atomic.write_bytes(tmp_path / "a.bin", b"new")
    assert names(tmp_path) == []


def test_a_missing_folder_is_told_with_the_path(tmp_path):
    with pytest.raises(
        RunError, match=r"a\.bin: cannot be written: No such file.*See that its folder exists"
    ):
        atomic.write_bytes(tmp_path / "nowhere" / "a.bin", b"new")


def test_the_error_of_another_file_is_not_blamed_on_the_one_being_written(tmp_path):
    with pytest.raises(FileNotFoundError), atomic.writing(tmp_path / "a.bin"):
        (tmp_path / "other").read_bytes()
    assert names(tmp_path) == []


@given(value=JSON)
def test_json_read_back_is_what_was_written(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "value.json"
    atomic.write_json(path, value)
    assert json.loads(path.read_bytes()) == value


def test_json_keeps_the_order_of_keys_and_ends_with_a_newline(tmp_path):
    atomic.write_json(tmp_path / "a.json", {"b": 1, "a": ["ü"]})
    assert (tmp_path / "a.json").read_text(
        encoding="utf-8"
    ) == '{\n "b": 1,\n "a": [\n  "ü"\n ]\n}\n'


def test_json_refuses_what_is_not_a_number_and_keeps_the_old_file(tmp_path):
    atomic.write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match="Out of range float"):
        atomic.write_json(tmp_path / "a.json", [float("nan")])
    assert json.loads((tmp_path / "a.json").read_text()) == 1


def test_a_file_name_that_is_not_utf8_survives_json():
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    assert os.fsencode(json.loads(atomic.json_bytes({"path": name}))["path"]) == b"caf\xe9.jpg"


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_kill_in_the_middle_leaves_the_old_file_and_a_remnant_that_sweep_removes(tmp_path):
    folder = tmp_path / "stage" / "parts"
    folder.mkdir(parents=True)
    path = folder / "a.bin"
    atomic.write_bytes(path, b"old")
    code = (
        "import os, signal, sys; from pathlib import Path; from maskdistill.runs import atomic\n"
        "with atomic.writing(Path(sys.argv[1])) as file:\n"
        "    file.write(b'new' * 100000); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    assert names(folder) == ["a.bin", f"a.bin{atomic.SUFFIX}"]
    atomic.sweep(tmp_path)
    assert names(folder) == ["a.bin"]
    atomic.write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
