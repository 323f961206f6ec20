import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskdistill.runs import fingerprints

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.0, 1.0, 0.1, 1e300])
    | st.sampled_from("ab"),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=2)
    ),
    max_leaves=5,
)
PARTS = st.dictionaries(st.sampled_from("xyz"), VALUES, max_size=3)


def test_a_digest_is_the_sha256_of_sorted_compact_json():
    parts = {"b": [1, 0.1], "a": {"ü": None}}
    text = '{"a":{"\\u00fc":null},"b":[1,0.1]}'
    assert fingerprints.digest(parts) == hashlib.sha256(text.encode()).hexdigest()


def test_order_of_keys_and_tuples_change_nothing():
    assert fingerprints.digest({"a": 1, "b": (1, 2)}) == fingerprints.digest({"b": [1, 2], "a": 1})


def test_the_smallest_change_of_a_float_changes_the_digest():
    assert fingerprints.digest({"a": 0.1 + 0.2}) != fingerprints.digest({"a": 0.3})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_a_number_is_refused(value):
    with pytest.raises(ValueError, match="Out of range float"):
        fingerprints.digest({"a": [value]})


def test_what_json_does_not_know_is_refused(tmp_path):
    with pytest.raises(TypeError):
        fingerprints.digest({"path": tmp_path})


@given(old=PARTS, new=PARTS)
def test_there_are_differences_exactly_where_the_digests_differ(old, new):
    same = fingerprints.digest(old) == fingerprints.digest(new)
    assert (fingerprints.differences(old, new) == []) == same
    assert fingerprints.differences(old, old) == []


@given(parts=PARTS)
def test_parts_read_back_from_json_do_not_differ(parts):
    assert fingerprints.differences(json.loads(json.dumps(parts)), parts) == []


def test_differences_are_lines_with_the_place_the_old_and_the_new_value():
    old = {
        "settings": {"method": "lost", "size": 640, "gone": 1},
        "version": 1,
        "reads": {"scan": "a" * 64},
    }
    new = {
        "settings": {"method": "tokencut", "size": 640, "come": None},
        "version": 1,
        "reads": {"scan": "b" * 64},
    }
    assert fingerprints.differences(old, new) == [
        "reads.scan: aaaaaaaaaaaa... -> bbbbbbbbbbbb...",
        "settings.come: nothing -> None",
        "settings.gone: 1 -> nothing",
        "settings.method: lost -> tokencut",
    ]


def test_a_whole_number_and_the_same_as_float_differ_visibly():
    assert fingerprints.differences({"a": 1}, {"a": 1.0}) == ["a: 1 -> 1.0"]
    assert fingerprints.differences({"a": 1}, {"a": True}) == ["a: 1 -> True"]


def test_a_file_is_hashed_by_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 1_000_000)
    assert (
        fingerprints.sha256_file(tmp_path / "a") == hashlib.sha256(b"abc" * 1_000_000).hexdigest()
    )
