"""The verbs as functions: masks of one picture without a run, and what is refused before anything is done."""

import dataclasses
import inspect
import os
import re
import subprocess
import sys
import typing

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.torch import save_file

import maskdistill
from maskdistill import api, cli
from maskdistill.cli import commands
from maskdistill.engine.job import Job
from maskdistill.errors import MaskDistillError, PictureError, RunError, SettingsError
from maskdistill.settings import RunSettings, preset
from maskdistill.settings.propose import ProposeSettings
from maskdistill.workflows import demo_pictures

SMALL = {"short_side": 0}
BY_HAND = {"propose": {"backbone": "handcrafted"}, "threads": 1}


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """64 x 80, in which more than one object is found."""
    return demo_pictures.draw(3, 23, size=(64, 80)).rgb


@pytest.fixture(scope="module")
def found(picture: np.ndarray) -> list[dict]:
    return api.discover(picture, backbone="handcrafted")


def test_masks_of_an_array_are_records_as_segment_anything_gives_them(found, picture):
    assert len(found) >= 2
    for record in found:
        assert set(record) == {
            "segmentation",
            "area",
            "bbox",
            "score",
            "predicted_iou",
            "point_coords",
        }
        mask = record["segmentation"]
        assert (mask.shape, mask.dtype) == (picture.shape[:2], bool)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = [columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]]
        assert record["bbox"] == [float(edge) for edge in box]
        assert record["area"] == mask.sum() > 0
        assert type(record["area"]) is int
        assert type(record["score"]) is float
        assert 0 <= record["score"] <= 1
        assert record["predicted_iou"] == record["score"]


def test_masks_come_by_falling_score(found):
    scores = [record["predicted_iou"] for record in found]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) > 1


def test_a_file_and_its_array_have_the_same_masks_and_the_array_is_left_as_it_was(
    found, picture, tmp_path
):
    before = picture.copy()
    Image.fromarray(picture).save(tmp_path / "a.png")
    for given in (picture, tmp_path / "a.png", str(tmp_path / "a.png")):
        again = api.discover(given, backbone="handcrafted")
        assert [record["predicted_iou"] for record in again] == [
            record["predicted_iou"] for record in found
        ]
        for one, other in zip(again, found, strict=True):
            np.testing.assert_array_equal(one["segmentation"], other["segmentation"])
    np.testing.assert_array_equal(picture, before)


def test_settings_of_propose_count(found, picture):
    one = api.discover(picture, backbone="handcrafted", settings={"max_masks": 1})
    assert len(one) == 1
    between = (found[0]["predicted_iou"] + found[1]["predicted_iou"]) / 2
    assert len(api.discover(picture, backbone="handcrafted", settings={"min_score": between})) == 1
    assert api.discover(picture, backbone="handcrafted", settings={"min_score": 1.0}) == []
    nearest = api.discover(
        picture, backbone="handcrafted", settings={"max_masks": 1, "pixels": "nearest"}
    )
    assert not np.array_equal(nearest[0]["segmentation"], one[0]["segmentation"])


def test_what_is_an_argument_means_what_it_means_in_the_settings(picture):
    given = {"method": "lost", "max_masks": 2, "min_score": 0.0, "pixels": "bilinear"}
    of_settings = api.discover(picture, backbone="handcrafted", settings=given)
    assert areas(api.discover(picture, backbone="handcrafted", **given)) == areas(of_settings) != []
    for name, other in {
        "method": "tokencut",
        "max_masks": 1,
        "min_score": 0.99,
        "pixels": "nearest",
    }.items():
        assert areas(
            api.discover(picture, backbone="handcrafted", **{**given, name: other})
        ) != areas(of_settings)


def areas(records: list[dict]) -> list[int]:
    return [record["area"] for record in records]


def test_a_point_is_the_middle_of_the_patch_that_its_mask_grew_from(picture):
    whole = np.repeat(np.repeat(picture, 2, axis=0), 2, axis=1)[
        :, :156
    ]  # 128 x 156: seen at 64 x 78, the last in part
    seen = {"short_side": 64}
    records = api.discover(
        whole,
        backbone="handcrafted",
        pixels="nearest",
        max_masks=4,
        min_score=0.0,
        settings={"tokencut": seen},
    )
    assert len(records) >= 2
    edge = 156 - (78 - 72)  # x in the middle of the last patch, which shows 6 px of the 78
    for record in records:
        ((x, y),) = record["point_coords"]
        assert (x % 16, y % 16) == (8, 8) or (x, y % 16) == (edge, 8)
        assert record["segmentation"][int(y), int(x)]


def test_a_loop_over_pictures_loads_the_network_once_and_another_network_anew(
    picture, tmp_path, monkeypatch
):
    from maskdistill.engine import networks
    from maskdistill.features import vit

    loaded = []
    own = vit.load
    monkeypatch.setattr(
        networks.vit, "load", lambda name, **given: loaded.append(given) or own(name, **given)
    )
    monkeypatch.setattr(networks, "_kept", {})
    file = tmp_path / "own.safetensors"
    state = vit.load("timm/vit_tiny_patch16_224", weights="none").model.state_dict()
    loaded.clear()

    def found(**given):
        arguments = {
            "backbone": "timm/vit_tiny_patch16_224",
            "weights": file,
            "settings": {"maskdistill": SMALL},
        }
        api.discover(picture, **{**arguments, **given})
        return len(loaded)

    save_file(state, file)
    assert [found(), found(), found(method="lost", max_masks=2, min_score=0.5)] == [1, 1, 1]
    assert found(settings={"precision": "bfloat16"}) == 2
    assert found() == 3  # one is held, not two
    save_file({name: value * 2 for name, value in state.items()}, file)
    os.utime(file, (1, 1))
    assert [found(), found()] == [4, 4]
    assert [found(weights="none"), found(weights="none")] == [5, 5]
    assert found(backbone="dino_vits16", weights="none") == 6


def test_the_package_has_discover_and_loads_nothing_before_it_is_asked_for():
    code = (
        "import sys, maskdistill\n"
        "assert 'discover' in dir(maskdistill)\n"
        "print([name for name in ('torch', 'numpy', 'pydantic', 'maskdistill.api') if name in sys.modules])\n"
        "from maskdistill import discover\n"
        "from maskdistill import api\n"
        "print(discover is api.discover is maskdistill.discover, 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "True False"]
    with pytest.raises(AttributeError, match="module 'maskdistill' has no attribute 'discovr'"):
        maskdistill.discovr  # noqa: B018


def test_an_image_of_pillow_is_refused_with_what_to_give(picture):
    with pytest.raises(TypeError, match=r"picture: wanted .* found Image\..*numpy\.asarray"):
        api.discover(Image.fromarray(picture), backbone="handcrafted")


def test_weights_may_name_the_backbone(found, picture):
    again = api.discover(picture, weights="handcrafted")
    assert [record["area"] for record in again] == [record["area"] for record in found]


def test_a_network_of_drawn_weights_gives_records_too(picture):
    records = api.discover(
        picture, backbone="dino_vits16", weights="none", settings={"maskdistill": {"short_side": 0}}
    )
    assert len(records) <= 1
    assert all(record["segmentation"].shape == (64, 80) for record in records)


def test_a_flat_picture_holds_nothing():
    assert api.discover(np.full((64, 80, 3), 90, np.uint8), backbone="handcrafted") == []


@pytest.mark.parametrize("name", ["method", "pixels"])
def test_discover_documents_every_choice_and_no_other(name):
    told = re.search(rf"^ *{name}: ([a-z, ]+)", api.discover.__doc__, re.MULTILINE)[1]
    choices = typing.get_args(typing.get_type_hints(ProposeSettings)[name])
    assert re.split(r", | or ", told) == list(choices)


def test_discover_documents_a_number_of_masks_that_it_takes(picture):
    """0, which was documented as "as many as `propose` looks for", is refused; None means that."""
    told = re.search(r"^ *max_masks: (.*)", api.discover.__doc__, re.MULTILINE)[1]
    assert re.findall(r"\d+", told) == ["1"]
    assert len(api.discover(picture, backbone="handcrafted", max_masks=1)) == 1


def test_what_is_done_without_a_run_writes_nothing(picture, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job = Job.alone(RunSettings())
    job.ledger.write("warning", what="of no run")
    with pytest.raises(NotADirectoryError):
        job.folder.propose.path.mkdir(parents=True)
    assert api.discover(picture, backbone="handcrafted")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (7, 90), (90, 7), (65, 33)])
def test_pictures_of_any_size_are_taken(rng, size):
    for record in api.discover(
        rng.integers(0, 256, (*size, 3), dtype=np.uint8), backbone="handcrafted"
    ):
        assert record["segmentation"].shape == size


@pytest.mark.parametrize(
    "shape, dtype",
    [
        ((64, 80), np.uint8),
        ((64, 80, 1), np.uint8),
        ((64, 80, 4), np.uint8),
        ((3, 64, 80), np.uint8),
        ((1, 64, 80, 3), np.uint8),
        ((64, 80, 3), np.float32),
        ((64, 80, 3), np.int64),
        ((64, 80, 3), bool),
        ((0, 80, 3), np.uint8),
        ((64, 0, 3), np.uint8),
    ],
)
def test_an_array_of_another_form_is_refused_with_what_was_found(shape, dtype):
    with pytest.raises(ValueError, match="picture: ") as caught:
        api.discover(np.zeros(shape, dtype), backbone="handcrafted")
    assert str(shape) in str(caught.value)


def test_a_file_that_is_no_picture_is_refused(tmp_path):
    with pytest.raises(PictureError, match=r"nowhere\.png"):
        api.discover(tmp_path / "nowhere.png", backbone="handcrafted")
    (tmp_path / "text.jpg").write_text("this is no picture")
    with pytest.raises(PictureError, match=r"text\.jpg"):
        api.discover(tmp_path / "text.jpg", backbone="handcrafted")


@pytest.mark.parametrize(
    "given, words",
    [
        ({"settings": {"method": "lst"}}, "'lst'"),
        (
            {"settings": {"max_mask": 3}},
            "unknown setting propose.max_mask. Perhaps you meant max_masks",
        ),
        ({"settings": {"min_score": 2.0}}, r"propose.min_score must be in \[0, 1\]"),
        ({"backbone": "dino_vits12"}, "dino_vits16"),
        ({"weights": ""}, "weights: wanted the name of some, a file or none"),
        (
            {"weights": "/nowhere.pth", "backbone": "dino_vits16"},
            "/nowhere.pth: neither a file nor a name of weights",
        ),
        ({"method": "lst"}, "propose.method: .*'lst'"),
        ({"max_masks": -1}, "propose.max_masks must be at least 1, got -1"),
        ({"max_masks": 0}, "propose.max_masks must be at least 1, got 0"),
        ({"max_masks": 2.5}, "propose.max_masks: .*2.5"),
        ({"min_score": float("nan")}, "propose.min_score: "),
        ({"pixels": "cubic"}, "propose.pixels: .*'cubic'"),
        ({"device": "gpu"}, "device: there is no 'gpu'"),
        ({"device": "cuda:77"}, "device: cuda:77 was asked for"),
        ({"max_masks": 2, "settings": {"max_masks": 3}}, "max_masks is an argument of its own"),
        ({"settings": {"device": "cpu"}}, "device is an argument of its own"),
        ({"settings": {"weights": ["propose=none"]}}, "weights is an argument of its own"),
        ({"settings": {"precision": "float8"}}, "precision: .*'float8'"),
        ({"settings": {"seed": 3}}, "unknown setting propose.seed"),
        ({"settings": ["method"]}, "settings: wanted a mapping of settings of propose, found list"),
    ],
)
def test_settings_of_discover_are_refused_like_those_of_a_run(picture, given, words):
    with pytest.raises(MaskDistillError, match=words):
        api.discover(picture, **{"backbone": "handcrafted", **given})


def test_every_command_is_a_function_whose_arguments_have_names():
    for command in commands.COMMANDS:
        verb = {"data": "voc_instances", "score": "score_semantic"}.get(command, command)
        parameters = inspect.signature(getattr(api, verb)).parameters.values()
        assert all(each.kind == each.KEYWORD_ONLY for each in parameters), verb
        assert inspect.getdoc(getattr(api, verb))


@pytest.mark.parametrize("verb", api.VERBS)
def test_the_verbs_of_stages_have_one_shape(verb):
    """Keywords: out, settings, quiet; redo where a stage is not done again each time anyway."""
    given = inspect.signature(getattr(api, verb)).parameters
    assert {"out", "settings", "quiet"} <= set(given)
    assert given["out"].default is inspect.Parameter.empty
    assert (given["settings"].default, given["quiet"].default) == (None, False)
    assert ("redo" in given) == (verb not in ("evaluate", "report"))


def test_a_quiet_verb_says_nothing(tmp_path, capsys):
    folder, out = tmp_path / "pictures", tmp_path / "run"
    demo_pictures.write(folder, tmp_path / "truth.json", n_pictures=1, seed=5, size=(64, 80))
    api.scan(pictures=folder, out=out, settings=BY_HAND, quiet=True)
    api.propose(out=out, quiet=True)
    api.evaluate(out=out, quiet=True)
    api.report(out=out, quiet=True)
    assert capsys.readouterr().err == ""
    api.propose(out=out)
    assert "propose: done before" in capsys.readouterr().err


def test_the_settings_stand_in_the_order_of_the_stages():
    of_stages = [each.name for each in dataclasses.fields(RunSettings) if each.name in api.VERBS]
    assert ("scan", *of_stages) == api.VERBS


@pytest.mark.parametrize(
    "given, words",
    [
        (
            {"until": "propos"},
            "until: there is no stage 'propos'.*scan, propose, .*Perhaps you meant propose",
        ),
        (
            {"start": "fly"},
            "from: there is no stage 'fly'. Stages, in order: scan, propose, .*report.$",
        ),
        ({"start": "label", "until": "scan"}, "from: label comes after scan"),
        ({"preset": "demmo"}, "Perhaps you meant demo"),
        ({"config": "/nowhere.yaml"}, "no such file"),
        ({"settings": {"propos": {}}}, "Perhaps you meant propose"),
        ({"settings": {"weights": ["propose"]}}, "STAGE=WHAT"),
    ],
)
def test_a_run_that_cannot_be_is_refused_before_its_folder_is_made(tmp_path, given, words):
    with pytest.raises(SettingsError, match=words):
        api.run(pictures=tmp_path, out=tmp_path / "out", quiet=True, **given)
    assert not (tmp_path / "out").exists()


def test_settings_that_contradict_each_other_are_refused_before_the_folder_is_made(tmp_path):
    settings = {**BY_HAND, "cluster": {"embedding": "class_token"}}
    with pytest.raises(SettingsError, match="class_token needs a network"):
        api.run(pictures=tmp_path, out=tmp_path / "out", settings=settings, quiet=True)
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_not_there_is_named(tmp_path):
    for call in (
        lambda: api.run(out=tmp_path / "x"),
        lambda: api.propose(out=tmp_path / "x"),
        lambda: api.status(out=tmp_path / "x"),
        lambda: api.load(tmp_path / "x"),
        lambda: api.export(run=tmp_path / "x"),
    ):
        with pytest.raises(RunError, match=str(tmp_path / "x")):
            call()
    assert not (tmp_path / "x").exists()


def test_a_run_goes_on_without_pictures_preset_or_file_and_a_file_stands_above_its_settings(
    tmp_path,
):
    folder = tmp_path / "pictures"
    demo_pictures.write(folder, tmp_path / "truth.json", n_pictures=2, seed=5, size=(64, 80))
    out = tmp_path / "run"
    assert (
        api.run(pictures=folder, out=out, preset="demo", settings=BY_HAND, until="scan", quiet=True)
        == out
    )

    def config():
        return yaml.safe_load((out / "config.yaml").read_text(encoding="utf-8"))

    before = config()
    assert before["preset"] == "demo"
    api.run(out=out, until="scan", quiet=True)
    assert config() == before
    (tmp_path / "mine.yaml").write_text("seed: 5\nlabel: {min_score: 0.1}")
    api.run(out=out, config=tmp_path / "mine.yaml", settings={"seed": 6}, until="scan", quiet=True)
    assert config() == {**before, "seed": 6, "label": {**before["label"], "min_score": 0.1}}
    with pytest.raises(
        SettingsError, match=r"was made with demo, and its config\.yaml stands in place of a preset"
    ):
        api.run(out=out, preset="quick", until="scan", quiet=True)
    api.run(out=out, preset="demo", until="scan", quiet=True)
    api.run(
        pictures=folder, out=out, until="scan", quiet=True
    )  # PICTURES: the same command means the same
    assert config()["preset"] == "quick"
    assert config()["seed"] == 0


def test_with_pictures_the_preset_may_be_named_by_the_settings(tmp_path):
    folder = tmp_path / "pictures"
    demo_pictures.write(folder, tmp_path / "truth.json", n_pictures=1, seed=5, size=(64, 80))
    api.scan(pictures=folder, out=tmp_path / "run", settings={"preset": "demo"})
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text(encoding="utf-8"))
    assert (config["preset"], config["cluster"]["k"]) == ("demo", preset("demo")["cluster"]["k"])


def test_the_config_of_a_run_is_a_file_for_another_run_and_stays_when_a_run_is_scanned_again(
    tmp_path,
):
    folder = tmp_path / "pictures"
    demo_pictures.write(folder, tmp_path / "truth.json", n_pictures=2, seed=5, size=(64, 80))
    first, second = tmp_path / "first", tmp_path / "second"
    api.run(
        pictures=folder, out=first, preset="demo", settings={"seed": 7}, until="scan", quiet=True
    )
    api.run(pictures=folder, out=second, config=first / "config.yaml", until="scan", quiet=True)
    assert (second / "config.yaml").read_bytes() == (first / "config.yaml").read_bytes()
    before = (second / "config.yaml").read_bytes()
    api.scan(pictures=folder, out=second, redo=True)
    assert (second / "config.yaml").read_bytes() == before
    assert cli.main(["scan", str(folder), "--out", str(second), "--redo"]) == 0
    assert (second / "config.yaml").read_bytes() == before


def test_a_demo_of_too_many_kinds_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"n_kinds must be in 2\.\.8, got 9"):
        api.demo(out=tmp_path / "demo", n_kinds=9, n_pictures=1, n_validation=1)
