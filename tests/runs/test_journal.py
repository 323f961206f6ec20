import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskdistill.errors import RunError
from maskdistill.runs.journal import Journal

ADDED = st.lists(
    st.tuples(
        st.integers(0, 2**60), st.dictionaries(st.text(), st.integers() | st.text(), max_size=2)
    )
)


class Clock:
    """Time that only moves when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def filled(folder: Path, count: int) -> Path:
    with Journal(folder) as journal:
        for key in range(1, count + 1):
            journal.add(key, {"text": f"Ü\n{key}", "zahl": key / 3})
    return journal.path


@given(added=ADDED)
def test_records_come_back_by_rising_key_and_the_last_of_a_key_counts(tmp_path_factory, added):
    folder = tmp_path_factory.mktemp("journal")
    with Journal(folder) as journal:
        for key, record in added:
            journal.add(key, record)
        assert list(journal.records()) == sorted(dict(added).items())
    with Journal(folder) as journal:
        assert set(journal.done) == set(dict(added))
        assert list(journal.records()) == sorted(dict(added).items())
        for key, record in added:  # over what is there already
            journal.add(key, {"again": record})
        assert list(journal.records()) == sorted(
            (key, {"again": record}) for key, record in dict(added).items()
        )
    shutil.rmtree(folder)


def test_an_empty_journal_has_nothing_and_makes_no_file(tmp_path):
    with Journal(tmp_path / "parts") as journal:
        assert 1 not in journal
        assert len(journal) == 0
        assert list(journal.records()) == []
    assert not (tmp_path / "parts").exists()


def test_a_file_cut_at_any_byte_of_the_last_record_loses_that_record_alone(tmp_path):
    path = filled(tmp_path, 3)
    whole = path.read_bytes()
    start = whole[:-1].rindex(b"\n") + 1
    for end in range(start, len(whole)):
        path.write_bytes(whole[:end])
        with Journal(tmp_path) as journal:
            assert sorted(journal.done) == [1, 2], end
            journal.add(3, {"text": "Ü\n3", "zahl": 1.0})
        assert path.read_bytes() == whole, end


def test_any_changed_byte_in_the_last_record_is_noticed_and_dropped(tmp_path):
    path = filled(tmp_path, 2)
    whole = path.read_bytes()
    start = whole[:-1].rindex(b"\n") + 1
    for place in range(start, len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x20]) + whole[place + 1 :])
        with Journal(tmp_path) as journal:
            assert sorted(journal.done) == [1], place
            assert [key for key, _ in journal.records()] == [1]


@pytest.mark.parametrize("kept", [0, 1, 12])
def test_zeros_at_the_end_after_a_power_cut_are_a_torn_line(tmp_path, kept):
    path = filled(tmp_path, 2)
    whole = path.read_bytes()
    start = whole[:-1].rindex(b"\n") + 1
    path.write_bytes(whole[: start + kept] + bytes(5000))
    with Journal(tmp_path) as journal:
        assert sorted(journal.done) == [1]
        journal.add(2, {"text": "Ü\n2", "zahl": 2 / 3})
    assert path.read_bytes() == whole


def test_zeros_behind_a_damaged_whole_line_are_a_torn_line_too(tmp_path):
    path = filled(tmp_path, 2)
    path.write_bytes(path.read_bytes()[:-2] + b"?\n" + bytes(100))
    assert sorted(Journal(tmp_path).done) == [1]


@pytest.mark.parametrize("number", [1, 2])
def test_a_damaged_line_in_the_middle_is_an_error_that_names_it(tmp_path, number):
    path = filled(tmp_path, 3)
    rows = path.read_bytes().splitlines(keepends=True)
    rows[number - 1] = rows[number - 1].replace(b"text", b"texx")
    path.write_bytes(b"".join(rows))
    with pytest.raises(
        RunError, match=rf"journal\.jsonl: line {number} is damaged.*Remove the folder"
    ):
        Journal(tmp_path)
    assert path.read_bytes() == b"".join(rows)


def test_looking_at_a_journal_that_is_being_written_changes_nothing(tmp_path):
    path = filled(tmp_path, 2)
    torn = path.read_bytes()[:-7]  # so a file looks while its writer's buffer is half on disk
    path.write_bytes(torn)
    with Journal(tmp_path) as journal:
        assert len(journal) == 1
        assert [key for key, _ in journal.records()] == [1]
    assert path.read_bytes() == torn


def test_records_are_on_disk_when_the_time_between_flushes_has_passed(tmp_path):
    clock = Clock()
    journal = Journal(tmp_path, flush_seconds=2.0, clock=clock)
    journal.add(1, {})
    assert sorted(Journal(tmp_path).done) == []
    clock.now += 2.0
    journal.add(2, {})
    assert sorted(Journal(tmp_path).done) == [1, 2]
    journal.add(3, {})
    assert sorted(Journal(tmp_path).done) == [1, 2]
    journal.close()
    assert sorted(Journal(tmp_path).done) == [1, 2, 3]


def test_what_was_done_is_kept_when_the_block_fails(tmp_path):
    def stopped() -> None:
        with Journal(tmp_path) as journal:
            journal.add(1, {})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert sorted(Journal(tmp_path).done) == [1]


def test_a_restarted_journal_is_empty_and_keeps_its_name(tmp_path):
    with Journal(tmp_path, "masks") as journal:
        journal.add(1, {"a": 1})
    with journal.restarted() as again:
        assert len(again) == 0
        again.add(2, {})
    assert again.path == tmp_path / "masks.jsonl"
    assert sorted(Journal(tmp_path, "masks").done) == [2]


def test_two_names_in_one_folder_are_two_journals(tmp_path):
    with Journal(tmp_path, "a") as a, Journal(tmp_path, "b") as b:
        a.add(1, {})
        b.add(2, {})
    assert sorted(Journal(tmp_path, "a").done) == [1]


def test_memory_holds_positions_not_records(tmp_path):
    with Journal(tmp_path) as journal:
        for key in range(5):
            journal.add(key, {"mask": "x" * 100_000})
        assert journal.offsets == dict(enumerate(range(0, journal.end, journal.end // 5)))


@pytest.mark.skipif(os.name == "nt", reason="limits of a process")
def test_a_disk_that_takes_no_more_is_told_with_what_to_do_and_keeps_what_it_has(tmp_path):
    import resource

    path = filled(tmp_path, 2)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    journal = Journal(tmp_path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 1000, limits[1]))
    try:
        with pytest.raises(RunError, match=r"journal\.jsonl: cannot be written: File too large"):
            journal.add(3, {"mask": "x" * 100_000})
        assert [key for key, _ in journal.records()] == [1, 2]
        journal.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with journal:  # there is room again
        journal.add(3, {"mask": "x" * 100_000})
    assert sorted(Journal(tmp_path).done) == [1, 2, 3]


@pytest.mark.skipif(os.name == "nt", reason="limits of a process")
def test_small_records_that_a_full_disk_refuses_at_the_flush_are_not_counted_as_done(tmp_path):
    import resource

    path = filled(tmp_path, 2)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    journal = Journal(tmp_path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 150, limits[1]))
    try:
        for key in range(3, 9):
            journal.add(key, {"text": "x" * 60})
        with pytest.raises(RunError, match="File too large"):
            journal.flush()
        assert sorted(journal.done) == [1, 2, 3]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_kill_loses_nothing_that_was_flushed_and_the_rest_is_done_again(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from maskdistill.runs.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]), flush_seconds=1e9)\n"
        "for key in range(1, 1001):\n"
        "    journal.add(key, {'text': 'x' * 50, 'key': key})\n"
        "    if key == 400: journal.flush()\n"
        "    if key == 777: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "killed")])
    assert done.returncode == -signal.SIGKILL
    with Journal(tmp_path / "killed") as journal:
        n_kept = len(journal)
        assert 400 <= n_kept < 777
        assert list(journal.done) == list(range(1, n_kept + 1))
        for key in range(1, 1001):
            if key not in journal:
                journal.add(key, {"text": "x" * 50, "key": key})
    with Journal(tmp_path / "whole") as whole:
        for key in range(1, 1001):
            whole.add(key, {"text": "x" * 50, "key": key})
    assert journal.path.read_bytes() == whole.path.read_bytes()
