"""Records of JSON files too large to be held whole: the same as json.load gives, whatever the chunk."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskdistill.datasets import streamed

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v, max_size=3)
)


@given(st.lists(VALUES, max_size=4), st.integers(1, 40), st.sampled_from([None, 1]))
def test_a_list_comes_back_record_by_record_whatever_the_chunk(
    tmp_path_factory, values, chunk, indent
) -> None:
    path = tmp_path_factory.getbasetemp() / "list.json"
    path.write_text(json.dumps(values, indent=indent, ensure_ascii=False), encoding="utf-8")
    assert list(streamed.records(path, chunk=chunk)) == [(None, value) for value in values]


@given(
    st.dictionaries(st.sampled_from(["images", "annotations", "info", "x"]), VALUES),
    st.integers(1, 40),
)
def test_an_object_gives_the_records_of_the_wanted_lists_alone(
    tmp_path_factory, whole, chunk
) -> None:
    path = tmp_path_factory.getbasetemp() / "object.json"
    path.write_text(json.dumps(whole, indent=2), encoding="utf-8")
    found = list(streamed.records(path, ("images", "annotations"), chunk=chunk))
    lists = {
        key: value
        for key, value in whole.items()
        if key in ("images", "annotations") and isinstance(value, list)
    }
    assert found == [(key, record) for key, value in lists.items() for record in value]


@pytest.mark.parametrize(
    "text", ['[{"a": 1}, {"b": [2, "x"]}]', '{"images": [{"id": 12, "name": "\\u00e4"}], "k": 1.5}']
)
def test_cut_anywhere_it_is_refused(tmp_path, text) -> None:
    path = tmp_path / "cut.json"
    for end in range(len(text)):
        path.write_text(text[:end])
        for chunk in (1, 7, 1000):
            with pytest.raises(ValueError, match=r"cut short|holds nothing|Expecting|wanted ,"):
                list(streamed.records(path, ("images",), chunk=chunk))


@pytest.mark.parametrize(
    "text, why",
    [
        ("[1] 2", "behind its end"),
        ("3", "wanted a list or an object"),
        ("[1 2]", "wanted , or ]"),
        ("[x]", "Expecting value"),
    ],
)
def test_what_is_no_json_is_refused(tmp_path, text, why) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=why):
        list(streamed.records(path))


def test_a_mistake_is_told_before_the_rest_of_the_file_is_read(tmp_path) -> None:
    path = tmp_path / "wrong.json"
    path.write_text('[{"a": oops}, ' + ", ".join(["1"] * 100_000) + "]")
    tracemalloc.start()
    with pytest.raises(ValueError, match="Expecting value"):
        list(streamed.records(path, chunk=1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


def test_memory_does_not_grow_with_the_file(tmp_path) -> None:
    path = tmp_path / "long.json"

    def peak(count: int) -> int:
        path.write_text(
            json.dumps({"annotations": [{"id": n, "counts": "x" * 200} for n in range(count)]})
        )
        tracemalloc.start()
        assert sum(1 for _ in streamed.records(path, ("annotations",), chunk=10_000)) == count
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(10)
    assert peak(5000) < peak(200) + 50_000
