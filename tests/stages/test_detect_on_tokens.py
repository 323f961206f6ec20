"""A detector on the tokens of the network that proposes: a run to label maps, new pictures, what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from maskdistill import api
from maskdistill.errors import RunError, SettingsError, WeightsError
from maskdistill.features import vit
from maskdistill.features.network import Network
from maskdistill.masks import rle
from maskdistill.pictures import read
from maskdistill.settings import load, resolve
from maskdistill.stages import detect
from tests.made import events, lines_of, states

N, SIZES = 5, ((40, 56), (56, 40), (40, 56), (33, 47), (40, 56))
BACKBONE, K, STEPS = "timm/test_vit", 2, 4
SETTINGS: dict[str, Any] = {
    "threads": 1,
    "weights": ["propose=none"],
    "propose": {
        "backbone": BACKBONE,
        "pixels": "nearest",
        "method": "maskdistill",
        "maskdistill": {"short_side": 0},
    },
    "features": {"short_side": 0},
    "cluster": {"k": K, "again_min_score": 0.0},
    "detect": {
        "min_score": 0.0,
        "max_detections": 5,
        "train": {"steps": STEPS, "batch": 2, "warm_up": 1},
    },
    "label": {"min_score": 0.0, "overlap": "below"},
}

ANY: dict[str, Any] = {
    "method": "lost",
    "min_score": 0.0,
    "stop_score": 0.0,
}  # a mask in any picture


def changed(**more: dict[str, Any]) -> dict[str, Any]:
    """SETTINGS with some settings of some stages changed."""
    return {**SETTINGS, **{name: {**SETTINGS.get(name, {}), **own} for name, own in more.items()}}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(3)
    for number, size in enumerate(SIZES):
        coarse = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        Pillow.fromarray(coarse).resize(size[::-1]).save(folder / f"{number}.png")
    return folder


def done(pictures: Path, out: Path, given: dict[str, Any] | None = None, **more: Any) -> Path:
    asked = {"until": "label", "quiet": True, **more}
    api.run(pictures=pictures, out=out, settings=given or SETTINGS, **asked)
    return out


@pytest.fixture(scope="module")
def whole(pictures, tmp_path_factory) -> Path:
    """A run to the label maps, with the size that a network has where nothing is said."""
    return done(pictures, tmp_path_factory.mktemp("run") / "whole")


@pytest.fixture
def run(whole, tmp_path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


@pytest.fixture
def looks(monkeypatch) -> list[int]:
    """Pictures of each pass of a backbone over whole pictures from here on."""
    counted: list[int] = []
    own = Network.embedded

    def embedded(network, batch, grid):
        counted.append(len(batch))
        return own(network, batch, grid)

    monkeypatch.setattr(Network, "embedded", embedded)
    return counted


def bytes_of(out: Path, stage: str) -> dict[str, bytes]:
    folder = out / stage
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def masks_of(out: Path) -> list[list[dict[str, Any]]]:
    return [row["masks"] for row in lines_of(out / "detect" / "detections.jsonl")]


def test_a_network_detects_on_its_own_tokens_and_label_maps_count_in_clusters_of_the_detections(
    whole,
):
    kept = ("propose", "propose/features", "cluster", "detect", "recluster", "label")
    assert {states(whole)[stage] for stage in kept} == {"done"}
    found = masks_of(whole)
    assert len(found) == N
    assert {mask["cluster"] for masks in found for mask in masks} == {0}
    assert json.loads((whole / "detect" / "clusters.json").read_text())["k"] == 1
    ids = {row["cluster"] for row in lines_of(whole / "recluster" / "clusters.jsonl")}
    assert ids == set(range(K))
    painted = {
        int(value)
        for path in (whole / "label" / "maps").iterdir()
        for value in np.unique(np.array(Pillow.open(path)))
    }
    assert painted == {0, *(1 + each for each in ids)}
    losses = lines_of(whole / "detect" / "train" / "losses.jsonl")
    assert [row["step"] for row in losses] == list(range(1, STEPS + 1))


def test_tokens_that_are_kept_are_not_computed_again_and_else_give_the_same_bytes(
    pictures, whole, tmp_path, looks
):
    out = done(pictures, tmp_path / "kept", until="cluster")
    assert looks[: 2 * N] == [1] * (2 * N)  # each picture and its mirror image; crops come after
    looks.clear()
    done(pictures, out, until="detect")
    assert looks == []
    without = changed(features={"keep": "none"})
    again = done(pictures, tmp_path / "again", without, until="cluster")
    looks.clear()
    done(pictures, again, without, until="detect")
    # Each picture of a batch, then each picture, and mirrored to say how far the two agree.
    assert len(looks) == 2 * STEPS + 2 * N
    assert not (again / "propose" / "features").exists()
    assert bytes_of(again, "detect") == bytes_of(out, "detect") == bytes_of(whole, "detect")


def test_a_new_picture_is_seen_as_the_pictures_of_the_run_were(pictures, whole, looks):
    model = api.load(whole, device="cpu")
    looks.clear()
    for number, wanted in enumerate(masks_of(whole)):
        found = model.predict(pictures / f"{number}.png").instances
        assert rle.decode(found.rles, size=found.size).tolist() == (
            rle.decode([mask["rle"] for mask in wanted], size=found.size).tolist()
        )
        np.testing.assert_allclose(found.scores, [mask["score"] for mask in wanted], atol=1e-6)
        rows = lines_of(whole / "recluster" / "clusters.jsonl")
        named = [row["cluster"] for row in rows if row["id"] == number + 1]
        assert found.clusters.tolist() == named
    assert model.names == ["cluster 0", "cluster 1"]


def test_detections_are_all_of_one_cluster_until_they_are_clustered(run, pictures, tmp_path):
    shutil.rmtree(run / "recluster")
    shutil.rmtree(run / "label")
    model = api.load(run, device="cpu")
    found = model.predict(read(pictures / "0.png"))
    assert set(found.instances.clusters.tolist()) == {0}
    assert found.names == ["cluster 0"]
    api.export(run=run, out=tmp_path / "found.json")
    exported = json.loads((tmp_path / "found.json").read_text())
    assert [each["name"] for each in exported["categories"]] == ["cluster 0"]
    assert len(exported["annotations"]) == sum(map(len, masks_of(run)))


def test_clusters_of_the_proposals_are_learnt_where_they_are_asked_for(pictures, whole, tmp_path):
    own = changed(detect={"clusters": "proposals"})
    out = done(pictures, tmp_path / "run", own)
    assert not (out / "detect" / "clusters.json").exists()
    model = api.load(out, device="cpu")
    assert len(model.detector.roi_heads.box_predictor.cls_score.bias) == 1 + K
    alike = api.load(whole, device="cpu").detector
    assert len(alike.roi_heads.box_predictor.cls_score.bias) == 2


def test_a_detector_does_not_see_tokens_of_other_weights(pictures, tmp_path):
    weights = tmp_path / "weights.pth"
    state = vit.load(BACKBONE, weights="none").model.state_dict()
    torch.save(state, weights)
    given = {**SETTINGS, "weights": [f"propose={weights}"]}
    out = done(pictures, tmp_path / "run", given, until="detect")
    assert len(api.load(out, device="cpu").predict(pictures / "0.png").instances)
    torch.save({name: value + 0.1 for name, value in state.items()}, weights)
    with pytest.raises(RunError, match=r"detect/train: was trained on the tokens of other weights"):
        api.load(out, device="cpu")
    weights.unlink()
    with pytest.raises(WeightsError, match=r"weights\.pth: neither a file nor a name of weights"):
        api.load(out, device="cpu")


REFUSED = {
    "handcrafted": (
        {"propose": {"backbone": "handcrafted"}, "detect": {"size": "backbone"}},
        r"handcrafted features are no tokens(.|\n)*`detect\.size: small`(.|\n)*dino_vits16",
    ),
    "weights": (
        {"weights": ["detect=dino_resnet50"], "detect": {"size": "backbone"}},
        r"weights detect=dino_resnet50: a detector of size backbone has the network of propose",
    ),
    "no block": ({"detect": {"blocks": []}}, r"detect\.blocks must name blocks, each once, got"),
    "a block twice": ({"detect": {"blocks": [-1, -1]}}, r"detect\.blocks must name blocks"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_go_together_is_refused_before_anything_is_made(pictures, tmp_path, what):
    given, told = REFUSED[what]
    with pytest.raises(SettingsError, match=told):
        done(pictures, tmp_path / "run", given)
    assert not (tmp_path / "run").exists()


def test_a_backbone_without_class_token_has_a_detector_too(pictures, tmp_path):
    own = changed(propose={**ANY, "backbone": "timm/test_vit3"})
    out = done(pictures, tmp_path / "run", own, until="detect")
    assert any(masks_of(out))


def test_one_picture_and_pictures_all_alike_are_learnt_from(tmp_path):
    for name, n_pictures in (("one", 1), ("alike", 3)):
        folder = tmp_path / name
        folder.mkdir()
        picture = np.random.default_rng(2).integers(0, 256, (5, 7, 3), dtype=np.uint8)
        for number in range(n_pictures):
            Pillow.fromarray(picture).resize((56, 40)).save(folder / f"{number}.png")
        own = changed(cluster={"k": 1}, propose=ANY)
        out = done(folder, tmp_path / f"run-{name}", own, until="detect")
        found = masks_of(out)
        assert found == [found[0]] * n_pictures


def test_what_a_training_on_tokens_is_known_by():
    def parts(given: dict[str, Any]) -> dict[str, Any]:
        return detect.train_parts(resolve(load(given)))

    base = parts({})
    assert base["size"] == "backbone"
    for same in (
        {"detect": {"short_side": 128}},
        {"detect": {"train": {"steps": 400}}},
        {"detect": {"train": {"epochs": 3}}},
        {"detect": {"train": {"augment": {"colour": 0.5}}}},
        {"features": {"keep": "none", "blocks": [-5, -4, -2, -1]}},
    ):
        assert parts(same) == base, same
    for other in (
        {"detect": {"drop_loss": 0.0}},
        {"detect": {"clusters": "proposals"}},
        {"detect": {"blocks": [-1]}},
        {"detect": {"train": {"steps": 500}}},
        {"detect": {"train": {"augment": {"flip": False}}}},
        {"propose": {"maskdistill": {"short_side": 320}}},
    ):
        assert parts(other) != base, other


def test_a_block_that_is_not_kept_is_looked_at_again(pictures, tmp_path, looks):
    out = done(pictures, tmp_path / "run", changed(detect={"blocks": [-3]}), until="cluster")
    looks.clear()
    done(pictures, out, changed(detect={"blocks": [-3]}), until="detect")
    assert len(looks) == 2 * STEPS + 2 * N
    looks.clear()
    assert len(api.load(out, device="cpu").predict(pictures / "0.png").instances)
    assert len(looks) == 1


def test_a_schedule_of_the_user_and_a_dropped_loss_change_what_is_learnt(pictures, whole, tmp_path):
    out = done(pictures, tmp_path / "run", changed(detect={"drop_loss": 0.0}), until="detect")
    ours, theirs = (lines_of(each / "detect/train/losses.jsonl") for each in (out, whole))
    assert ours[0]["loss_classifier"] >= theirs[0]["loss_classifier"]
    assert ours != theirs


def test_tokens_that_were_lost_on_the_way_are_computed_again_and_told(pictures, whole, tmp_path):
    out = done(pictures, tmp_path / "run", until="cluster")
    tokens = out / "propose" / "features" / "tokens.bin"
    tokens.write_bytes(tokens.read_bytes()[:100])
    api.detect(out=out, quiet=True)
    assert bytes_of(out, "detect") == bytes_of(whole, "detect")
    assert any("was cut short" in row["what"] for row in events(out, "note"))


def test_each_seed_reads_the_tokens_of_the_run(pictures, tmp_path, looks):
    done(pictures, tmp_path / "one", until="detect")
    alone = len(looks)
    looks.clear()
    out = done(pictures, tmp_path / "two", {**SETTINGS, "seeds": 2}, until="detect")
    assert len(looks) == alone
    ours, theirs = (bytes_of(out / "seeds" / seed, "detect/train") for seed in ("0", "1"))
    assert ours["model.safetensors"] != theirs["model.safetensors"]
