import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from maskdistill.errors import RunError
from maskdistill.runs.ledger import Ledger


def at_noon() -> datetime:
    return datetime(2026, 11, 24, 12, 0, 5, 999, tzinfo=UTC)


def test_an_event_is_a_line_with_time_name_and_fields_in_that_order(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl", clock=at_noon)
    ledger.write("refused", picture="Käfer 1.jpg", reason="cut short")
    text = (tmp_path / "ledger.jsonl").read_text(encoding="utf-8")
    assert text == (
        '{"time":"2026-11-24T12:00:05+00:00","event":"refused","picture":"Käfer 1.jpg","reason":"cut short"}\n'
    )


def test_time_is_utc_whatever_the_clock_shows(tmp_path):
    zone = timezone(timedelta(hours=9))
    Ledger(tmp_path / "l", clock=lambda: datetime(2026, 11, 24, 3, 0, tzinfo=zone)).write("start")
    assert next(Ledger(tmp_path / "l").read())["time"] == "2026-11-23T18:00:00+00:00"


def test_events_come_back_in_order_and_are_counted(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for number in range(3):
        ledger.write("start", number=number)
        ledger.write("end")
    assert [row["event"] for row in ledger.read()] == ["start", "end"] * 3
    assert ledger.count("start") == 3
    assert ledger.count("never") == 0


def test_a_ledger_that_is_not_there_is_empty(tmp_path):
    assert list(Ledger(tmp_path / "ledger.jsonl").read()) == []
    assert not (tmp_path / "ledger.jsonl").exists()


def test_a_line_torn_at_any_byte_is_passed_over_and_swallows_no_later_event(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl", clock=at_noon)
    ledger.write("first")
    whole = ledger.path.read_bytes()
    ledger.write("second", name="é")
    line = ledger.path.read_bytes()[len(whole) :]
    for end in range(1, len(line) - 1):
        ledger.path.write_bytes(whole + line[:end])
        ledger.write("third")
        assert [row["event"] for row in ledger.read()] == ["first", "third"], end
    ledger.path.write_bytes(whole + line[:-1])  # only its newline is missing
    ledger.write("third")
    assert [row["event"] for row in ledger.read()] == ["first", "second", "third"]


def test_zeros_after_a_power_cut_are_passed_over(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.write("first")
    with ledger.path.open("ab") as file:
        file.write(bytes(4096))
    ledger.write("second")
    assert [row["event"] for row in ledger.read()] == ["first", "second"]


def test_two_processes_that_write_at_once_do_not_mix_their_lines(tmp_path):
    code = (
        "import sys; from pathlib import Path; from maskdistill.runs.ledger import Ledger\n"
        "ledger = Ledger(Path(sys.argv[1]))\n"
        "for number in range(300): ledger.write('step', who=sys.argv[2], number=number, text='x' * 40 * number)\n"
    )
    path = tmp_path / "ledger.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), who]) for who in "ab"]
    assert [writer.wait() for writer in writers] == [0, 0]
    rows = list(Ledger(path).read())
    for who in "ab":
        assert [row["number"] for row in rows if row["who"] == who] == list(range(300))
    # No line is broken. Empty ones may be there: a long line half visible looks torn to the other writer.
    assert sum(1 for line in path.read_bytes().splitlines() if line) == 600


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_with_the_path(tmp_path):
    (tmp_path / "ledger.jsonl").symlink_to("/dev/full")
    with pytest.raises(RunError, match=r"ledger\.jsonl: cannot be written: No space left"):
        Ledger(tmp_path / "ledger.jsonl").write("start")
