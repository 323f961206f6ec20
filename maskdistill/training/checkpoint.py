"""Checkpoints: written whole, the last two kept; and the final weights as safetensors.

Bytes depend on content alone: torch.save would write the file's name into the archive, safetensors'
metadata has no order from two keys on.

In:       a state: tensors and numbers by name
Out:      FOLDER/step-<step>.pt; bytes of safetensors
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

KEPT = 2  # a kill, or a disk that is full, may damage the newest


def write(
    folder: Path, step: int, state: Mapping[str, Any], *, write_bytes: Callable[[Path, bytes], None]
) -> Path:
    """Write FOLDER/step-<step>.pt and return its path; older ones than the last two are removed.

    Args:
        state: tensors and numbers by name. write_bytes: writes a file whole or not at all.
    """
    buffer = io.BytesIO()
    torch.save({"step": step, **state}, buffer)
    path = folder / f"step-{step:08d}.pt"
    write_bytes(path, buffer.getvalue())
    for old in _files(folder)[:-KEPT]:
        old.unlink()
    return path


def read_latest(folder: Path) -> dict[str, Any] | None:
    """Return the newest checkpoint that can be read, None if there is none.

    A damaged one is passed over.
    """
    for path in reversed(_files(folder)):
        try:
            with zipfile.ZipFile(path) as archive:
                # Torch itself reads tensors whose check sum is wrong.
                if archive.testzip() is not None:
                    continue
            return dict(torch.load(path, map_location="cpu", weights_only=True))
        # Damaged bytes make zipfile and torch's unpickler fail with KeyError, struct.error, others.
        except Exception:
            continue
    return None


def weights_bytes(state: Mapping[str, Tensor]) -> bytes:
    """Return a state dict as safetensors: the same bytes for the same content."""
    return safetensors.torch.save(
        {key: value.detach().cpu().contiguous() for key, value in state.items()}
    )


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict from safetensors."""
    return safetensors.torch.load_file(os.fspath(path))


def _files(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder, the newest last."""
    return sorted(folder.glob("step-*.pt"))
