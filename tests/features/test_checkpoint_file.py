"""Files that hold weights under any suffix, and files that are something else, named for it."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from maskdistill.errors import WeightsError
from maskdistill.features import checkpoint_file, weights

STATE = {"a": torch.arange(3.0), "b.c": torch.ones(2, 2)}


def zipped(*names: str) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return memory.getvalue()


def tarred(*names: str) -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return memory.getvalue()


def program() -> bytes:
    memory = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), memory)
    return memory.getvalue()


OTHERS = {
    "nothing": (b"", "it is empty"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 86\n", "Git LFS"),
    "HTML": (b"\n<!DOCTYPE html><html>Access denied</html>", "it is a web page (HTML)"),
    "HTML without a doctype": (b"<html><body>404</body></html>", "it is a web page (HTML)"),
    "HTML after a mark": (b"\xef\xbb\xbf<!doctype HTML>", "it is a web page (HTML)"),
    "XML": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML document"),
    "JSON": (b'{"message": "rate limit"}', "it is JSON"),
    "the list of parts": (b'{"metadata": {}, "weight_map": {"a": "model-1"}}', "list of parts"),
    "gzip": (gzip.compress(b"weights"), "compressed by gzip"),
    "HDF5": (b"\x89HDF\r\n\x1a\n", "it is HDF5"),
    "a picture": (b"\xff\xd8\xff\xe0\x00\x10JFIF", "a JPEG picture"),
    "a zip of pictures": (
        zipped("a/1.jpg", "a/2.jpg", "3.jpg", "4.jpg"),
        "it is a zip archive of a/1.jpg, a/2.jpg, 3.jpg and 1 more, not weights",
    ),
    "a tar": (tarred("model/weights.pth"), "it is a tar archive of model/weights.pth"),
    "the start of a zip": (b"PK\x03\x04 and no more", "cut short or damaged"),
}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".npz", ".bin"])
@pytest.mark.parametrize("kind", OTHERS)
def test_a_file_of_another_kind_is_named_for_what_it_is(
    tmp_path: Path, kind: str, suffix: str
) -> None:
    content, words = OTHERS[kind]
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=re.escape(words)) as refusal:
        checkpoint_file.read(path)
    assert str(refusal.value).startswith(f"{path}: cannot be read as weights (")


@pytest.mark.filterwarnings("ignore:.torch\\.jit")
def test_a_torchscript_archive_is_named_with_the_way_to_its_weights(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(program())
    with pytest.raises(WeightsError, match="TorchScript archive") as refusal:
        checkpoint_file.read(tmp_path / "model.pt")
    assert "torch.jit.load(FILE).state_dict()" in str(refusal.value)


@pytest.mark.parametrize("suffix", [".bin", ".ckpt", ".pth", ""])
@pytest.mark.parametrize("kind", ["torch", "old torch", "safetensors", "npz"])
def test_weights_are_known_by_content_where_the_suffix_does_not_tell(
    tmp_path: Path, kind: str, suffix: str
) -> None:
    path = tmp_path / f"weights{suffix}"
    if kind == "safetensors":
        save_file(STATE, path)
    elif kind == "npz":
        with path.open("wb") as file:
            np.savez(file, **{key: value.numpy() for key, value in STATE.items()})
    else:
        torch.save(STATE, path, _use_new_zipfile_serialization=kind == "torch")
    found = checkpoint_file.read(path)
    assert sorted(found) == sorted(STATE)
    assert all(torch.equal(found[key], STATE[key]) for key in STATE)


@pytest.mark.parametrize(
    "beside",
    [
        np.float64(0.71),
        np.int64(3),
        np.bool_(True),
        np.arange(3),
        np.random.RandomState(0).get_state(),
    ],
    ids=["a score", "an epoch", "a flag", "an array", "a generator's state"],
)
def test_numbers_of_numpy_beside_the_weights_do_not_matter(tmp_path: Path, beside: object) -> None:
    torch.save({"model": STATE, "beside": beside}, tmp_path / "weights.pth")
    found = checkpoint_file.read(tmp_path / "weights.pth")["model"]
    assert all(torch.equal(found[key], STATE[key]) for key in STATE)


@settings(max_examples=200)
@given(
    start=st.sampled_from(
        [b"", b"PK\x03\x04", b"\x80\x02", b"<", b"{", b"\x1f\x8b", b"\x08" + bytes(7) + b"{"]
    ),
    rest=st.binary(max_size=200),
    suffix=st.sampled_from([".pth", ".safetensors", ".npz"]),
)
def test_whatever_bytes_a_file_has_only_our_own_error_comes_out(
    tmp_path_factory: pytest.TempPathFactory, start: bytes, rest: bytes, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"weights{suffix}"
    path.write_bytes(start + rest)
    with contextlib.suppress(WeightsError):
        assert isinstance(checkpoint_file.read(path), Mapping)


def of_header(header: bytes, data: bytes, *, length: int | None = None) -> bytes:
    """Return a file of safetensors: the length of its header, the header, the numbers."""
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


NUMBERS = st.one_of(st.integers(-2, 40), st.sampled_from([2**31, 2**63, 2**64, 0.5, None, "3"]))
TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(
            ["F32", "F16", "BF16", "I64", "BOOL", "F8_E4M3", "F4", "", 3, None]
        ),
        "shape": st.one_of(st.lists(NUMBERS, max_size=3), NUMBERS),
        "data_offsets": st.one_of(st.lists(NUMBERS, max_size=3), NUMBERS),
        "more": NUMBERS,
    },
)
HEADERS = st.one_of(
    st.dictionaries(st.sampled_from(["a", "b", "__metadata__", ""]), TENSORS, max_size=3),
    TENSORS,
    st.lists(NUMBERS, max_size=3),
)


@settings(max_examples=200)
@given(
    header=HEADERS,
    data=st.binary(max_size=40),
    length=st.one_of(st.none(), st.integers(0, 80), st.sampled_from([2**31, 2**63, 2**64 - 1])),
    suffix=st.sampled_from([".safetensors", ".bin"]),
)
def test_whatever_a_header_of_safetensors_claims_only_our_own_error_comes_out(
    tmp_path_factory: pytest.TempPathFactory,
    header: object,
    data: bytes,
    length: int | None,
    suffix: str,
) -> None:
    path = tmp_path_factory.getbasetemp() / f"header{suffix}"
    path.write_bytes(of_header(json.dumps(header).encode(), data, length=length))
    found, refusal = dict[str, torch.Tensor](), ""
    try:
        found = weights.read(path)
    except WeightsError as error:
        refusal = str(error)
    if refusal:
        assert refusal.startswith(f"{path}: ")
    assert all(isinstance(value, torch.Tensor) for value in found.values())


def test_the_header_that_the_fuzz_makes_can_be_right(tmp_path: Path) -> None:
    header = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    content = of_header(json.dumps(header).encode(), np.float32([1, 2]).tobytes())
    (tmp_path / "w.bin").write_bytes(content)
    assert checkpoint_file.read(tmp_path / "w.bin")["a"].tolist() == [1, 2]
