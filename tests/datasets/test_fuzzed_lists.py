"""Lists of names as people save them: the names, or our own error, whatever the bytes are."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from maskdistill import api
from maskdistill.datasets.names import join, read_list
from maskdistill.errors import GroundTruthError, MaskDistillError

PATHS = ["a.png", "set/b.png", "set/c c.png", "ü.png"]
LINES = st.lists(
    st.one_of(
        st.sampled_from([*PATHS, *(path.replace("/", "\\") for path in PATHS), "b", "./a.png"]),
        st.text(max_size=12),
    ),
    max_size=6,
)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1", "utf-16-le"])


@st.composite
def lists(draw: st.DrawFn) -> bytes:
    """Lists in any encoding and with any line ends, packed or not, perhaps damaged."""
    text = draw(st.sampled_from(["\n", "\r\n", "\r", "\n\n"])).join(draw(LINES))
    content = text.encode(draw(ENCODINGS), "replace")
    if draw(st.booleans()):
        content = gzip.compress(content, mtime=0)
    if draw(st.booleans()):
        at = draw(st.integers(0, len(content)))
        content = (
            content[:at]
            + draw(st.binary(max_size=4))
            + content[draw(st.integers(at, len(content))) :]
        )
    return content


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lists")
    for path in PATHS:
        (root / "pictures" / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(root / "pictures" / path)
    return root


@given(lists())
def test_a_list_gives_names_or_our_own_error(folder: Path, content: bytes) -> None:
    (folder / "list.txt").write_bytes(content)
    names, refusal = list[str](), ""
    try:
        names = read_list(folder / "list.txt")
    except GroundTruthError as error:
        refusal = str(error)
    if refusal:
        assert refusal.startswith(f"{folder / 'list.txt'}: ")
        return
    assert names
    assert all(name == name.strip() != "" for name in names)
    found = join(names, PATHS)
    assert set(found) <= set(PATHS)
    assert set(found.values()) <= set(names)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_list_is_the_same_in_any_clothes(folder: Path, encoding: str, packed: bool) -> None:
    content = "\r\n".join(["", *PATHS, " "]).encode(encoding)
    (folder / "list.txt").write_bytes(gzip.compress(content) if packed else content)
    assert read_list(folder / "list.txt") == PATHS


@settings(max_examples=20)
@given(lists(), st.sampled_from(["only", "validation"]))
def test_a_scan_with_a_list_makes_rows_or_our_own_error(
    tmp_path_factory: pytest.TempPathFactory, folder: Path, content: bytes, which: str
) -> None:
    (folder / "list.txt").write_bytes(content)
    out = tmp_path_factory.mktemp("run") / "run"
    given_list, refusal = {which: str(folder / "list.txt")}, ""
    try:
        api.scan(pictures=folder / "pictures", out=out, settings=given_list, quiet=True)
    except MaskDistillError as error:
        refusal = str(error)
    if refusal:
        assert "list.txt" in refusal or "left to train on" in refusal
        assert not (out / "images.jsonl").exists()
        return
    n_rows = len((out / "images.jsonl").read_text(encoding="utf-8").splitlines())
    assert 1 <= n_rows <= len(PATHS)
