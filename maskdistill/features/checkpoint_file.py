"""Files of weights: what one holds, or what it is instead; nothing in it is executed.

In:   .pth, .pt, .ckpt, .bin, .pth.tar of torch.save; .safetensors; .npz, known by content too
Out:  the mapping that was saved, tensors on the CPU as they are
"""

from __future__ import annotations

import argparse
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from maskdistill.errors import WeightsError


class _Unread:
    """A number or array of NumPy beside the weights (best_acc, a generator's state): not built."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


# Trainers save their best accuracy and the state of NumPy's generator as they come. Their pickles
# name these; torch is handed an empty stand-in for each, so that none of NumPy's code runs.
_STAND_INS: list[Any] = [
    argparse.Namespace,
    (_Unread, "numpy.dtype"),
    (_Unread, "numpy.ndarray"),
    *((_Unread, f"{home}.multiarray.scalar") for home in ("numpy.core", "numpy._core")),
    *((_Unread, f"{home}.multiarray._reconstruct") for home in ("numpy.core", "numpy._core")),
]
# First bytes in lower case -> what such a file is, and what to do.
_HEADS = (
    (
        b"version https://git-lfs",
        "it is a pointer of Git LFS, a few lines of text in place of the weights. "
        "Fetch them: git lfs pull",
    ),
    (b"<!doctype html", "it is a web page (HTML), not what was to be downloaded"),
    (b"<html", "it is a web page (HTML), not what was to be downloaded"),
    (b"<?xml", "it is an XML document, as servers answer who may not read a file"),
    (b"<", "it is text with tags, perhaps a server's answer"),
    (b"\x1f\x8b", "it is compressed by gzip: unpack it"),
    (b"\xfd7zxz", "it is compressed by xz: unpack it"),
    (b"7z\xbc\xaf", "it is a 7z archive: unpack it"),
    (b"rar!", "it is a RAR archive: unpack it"),
    (b"\x89hdf", "it is HDF5, as Keras saves weights, which is not read"),
    (b"gguf", "it is GGUF, a language model's file"),
    (b"\x89png", "it is a PNG picture"),
    (b"\xff\xd8\xff", "it is a JPEG picture"),
    (b"%pdf", "it is a PDF"),
)


def read(path: Path) -> Mapping[str, Any]:
    """Return what a file holds.

    Raises:
        WeightsError: it cannot be read, or holds no dict; says what the file is where its first
            bytes tell.
    """
    try:
        kind = _kind(path)
        if kind == "safetensors":
            return safetensors.torch.load_file(path)
        if kind == "npz":
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return {key: torch.from_numpy(np.array(arrays[key])) for key in arrays.files}
        with torch.serialization.safe_globals(_STAND_INS):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    # What damaged bytes make an unpickler or a zip reader raise is no fixed list.
    except Exception as error:
        raise WeightsError(
            f"{path}: cannot be read as weights ({what_it_is(path) or reason(error)}). "
            "Wanted: a .pth of tensors alone, as torch.save(model.state_dict(), FILE) writes it, "
            ".safetensors, or .npz. If it was downloaded: delete it and download it again"
        ) from error
    if not isinstance(loaded, Mapping):
        raise WeightsError(f"{path}: holds a {type(loaded).__name__}, wanted a dict of tensors")
    return loaded


def what_it_is(path: Path) -> str | None:
    """Return in words what a file that holds no weights is, None where nothing tells."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
        if not start:
            return "it is empty"
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return _of_archive(archive.namelist())
        # The mark of a tar; by `is_tarfile` whatever is compressed would be unpacked to look.
        if start[257:262] == b"ustar":
            with tarfile.open(path, "r:") as packed:
                names = [] if _is_old_torch(packed) else packed.getnames()
            return f"it is a tar archive of {_some(names)}: unpack it" if names else None
    except Exception:  # as in `read`: damaged bytes
        return None
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for head, words in _HEADS:
        if text.startswith(head):
            return words
    if start.startswith(b"PK\x03\x04"):
        return "it is a zip archive, as torch and NumPy write, that was cut short or damaged"
    if text.startswith(b"{"):
        if b"weight_map" in start:
            return (
                "it is the list of parts of weights that are stored in several files, "
                "without any tensor. Join the parts and save them as one file"
            )
        return "it is JSON, text without tensors"
    return None


def reason(error: Exception) -> str:
    """Return an error's own words on what was wrong, without torch's advice to run the file."""
    _, _, unpickling = str(error).partition("WeightsUnpickler error: ")
    text = unpickling.partition(" was not an allowed global")[0] or str(error)
    return (
        f"{type(error).__name__}: {text.splitlines()[0]}" if text.strip() else type(error).__name__
    )


def _kind(path: Path) -> str:
    """Return safetensors, npz or torch: by the suffix where it tells, else by the content.

    Many hubs call safetensors and arrays .bin or .ckpt.
    """
    by_suffix = {".safetensors": "safetensors", ".npz": "npz"}
    if path.suffix in by_suffix:
        return by_suffix[path.suffix]
    with path.open("rb") as file:
        start = file.read(9)
    # safetensors: the length of a JSON header in 8 bytes, then the header.
    length = int.from_bytes(start[:8], "little")
    if start[8:] == b"{" and 2 <= length <= path.stat().st_size - 8:
        return "safetensors"
    if start.startswith(b"PK") and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if names and all(name.endswith(".npy") for name in names):
            return "npz"
    return "torch"


def _of_archive(names: list[str]) -> str | None:
    """Return what a zip is by the names in it; None for one that torch or NumPy saved."""
    if any("/code/" in f"/{name}" for name in names):
        return (
            "it is a TorchScript archive, a program with its weights. Save its weights alone: "
            "torch.save(torch.jit.load(FILE).state_dict(), NEW)"
        )
    if any(name.endswith("data.pkl") for name in names):
        return None
    if names and all(name.endswith(".npy") for name in names):
        return None
    return f"it is a zip archive of {_some(names)}, not weights: unpack it if they are inside"


def _is_old_torch(packed: tarfile.TarFile) -> bool:
    """Return whether a tar is what torch saved before 0.1.10."""
    return {"storages", "tensors", "pickle"} <= set(packed.getnames())


def _some(names: list[str]) -> str:
    """Return the first three names, printable, and the number of the others."""
    shown = ", ".join(ascii(name)[1:-1] for name in names[:3]) or "nothing"
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
