"""settings/resolve.py: what each `auto` means; nothing that was chosen is changed."""

import dataclasses
import typing

import pytest

from maskdistill.errors import SettingsError
from maskdistill.settings import PRESETS, load, resolve


def values(settings, prefix=""):
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            yield from values(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", value


@pytest.mark.parametrize("name", PRESETS)
def test_no_auto_is_left_but_those_that_the_machine_decides(name):
    left = {key for key, value in values(resolve(load(preset_name=name))) if value == "auto"}
    # torch on a GPU, and for what is large; tokens as far as the disk goes
    assert left == {"device", "cluster.solver", "features.keep"}


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_resolved_stays_as_it_is(name):
    once = resolve(load(preset_name=name))
    assert resolve(once) == once


def chosen(settings: dict[str, typing.Any]) -> dict[str, typing.Any]:
    found = resolve(load(settings))
    return {
        "backbone": found.propose.backbone,
        "method": found.propose.method,
        "block": found.propose.block,
        "facet": found.propose.facet,
        "centre_keys": found.propose.centre_keys,
        "pixels": found.propose.pixels,
        "max_masks": found.propose.max_masks,
        "max_patches": found.propose.max_patches,
        "affinity": found.propose.tokencut.affinity,
        "embedding": found.cluster.embedding,
        "embedding of": found.cluster.backbone,
        "trained on from": found.detect.min_proposal_score,
        "outlines": found.detect.pixels,
        "outlines of the segmenter": found.segment.pixels,
    }


OF_DINO = {
    "backbone": "dino_vits16",
    "method": "maskdistill",
    "block": -1,
    "facet": "keys",
    "centre_keys": "no",
    "pixels": "crf",
    "max_masks": 6,
    "max_patches": 12_000,
    "affinity": "threshold",
    "embedding": "class_token",
    "embedding of": "dino_vits16",
    "trained on from": 0.0,
    "outlines": "plain",
    "outlines of the segmenter": "crf",
}
OF_HANDCRAFTED = {
    "backbone": "handcrafted",
    "method": "tokencut",
    "block": -1,
    "facet": "keys",
    "centre_keys": "no",
    "pixels": "refine",
    "max_masks": 6,
    "max_patches": 2400,
    "affinity": "gaussian",
    "embedding": "descriptors",
    "embedding of": "handcrafted",
    "trained on from": 0.45,
    "outlines": "refine",
    "outlines of the segmenter": "refine",
}


def test_a_network_of_dino_means_what_the_paper_does():
    assert chosen({}) == OF_DINO


def test_handcrafted_means_the_spectral_cut_and_descriptors():
    assert chosen({"propose": {"backbone": "handcrafted"}}) == OF_HANDCRAFTED


def test_other_networks_mean_a_cut_of_their_tokens():
    name = "timm/vit_small_patch14_dinov2"
    assert chosen({"propose": {"backbone": name}}) == {
        **OF_DINO,
        "backbone": name,
        "embedding of": name,
        "method": "tokencut",
        "block": -2,
        "facet": "tokens",
    }


@pytest.mark.parametrize("method", ["maskdistill", "lost"])
def test_methods_of_keys_stay_so_with_other_networks_and_have_them_centred(method):
    own = {"backbone": "timm/vit_small_patch14_dinov2", "method": method}
    found = resolve(load({"propose": own})).propose
    assert (found.block, found.facet, found.centre_keys) == (-1, "keys", "yes")


@pytest.mark.parametrize("method", ["tokencut", "maskcut"])
def test_cuts_of_dino_are_of_its_keys_as_published(method):
    found = resolve(load({"propose": {"method": method}})).propose
    assert (found.block, found.facet, found.centre_keys) == (-1, "keys", "no")


@pytest.mark.parametrize(
    ("method", "facet", "wanted"),
    [
        ("tokencut", "tokens", "no"),
        ("maskcut", "tokens", "no"),
        ("tokencut", "keys", "yes"),
        ("maskcut", "values", "yes"),
        ("lost", "tokens", "yes"),
        ("maskdistill", "tokens", "yes"),
    ],
)
def test_tokens_that_are_cut_are_not_centred(method, facet, wanted):
    own = {"backbone": "timm/vit_tiny_patch16_224", "method": method, "facet": facet}
    assert resolve(load({"propose": own})).propose.centre_keys == wanted


@pytest.mark.parametrize("name", ["handcrafted", "dino_vitb8", "timm/vit_tiny_patch16_224"])
def test_weights_of_propose_that_name_a_backbone_choose_it(name):
    assert resolve(load({"weights": [f"propose={name}"]})).propose.backbone == name


@pytest.mark.parametrize(
    "what", ["none", "my/handcrafted.pth", "dino_vitbase16_pretrain.pth", "dino_resnet50"]
)
def test_weights_that_name_no_backbone_leave_it(what):
    assert (
        resolve(load({"weights": [f"propose={what}", f"cluster={what}"]})).propose.backbone
        == "dino_vits16"
    )
    assert (
        resolve(load({"weights": [f"propose={what}", f"cluster={what}"]})).cluster.backbone
        == "dino_vits16"
    )


def test_the_embedding_has_the_backbone_of_its_own_weights_then_its_own_then_that_of_propose():
    cluster = {"cluster": {"backbone": "dino_vitb16"}}
    assert resolve(load(cluster)).cluster.backbone == "dino_vitb16"
    assert (
        resolve(load(cluster, {"weights": ["cluster=dino_vits8"]})).cluster.backbone == "dino_vits8"
    )
    assert resolve(load({"propose": {"backbone": "dino_vitb8"}})).cluster.backbone == "dino_vitb8"


def test_a_network_may_embed_the_masks_that_were_found_without_one():
    found = chosen({"propose": {"backbone": "handcrafted"}, "cluster": {"backbone": "dino_vits8"}})
    assert found == {**OF_HANDCRAFTED, "embedding": "class_token", "embedding of": "dino_vits8"}


def test_a_class_token_of_handcrafted_is_refused_with_what_to_give():
    with pytest.raises(
        ValueError, match=r"`cluster\.backbone: dino_vits16`, or `cluster\.embedding: descriptors`"
    ):
        resolve(
            load({"propose": {"backbone": "handcrafted"}, "cluster": {"embedding": "class_token"}})
        )


def test_values_of_handcrafted_are_refused():
    with pytest.raises(
        ValueError, match=r"propose\.facet: handcrafted has keys, queries and tokens"
    ):
        resolve(load({"propose": {"backbone": "handcrafted", "facet": "values"}}))


def test_more_patches_than_a_graph_can_have_are_refused_where_one_is_made():
    with pytest.raises(
        ValueError, match=r"propose\.max_patches must be at most 12000 for tokencut"
    ):
        resolve(load({"propose": {"method": "tokencut", "max_patches": 12_001}}))
    assert resolve(load({"propose": {"max_patches": 50_000}})).propose.max_patches == 50_000


@pytest.mark.parametrize("backbone", ["handcrafted", "dino_vits16"])
def test_a_rotation_is_refused_of_what_has_none(backbone):
    with pytest.raises(
        ValueError, match=rf"propose\.rotated: {backbone} does not rotate by position"
    ):
        resolve(load({"propose": {"backbone": backbone, "rotated": True}}))


@pytest.mark.parametrize(
    "preset, given, backbone, expected",
    [
        ("quick", {}, "dino_vits16", (480, 480, 480)),
        ("quick", {}, "handcrafted", (480, 0, 0)),
        ("quick", {"short_side": 0}, "dino_vits16", (480, 0, 0)),
        ("quick", {"short_side": 640}, "dino_vits16", (480, 640, 640)),
        ("paper-voc12", {}, "dino_vits16", (640, 0, 0)),
        ("demo", {}, "handcrafted", (480, 0, 0)),
    ],
)
def test_methods_show_pictures_at_one_scale_where_they_name_none(preset, given, backbone, expected):
    settings = load({"features": given, "propose": {"backbone": backbone}}, preset_name=preset)
    propose = resolve(settings).propose
    found = (propose.maskdistill.short_side, propose.lost.short_side, propose.tokencut.short_side)
    assert found == expected
    assert resolve(resolve(settings)) == resolve(settings)


@pytest.mark.parametrize(
    "given, size, again, weights",
    [
        ({}, "backbone", True, "none"),
        ({"propose": {"backbone": "timm/vit_tiny_patch16_224"}}, "backbone", True, "none"),
        ({"propose": {"backbone": "handcrafted"}}, "small", True, "detect"),
        ({"preset": "paper-voc12"}, "resnet50", False, "moco_v2_resnet50"),
        ({"preset": "demo"}, "small", True, "detect"),
        ({"detect": {"size": "small"}}, "small", True, "detect"),
        ({"weights": ["detect=mine.pth"]}, "small", True, "detect"),
        (
            {"preset": "paper-voc12", "weights": ["detect=none"]},
            "resnet50",
            False,
            "moco_v2_resnet50",
        ),
        ({"cluster": {"again": False}}, "backbone", True, "none"),
        (
            {"cluster": {"again": False}, "detect": {"clusters": "proposals"}},
            "backbone",
            False,
            "none",
        ),
    ],
)
def test_a_network_has_the_detector_on_its_tokens_whose_detections_are_clustered_again(
    given, size, again, weights
):
    found = resolve(load(given))
    assert (found.detect.size, found.cluster.again) == (size, again)
    assert found.keeps_tokens == ("backbone" in (size, found.segment.size))
    assert found.weights_of("segment") == weights


def test_tokens_are_kept_where_they_are_read_or_asked_for():
    def keeps(keep, size, backbone="dino_vits16", segment="small", **detect):
        own = {"features": {"keep": keep}, "weights": ["segment=none"]}
        own |= {"detect": {"size": size, **detect}, "segment": {"size": segment}}
        return resolve(load({**own, "propose": {"backbone": backbone}})).keeps_tokens

    assert keeps("auto", "backbone")
    assert keeps("all", "backbone")
    assert keeps("all", "small")
    assert not keeps("auto", "small")
    assert keeps("auto", "small", segment="backbone")
    assert not keeps("auto", "backbone", import_file="x.json")
    assert not keeps("none", "backbone")
    assert not keeps("all", "small", "handcrafted")


@pytest.mark.parametrize(
    "preset, given, backbone, size",
    [
        ("quick", {}, "dino_vits16", "backbone"),
        ("quick", {}, "handcrafted", "small"),
        ("quick", {"weights": ["segment=none"]}, "timm/vit_tiny_patch16_224", "backbone"),
        ("quick", {"weights": ["segment=segmenter.pth"]}, "dino_vits16", "small"),
        ("demo", {}, "handcrafted", "small"),
        ("paper-voc12", {}, "dino_vits16", "resnet50"),
        ("paper-coco20k", {}, "dino_vits16", "resnet50"),
    ],
)
def test_the_segmenter_of_a_network_is_a_head_on_its_tokens(preset, given, backbone, size):
    settings = resolve(load(given, {"propose": {"backbone": backbone}}, preset_name=preset))
    assert settings.segment.size == size
    assert settings.label.unsure_score == (0.3 if size == "backbone" else 1.0)
    assert resolve(settings) == settings


def test_a_head_on_tokens_needs_a_network():
    own = {"propose": {"backbone": "handcrafted"}, "segment": {"size": "backbone"}}
    with pytest.raises(
        ValueError,
        match=r"propose\.backbone is handcrafted\. Give `propose\.backbone: dino_vits16`, "
        r"or `segment\.size: small`",
    ):
        resolve(load(own))


def test_a_head_on_tokens_starts_from_no_weights():
    own = {"weights": ["segment=moco_v2_resnet50"], "segment": {"size": "backbone"}}
    with pytest.raises(
        ValueError, match=r"segment=moco_v2_resnet50: (.|\n)*`weights: segment=none`"
    ):
        resolve(load(own))


@pytest.mark.parametrize("blocks", [[], [-1, -2, -1]])
def test_blocks_whose_tokens_are_kept_are_named_once_each(blocks):
    with pytest.raises(SettingsError, match=r"features\.blocks must name blocks, each once"):
        load({"features": {"blocks": blocks}})


@pytest.mark.parametrize("backbone", ["handcrafted", "dino_vits16", "timm/vit_tiny_patch16_224"])
def test_what_was_chosen_is_kept(backbone):
    given = {
        "propose": {
            "choose": "no",
            "backbone": backbone,
            "method": "tokencut" if backbone != "handcrafted" else "maskdistill",
            "centre_keys": "yes",
            "pixels": "refine" if backbone != "handcrafted" else "crf",
            "block": -3,
            "facet": "queries",
            "max_masks": 3,
            "max_patches": 1000,
            "lost": {"short_side": 0},
            "tokencut": {
                "affinity": "gaussian" if backbone != "handcrafted" else "threshold",
                "short_side": 300,
            },
        },
        "cluster": {"embedding": "descriptors"},
        "detect": {
            "size": "small",
            "min_proposal_score": 0.0,
            "pixels": "plain" if backbone == "handcrafted" else "refine",
        },
        "label": {"unsure_score": 0.5, "overlap": "below"},
        "segment": {
            "size": "resnet50" if backbone == "handcrafted" else "small",
            "pixels": "plain" if backbone == "handcrafted" else "refine",
        },
    }
    settings = load(given)
    found = resolve(settings)
    assert found.label == settings.label
    assert found.propose == settings.propose
    assert found.detect == settings.detect
    assert found.segment == settings.segment
    assert found.cluster.embedding == "descriptors"


def test_what_depends_on_the_pictures_is_left_to_its_stage():
    found = resolve(load())
    assert found.cluster.k == 0
    assert (found.detect.train.steps, found.segment.train.steps) == (0, 0)


def test_lists_that_flags_were_appended_to_hold_each_stage_and_each_file_once():
    given = {
        "weights": ("propose=none", "detect=x", "propose=handcrafted"),
        "ground_truth": ("b", "a", "b"),
    }
    found = resolve(dataclasses.replace(load(), **given))
    assert found.weights == ("propose=handcrafted", "detect=x")
    assert found.ground_truth == ("b", "a")
    assert found.propose.backbone == "handcrafted"


def test_files_and_runs_are_known_by_whole_paths_and_names_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blob").touch()
    (tmp_path / "x.pth").symlink_to("blob")
    (tmp_path / "none").touch()
    (tmp_path / "other").mkdir()
    weights = ["propose=./x.pth", "cluster=nosuch.pth", "detect=none"]
    found = resolve(
        load(
            {
                "weights": weights,
                "cluster": {"support": "other", "align_to": "nosuch"},
                "detect": {"size": "small"},
            }
        )
    )
    assert set(found.weights) == {
        f"propose={tmp_path / 'x.pth'}",
        "cluster=nosuch.pth",
        "detect=none",
        "segment=detect",
    }
    assert (found.cluster.support, found.cluster.align_to) == (str(tmp_path / "other"), "nosuch")
    assert resolve(load()).cluster.support == ""
