"""Weights of networks: by name from the library that owns them, or from a file as people have it.

In:       a name of URLS, timm/<model>, or a file
Out:      a plain state dict, float32, keys as timm's ViT or torchvision's ResNet have them
Differs:  wrappers, prefixes of training code and other branches (student, momentum queue,
          projection heads) are taken off
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from maskdistill.errors import WeightsError

_DINO = "https://dl.fbaipublicfiles.com/dino"
URLS = {
    "dino_vits16": f"{_DINO}/dino_deitsmall16_pretrain/dino_deitsmall16_pretrain.pth",
    "dino_vits8": f"{_DINO}/dino_deitsmall8_pretrain/dino_deitsmall8_pretrain.pth",
    "dino_vitb16": f"{_DINO}/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth",
    "dino_vitb8": f"{_DINO}/dino_vitbase8_pretrain/dino_vitbase8_pretrain.pth",
    "dino_resnet50": f"{_DINO}/dino_resnet50_pretrain/dino_resnet50_pretrain.pth",
    "moco_v2_resnet50": "https://dl.fbaipublicfiles.com/moco/moco_checkpoints/"
    "moco_v2_800ep/moco_v2_800ep_pretrain.pth.tar",
}
# The first prefix that any key has is the branch that is kept: teachers and momentum copies before
# students.
_BRANCHES = (
    "module.momentum_encoder.",
    "module.base_encoder.",
    "module.encoder_k.",
    "module.encoder_q.",
    "teacher.",
    "module.backbone.",
    "backbone.",
    "module.",
    "encoder.",
)
_WRAPPERS = ("teacher", "state_dict", "model", "student")


def read(what: str | Path, *, name: str | None = None) -> dict[str, Tensor]:
    """Return the weights of a name (fetched once, then cached) or of a local file.

    Args:
        what: a name of URLS, timm/<model>, or a file: .pth, .pt, .pth.tar, .safetensors, .npz.
        name: the network they are for, for the error's text.
    Returns:
        A state dict on the CPU, floats as float32.
    Raises:
        WeightsError: no such name or file, not to be had offline, or a file of unknown layout.
    """
    if str(what) in URLS:
        return _plain(_loaded(_cached(str(what))))
    if str(what).startswith("timm/"):
        return _from_timm(str(what))
    path = Path(what).expanduser()
    if not path.is_file():
        near = difflib.get_close_matches(str(what), [*URLS, "handcrafted", "none"], n=2)
        raise WeightsError(
            f"{what}: neither a file nor a name of weights"
            f"{f' (wanted for {name})' if name else ''}. Names: {', '.join(URLS)}, timm/<model>, "
            "of propose also handcrafted; `none` starts at random."
            + (f" Perhaps you meant {' or '.join(near)}." if near else "")
        )
    return _plain(_loaded(path), path=path)


def fetch(what: str) -> None:
    """Put named weights into this machine's cache, if they are not there.

    Args:
        what: a name of URLS or timm/<model>; anything else is passed over.
    Raises:
        WeightsError: not to be had offline.
    """
    if what in URLS:
        _cached(what)
    elif what.startswith("timm/"):
        _from_timm(what)


def _plain(state: Mapping[str, Any], *, path: Path | None = None) -> dict[str, Tensor]:
    """Return the tensors of the wanted branch without its prefix, floats as float32.

    Raises:
        WeightsError: no tensors in it.
    """
    for wrapper in _WRAPPERS:
        if isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
            break
    tensors = {
        key: value
        for key, value in state.items()
        if isinstance(key, str) and isinstance(value, Tensor)
    }
    if not tensors:
        raise WeightsError(
            f"{path or 'weights'}: holds no tensors; its keys: "
            f"{', '.join(map(str, list(state)[:5])) or 'none'}. "
            f"Wanted: a state dict, bare or under {', '.join(_WRAPPERS)}"
        )
    # Twice: a full checkpoint may hold `module.` around `backbone.`.
    for _ in range(2):
        for prefix in _BRANCHES:
            if any(key.startswith(prefix) for key in tensors):
                tensors = {
                    key.removeprefix(prefix): value
                    for key, value in tensors.items()
                    if key.startswith(prefix)
                }
                break
    heads = ("head.", "fc.", "queue", "projector.", "predictor.")
    kept = {key: value for key, value in tensors.items() if not key.startswith(heads)} or tensors
    return {
        key: value.float() if value.is_floating_point() else value for key, value in kept.items()
    }


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of a state dict's content, in hexadecimal.

    Names, types, shapes and bytes count, the order of the keys and the layout in memory do not.
    """
    seen = hashlib.sha256()
    for key in sorted(state):
        array = state[key].detach().cpu().contiguous().numpy()
        seen.update(f"{key} {array.dtype} {array.shape}\n".encode())
        seen.update(array.tobytes())
    return seen.hexdigest()


def _loaded(path: Path) -> Mapping[str, Any]:
    """Return what a file holds; nothing in it is executed.

    Raises:
        WeightsError: it cannot be read, or holds no dict.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        if path.suffix == ".npz":
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return {key: torch.from_numpy(np.array(arrays[key])) for key in arrays.files}
        with torch.serialization.safe_globals([argparse.Namespace]):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    # What damaged bytes make an unpickler or a zip reader raise is no fixed list.
    except Exception as error:
        raise WeightsError(
            f"{path}: cannot be read as weights ({_reason(error)}). Wanted: a .pth of tensors "
            "alone, as torch.save(model.state_dict(), FILE) writes it, .safetensors, or .npz. "
            "If it was downloaded: delete it and download it again"
        ) from error
    if not isinstance(loaded, Mapping):
        raise WeightsError(f"{path}: holds a {type(loaded).__name__}, wanted a dict of tensors")
    return loaded


def _reason(error: Exception) -> str:
    """Return an error's own words on what was wrong, without torch's advice to run the file."""
    _, _, unpickling = str(error).partition("WeightsUnpickler error: ")
    text = unpickling.partition(" was not an allowed global")[0] or str(error)
    return (
        f"{type(error).__name__}: {text.splitlines()[0]}" if text.strip() else type(error).__name__
    )


def _cached(name: str) -> Path:
    """Return the file of a name of URLS in torch.hub's cache, fetched if it is not there.

    Raises:
        WeightsError: it is neither there nor to be had.
    """
    url = URLS[name]
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if not file.is_file():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(file), progress=True)
        except (OSError, RuntimeError) as error:
            raise WeightsError(_offline(name, url, file, error)) from error
    return file


def _from_timm(name: str) -> dict[str, Tensor]:
    """Return the weights of timm/<model>, through timm and its cache.

    Raises:
        WeightsError: they are neither there nor to be had.
    """
    import timm

    try:
        model = timm.create_model(name.removeprefix("timm/"), pretrained=True, num_classes=0)
    except (OSError, RuntimeError, ValueError) as error:
        raise WeightsError(
            f"{name}: its weights could not be fetched ({_reason(error)}). Without network: "
            "download the model's model.safetensors from huggingface.co on another machine and "
            f"give it as --weights propose=FILE beside the backbone {name}. {_WITHOUT}"
        ) from error
    return _plain(model.state_dict())


# `masks` and `discover` have no stages, and so other words for it.
_WITHOUT = (
    "Without any weights: --weights propose=handcrafted (of `masks`: --backbone handcrafted; "
    'in Python: backbone="handcrafted")'
)


def _offline(name: str, url: str, file: Path, error: Exception) -> str:
    """Return the text of the error for weights of URLS that cannot be had."""
    return (
        f"{name}: its weights are not on this machine and could not be fetched ({error}). "
        f"Download {url} on another machine and put it at {file} "
        "(or anywhere, and give --weights STAGE=FILE). "
        + ("Without any weights: --weights STAGE=none" if name.endswith("resnet50") else _WITHOUT)
    )
