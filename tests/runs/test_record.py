import json
from dataclasses import asdict

import pytest

from maskdistill.errors import RunError
from maskdistill.runs import fingerprints, record

ENTRY = record.StageRecord(
    stage="detect/train",
    version=3,
    fingerprint="f" * 64,
    parts={"settings": {"rate": 0.02, "größe": [1, 2]}},
    outputs={"model.safetensors": "0" * 64},
    mixed=True,
    counts={"pictures": 12, "seconds": 1.5},
)


def test_a_record_comes_back_as_it_was_written(tmp_path):
    record.write(tmp_path / "stage.json", ENTRY)
    assert record.read(tmp_path / "stage.json") == ENTRY


def test_the_same_record_is_the_same_bytes(tmp_path):
    record.write(tmp_path / "a.json", ENTRY)
    record.write(tmp_path / "b.json", record.StageRecord(**asdict(ENTRY)))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_where_there_is_no_record_a_stage_is_not_complete(tmp_path):
    assert record.read(tmp_path / "stage.json") is None
    assert record.read(tmp_path / "nowhere" / "stage.json") is None


def test_a_record_cut_at_any_byte_is_damaged(tmp_path):
    path = tmp_path / "stage.json"
    record.write(path, ENTRY)
    whole = path.read_bytes()
    for end in range(len(whole) - 1):  # the newline at the end may be missing
        path.write_bytes(whole[:end])
        with pytest.raises(RunError, match=r"stage\.json: damaged"):
            record.read(path)


@pytest.mark.parametrize(
    "change",
    [
        {"version": "3"},
        {"outputs": None},
        {"outputs": []},
        {"mixed": 1},
        {"later": "field"},
        {"counts": None},
    ],
)
def test_a_record_with_other_fields_is_refused(tmp_path, change):
    (tmp_path / "stage.json").write_text(json.dumps({**asdict(ENTRY), **change}))
    with pytest.raises(RunError, match=r"stage\.json: damaged or of another version.*Remove it"):
        record.read(tmp_path / "stage.json")


@pytest.mark.parametrize("text", ["[]", "1", "null", '"stage"', "{}"])
def test_json_that_is_no_record_is_refused(tmp_path, text):
    (tmp_path / "stage.json").write_text(text)
    with pytest.raises(RunError, match="damaged"):
        record.read(tmp_path / "stage.json")


def test_verify_names_what_is_missing_or_changed_and_nothing_else(tmp_path):
    (tmp_path / "maps").mkdir()
    for name in ("a", "b", "maps/c", "d"):
        (tmp_path / name).write_text(name)
    outputs = {
        name: fingerprints.sha256_file(tmp_path / name) for name in ("a", "b", "maps/c", "d")
    }
    entry = record.StageRecord(**{**asdict(ENTRY), "outputs": outputs})
    assert record.verify(tmp_path, entry) == []
    (tmp_path / "b").write_text("B")  # of the same length
    (tmp_path / "maps/c").unlink()
    (tmp_path / "d").unlink()
    (tmp_path / "d").mkdir()
    (tmp_path / "more").touch()
    assert record.verify(tmp_path, entry) == ["b", "maps/c", "d"]
