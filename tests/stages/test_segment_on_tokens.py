"""segment.size backbone: a head on the tokens of a drawn ViT, on label maps of objects that others found."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image as Pillow

from maskdistill import api
from maskdistill.artifacts import label_maps
from maskdistill.artifacts.kept_tokens import KeptTokens
from maskdistill.errors import RunError, StaleError, TrainingError
from maskdistill.features.network import Network
from maskdistill.masks import rle
from maskdistill.runs import record
from maskdistill.training import checkpoint
from tests.made import events, lines_of
from tests.stages.theirs import results, saved

N, STEPS = 6, 30
BEST = "best_on_the_reported_data"


def weights(path: Path, seed: int) -> str:
    """A file with a small ViT's weights, drawn from a seed."""
    torch.manual_seed(seed)
    torch.save(timm.create_model("test_vit", pretrained=False, num_classes=0).state_dict(), path)
    return str(path)


@pytest.fixture(scope="module")
def given(small, tmp_path_factory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("given")
    return {
        "threads": 1,
        "weights": [f"propose={weights(root / 'vit.pth', 1)}"],
        "propose": {
            "backbone": "timm/test_vit",
            "pixels": "nearest",
            "method": "maskdistill",
            "maskdistill": {"short_side": 64},
        },
        "features": {"blocks": [-3, -1]},
        "detect": {"import_file": str(saved(root / "theirs.json", small[1]))},
        "label": {"min_score": 0.0, "overlap": "below"},
        "cluster": {"k": 2},
        "segment": {
            "size": "backbone",
            "patch_head": {"hidden": 16, "batch": 64, "learning_rate": 0.01, "share": 1.0},
            "pixels": "plain",
            "train": {"steps": STEPS},
        },
        "ground_truth": [str(root / "theirs.json")],
        "evaluate": {"bootstrap": 10},
    }


def changed(given: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Settings with some of their sections changed in part."""
    made = copy.deepcopy(given)
    for section, values in more.items():
        is_list = isinstance(values, list)
        made[section] = made[section] + values if is_list else {**made.get(section, {}), **values}
    return made


def go(pictures: Path, out: Path, settings: dict[str, Any], until: str = "segment", **more) -> Path:
    api.run(pictures=pictures, out=out, settings=settings, until=until, quiet=True, **more)
    return out


@pytest.fixture(scope="module")
def made(small, given, tmp_path_factory) -> Path:
    return go(small[0], tmp_path_factory.mktemp("run") / "run", given)


@pytest.fixture
def run(made, tmp_path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(made, tmp_path / "run"))


def reused(made: Path) -> dict[str, Path]:
    return dict.fromkeys(("detect", "label"), made)


def files_of(out: Path) -> dict[str, bytes]:
    folder = out / "segment"
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def counts_of(out: Path, stage: str) -> dict[str, Any]:
    entry = record.read(out / stage / "stage.json")
    assert entry is not None
    return dict(entry.counts)


def predictions(out: Path) -> dict[int, np.ndarray]:
    return {
        number: label_maps.read(out / "segment" / "predictions" / f"{number}.png")
        for number in range(1, N + 1)
    }


def test_a_head_learns_the_label_maps_and_predicts_every_picture(made):
    counts = counts_of(made, "segment/train")
    # 40 x 56 px at a short side of 64: 4 x 6 patches, both views.
    assert counts == {"steps": STEPS, "pictures": N, "patches": N * 2 * 24}
    losses = [row["loss"] for row in lines_of(made / "segment" / "train" / "losses.jsonl")]
    assert np.mean(losses[-5:]) < 0.6 * losses[0]
    found = predictions(made)
    labels = {n: label_maps.read(made / "label" / "maps" / f"{n}.png") for n in found}
    assert all(found[n].shape == labels[n].shape for n in found)
    assert np.mean([(found[n] == labels[n]).mean() for n in found]) > 0.7
    assert {value for each in found.values() for value in np.unique(each)} > {0}


def test_steps_come_of_the_patches_where_none_are_given(made, small, given, tmp_path):
    settings = changed(given, segment={"train": {}, "patches": 100})
    out = go(small[0], tmp_path / "run", settings, reuse=reused(made))
    counts = counts_of(out, "segment/train")
    assert 90 < counts["patches"] <= 100
    assert counts["steps"] == -(-8 * counts["patches"] // 64)


def test_a_share_of_each_view_is_drawn(made, small, given, tmp_path):
    head = {**given["segment"]["patch_head"], "share": 0.25}
    settings = changed(given, segment={"patch_head": head})
    out = go(small[0], tmp_path / "run", settings, reuse=reused(made))
    assert counts_of(out, "segment/train")["patches"] == N * 2 * 24 // 4


def test_one_view_alone_is_another_training(made, small, given, tmp_path):
    settings = changed(given, features={"mirrored": False})
    out = go(small[0], tmp_path / "run", settings, reuse=reused(made))
    assert counts_of(out, "segment/train")["patches"] == N * 24


@pytest.mark.parametrize("keep", ["average", BEST])
def test_a_training_that_is_stopped_at_a_checkpoint_goes_on_with_the_same_bytes(
    made, small, given, tmp_path, monkeypatch, keep
):
    settings = changed(
        given,
        segment={"keep": keep, "looks": 5, "train": {"steps": STEPS, "checkpoint_seconds": 0}},
    )
    whole = go(small[0], tmp_path / "whole", settings, reuse=reused(made))
    own = checkpoint.write

    def write(folder, step, *more, **named):
        own(folder, step, *more, **named)
        if step == STEPS // 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write", write)
        with pytest.raises(KeyboardInterrupt):
            go(small[0], tmp_path / "run", settings, reuse=reused(made))
    out = go(small[0], tmp_path / "run", settings, reuse=reused(made))
    assert len(events(out, "resume")) == 1
    assert files_of(out) == files_of(whole)
    if keep == BEST:
        assert counts_of(out, "segment/train")["kept_step"] in range(6, STEPS + 1, 6)
    else:
        assert files_of(out) == files_of(made)


@pytest.fixture
def looks(monkeypatch) -> list[int]:
    """Pictures of each pass of a backbone from here on."""
    counted: list[int] = []
    own = Network.embedded

    def embedded(network, batch, grid):
        counted.append(len(batch))
        return own(network, batch, grid)

    monkeypatch.setattr(Network, "embedded", embedded)
    return counted


def test_kept_tokens_are_not_computed_again_and_give_the_same_bytes_as_computed_ones(
    small, given, tmp_path, looks
):
    steps = {"steps": 2, "batch": 2, "warm_up": 1}
    detect = {"import_file": "", "min_score": 0.0, "short_side": 48, "max_side": 64, "train": steps}
    settings = changed(given, detect=detect, features={"keep": "all"})
    kept = go(small[0], tmp_path / "kept", settings, until="label")
    looks.clear()
    go(small[0], kept, settings)
    assert looks == []
    settings = changed(settings, features={"keep": "none"})
    chain = dict.fromkeys(("propose", "cluster", "detect", "label"), kept)
    computed = go(small[0], tmp_path / "computed", settings, reuse=chain)
    assert not (computed / "propose" / "features").exists()
    # Both views to learn from, and both to predict: the mirrored one to say how far the two agree.
    assert looks == [1] * 4 * N
    assert files_of(computed) == files_of(kept)


def test_new_pictures_are_predicted_as_the_runs_own_by_one_look_each(made, small, tmp_path, looks):
    model = api.load(made)
    for number, path in enumerate(sorted(small[0].iterdir()), 1):
        np.testing.assert_array_equal(model.predict(path).label_map, predictions(made)[number])
    assert looks == [1] * N
    counts = api.predict(run=made, pictures=small[0], out=tmp_path / "found", quiet=True)
    assert counts["predicted"] == N
    again = label_maps.read(tmp_path / "found" / "p0001.png")
    np.testing.assert_array_equal(again, predictions(made)[1])


def test_other_pixels_predict_anew_and_train_nothing(run, small, given):
    weights_before = (run / "segment" / "train" / "model.safetensors").stat().st_mtime_ns
    go(small[0], run, changed(given, segment={"pixels": "crf"}), start="segment")
    assert (run / "segment" / "train" / "model.safetensors").stat().st_mtime_ns == weights_before
    assert set(predictions(run)) == set(range(1, N + 1))


OTHERS = {
    "a linear head": ({"segment": {"patch_head": {"hidden": 0}}}, "settings.head.hidden: 16 -> 0"),
    "patches": ({"segment": {"patches": 99}}, "settings.patches: 1500000 -> 99"),
    "blocks": ({"features": {"blocks": [-1]}}, r"tokens.blocks: \[-3, -1\] -> \[-1"),
    "the other size": (
        {"segment": {"size": "small"}, "weights": ["segment=none"]},
        "settings.size: backbone -> small",
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_head_that_was_made_otherwise_is_refused(made, given, what):
    more, told = OTHERS[what]
    with pytest.raises(StaleError, match=told):
        api.segment(out=made, settings=changed(given, **more))


def test_weights_that_are_others_now_are_told_before_a_picture_is_predicted(
    small, made, given, tmp_path
):
    file = tmp_path / "vit.pth"
    settings = {**given, "weights": [f"propose={weights(file, 1)}"]}
    out = go(small[0], tmp_path / "run", settings, reuse={"label": made, "detect": made})
    assert api.load(out).predict(sorted(small[0].iterdir())[0]).label_map is not None
    weights(file, 2)
    with pytest.raises(
        RunError, match=r"trained on the tokens of other weights(.|\n)*propose=FILE"
    ):
        api.load(out)


def few(given: dict[str, Any], path: Path, **rows: Any) -> dict[str, Any]:
    """Settings that import another file of detections."""
    theirs = json.loads(Path(given["detect"]["import_file"]).read_text()) | rows
    return {**given, "detect": {"import_file": str(saved(path, theirs))}}


def test_a_picture_without_a_label_is_not_learnt_from_and_predicted(small, given, tmp_path):
    first = [row for row in small[1]["annotations"] if row["image_id"] == 1]
    settings = few(given, tmp_path / "theirs.json", annotations=first)
    out = go(small[0], tmp_path / "run", settings)
    assert counts_of(out, "segment/train")["pictures"] == 1
    assert counts_of(out, "segment")["predictions"] == N


def test_a_set_without_any_label_says_what_to_lower(small, given, tmp_path):
    unsure = saved(tmp_path / "theirs.json", results(small[1]))
    settings = changed(
        given,
        detect={"import_file": str(unsure)},
        label={"min_score": 1.0, "unsure_score": 0.5, "keep_best": False},
    )
    with pytest.raises(TrainingError, match=r"no training picture has a label map. Lower `label\."):
        go(small[0], tmp_path / "run", settings)


def test_label_maps_that_are_nearly_all_background_give_background(small, given, tmp_path):
    dot = np.zeros((1, 40, 56), bool)
    dot[0, 20, 30] = True
    row = {**small[1]["annotations"][0], "segmentation": rle.encode(dot)[0]}
    row |= {"bbox": [30, 20, 1, 1], "area": 1}
    settings = few(given, tmp_path / "theirs.json", annotations=[row])
    out = go(small[0], tmp_path / "run", settings)
    assert all(not found.any() for found in predictions(out).values())


def test_one_picture_is_enough(small, given, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    shutil.copy(small[0] / "p0001.png", folder)
    out = go(folder, tmp_path / "run", given)
    assert counts_of(out, "segment/train")["pictures"] == 1
    assert counts_of(out, "segment")["predictions"] == 1


def test_pictures_that_are_all_alike_are_learnt_from(small, given, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for image in small[1]["images"]:
        Pillow.new("RGB", (56, 40), "teal").save(folder / image["file_name"])
    out = go(folder, tmp_path / "run", given)
    assert len({found.tobytes() for found in predictions(out).values()}) == 1


def test_a_picture_whose_tokens_are_not_finite_is_left_out_and_told(
    made, small, given, tmp_path, monkeypatch
):
    own = KeptTokens.together

    def together(reader, loaded):
        found = own(reader, loaded)
        for each, pending in zip(found, loaded, strict=True):
            if pending.image.id == 3:
                each.patches[0, 0, 0, 0] = float("nan")
        return found

    monkeypatch.setattr(KeptTokens, "together", together)
    out = go(small[0], tmp_path / "run", given, reuse=reused(made))
    assert counts_of(out, "segment/train")["patches"] == (N - 1) * 2 * 24
    told = [row for row in events(out, "note") if "not finite" in row["what"]]
    assert [row["picture"] for row in told] == ["p0003.png"] * 2


def test_the_page_and_the_numbers_say_what_segmented(run, small, given):
    api.run(pictures=small[0], out=run, settings=given, quiet=True)
    assert "a head on the backbone" in (run / "report" / "index.html").read_text()
    metrics = json.loads((run / "evaluate" / "metrics.json").read_text())
    (segment,) = [row for row in metrics["weights"] if row["stage"] == "segment"]
    assert segment["weights"] == "timm/test_vit, vit.pth"
    values = {
        (row["stage"], row["name"]): row["value"]
        for row in metrics["metrics"]
        if row["split"] == "train"
    }
    assert values["segment", "mIoU"] > values["baseline:whole", "mIoU"]


def test_a_picture_that_does_not_fit_however_small_is_refused_and_the_others_are_predicted(
    made, small, given, tmp_path, monkeypatch
):
    own = Network.embedded

    def embedded(network, batch, grid):
        if (record_of / "stage.json").exists() and torch.equal(batch[0], third):
            raise MemoryError
        return own(network, batch, grid)

    out = tmp_path / "run"
    record_of, third = out / "segment" / "train", None
    kept = KeptTokens._pending

    def pending(reader, image, shown, *, mirrored):
        nonlocal third
        found = kept(reader, image, shown, mirrored=mirrored)
        third = found.prepared.tensor if image.id == 3 else third
        return found

    monkeypatch.setattr(KeptTokens, "_pending", pending)
    monkeypatch.setattr(Network, "embedded", embedded)
    go(small[0], out, given, reuse=reused(made))
    (refused,) = events(out, "refused")
    assert refused["picture"] == "p0003.png"
    assert "do not fit into memory, even alone" in refused["reason"]
    assert counts_of(out, "segment") | {"mean_coverage": 0} == {
        "predictions": N - 1,
        "refused": 1,
        "mean_coverage": 0,
    }
