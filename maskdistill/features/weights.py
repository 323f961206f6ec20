"""Weights of networks: by name from the library that owns them, or from a file as people have it.

In:       a name of URLS, timm/<model>, or a file
Out:      a plain state dict, float32, keys as timm's ViT or torchvision's ResNet have them
Differs:  wrappers, prefixes of training code and other branches (student, momentum queue,
          projection heads) are taken off (branches.py), names of others turned (layouts.py)
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor

from maskdistill.errors import WeightsError
from maskdistill.features import branches, checkpoint_file, layouts

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


def read(what: str | Path, *, name: str | None = None) -> dict[str, Tensor]:
    """Return the weights of a name (fetched once, then cached) or of a local file.

    Args:
        what: a name of URLS, timm/<model>, or a file: .pth, .pt, .pth.tar, .safetensors, .npz.
        name: the network they are for, for the error's text.
    Returns:
        A state dict on the CPU, floats as float32.
    Raises:
        WeightsError: as `read_told`.
    """
    return read_told(what, name=name)[0]


def read_told(what: str | Path, *, name: str | None = None) -> tuple[dict[str, Tensor], str]:
    """Return the weights as `read`, and a note on what was chosen among several ("": no choice).

    Raises:
        WeightsError: no such name or file, not to be had offline, or a file of unknown layout.
    """
    if str(what) in URLS:
        return _plain(checkpoint_file.read(_cached(str(what))), source=str(what))
    if str(what).startswith("timm/"):
        return _from_timm(str(what)), ""
    path = Path(what).expanduser()
    if not path.is_file():
        near = difflib.get_close_matches(str(what), [*URLS, "handcrafted", "none"], n=2)
        raise WeightsError(
            f"{what}: neither a file nor a name of weights"
            f"{f' (wanted for {name})' if name else ''}. Names: {', '.join(URLS)}, timm/<model>, "
            "of propose also handcrafted; `none` starts at random."
            + (f" Perhaps you meant {' or '.join(near)}." if near else "")
        )
    return _plain(checkpoint_file.read(path), source=str(path))


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


def is_here(what: str) -> bool:
    """Return whether weights can be had without a download: names in a cache; all that is no name.

    Args:
        what: a name of URLS or timm/<model>, a file, or a word that stands for no weights.
    """
    if what in URLS:
        return _cache_of(what).is_file()
    return not what.startswith("timm/") or _is_in_hub(what)


def near_of_timm(name: str) -> list[str]:
    """Return names timm/<model> near one that there is not: the model's own tags where it exists.

    >>> near_of_timm("timm/vit_small_patch14_dinov2.imagenet")
    ['timm/vit_small_patch14_dinov2.lvd142m']
    """
    import timm

    model, _, tag = name.removeprefix("timm/").partition(".")
    tags = [each for each in timm.list_pretrained() if each.partition(".")[0] == model]
    if tag and tags:
        return [f"timm/{each}" for each in tags]
    known = [f"timm/{each}" for each in (*timm.list_models(), *timm.list_pretrained())]
    return difflib.get_close_matches(name, [each for each in known if "vit" in each], n=3)


def _plain(state: Mapping[str, Any], *, source: str = "weights") -> tuple[dict[str, Tensor], str]:
    """Return the tensors of the wanted branch in timm's names, floats as float32, and a note.

    Raises:
        WeightsError: as `branches.wanted`.
    """
    tensors, note = branches.wanted(state, source=source)
    heads = ("head.", "fc.", "queue", "projector.", "predictor.")
    kept = {key: value for key, value in tensors.items() if not key.startswith(heads)} or tensors
    floats = {
        key: value.float() if value.is_floating_point() else value for key, value in kept.items()
    }
    return layouts.in_timms_names(floats), note


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


def _cached(name: str) -> Path:
    """Return the file of a name of URLS in torch.hub's cache, fetched if it is not there.

    Raises:
        WeightsError: it is neither there nor to be had.
    """
    url, file = URLS[name], _cache_of(name)
    if not file.is_file():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(file), progress=True)
        except (OSError, RuntimeError) as error:
            raise WeightsError(_offline(name, url, file, error)) from error
    return file


def _cache_of(name: str) -> Path:
    """Return where torch.hub's cache has the file of a name of URLS, there or not."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(URLS[name]).path).name


def _is_in_hub(name: str) -> bool:
    """Return whether huggingface_hub's cache has the file that timm takes for timm/<model>."""
    import timm
    from huggingface_hub import constants, try_to_load_from_cache

    try:
        config = timm.get_pretrained_cfg(name.removeprefix("timm/"))
    except (RuntimeError, ValueError, AttributeError):  # a tag that it does not have
        return False
    if config is None or not config.hf_hub_id:
        return False
    repository, _, revision = config.hf_hub_id.partition("@")
    # timm takes safetensors where the repository has them.
    files = [constants.SAFETENSORS_SINGLE_FILE, constants.PYTORCH_WEIGHTS_NAME]
    files.append("open_clip_model.safetensors")
    files += [config.hf_hub_filename] if config.hf_hub_filename else []
    return any(
        isinstance(try_to_load_from_cache(repository, file, revision=revision or None), str)
        for file in files
    )


def _check_timm(name: str) -> None:
    """Raise WeightsError unless timm has weights of timm/<model>; nothing is fetched."""
    import timm

    model = name.removeprefix("timm/")
    if model in timm.list_pretrained() or timm.is_model_pretrained(model):
        return
    if model in timm.list_models():
        raise WeightsError(
            f"{name}: timm has the network, but no weights of it. Give a file: "
            f"--weights propose=FILE with the backbone {name}. {_WITHOUT}"
        )
    near = near_of_timm(name)
    raise WeightsError(
        f"{name}: timm has no such weights."
        + (f" Perhaps you meant {' or '.join(near)}." if near else "")
    )


def _from_timm(name: str) -> dict[str, Tensor]:
    """Return the weights of timm/<model>, through timm and its cache.

    Raises:
        WeightsError: no such model or tag, or they are neither there nor to be had.
    """
    import timm

    _check_timm(name)
    try:
        model = timm.create_model(name.removeprefix("timm/"), pretrained=True, num_classes=0)
    except (OSError, RuntimeError, ValueError) as error:
        raise WeightsError(
            f"{name}: its weights could not be fetched ({checkpoint_file.reason(error)}). "
            f"They are looked for in {_hub_cache()} (HF_HOME names another place). "
            "Without network: download the model's model.safetensors from huggingface.co on another machine and "
            f"give it as --weights propose=FILE beside the backbone {name}. {_WITHOUT}"
        ) from error
    return _plain(model.state_dict())[0]


def _hub_cache() -> str:
    """Return the folder of huggingface_hub's downloads."""
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)


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
        "(TORCH_HOME names another place than ~/.cache/torch), "
        "or anywhere, and give --weights STAGE=FILE. "
        + ("Without any weights: --weights STAGE=none" if name.endswith("resnet50") else _WITHOUT)
    )
