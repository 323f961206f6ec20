"""estimate: what is said before a run starts, of hours that are known and of those that are not."""

import re

import pytest

from maskdistill.engine.job import Image, Job
from maskdistill.settings import load, resolve
from maskdistill.workflows import estimate, speed
from maskdistill.workflows.backbone_names import patch_of, width_of
from maskdistill.workflows.speed import Speed

ALL = ["propose", "cluster", "detect", "label", "segment"]


def job(n_pictures: int = 75, **values) -> Job:
    made = Job.alone(resolve(load({"device": "cpu"}, values)))
    shared = {
        "width": 640,
        "height": 480,
        "orientation": 1,
        "bytes": 9,
        "sha256": "",
        "split": "train",
    }
    made._images = [
        Image(id=number, path=f"{number}.png", **shared) for number in range(1, n_pictures + 1)
    ]
    return made


def test_the_embedding_of_the_detections_is_told_apart_as_the_most_that_it_may_be() -> None:
    # A detector of its own pictures: how many it finds on photographs was not counted.
    small = {"detect": {"size": "small"}, "weights": ["segment=none"]}
    large = {"min_side": 320}  # 75 pictures x 100 detections, each of (320 / 16)^2 patches
    work = 75 * 100 * 400 * (estimate.PATCH + estimate.PAIR * 400)
    hours = estimate.most_of_detections(job(cluster=large, **small), Speed(0.01))
    assert hours == pytest.approx(work * 0.01 / 3600)
    assert re.search(
        r" GB of disk; not counted: up to .* to embed the detections, which are clustered too$",
        estimate.sentence(job(cluster=large, **small), ALL),
    )
    many = job(seeds=3, cluster={**large, "flips": True}, **small)
    assert estimate.most_of_detections(many, Speed(0.01)) == pytest.approx(6 * hours)


@pytest.mark.parametrize(
    "backbone, patch, width",
    [
        ("dino_vits16", 16, (384, 12)),
        ("dino_vitb8", 8, (768, 12)),
        ("timm/vit_small_patch8_224", 8, (384, 12)),
        ("timm/vit_tiny_patch16_224", 16, (192, 12)),
        ("timm/vit_large_patch14_dinov2", 14, (1024, 24)),
        ("timm/vit_small_patch16_dinov3", 16, (384, 12)),
        ("handcrafted", 8, (384, 12)),
        ("something", 16, (384, 12)),
    ],
)
def test_patches_and_widths_are_those_of_the_backbones_name(backbone, patch, width) -> None:
    assert (patch_of(backbone), width_of(backbone)) == (patch, width)


def test_a_wider_network_and_smaller_patches_take_longer() -> None:
    def hours(backbone: str) -> float:
        # The sweep's methods cost the same whatever the network.
        made = job(propose={"backbone": backbone, "pixels": "bilinear", "choose": "no"})
        return estimate.expected(made, ["propose"], Speed(0.01))[0]

    small = hours("timm/vit_small_patch16_224")
    assert hours("timm/vit_small_patch8_224") > 4 * small  # four times the patches, more pairs
    assert 2.5 * small < hours("timm/vit_base_patch16_224") < 4 * small
    assert hours("timm/vit_tiny_patch16_224") < 0.5 * small


def test_the_unit_of_work_is_measured_here_and_the_estimate_follows_it() -> None:
    assert 1e-5 < speed.product_seconds() < 10
    one, other = (estimate.expected(job(), ALL, Speed(product))[0] for product in (0.01, 0.02))
    assert other == pytest.approx(2 * one)


@pytest.mark.parametrize(
    "values",
    [
        {"cluster": {"again": False}, "detect": {"size": "small"}},
        {"propose": {"backbone": "handcrafted"}},
    ],
)
def test_nothing_is_said_of_detections_that_no_network_embeds(values) -> None:
    assert "not counted" not in estimate.sentence(job(**values), ALL)


def test_nothing_is_said_of_detections_once_they_are_clustered() -> None:
    assert "not counted" not in estimate.sentence(job(), ["segment"])


def test_the_patches_of_masks_count_as_the_class_tokens_of_their_boxes() -> None:
    hours = [
        estimate.expected(job(cluster={"embedding": name}), ["cluster"], Speed(0.01))[0]
        for name in ("descriptors", "class_token", "patch_mean")
    ]
    assert hours[0] == 0
    assert hours[1] == hours[2] > 0


def test_kept_tokens_count_as_disk_and_a_mirrored_view_as_a_pass():
    def of(**features):
        # Without a sweep, which looks at 24 pictures whatever is kept.
        own = {"backbone": "timm/vit_small_patch16_224", "pixels": "nearest", "choose": "no"}
        return estimate.expected(job(1000, propose=own, features=features), ["propose"], Speed(1.0))

    hours, gigabytes = of(keep="none")
    assert of(keep="all") == of()  # a detector on tokens comes later
    assert of(keep="all", mirrored=False)[0] == hours
    assert of(keep="all")[0] == pytest.approx(2 * hours)
    # 1200 patches of 384 float16 numbers, three blocks, two views; the class token is not counted.
    assert of(keep="all")[1] - gigabytes == pytest.approx(2 * 3 * 1200 * 384 * 2 * 1000 / 1e9)
    assert of(keep="all", blocks=[-1], mirrored=False)[1] - gigabytes == pytest.approx(0.9216)


@pytest.mark.parametrize(
    "minutes, words",
    [
        (0.0, "less than a minute"),
        (0.9, "less than a minute"),
        (1.2, "about a minute"),
        (1.6, "about 2 minutes"),
        (119.0, "about 119 minutes"),
        (150.0, "about 2.5 hours"),
    ],
)
def test_a_time_is_told_in_words_and_never_as_zero(monkeypatch, minutes, words):
    monkeypatch.setattr(estimate, "expected", lambda *_: (minutes / 60, 0.1))
    assert estimate.sentence(job(), ["propose"]).startswith(f"75 pictures: {words} on this machine")


def test_a_head_on_tokens_takes_minutes_where_it_looks_again_more_and_no_more_than_its_patches():
    own = {"propose": {"backbone": "dino_vits16"}, "segment": {"size": "backbone"}}

    def hours(**more) -> float:
        return estimate.expected(job(**{**own, **more}), ["segment"], Speed(0.01))[0]

    kept, computed = hours(features={"keep": "all"}), hours(features={"keep": "none"})
    # 480 x 640 px: 1200 patches of each of 2 views, 8 passes.
    learnt = 0.3 * 75 * 2 * 1200 * 8 * (estimate.PATCH_PASS + 384 * estimate.PATCH_CHANNEL)
    predicted = 75 * (estimate.PATCH_PREDICTION + estimate.CRF_OF_MAP)
    assert kept == pytest.approx((learnt + predicted) * 0.01 / 3600)
    looks = 75 * 3 * 1200 * (estimate.PATCH + 1200 * estimate.PAIR)
    assert computed == pytest.approx(kept + looks * 0.01 / 3600)
    few = hours(segment={"size": "backbone", "patches": 1200}, features={"keep": "all"})
    assert few == pytest.approx((learnt / 45 + predicted) * 0.01 / 3600)
