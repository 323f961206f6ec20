"""Licences of weights: those known, timm's own word for its models, nothing made up for others."""

import pytest

from maskdistill.features import licences, weights


def test_every_name_that_can_be_fetched_has_a_licence_and_a_source():
    for name in (*weights.URLS, "handcrafted", "none"):
        found = licences.of(name)
        assert found.name != licences.UNKNOWN
        assert found.source
    assert licences.of("dino_vits16").name == "Apache-2.0"
    assert licences.of("moco_v2_resnet50").name == "CC-BY-NC-4.0"


@pytest.mark.parametrize(
    "model, licence",
    [
        ("vit_small_patch14_dinov2", "Apache-2.0"),
        ("vit_small_patch16_dinov3", "DINOv3 License"),
        ("vit_base_patch16_224.mae", "CC-BY-NC-4.0"),
        ("vit_tiny_patch16_224", "Apache-2.0"),
    ],
)
def test_of_a_model_of_timm_its_registry_is_asked(model, licence):
    found = licences.of(f"timm/{model}")
    assert found.name == licence
    assert f"timm/{model}" in found.source


@pytest.mark.parametrize(
    "what", ["/somewhere/backbone.pth", "timm/vit_small_patch16_224.no_such_tag", "timm/nothing"]
)
def test_of_a_file_and_of_an_unknown_model_it_is_said_that_nothing_is_known(what):
    found = licences.of(what)
    assert found.name == "unknown: look at the source"
    assert "/somewhere" not in found.source
