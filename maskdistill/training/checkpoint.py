"""Checkpoints: written whole under a new name, the last two kept; and the final weights as safetensors.

Bytes depend on content alone: torch.save would write the file's name into the archive, safetensors' metadata
has no order from two keys on.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

KEPT = 2


def write(
    folder: Path, step: int, state: Mapping[str, Any], *, write_bytes: Callable[[Path, bytes], None]
) -> Path:
    """FOLDER/step-<step>.pt; older ones than the last two are removed.

    Args:
        write_bytes: writes a file whole or not at all.
    """
    buffer = io.BytesIO()
    torch.save({"step": step, **state}, buffer)
    path = folder / f"step-{step:08d}.pt"
    write_bytes(path, buffer.getvalue())
    for old in _files(folder)[:-KEPT]:
        old.unlink()
    return path


def read_latest(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint that can be read, None if there is none; a damaged one is passed over."""
    for path in reversed(_files(folder)):
        try:
            with zipfile.ZipFile(path) as archive:
                if (
                    archive.testzip() is not None
                ):  # torch itself reads tensors whose check sum is wrong
                    continue
            return dict(torch.load(path, map_location="cpu", weights_only=True))
        except Exception:  # damaged bytes make zipfile and torch's unpickler fail with KeyError, struct.error, others
            continue
    return None


def weights_bytes(state: Mapping[str, Tensor]) -> bytes:
    """A state dict as safetensors: the same bytes for the same content."""
    return safetensors.torch.save(
        {key: value.detach().cpu().contiguous() for key, value in state.items()}
    )


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dict from safetensors."""
    return safetensors.torch.load_file(os.fspath(path))


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.pt"))
