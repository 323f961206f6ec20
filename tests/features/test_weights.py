"""Weights as people have them: files laid out as DINO, MoCo and timm publish them."""

import argparse
import os
import pickle
import re
import socket
import threading
import urllib.error
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import resnet50

from maskdistill.errors import WeightsError
from maskdistill.features import vit, weights
from maskdistill.training import bodies

State = dict[str, Tensor]
NAME = "timm/test_vit"  # six blocks, width 64, pictures of 160 px


def shapes_of_dino(
    *, width: int, depth: int, hidden: int, patch: int, side: int
) -> dict[str, tuple[int, ...]]:
    """Names and shapes in DINO's published ViT files, in their order."""
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1 + side * side, width),
        "patch_embed.proj.weight": (width, 3, patch, patch),
        "patch_embed.proj.bias": (width,),
    }
    for block in range(depth):
        for inner, shape in {
            "norm1.weight": (width,),
            "norm1.bias": (width,),
            "attn.qkv.weight": (3 * width, width),
            "attn.qkv.bias": (3 * width,),
            "attn.proj.weight": (width, width),
            "attn.proj.bias": (width,),
            "norm2.weight": (width,),
            "norm2.bias": (width,),
            "mlp.fc1.weight": (hidden, width),
            "mlp.fc1.bias": (hidden,),
            "mlp.fc2.weight": (width, hidden),
            "mlp.fc2.bias": (width,),
        }.items():
            shapes[f"blocks.{block}.{inner}"] = shape
    return shapes | {"norm.weight": (width,), "norm.bias": (width,)}


def vit_state(seed: int = 0, *, depth: int = 6, width: int = 64) -> State:
    """Drawn weights that fit NAME."""
    generator = torch.Generator().manual_seed(seed)
    shapes = shapes_of_dino(width=width, depth=depth, hidden=3 * width, patch=16, side=10)
    return {key: torch.randn(shape, generator=generator) for key, shape in shapes.items()}


def flat_state(shapes: dict[str, tuple[int, ...]]) -> State:
    """One value a tensor, each its own: a file of it is small however large the network."""
    return {
        key: torch.tensor(float(number)).expand(shape)
        for number, (key, shape) in enumerate(shapes.items(), 1)
    }


def resnet_state() -> State:
    with torch.device("meta"):
        whole = resnet50(weights=None).state_dict()
    state = flat_state(
        {key: tuple(value.shape) for key, value in whole.items() if not key.startswith("fc.")}
    )
    return {
        key: value.long() if key.endswith("num_batches_tracked") else value
        for key, value in state.items()
    }


def under(prefix: str, state: State) -> State:
    return {f"{prefix}{key}": value for key, value in state.items()}


def saved(path: Path, content: Any, *, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def same(found: State, expected: State) -> None:
    assert sorted(found) == sorted(expected)
    for key, value in expected.items():
        assert found[key].dtype == value.dtype, key
        assert torch.equal(found[key], value), key


DINO_HEAD = {"head.mlp.0.weight": torch.ones(8, 64), "head.mlp.0.bias": torch.ones(8)} | {
    "head.last_layer.weight_g": torch.ones(9, 1),
    "head.last_layer.weight_v": torch.ones(9, 8),
}
MOCO_HEAD = {"head.0.weight": torch.ones(8, 64), "head.1.num_batches_tracked": torch.tensor(7)}
OPTIMIZER = {
    "state": {0: {"step": 3, "exp_avg": torch.ones(2)}},
    "param_groups": [{"lr": 0.1, "params": [0]}],
}


def dino_checkpoint(teacher: State, student: State) -> dict[str, Any]:
    """As DINO's training writes checkpoint.pth: both branches, the optimizer, the command line."""
    return {
        "student": under("module.", under("backbone.", student) | DINO_HEAD),
        "teacher": teacher,
        "optimizer": OPTIMIZER,
        "epoch": 100,
        "args": argparse.Namespace(
            arch="vit_small", patch_size=16, global_crops_scale=(0.4, 1.0), use_fp16=True
        ),
        "dino_loss": {"center": torch.ones(1, 9)},
        "fp16_scaler": {"scale": 65536.0, "growth_factor": 2.0},
    }


def moco3_checkpoint(momentum: State, base: State) -> dict[str, Any]:
    state = under("module.base_encoder.", base | MOCO_HEAD) | under(
        "module.momentum_encoder.", momentum | MOCO_HEAD
    )
    state["module.predictor.0.weight"] = torch.ones(8, 8)
    return {
        "epoch": 300,
        "arch": "vit_small",
        "state_dict": state,
        "optimizer": OPTIMIZER,
        "scaler": {"scale": 1.0},
    }


# The file's name, and what it holds if the first state is the wanted branch, the second the other.
LAYOUTS: dict[str, tuple[str, Callable[[State, State], dict[str, Any]]]] = {
    "DINO's backbone alone": ("dino_pretrain.pth", lambda wanted, other: wanted),
    "DINO's whole checkpoint": (
        "dino_full_checkpoint.pth",
        lambda wanted, other: dino_checkpoint(under("backbone.", wanted) | DINO_HEAD, other),
    ),
    "DINO's whole checkpoint, the teacher distributed too": (
        "checkpoint0100.pth",
        lambda wanted, other: dino_checkpoint(
            under("module.", under("backbone.", wanted) | DINO_HEAD), other
        ),
    ),
    "MoCo-v3's checkpoint": ("vit-s-300ep.pth.tar", moco3_checkpoint),
    "a distributed model's state dict": (
        "model.pt",
        lambda wanted, other: {"state_dict": under("module.", wanted)},
    ),
    "a classifier's": (
        "model_best.pth",
        lambda wanted, other: {"model": wanted | {"head.weight": torch.ones(9, 64)}},
    ),
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zipped", "as before torch 1.6"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_checkpoint_loads_every_tensor_of_the_wanted_branch_to_its_place(
    tmp_path, layout, zipped
):
    file, content = LAYOUTS[layout]
    wanted = vit_state(0)
    path = saved(tmp_path / file, content(wanted, vit_state(1)), zipped=zipped)
    same(weights.read(path), wanted)
    same(vit.load(NAME, weights=str(path)).model.state_dict(), wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_safetensors_load_as_float32(tmp_path, dtype):
    state = {key: value.to(dtype) for key, value in vit_state().items()}
    save_file(state, tmp_path / "model.safetensors")
    backbone = vit.load(NAME, weights=tmp_path / "model.safetensors")
    same(backbone.model.state_dict(), {key: value.float() for key, value in state.items()})


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_half_precision_under_timms_names_load_as_float32(tmp_path, save):
    arrays = {key: value.numpy().astype(np.float16) for key, value in vit_state().items()}
    save(tmp_path / "weights.npz", **arrays)
    backbone = vit.load(NAME, weights=tmp_path / "weights.npz")
    expected = {key: torch.from_numpy(value.astype(np.float32)) for key, value in arrays.items()}
    same(backbone.model.state_dict(), expected)


@pytest.mark.parametrize("name, patch", [("dino_vits16", 16), ("dino_vits8", 8)])
def test_the_named_dino_backbones_take_exactly_the_tensors_of_dinos_files(tmp_path, name, patch):
    state = flat_state(
        shapes_of_dino(width=384, depth=12, hidden=4 * 384, patch=patch, side=224 // patch)
    )
    path = saved(tmp_path / "dino_pretrain.pth", state)
    same(vit.load(name, weights=path).model.state_dict(), state)


@pytest.mark.parametrize("origin", ["DINO", "MoCo-v2"])
def test_a_published_resnet_50_fills_a_body(tmp_path, origin):
    state = resnet_state()
    if origin == "DINO":
        path = saved(tmp_path / "dino_resnet50_pretrain.pth", state)
    else:
        head = {"fc.0.weight": torch.ones(1).expand(2048, 2048), "fc.2.bias": torch.ones(128)}
        content = under("module.encoder_q.", state | head) | {"module.queue": torch.ones(128, 9)}
        content["module.queue_ptr"] = torch.zeros(1, dtype=torch.int64)
        moco = {"epoch": 800, "arch": "resnet50", "state_dict": content, "optimizer": OPTIMIZER}
        path = saved(tmp_path / "moco_v2_800ep_pretrain.pth.tar", moco)
    body = bodies.build("resnet50")
    bodies.fill(body, weights.read(path))
    same(body.state_dict(), state)


def test_a_home_folder_in_a_path_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    saved(tmp_path / "weights.pth", {"a": torch.ones(2)})
    same(weights.read("~/weights.pth"), {"a": torch.ones(2)})


def without(state: State, key: str) -> State:
    return {each: value for each, value in state.items() if each != key}


@pytest.mark.parametrize(
    "state, complaint",
    [
        (vit_state(depth=7), "12 unknown (blocks.6.attn.proj.bias"),
        (vit_state(depth=5), "12 tensors missing (blocks.5.attn.proj.bias"),
        (vit_state(width=32), "of another shape (cls_token is (1, 1, 32), wanted (1, 1, 64)"),
        (without(vit_state(), "pos_embed"), "1 tensors missing (pos_embed)"),
        (vit_state() | {"reg_token": torch.ones(1, 4, 64)}, "1 unknown (reg_token)"),
        (resnet_state(), "78 tensors missing"),
    ],
    ids=["deeper", "shallower", "narrower", "a tensor lost", "with registers", "a ResNet"],
)
def test_weights_of_another_architecture_are_refused_with_file_difference_and_remedy(
    tmp_path, state, complaint
):
    path = saved(tmp_path / "weights.pth", state)
    with pytest.raises(WeightsError, match=re.escape(complaint)) as refusal:
        vit.load(NAME, weights=path)
    assert str(path) in str(refusal.value)
    assert NAME in str(refusal.value)
    assert str(refusal.value).endswith("Name the backbone that they belong to")
    # A state dict in place of its file.
    with pytest.raises(WeightsError, match=re.escape(complaint)):
        vit.load(NAME, weights=weights.read(path))


TEXTS = {
    "nothing": b"",
    "a word": b"hello\n",
    "a web page": b"<!DOCTYPE html>\n<html><body>404: Not Found</body></html>\n",
    "a pointer of git-lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 86\n",
    "a list": b"(see the other file). Nothing here.\n",
    "JSON": b'{"epoch": 3}\n',
    "the start of a zip": b"PK\x03\x04 and no more",
}


@pytest.mark.parametrize("suffix", [".pth", ".pth.tar", ".pt", ".npz", ".safetensors"])
@pytest.mark.parametrize("text", TEXTS)
def test_what_holds_no_weights_is_refused_with_its_path_and_what_was_wanted(tmp_path, text, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(TEXTS[text])
    with pytest.raises(WeightsError, match="cannot be read as weights") as refusal:
        weights.read(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert "Wanted: a .pth of tensors" in str(refusal.value)
    assert str(refusal.value).isprintable()


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


@pytest.mark.parametrize("kind", ["zipped", "old", "safetensors", "npz"])
def test_a_file_that_was_cut_short_is_refused_with_the_advice_to_fetch_it_again(tmp_path, kind):
    state, path = (
        vit_state(),
        tmp_path / f"weights.{kind if kind in ('safetensors', 'npz') else 'pth'}",
    )
    if kind == "safetensors":
        save_file(state, path)
    elif kind == "npz":
        np.savez(path, **{key: value.numpy() for key, value in state.items()})
    else:
        saved(path, state, zipped=kind == "zipped")
    with pytest.raises(WeightsError, match="delete it and download it again") as refusal:
        weights.read(cut(path))
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize(
    "array", [np.array(["word"]), np.array([{}], dtype=object)], ids=["words", "objects"]
)
def test_arrays_that_are_not_numbers_are_refused(tmp_path, array):
    np.savez(tmp_path / "weights.npz", allow_pickle=True, one=array)
    with pytest.raises(WeightsError, match=r"weights\.npz: cannot be read as weights"):
        weights.read(tmp_path / "weights.npz")


def test_a_single_array_under_the_name_of_many_is_refused(tmp_path):
    with (tmp_path / "weights.npz").open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(WeightsError, match=r"weights\.npz: cannot be read as weights"):
        weights.read(tmp_path / "weights.npz")


@pytest.mark.parametrize(
    "content, complaint",
    [
        ({}, "holds no tensors"),
        ({"epoch": 3, "arch": "vit_small"}, "holds no tensors; its keys: epoch, arch"),
        ({0: torch.ones(2), ("a", 1): torch.ones(2)}, "holds no tensors"),
        ({"state_dict": {"epoch": 3}}, "holds no tensors; its keys: epoch"),
        ([torch.ones(2)], "holds a list, wanted a dict of tensors"),
        (torch.ones(2), "holds a Tensor, wanted a dict of tensors"),
    ],
    ids=[
        "nothing",
        "numbers",
        "keys that are no words",
        "a hollow state dict",
        "a list",
        "one tensor",
    ],
)
def test_a_file_without_named_tensors_is_refused_with_what_it_holds(tmp_path, content, complaint):
    path = saved(tmp_path / "weights.pth", content)
    with pytest.raises(WeightsError, match=re.escape(complaint)) as refusal:
        weights.read(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_whole_pickled_model_is_refused_with_its_class_and_how_to_save_it_instead(
    tmp_path, zipped
):
    path = saved(tmp_path / "model.pth", torch.nn.Linear(2, 3), zipped=zipped)
    with pytest.raises(WeightsError, match=re.escape("torch.nn.modules.linear.Linear")) as refusal:
        weights.read(path)
    assert str(path) in str(refusal.value)
    assert "torch.save(model.state_dict(), FILE)" in str(refusal.value)
    # Torch's own advice is to run whatever the file holds.
    assert "weights_only" not in str(refusal.value)
    assert str(refusal.value).isprintable()


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("kind", ["zipped", "old", "bare pickle", "npz"])
def test_nothing_in_a_file_is_executed(tmp_path, kind):
    caught = tmp_path / "caught"
    content = {"state_dict": {"norm.weight": torch.ones(2)}, "args": Trap(caught)}
    path = tmp_path / ("weights.npz" if kind == "npz" else "weights.pth")
    if kind == "npz":
        np.savez(path, allow_pickle=True, one=np.array([Trap(caught)], dtype=object))
        with np.load(path, allow_pickle=True) as arrays:
            arrays["one"]
    elif kind == "bare pickle":
        path.write_bytes(pickle.dumps({"args": Trap(caught)}))
        pickle.loads(path.read_bytes())
    else:
        torch.load(saved(path, content, zipped=kind == "zipped"), weights_only=False)
    caught.rmdir()  # the trap works: a careless reader fell into it
    with pytest.raises(WeightsError, match=re.escape(str(path))):
        weights.read(path)
    assert not caught.exists()


def test_what_is_neither_a_file_nor_a_name_is_refused_with_the_names(tmp_path):
    for what in (tmp_path / "no.pth", tmp_path, "dino_vits61"):
        with pytest.raises(WeightsError, match="neither a file nor a name") as refusal:
            weights.read(what, name="dino_vits16")
        assert str(what) in str(refusal.value)
        assert all(name in str(refusal.value) for name in (*weights.URLS, "timm/<model>", "none"))
        assert "wanted for dino_vits16" in str(refusal.value)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of torch's downloads."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)


@pytest.mark.parametrize("name", weights.URLS)
@pytest.mark.usefixtures("no_network")
def test_without_network_the_error_says_what_to_fetch_where_to_put_it_and_what_needs_none(
    cache, name
):
    with pytest.raises(WeightsError, match="Name or service not known") as refusal:
        weights.read(name)
    url = weights.URLS[name]
    assert f"Download {url} " in str(refusal.value)
    assert f"put it at {cache / url.rpartition('/')[2]} " in str(refusal.value)
    assert "--weights STAGE=FILE" in str(refusal.value)
    assert "TORCH_HOME names another place" in str(refusal.value)
    nothing = (
        "--weights STAGE=none"
        if "resnet50" in name
        else "--weights propose=handcrafted (of `masks`: --backbone"
    )
    assert f"Without any weights: {nothing}" in str(refusal.value)
    assert "--propose.backbone" not in str(refusal.value)


@pytest.mark.usefixtures("no_network")
def test_a_backbone_by_name_without_network_is_refused_the_same_way(cache):
    with pytest.raises(WeightsError, match=re.escape(f"Download {weights.URLS['dino_vits16']} ")):
        vit.load("dino_vits16")


@pytest.mark.parametrize("name", weights.URLS)
@pytest.mark.usefixtures("no_network")
def test_a_file_put_where_the_error_says_is_used_without_network(cache, name):
    cache.mkdir(parents=True)
    saved(cache / weights.URLS[name].rpartition("/")[2], {"norm.weight": torch.tensor([1.0, 2.0])})
    same(weights.read(name), {"norm.weight": torch.tensor([1.0, 2.0])})


def test_one_of_timms_names_without_network_says_what_to_fetch_and_what_needs_none(
    tmp_path, monkeypatch
):
    hub = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="could not be fetched") as refusal:
        vit.load(NAME)
    for words in (
        NAME,
        "model.safetensors",
        "huggingface.co",
        "--weights propose=FILE",
        f"looked for in {tmp_path} (HF_HOME names another place)",
        "handcrafted",
    ):
        assert words in str(refusal.value)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """A server on loopback that has one file, and the list of the paths it was asked for."""
    content = saved(tmp_path / "served.pth", {"norm.weight": torch.ones(3)}).read_bytes()
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            found = self.path == "/weights.pth"
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(content) if found else 0))
            self.end_headers()
            self.wfile.write(content if found else b"")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_a_name_is_fetched_once_and_then_taken_from_the_cache(cache, served, monkeypatch):
    address, asked = served
    monkeypatch.setitem(weights.URLS, "dino_vits16", f"{address}/weights.pth")
    for _ in range(2):
        same(weights.read("dino_vits16"), {"norm.weight": torch.ones(3)})
    assert asked == ["/weights.pth"]
    assert [path.name for path in cache.iterdir()] == ["weights.pth"]


def test_a_download_that_the_server_refuses_leaves_nothing_behind(cache, served, monkeypatch):
    address, _ = served
    monkeypatch.setitem(weights.URLS, "dino_vits16", f"{address}/gone.pth")
    with pytest.raises(WeightsError, match="404") as refusal:
        weights.read("dino_vits16")
    assert f"Download {address}/gone.pth " in str(refusal.value)
    refusal.value.__cause__.close()  # urllib's error holds the connection
    assert not list(cache.iterdir())


def test_a_server_that_does_not_answer_is_refused_in_the_same_words(cache, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/weights.pth"
    monkeypatch.setitem(weights.URLS, "dino_vits16", url)
    with pytest.raises(WeightsError, match="refused") as refusal:
        weights.read("dino_vits16")
    assert f"Download {url} " in str(refusal.value)


def test_a_fingerprint_counts_the_content_and_neither_order_nor_path_nor_format(tmp_path):
    state = vit_state()
    (tmp_path / "elsewhere").mkdir()
    save_file(state, tmp_path / "elsewhere" / "model.safetensors")
    backwards = dict(reversed(state.items()))
    files = [
        saved(tmp_path / "one.pth", state),
        saved(tmp_path / "two.pth", backwards),
        saved(tmp_path / "three.pth.tar", moco3_checkpoint(state, vit_state(1))),
        tmp_path / "elsewhere" / "model.safetensors",
    ]
    found = {weights.fingerprint(weights.read(path)) for path in files}
    assert found == {weights.fingerprint(state)}
    assert re.fullmatch("[0-9a-f]{64}", found.pop())


def test_a_fingerprint_does_not_depend_on_how_a_tensor_lies_in_memory():
    tensor = torch.arange(6.0).reshape(2, 3)
    transposed = tensor.T.contiguous().T
    assert not transposed.is_contiguous()
    assert weights.fingerprint({"a": tensor}) == weights.fingerprint({"a": transposed})


def test_a_fingerprint_sees_a_value_a_name_a_shape_a_type_and_where_a_tensor_ends():
    one = {"a": torch.arange(6.0), "b": torch.zeros(2), "count": torch.tensor(3)}
    others = [
        one,
        one | {"a": torch.tensor([0.0, 1, 2, 3, 4, 5.000001])},
        {"A" if key == "a" else key: value for key, value in one.items()},
        one | {"a": one["a"].reshape(2, 3)},
        one | {"a": one["a"].reshape(3, 2)},
        one | {"b": torch.zeros(2, dtype=torch.int32)},  # the same bytes
        one | {"count": torch.tensor(4)},
        {"a": one["a"], "b": one["b"]},
        one | {"a": one["b"], "b": one["a"]},
        {"a": torch.arange(5.0), "b": torch.tensor([5.0, 0, 0]), "count": torch.tensor(3)},
    ]
    assert len({weights.fingerprint(each) for each in others}) == len(others)
