import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from maskdistill.errors import RunError
from maskdistill.runs.lock import RunLock

HOLD = """
import os, sys, time
from pathlib import Path
from maskdistill.runs.lock import RunLock
with RunLock(Path(sys.argv[1])):
    child = os.fork() if sys.argv[2] == "fork" else -1
    if child:
        print(child, flush=True)
    else:
        os.close(1)
    time.sleep(60)
"""


@contextmanager
def holder(path: Path, how: str = "alone") -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that holds the lock, and the child that it forked meanwhile."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), how], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        yield process, child
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        if child > 0:
            os.kill(child, signal.SIGKILL)


def taken(path: Path) -> bool:
    try:
        with RunLock(path):
            return False
    except RunError:
        return True


def test_the_file_says_who_holds_it_since_when(tmp_path):
    with RunLock(tmp_path / "lock", clock=lambda: datetime(2026, 11, 24, 12, tzinfo=UTC)):
        about = json.loads((tmp_path / "lock").read_text())
    assert list(about) == ["process", "host", "boot", "start"]
    assert about["process"] == os.getpid()
    assert about["start"] == "2026-11-24T12:00:00+00:00"


def test_a_second_process_is_refused_and_told_who_works_there(tmp_path):
    with holder(tmp_path / "lock") as (process, _), pytest.raises(RunError) as caught:
        RunLock(tmp_path / "lock").__enter__()
    about = json.loads((tmp_path / "lock").read_text())
    assert f"(process {process.pid} on {about['host']}, since {about['start']})" in str(
        caught.value
    )
    assert str(tmp_path / "lock") in str(caught.value)


def test_the_same_process_cannot_take_it_twice(tmp_path):
    with RunLock(tmp_path / "lock"):
        assert taken(tmp_path / "lock")
    assert not taken(tmp_path / "lock")


def test_being_refused_leaves_what_the_holder_wrote(tmp_path):
    with RunLock(tmp_path / "lock"):
        before = (tmp_path / "lock").read_bytes()
        assert taken(tmp_path / "lock")
        assert (tmp_path / "lock").read_bytes() == before


def test_it_is_free_after_the_block_even_when_the_block_failed(tmp_path):
    with pytest.raises(ValueError, match="ours"), RunLock(tmp_path / "lock"):
        raise ValueError("ours")
    assert not taken(tmp_path / "lock")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff\0", b'{"process": 1, "host": "other", "start": "long ago"}'],
)
def test_a_file_left_behind_locks_nothing_whatever_it_holds(tmp_path, content):
    (tmp_path / "lock").write_bytes(content)
    with RunLock(tmp_path / "lock"):
        assert json.loads((tmp_path / "lock").read_text())["process"] == os.getpid()


def test_a_holder_that_has_not_written_yet_still_holds(tmp_path):
    with RunLock(tmp_path / "lock"):
        (tmp_path / "lock").write_bytes(b"")
        with pytest.raises(RunError, match="it has just started"):
            RunLock(tmp_path / "lock").__enter__()


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_the_system_frees_it_when_its_holder_is_killed(tmp_path):
    with holder(tmp_path / "lock") as (process, _):
        assert taken(tmp_path / "lock")
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not taken(tmp_path / "lock")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_a_forked_child_that_outlives_a_killed_holder_holds_nothing(tmp_path):
    with holder(tmp_path / "lock", "fork") as (process, child):
        time.sleep(0.1)  # the child has started
        assert taken(tmp_path / "lock")  # it let go of its own share, not of its parent's
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.kill(child, 0)  # alive
        assert not taken(tmp_path / "lock")


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(RunError, match="lock: cannot be written: No such file"):
        RunLock(tmp_path / "nowhere" / "lock").__enter__()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full")
def test_a_file_that_cannot_be_written_is_told_and_not_left_locked():
    for _ in range(2):
        with pytest.raises(RunError, match=r"/dev/full: cannot be written"):
            RunLock(Path("/dev/full")).__enter__()


def test_the_holder_can_be_read_where_the_locked_byte_cannot(tmp_path):
    with RunLock(tmp_path / "lock"):
        first, *rest = (tmp_path / "lock").read_bytes()
        assert first == ord(" ")  # the byte that Windows shuts others out of
        assert json.loads(bytes(rest))["process"] == os.getpid()
