"""Progress: a bar on a terminal, few plain lines elsewhere, nothing when quiet."""

import io
import time

import pytest

from maskdistill.runs.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def test_elsewhere_than_on_a_terminal_one_line_stands_at_the_end():
    stream = io.StringIO()
    with Progress(stream=stream).bar("scan", total=3, unit="pictures") as bar:
        for _ in range(3):
            bar.advance()
        assert stream.getvalue() == ""  # no line a picture: these are too many
    assert len(lines(stream)) == 1
    assert lines(stream)[0].startswith("scan: 3/3 pictures, ")
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_what_must_be_done_again_falls_back(stream):
    with Progress(stream=stream).bar("fetch", total=9, unit="MB") as bar:
        for done in (4, 7, 0, 9):
            bar.at(done)
            assert bar.done == done
    assert "9/9" in stream.getvalue()


def test_a_line_every_half_minute_says_count_rate_and_time_left():
    stream = io.StringIO()
    with Progress(stream=stream).bar("detect: train", total=400, done=100, unit="steps") as bar:
        bar.began -= 100
        bar.done += 49
        bar.last -= 31
        bar.advance("loss 1.5")
        bar.advance("loss 1.4")  # too soon for another line
        assert len(lines(stream)) == 1
        # 50 steps in 100 s, those done before not counted: the 250 that are left take 500 s.
        assert lines(stream)[0] == "detect: train: 150/400 steps, 0.50/s, 8.3 min left loss 1.5"
        bar.last -= 31
        bar.advance()
        assert lines(stream)[1].startswith("detect: train: 152/400 steps, 0.5")


@pytest.mark.parametrize(
    "done, left", [(6, ", 40 s left"), (9, ", 1 s left"), (10, ""), (1, ", 6.0 min left")]
)
def test_below_a_minute_seconds_are_left_and_at_the_end_nothing(done, left):
    with Progress(stream=io.StringIO()).bar("scan", total=10, unit="pictures") as bar:
        bar.done = done
        bar.began = time.monotonic() - {6: 60, 9: 0.9, 10: 1, 1: 40}[done]
        assert bar.line().endswith(f"/s{left}")


def test_work_that_was_done_before_is_counted_but_gives_no_rate():
    with Progress(stream=io.StringIO()).bar("propose", total=10, done=4, unit="pictures") as bar:
        assert bar.line() == "propose: 4/10 pictures, 0.00/s"
    assert bar.done == 4


def test_nothing_is_said_where_nothing_was_left_to_do():
    stream = io.StringIO()
    with Progress(stream=stream).bar("propose", total=4, done=4, unit="pictures"):
        pass
    assert stream.getvalue() == ""


def test_quiet_says_nothing_and_still_counts(capsys):
    progress = Progress(quiet=True)
    progress.say("device: cpu")
    with progress.bar("scan", total=2, unit="pictures") as bar:
        bar.last -= 31
        bar.advance()
        bar.advance()
    assert bar.done == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")


def test_quiet_outweighs_a_stream():
    stream = Terminal()
    progress = Progress(stream=stream, quiet=True)
    progress.say("x")
    with progress.bar("scan", total=1, unit="pictures") as bar:
        bar.advance()
    assert stream.getvalue() == ""


def test_progress_goes_to_standard_error(capsys):
    progress = Progress()
    progress.say("device: cpu")
    with progress.bar("scan", total=1, unit="pictures") as bar:
        bar.advance()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("device: cpu\nscan: 1/1 pictures, ")


def test_a_terminal_shows_title_count_and_the_note_of_the_last_step():
    stream = Terminal()
    with Progress(stream=stream).bar("detect: train", total=4, done=1, unit="steps") as bar:
        assert bar.rich is not None
        for number in range(3):
            bar.advance(f"loss {number}.5")
        assert bar.rich.tasks[0].completed == 4
    assert bar.done == 4
    assert "detect: train loss 2.5" in stream.getvalue()
    assert "4/4" in stream.getvalue()


def test_brackets_in_titles_and_notes_are_shown_as_they_are():
    stream = Terminal()
    with Progress(stream=stream).bar("maps [a]", total=1, unit="maps") as bar:
        bar.advance("[/b]")
    assert "maps [a] [/b]" in stream.getvalue()


@pytest.mark.parametrize("make", [io.StringIO, Terminal])
def test_an_error_inside_goes_through_and_the_terminal_is_left_in_order(make):
    stream = make()
    with (
        pytest.raises(ZeroDivisionError),
        Progress(stream=stream).bar("scan", total=3, unit="pictures"),
    ):
        raise ZeroDivisionError
    if make is Terminal:
        assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex(
            "\x1b[?25l"
        )  # the cursor is back


@pytest.mark.parametrize("make", [io.StringIO, Terminal])
def test_a_bar_of_nothing_is_no_error(make):
    with Progress(stream=make()).bar("label", total=0, unit="pictures") as bar:
        assert bar.line().startswith("label: 0/0 pictures")
