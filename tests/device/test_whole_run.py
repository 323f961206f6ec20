"""A run from the pictures to the label maps on a labelled GPU, and what uses it afterwards.

What asks for a GPU is answered here: how many there are, and that the rows of k-means fit into its
memory. Workers are 0, because labels hold in one thread.
"""

import json
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from maskdistill import api
from maskdistill.artifacts.kept_tokens import KeptTokens
from maskdistill.clusters import streamed
from maskdistill.engine import networks, opening
from maskdistill.features.network import Network
from maskdistill.runs.layout import RunFolder
from maskdistill.workflows import demo_pictures
from tests.reference.labelled_device import Labelled

GPU = "cuda:1"  # not the first: a bare "cuda" would be another device
NETWORK = "timm/test_vit"
TRAIN = {"steps": 2, "batch": 2, "warm_up": 1}
SETTINGS = {
    "threads": 1,
    "workers": 0,
    "device": GPU,
    "weights": ["propose=none", "cluster=none", "detect=none", "segment=detect"],
    "features": {"keep": "all"},
    "propose": {"backbone": NETWORK},
    "cluster": {"backbone": NETWORK, "k": 2, "again": True, "again_min_score": 0.0},
    "label": {"min_score": 0.0, "overlap": "below"},
    "detect": {
        "size": "small",
        "short_side": 64,
        "max_side": 96,
        "max_detections": 5,
        "min_score": 0.0,
        "train": TRAIN,
    },
    "segment": {
        "size": "small",
        "side": 64,
        "pixels": "crf",
        "keep": "best_on_the_reported_data",  # a second network looks while the first is trained
        "looks": 2,
        "train": TRAIN,
    },
}


# What networks and k-means are made of.
HEAVY = ("linear", "conv2d", "scaled_dot_product_attention", "addmm", "batch_norm", "embedding_bag")


@pytest.fixture(scope="module", autouse=True)
def labelled():
    with pytest.MonkeyPatch.context() as patched, Labelled() as mode:
        patched.setattr(networks, "n_gpus", lambda: 2)
        patched.setattr(networks, "_kept", {})  # a backbone that is held longer loses its label
        patched.setattr(streamed, "_fits", lambda device, n_bytes: device.type == "cuda")
        yield mode


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    root = tmp_path_factory.mktemp("drawn")
    demo_pictures.write(
        root / "pictures", root / "truth.json", n_pictures=4, seed=5, size=(64, 72), prefix="p"
    )
    return root / "pictures"


@contextmanager
def on_the_gpu_alone(labelled):
    """Something heavy is done on the GPU that was asked for, nothing on the CPU or another GPU."""
    before = labelled.done.copy()
    yield
    now = labelled.done - before
    assert {device for name, device in now if name in HEAVY} == {GPU}


@pytest.fixture(scope="module")
def run(labelled, pictures, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "gpu"
    settings = {**SETTINGS, "ground_truth": [str(pictures.parent / "truth.json")]}
    with on_the_gpu_alone(labelled):
        api.run(pictures=pictures, out=out, settings=settings, until="segment", quiet=True)
    return out


def test_every_stage_runs_on_the_gpu(run):
    for stage in (
        "propose",
        "propose/features",
        "cluster",
        "detect",
        "recluster",
        "label",
        "segment",
    ):
        assert (run / stage / "stage.json").exists(), stage
    told = [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()]
    on = [row["value"] for row in told if row.get("what") == "k-means in torch"]
    assert len(on) == 2  # of proposals and of detections
    assert all(value.startswith(GPU) for value in on)


@pytest.fixture(scope="module")
def detecting(labelled, pictures, tmp_path_factory):
    """A run to the label maps whose detector learns on the tokens of the network that proposes."""
    out = tmp_path_factory.mktemp("run") / "tokens"
    settings = {**SETTINGS, "detect": {**SETTINGS["detect"], "size": "backbone"}, "segment": {}}
    with on_the_gpu_alone(labelled):
        api.run(pictures=pictures, out=out, settings=settings, until="label", quiet=True)
    return out


def test_a_detector_on_tokens_learns_and_detects_on_the_gpu(labelled, pictures, detecting):
    """What is seen beside others moves in its last bits; scores are rounded to 1e-6."""
    model = api.load(detecting, device=GPU)
    assert {str(each.device) for each in model.detector.parameters()} == {GPU}
    with on_the_gpu_alone(labelled):
        found = [model.predict(path).instances for path in sorted(pictures.iterdir())]
    rows = (detecting / "detect" / "detections.jsonl").read_text().splitlines()
    for own, row in zip(found, map(json.loads, rows), strict=True):
        np.testing.assert_allclose(own.scores, [each["score"] for each in row["masks"]], atol=1e-4)
    assert any(len(each) for each in found)


def test_tokens_are_computed_again_on_the_gpu_in_batches_of_like_size(labelled, run):
    """Last bits depend on which pictures go together: rounded to float16, a thousandth of a token's size."""
    seen = []
    own = Network.embedded

    def embedded(network, batch, grid):
        seen.append(len(batch))
        return own(network, batch, grid)

    with opening.opened(
        run, opening.settings_of(RunFolder(run)), pictures=None, quiet=True, keep_config=True
    ) as job:
        kept = KeptTokens(job)
        read = [kept.tokens(number, mirrored=True) for number in (1, 2, 3, 4)]
        assert {each.patches.device.type for each in read} == {"cpu"}
        kept._index = None
        with on_the_gpu_alone(labelled), pytest.MonkeyPatch.context() as patched:
            patched.setattr(Network, "embedded", embedded)
            pending = [kept.ahead(number, mirrored=True) for number in (1, 2, 3, 4)]
            found = kept.together(pending)
    assert seen == [4]
    for one, other in zip(found, read, strict=True):
        assert {str(each.device) for each in (one.patches, one.class_token)} == {GPU}
        torch.testing.assert_close(one.patches.cpu(), other.patches, atol=2e-3, rtol=1e-3)
        torch.testing.assert_close(one.class_token.cpu(), other.class_token, atol=2e-3, rtol=1e-3)


def test_the_networks_of_a_run_predict_on_the_gpu(labelled, run):
    model = api.load(run, device=GPU)
    for network in (model.detector, model.segmenter):
        assert {str(each.device) for each in network.parameters()} == {GPU}
    with on_the_gpu_alone(labelled):
        found = model.predict(np.zeros((64, 72, 3), np.uint8))
    assert found.label_map.shape == (64, 72)
    assert len(found.instances)


@pytest.fixture(scope="module")
def on_tokens(labelled, pictures, run, tmp_path_factory):
    """The same run, its segmenter a head on the tokens."""
    out = tmp_path_factory.mktemp("run") / "tokens"
    segment = {**SETTINGS["segment"], "size": "backbone"}
    settings = {
        **SETTINGS,
        "segment": segment,
        "ground_truth": [str(pictures.parent / "truth.json")],
    }
    reuse = dict.fromkeys(("propose", "cluster", "detect", "label"), run)
    with on_the_gpu_alone(labelled):
        api.run(
            pictures=pictures, out=out, settings=settings, until="segment", reuse=reuse, quiet=True
        )
    return out


def test_a_head_on_tokens_learns_and_predicts_on_the_gpu(labelled, pictures, on_tokens, tmp_path):
    assert len(list((on_tokens / "segment" / "predictions").iterdir())) == 4
    model = api.load(on_tokens, device=GPU)
    assert {str(each.device) for each in model.segmenter.parameters()} == {GPU}
    with on_the_gpu_alone(labelled):
        counts = api.predict(run=on_tokens, pictures=pictures, out=tmp_path, device=GPU, quiet=True)
    assert counts["predicted"] == 4


def test_a_folder_is_predicted_on_the_gpu(labelled, pictures, run, tmp_path):
    with on_the_gpu_alone(labelled):
        counts = api.predict(run=run, pictures=pictures, out=tmp_path, device=GPU, quiet=True)
    assert counts["predicted"] == 4


@pytest.mark.parametrize("method", ["maskdistill", "lost", "tokencut", "maskcut"])
@pytest.mark.parametrize("pixels", ["refine", "crf"])
def test_masks_of_one_picture_are_those_of_the_cpu(pictures, method, pixels):
    picture = sorted(pictures.iterdir())[0]
    given = {"method": method, "backbone": NETWORK, "weights": "none", "pixels": pixels}
    found, wanted = (api.discover(picture, device=device, **given) for device in (GPU, "cpu"))
    assert found
    for own, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(own["segmentation"], other["segmentation"])


def test_a_folder_of_masks_is_made_on_the_gpu(labelled, pictures, tmp_path):
    given = {"backbone": NETWORK, "weights": "none", "device": GPU, "quiet": True}
    with on_the_gpu_alone(labelled):
        counts = api.masks(pictures=pictures, out=tmp_path, **given)
    assert counts["pictures"] == 4


def test_a_sweep_looks_on_the_gpu(labelled, run):
    grid = {"methods": ("maskdistill", "tokencut"), "blocks": (-1, 0), "facets": ("keys", "tokens")}
    with on_the_gpu_alone(labelled):
        rows = api.sweep(out=run, n_pictures=2, **grid)
    assert len(rows) >= 8
