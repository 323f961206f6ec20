"""Records of JSON files too large to be held whole: those of json.load, whatever the chunk."""

import gzip
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
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
@pytest.mark.parametrize("packed", [False, True])
def test_every_encoding_of_json_is_read_as_it_is_or_packed(tmp_path, encoding, packed) -> None:
    whole = {"images": [{"name": "ä 海 😀"}, 2**53 + 1, 0.1], "annotations": []}
    data = json.dumps(whole, ensure_ascii=False).encode(encoding)
    path = tmp_path / "list.json"
    path.write_bytes(gzip.compress(data) if packed else data)
    seen: set[str] = set()
    for chunk in (1, 3, 10_000):
        found = list(streamed.records(path, ("images",), chunk=chunk, seen=seen))
        assert found == [("images", value) for value in whole["images"]]
    assert seen == set(whole)
    assert not streamed.is_list(path)
    path.write_bytes(gzip.compress(data[: len(data) // 2]) if packed else data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"cut short|truncated data"):
        list(streamed.records(path, ("images",)))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", str(2**63)])
def test_numbers_that_only_python_writes_are_read_where_they_stand(tmp_path, number) -> None:
    # Letters of two and three bytes before it, an escape, and what Python takes for a line's end.
    name = '"海海海海海海海ä\u2028 \\\\n"'
    text = f'{{"info": [0], "a": [1, 2, {{"name": {name}, "score": {number}}}, 4], "b": []}}'
    path = tmp_path / "python.json"
    path.write_text(text, encoding="utf-8")
    for chunk in (1, 2, 3, 30, 1000):
        seen: set[str] = set()
        found = list(streamed.records(path, ("a",), chunk=chunk, seen=seen))
        # repr, because nan is not equal to itself
        assert repr([value for _, value in found]) == repr(json.loads(text)["a"])
        assert seen == {"info", "a", "b"}


def test_lists_deeper_in_a_file_are_no_lists_of_it(tmp_path) -> None:
    whole = {"info": {"images": [1], "info": [2]}, "images": {"item": [3]}, "x": [{"images": [4]}]}
    path = tmp_path / "deep.json"
    path.write_text(json.dumps(whole))
    seen: set[str] = set()
    assert list(streamed.records(path, ("images", "info", "item"), seen=seen)) == []
    assert seen == {"x"}


@pytest.mark.parametrize(
    "text", ['[{"a": 1}, {"b": [2, "x"]}]', '{"images": [{"id": 12, "name": "\\u00e4"}], "k": 1.5}']
)
def test_cut_anywhere_it_is_refused(tmp_path, text) -> None:
    path = tmp_path / "cut.json"
    for end in range(len(text)):
        path.write_text(text[:end])
        for chunk in (1, 7, 1000):
            with pytest.raises(ValueError, match=r"cut short" if end else "holds nothing"):
                list(streamed.records(path, ("images",), chunk=chunk))


@pytest.mark.parametrize("share", [1, 30, 60, 99])
def test_a_packed_file_is_refused_wherever_it_was_cut(tmp_path, share) -> None:
    data = gzip.compress(json.dumps(list(range(5000))).encode())
    path = tmp_path / "cut.json.gz"
    path.write_bytes(data[: len(data) * share // 100])
    with pytest.raises(ValueError, match="cannot be unpacked, or cut short"):
        list(streamed.records(path))


@pytest.mark.parametrize(
    "text, why",
    [
        ("[1] 2", "goes on behind its end"),
        ('{"a": []} x', "goes on behind its end"),
        ("3", "begins with 3, wanted a list or an object"),
        ("nonsense", "invalid string in json text, near 'nonsense'; wanted a list or an object"),
        (" ", "cut short; wanted a list or an object"),
        ("[1 2]", r"I expect ',' or '\]', near '\[1 2\]'"),
        ("[x]", r"invalid char in json text, near '\[x\]'"),
        ("[1, Nope]", "Expecting value"),
        (f"[{2**63}, x]", "Expecting value"),
        ('["a\xff"]', "invalid bytes in UTF8 string, near"),
    ],
)
def test_what_is_no_json_is_refused_in_one_line(tmp_path, text, why) -> None:
    path = tmp_path / "wrong.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=why) as raised:
        list(streamed.records(path))
    assert "\n" not in str(raised.value)


def test_a_mistake_is_told_before_the_rest_of_the_file_is_read(tmp_path) -> None:
    path = tmp_path / "wrong.json"
    path.write_text('[{"a": oops}, ' + ", ".join(["1"] * 100_000) + "]")
    tracemalloc.start()
    with pytest.raises(ValueError, match="invalid char in json text"):
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
