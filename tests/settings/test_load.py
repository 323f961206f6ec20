"""settings/load.py: defaults < preset < YAML file < flags; what cannot be used is refused by its name."""

import dataclasses
import inspect
import math
from pathlib import Path

import pytest
import yaml

from maskdistill.errors import SettingsError
from maskdistill.settings import (
    PRESETS,
    RunSettings,
    as_dict,
    dump,
    load,
    merge,
    nearest,
    over,
    preset,
    resolve,
    validate,
)
from maskdistill.settings.training import TrainSettings


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(config=written(folder, text))
    message = str(caught.value)
    assert message.startswith(f"{folder / 'settings.yaml'}: ") or message.startswith("preset: ")
    return message


def test_flags_stand_above_the_file_the_file_above_the_preset_the_preset_above_the_defaults(
    tmp_path,
):
    assert RunSettings().label.min_score == 0.9
    assert load().label.min_score == 0.7
    config = written(tmp_path, "label: {min_score: 0.5}\nseed: 3")
    assert load(config=config).label.min_score == 0.5
    flags = {"label": {"min_score": 0.3}}
    settings = load(flags, config=config)
    assert settings.label.min_score == 0.3
    assert settings.seed == 3
    assert settings.cluster.again is True  # of the preset, which file and flags do not name
    assert (
        settings.label.overlap == "auto"
    )  # of the defaults, beside a setting of the same stage from above


def test_a_later_layer_of_flags_stands_above_an_earlier_one():
    assert load({"seed": 1, "limit": 5}, {"seed": 2}).seed == 2
    assert load({"seed": 1, "limit": 5}, {"seed": 2}).limit == 5


def test_one_setting_of_a_schedule_leaves_the_others_at_the_stage_s_own_defaults():
    given = load({"segment": {"train": {"steps": 7}}}).segment.train
    assert given.steps == 7
    assert (
        given.learning_rate
        == RunSettings().segment.train.learning_rate
        != TrainSettings().learning_rate
    )


def test_no_preset_means_quick_and_the_settings_say_which_one_was_used():
    assert load() == load(preset_name="quick")
    assert load().preset == "quick"
    assert load(preset_name="paper-voc12").preset == "paper-voc12"


def test_a_preset_named_in_the_file_or_in_the_flags_is_used_and_one_given_apart_stands_above_it(
    tmp_path,
):
    config = written(tmp_path, "preset: demo\nseed: 4")
    assert load(config=config).cluster.k == preset("demo")["cluster"]["k"] != load().cluster.k
    assert load(config=config).preset == "demo"
    assert load({"preset": "paper-coco20k"}, config=config).cluster.k == 80
    assert load({"preset": "demo"}, preset_name="paper-voc12").cluster.k == 20
    assert "Perhaps you meant demo" in refusal(tmp_path, "preset: dmo")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_loads_resolves_and_comes_back_from_its_text(name):
    assert set(preset(name)) <= {field.name for field in dataclasses.fields(RunSettings)}
    for settings in (load(preset_name=name), resolve(load(preset_name=name))):
        text = dump(settings, extra={"version": "0", "pictures": "/somewhere"})
        loaded = yaml.safe_load(text)
        assert list(loaded)[:2] == ["version", "pictures"]
        assert validate({key: loaded[key] for key in list(loaded)[2:]}, source="text") == settings


def test_the_presets_that_are_listed_are_those_that_are_there():
    from importlib import resources

    files = {path.name for path in resources.files("maskdistill").joinpath("presets").iterdir()}
    assert files == {f"{name}.yaml" for name in PRESETS}


def test_settings_of_every_type_come_back_from_their_text():
    settings = load(
        {
            "config": "some/file.yaml",
            "validation": "0.25",
            "ground_truth": ["a.json", "ünï ©ode: [1]"],
            "weights": ["propose=none", "segment=c:\\weights=1.pth"],
            "limit": 7,
            "max_megapixels": 12.5,
            "precision": "bfloat16",
            "propose": {"tokencut": {"floor": 1e-12, "threshold": -0.1}},
            "detect": {"min_proposal_score": None, "train": {"learning_rate": 1 / 3}},
        }
    )
    assert settings.config == Path("some/file.yaml")
    assert settings.ground_truth == ("a.json", "ünï ©ode: [1]")
    again = validate(yaml.safe_load(dump(settings, extra={})), source="text")
    assert again == settings
    assert again.detect.train.learning_rate == 1 / 3
    assert as_dict(settings)["ground_truth"] == [
        "a.json",
        "ünï ©ode: [1]",
    ]  # a list: YAML knows no tuple


def test_numbers_as_people_write_them_are_numbers(tmp_path):
    text = "detect: {train: {learning_rate: 1e-4, weight_decay: 0, steps: 100}}\npropose: {tokencut: {floor: 1E-6}}"
    settings = load(config=written(tmp_path, text))
    assert settings.detect.train.learning_rate == 1e-4
    assert type(settings.detect.train.learning_rate) is float
    assert type(settings.detect.train.weight_decay) is float
    assert settings.propose.tokencut.floor == 1e-6


def test_a_fraction_for_validation_may_be_written_as_a_number(tmp_path):
    assert load(config=written(tmp_path, "validation: 0.2")).validation == "0.2"
    assert load({"validation": 0.2}) == load({"validation": "0.2"})


@pytest.mark.parametrize(
    "text, words",
    [
        ("propos: {}", "unknown setting propos. Perhaps you meant propose."),
        ("wieghts: []", "unknown setting wieghts. Perhaps you meant weights."),
        ("propose: {methd: tokencut}", "unknown setting propose.methd. Perhaps you meant method."),
        (
            "propose: {tokencut: {treshold: 0.1}}",
            "unknown setting propose.tokencut.treshold. Perhaps you meant thresh",
        ),
        (
            "detect: {train: {learning-rate: 1}}",
            "unknown setting detect.train.learning-rate. Perhaps you meant learn",
        ),
        (
            "label: {k: 1}",
            "unknown setting label.k. Known: min_score, unsure_score, keep_best, keep_best_stage, overlap, shape.",
        ),
        ("zzz: 1", "unknown setting zzz. Known: preset, config, weights, validation, only"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_names_or_with_all(tmp_path, text, words):
    assert words in refusal(tmp_path, text)


def test_all_unknown_keys_are_named_at_once(tmp_path):
    message = refusal(tmp_path, "propos: {}\nlabel: {min_scor: 1}")
    assert "unknown setting propos." in message
    assert "unknown setting label.min_scor. Perhaps you meant min_score or unsure_score." in message


def test_an_unknown_preset_is_refused_with_all_names_and_the_nearest():
    with pytest.raises(
        SettingsError, match=r"no 'paper-voc'.*quick, demo, .*Perhaps you meant paper-voc12"
    ):
        preset("paper-voc")
    with pytest.raises(
        SettingsError, match=r"no 'zzz'. Presets: quick, demo, paper-voc12, paper-coco20k\.$"
    ):
        load(preset_name="zzz")
    with pytest.raises(SettingsError, match=r"no '\.\./presets/quick'"):
        preset("../presets/quick")


def test_nearest_names_at_most_three_and_nothing_where_nothing_is_near():
    assert nearest("min_scor", ["min_score", "max_side"]) == " Perhaps you meant min_score."
    assert nearest("ab", ["abc", "abd", "abe", "abf"]).count(" or ") == 2
    assert nearest("zzz", ["min_score"]) == ""


@pytest.mark.parametrize(
    "text, words",
    [
        ("limit: many", "limit: "),
        ("limit: 2.5", "limit: "),
        ("device: 5", "device: "),
        ("validation: true", "validation: "),
        ("propose: 3", "propose: "),
        ("propose: null", "propose: "),
        ("propose: []", "propose: "),
        (
            "propose: {method: lst}",
            "propose.method: Input should be 'auto', 'maskdistill', 'lost', 'tokencut' or 'maskcut' (found 'lst')",
        ),
        ("cluster: {k: [3]}", "cluster.k: "),
        ("cluster: {k: 3.5}", "cluster.k: "),
        ("label: {keep_best: maybe}", "label.keep_best: "),
        ("detect: {train: {learning_rate: fast}}", "detect.train.learning_rate: "),
        ("ground_truth: a.json", "ground_truth: "),
        ("weights: propose=none", "weights: "),
        ("weights: 5", "weights: "),
        ("weights: null", "weights: "),
        ("weights: [1]", "weights.0: "),
        ("weights: {propose: none}", "tuple"),
        ("1: 2", "1: "),
        ("on: 2", "Keys should be strings"),
    ],
)
def test_a_value_of_a_wrong_type_is_refused_with_its_key(tmp_path, text, words):
    assert words in refusal(tmp_path, text)


@pytest.mark.parametrize("word", [".nan", "nan", ".inf", "-.inf"])
def test_numbers_that_are_not_finite_are_refused_in_a_file(tmp_path, word):
    assert "label.min_score: " in refusal(tmp_path, f"label: {{min_score: {word}}}")
    assert "detect.train.learning_rate: " in refusal(
        tmp_path, f"detect: {{train: {{learning_rate: {word}}}}}"
    )


def test_a_value_out_of_range_in_a_file_is_refused_with_the_file_and_the_setting(tmp_path):
    message = refusal(tmp_path, "label: {min_score: 1.5}")
    assert message == f"{tmp_path / 'settings.yaml'}: label.min_score must be in [0, 1], got 1.5"


@pytest.mark.parametrize(
    "text, words",
    [
        ("- a", "wanted a mapping"),
        ("just text", "wanted a mapping"),
        ("a: b: c", "not readable as YAML"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text, words):
    assert words in refusal(tmp_path, text)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"nowhere\.yaml: no such file"):
        load(config=tmp_path / "nowhere.yaml")
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load(config=tmp_path)
    (tmp_path / "latin.yaml").write_bytes("device: cpü".encode("latin-1"))
    with pytest.raises(SettingsError, match="not readable as YAML"):
        load(config=tmp_path / "latin.yaml")


def test_an_empty_file_changes_nothing(tmp_path):
    assert load(config=written(tmp_path, "")) == load()
    assert load(config=written(tmp_path, "# nothing but words\n")) == load()


def test_yaml_never_makes_objects(tmp_path):
    assert "not readable as YAML" in refusal(tmp_path, "device: !!python/object/apply:os.getcwd []")


def test_weights_are_merged_stage_by_stage_and_other_lists_are_replaced(tmp_path):
    config = written(tmp_path, "weights: [segment=none, cluster=a.pth]\nground_truth: [a.json]")
    settings = load(
        {"weights": ["propose=none", "cluster=b.pth"], "ground_truth": ["b.json"]}, config=config
    )
    assert settings.weights == ("segment=none", "detect=none", "cluster=b.pth", "propose=none")
    assert settings.ground_truth == ("b.json",)
    assert {
        stage: settings.weights_of(stage) for stage in ("propose", "cluster", "detect", "segment")
    } == {
        "propose": "none",
        "cluster": "b.pth",
        "detect": "none",
        "segment": "none",
    }


@pytest.mark.parametrize("stage", ["propose", "cluster"])
def test_a_backbone_stands_above_a_lower_layer_s_weights_that_name_another(stage):
    paper = load(preset_name="paper-voc12")
    own = load({stage: {"backbone": "dino_vitb8"}}, preset_name="paper-voc12")
    assert getattr(resolve(own), stage).backbone == "dino_vitb8"
    assert set(own.weights) == set(paper.weights) - {f"{stage}={paper.weights_of(stage)}"}
    kept = load({stage: {"backbone": "dino_vitb8"}}, {"weights": [f"{stage}=./own.pth"]})
    assert kept.weights_of(stage) == "./own.pth"


def test_weights_that_name_a_backbone_stand_above_a_lower_layer_s_backbone():
    assert (
        resolve(load({"weights": ["propose=dino_vitb8"]}, preset_name="demo")).propose.backbone
        == "dino_vitb8"
    )


def test_a_backbone_and_weights_of_another_one_given_together_are_refused(tmp_path):
    with pytest.raises(
        SettingsError,
        match=r"propose\.backbone is dino_vitb8, but weights propose=handcrafted name anot",
    ):
        load({"propose": {"backbone": "dino_vitb8"}, "weights": ["propose=handcrafted"]})
    load({"propose": {"backbone": "handcrafted"}, "weights": ["propose=handcrafted"]})


def test_merging_changes_none_of_its_layers():
    below, above = (
        {"a": {"b": 1}, "weights": ["detect=none"]},
        {"a": {"c": 2}, "weights": ["detect=x"]},
    )
    assert merge(below, above) == {"a": {"b": 1, "c": 2}, "weights": ["detect=x"]}
    assert below == {"a": {"b": 1}, "weights": ["detect=none"]}
    assert above == {"a": {"c": 2}, "weights": ["detect=x"]}
    merged = merge(below)
    merged["a"]["b"] = 5
    assert below["a"]["b"] == 1


def test_settings_cannot_be_changed_afterwards():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load().seed = 3
    assert all(
        parameter.kind == parameter.KEYWORD_ONLY
        for parameter in inspect.signature(RunSettings).parameters.values()
    )


def test_a_setting_that_is_a_number_in_python_is_checked_like_one_in_a_file():
    with pytest.raises(SettingsError, match=r"label\.min_score"):
        load({"label": {"min_score": math.nan}})


def test_a_layer_of_flags_over_settings_replaces_what_it_names_and_merges_weights():
    below = load({"weights": ["propose=none"], "ground_truth": ["a.json"], "seed": 4})
    flags = {
        "ground_truth": ("b.json",),
        "weights": ("segment=none",),
        "segment": {"train": {"steps": 7, "augment": {"scale": (0.5, 0.6)}}},
    }
    made = over(below, flags)
    assert (made.ground_truth, made.seed) == (("b.json",), 4)
    assert {stage: made.weights_of(stage) for stage in ("propose", "segment", "detect")} == {
        "propose": "none",
        "segment": "none",
        "detect": "none",
    }
    assert made.segment.train.steps == 7
    assert made.segment.train.learning_rate == below.segment.train.learning_rate
    assert made.segment.train.augment.scale == (0.5, 0.6)
    assert over(below, {}) == below
    assert validate(as_dict(made), source="same types") == made


def test_a_backbone_in_the_flags_takes_the_place_of_weights_below_that_name_another():
    below = load({"weights": ["propose=handcrafted"]})
    assert over(below, {"propose": {"backbone": "dino_vitb8"}}).weights_of("propose") is None
    assert over(below, {"propose": {"max_masks": 2}}).weights_of("propose") == "handcrafted"
    with pytest.raises(SettingsError, match=r"propose\.backbone is dino_vitb8, but weights"):
        over(load(), {"propose": {"backbone": "dino_vitb8"}, "weights": ("propose=handcrafted",)})


@pytest.mark.parametrize(
    "flags, words",
    [
        ({"label": {"min_score": math.nan}}, "^label.min_score must be in [0, 1], got nan$"),
        ({"weights": ("propose",)}, "^weights: 'propose' is not STAGE=WHAT"),
        ({"cluster": {"k": 9, "merge_from": 3}}, "^cluster.merge_from must be at least cluster.k"),
    ],
)
def test_a_layer_of_flags_that_cannot_be_used_is_refused_with_the_setting(flags, words):
    with pytest.raises(SettingsError, match=words.replace("[", r"\[").replace("]", r"\]")):
        over(load(), flags)
