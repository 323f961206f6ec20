import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskdistill.errors import PictureError, RunError
from maskdistill.runs import lines

ROWS = st.lists(
    st.dictionaries(
        st.text(), st.none() | st.integers() | st.text() | st.lists(st.text()), max_size=3
    )
)


@given(rows=ROWS)
def test_rows_read_back_are_those_written(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "rows.jsonl"
    lines.write(path, rows)
    assert list(lines.read(path)) == rows


def test_rows_are_compact_and_keep_their_letters(tmp_path):
    lines.write(tmp_path / "a.jsonl", iter([{"b": 1, "a": "Küste 海"}, {"x": [1.5, None]}]))
    assert (tmp_path / "a.jsonl").read_text(
        encoding="utf-8"
    ) == '{"b":1,"a":"Küste 海"}\n{"x":[1.5,null]}\n'


def test_line_separators_inside_a_text_do_not_break_a_line(tmp_path):
    row = {"path": "a\u2028b\x85c\nd\re"}
    lines.write(tmp_path / "a.jsonl", [row, row])
    assert list(lines.read(tmp_path / "a.jsonl")) == [row, row]


def test_no_rows_make_an_empty_file(tmp_path):
    lines.write(tmp_path / "a.jsonl", [])
    assert (tmp_path / "a.jsonl").read_bytes() == b""
    assert list(lines.read(tmp_path / "a.jsonl")) == []


def test_the_first_rows_are_read_before_the_last_ones_are_looked_at(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"id":1}\nbroken\n')
    rows = lines.read(tmp_path / "a.jsonl")
    assert next(rows) == {"id": 1}
    with pytest.raises(RunError, match=r"a\.jsonl: line 2 cannot be read.*--from"):
        next(rows)


@pytest.mark.parametrize(
    "line", [b"{", b"", b"[1]", b"7", b"\0\0\0\0", b'{"a": "\xff"}', b'{"id":1}{"id":2}']
)
def test_a_line_that_is_no_object_is_an_error_with_its_number(tmp_path, line):
    (tmp_path / "a.jsonl").write_bytes(b"{}\n{}\n" + line + b"\n")
    with pytest.raises(RunError, match=r"a\.jsonl: line 3 cannot be read"):
        list(lines.read(tmp_path / "a.jsonl"))


def test_a_missing_file_says_that_its_stage_is_not_complete(tmp_path):
    with pytest.raises(RunError, match=r"a\.jsonl: not there"):
        list(lines.read(tmp_path / "a.jsonl"))


def test_rows_that_stop_with_an_error_leave_the_old_file(tmp_path):
    def rows():
        yield {"id": 1}
        raise PictureError("b.jpg: cannot be decoded")

    lines.write(tmp_path / "a.jsonl", [{"id": 7}])
    with pytest.raises(PictureError):
        lines.write(tmp_path / "a.jsonl", rows())
    assert list(lines.read(tmp_path / "a.jsonl")) == [{"id": 7}]
    assert os.listdir(tmp_path) == ["a.jsonl"]  # noqa: PTH208


def test_a_file_is_rewritten_from_its_own_rows(tmp_path):
    lines.write(tmp_path / "a.jsonl", [{"id": 1}, {"id": 2}])
    lines.write(
        tmp_path / "a.jsonl", (row for row in lines.read(tmp_path / "a.jsonl") if row["id"] > 1)
    )
    assert list(lines.read(tmp_path / "a.jsonl")) == [{"id": 2}]
