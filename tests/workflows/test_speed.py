"""speed: what a machine does in a second, measured where it is quick, and without a trace."""

import gc
import weakref
from typing import Any

import pytest
import torch

from maskdistill.features import vit
from maskdistill.features.vit import ViT
from maskdistill.workflows import estimate, speed
from maskdistill.workflows.speed import Speed
from tests.workflows.test_estimate import ALL, job

TINY: dict[str, Any] = {
    "propose": {"backbone": "timm/test_vit", "maskdistill": {"short_side": 96}},
    "cluster": {"backbone": "timm/test_vit"},
}
SIZE = (96, 128)


@pytest.fixture
def quick(monkeypatch) -> None:
    """A machine whose table says that everything fits into two seconds, however busy it is."""
    monkeypatch.setattr(speed, "product_seconds", lambda: 1e-4)


def of(**asked) -> Speed:
    given = {"size": SIZE, "forward": 1.0, "step": 1.0, **asked}
    return speed.measured(job(**TINY), **given)


@pytest.mark.parametrize("detector", ["backbone", "small"])
def test_a_forward_and_a_step_of_the_runs_own_networks_are_measured(detector) -> None:
    made = job(**{**TINY, "detect": {"size": detector, "short_side": 64, "max_side": 96}})
    at = speed.measured(made, size=SIZE, forward=1.0, step=1.0)
    assert at.forward is not None
    assert at.step is not None
    seconds = [ratio * at.product for ratio in (at.forward, at.step)]
    assert 1e-4 < seconds[0] < seconds[1] < 60
    assert at.told == "measured here: one forward and one training step"


@pytest.mark.parametrize(
    "forward, step, told",
    [
        (1e9, 1.0, "measured here: one training step"),
        (1.0, 1e9, "measured here: one forward"),
        (0.0, 1e9, "from a table, a rough guess"),
        (1e9, 1e9, "from a table, a rough guess"),
    ],
)
def test_what_the_table_says_takes_longer_than_two_seconds_is_not_measured(
    forward, step, told
) -> None:
    assert of(forward=forward, step=step).told == told


def test_a_gpu_that_is_faster_by_the_table_may_do_more(monkeypatch) -> None:
    monkeypatch.setattr(speed, "product_seconds", lambda: 0.01)
    assert of(forward=200.0, step=0.0).forward is None  # two of them: 4 s
    assert of(forward=200.0, step=0.0, faster=4.0).forward is not None


def test_what_does_not_fit_into_memory_is_told_from_the_table(monkeypatch) -> None:
    def full(*given: object, **more: object) -> None:
        raise MemoryError

    monkeypatch.setattr(ViT, "features_and_tokens", full)
    at = of()
    assert at.forward is None
    assert at.step is not None


def test_measuring_draws_from_no_generator_of_the_run_and_keeps_no_network(monkeypatch) -> None:
    made: list[weakref.ref[ViT]] = []
    load = vit.load

    def loaded(*given: Any, **more: Any) -> ViT:
        network = load(*given, **more)
        made.append(weakref.ref(network))
        return network

    monkeypatch.setattr(vit, "load", loaded)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    of()
    assert torch.equal(before, torch.random.get_rng_state())
    gc.collect()
    assert len(made) == 1
    assert made[0]() is None


def test_the_hours_follow_what_was_measured_and_by_that_part_alone() -> None:
    made = job(**TINY)
    works = estimate.by_stage(made, ALL)
    table = Speed(0.01)
    for stage, work in works.items():
        forward = work.seconds(Speed(0.01, forward=2.0)) - work.seconds(table)
        step = work.seconds(Speed(0.01, step=3.0)) - work.seconds(table)
        assert forward == pytest.approx(0.01 * work.forward), stage
        assert step == pytest.approx(2 * 0.01 * work.step), stage
    assert works["propose"].forward > 0
    assert works["detect"].step > 0


def test_the_sentence_says_what_was_measured_and_counts_detections_on_tokens(quick) -> None:
    made = job(28, **TINY)
    said = estimate.sentence(made, ALL)
    assert "(measured here: one forward and one training step)" in said
    assert said.endswith(" of it to embed about 8 detections a picture, as counted on photographs")
    at = Speed(0.01)
    with_label, without = (
        estimate.expected(made, verbs, at)[0]
        for verbs in (ALL, [verb for verb in ALL if verb != "label"])
    )
    assert with_label - without == pytest.approx(estimate.most_of_detections(made, at))


def test_sizes_that_are_no_whole_patches_are_measured_as_they_are_padded(quick) -> None:
    own = {"method": "tokencut", "tokencut": {"short_side": 100}, "backbone": "timm/test_vit"}
    made = job(**{**TINY, "propose": own})  # 100 x 133 px
    assert estimate.measured(made, ["propose"]).told == "measured here: one forward"
