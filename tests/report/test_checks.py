import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from maskdistill.report import checks


def falling(n=100):
    return [{"step": step, "loss": 3 * 0.97**step + 0.1} for step in range(1, n + 1)]


def test_a_healthy_run_raises_no_alarm():
    found = checks.alarms(
        masks_per_picture={"propose": [1, 0, 3], "detect": [2, 2, 2]},
        mask_areas={"propose": [0.1, 0.95, 0.3]},
        cluster_sizes={"cluster": [5, 4, 6]},
        coverage={"label": [0.0, 0.4], "segment": [0.3, 0.2]},
        losses={"detect": falling(), "segment": falling()},
        found_again=(198, 145),
    )
    assert found == {}


def test_what_was_not_handed_in_or_is_empty_is_not_judged():
    assert checks.alarms() == {}
    nothing = checks.alarms(
        masks_per_picture={"propose": []},
        mask_areas={"propose": []},
        cluster_sizes={"cluster": []},
        coverage={"label": []},
        losses={"detect": []},
    )
    assert nothing == {}


DEGENERATE = [
    ("propose", {"masks_per_picture": {"propose": [0, 0, 0]}}, "No masks at all: 3 pictures"),
    ("propose", {"masks_per_picture": {"propose": [0] * 9 + [1]}}, "9 of 10 pictures have no mask"),
    ("detect", {"masks_per_picture": {"detect": [0, 0]}}, "The detector predicts nothing"),
    (
        "propose",
        {"mask_areas": {"propose": [0.95, 1.0, 0.1]}},
        "cover the whole picture: the median one has 95%",
    ),
    ("detect", {"mask_areas": {"detect": [0.9]}}, "cover the whole picture"),
    ("cluster", {"cluster_sizes": {"cluster": [1, 8, 1]}}, "cluster 1 of 3 holds 80% of 10 masks"),
    ("recluster", {"cluster_sizes": {"recluster": [10, 0]}}, "cluster 0 of 2 holds 100%"),
    ("label", {"coverage": {"label": [0.0, 0.0]}}, "All 2 label maps are background"),
    ("segment", {"coverage": {"segment": [0.0]}}, "All 1 label maps are background"),
    ("label", {"coverage": {"label": [0.99, 0.95, 0.2]}}, "no background left: 95%"),
    (
        "detect",
        {"losses": {"detect": [*falling(30), {"step": 31, "loss": float("nan")}]}},
        "not finite from step 31",
    ),
    ("segment", {"losses": {"segment": falling()[::-1]}}, "The loss does not fall"),
    ("detect", {"found_again": (187, 8)}, "has not learnt: it finds 8 of the 187 masks"),
    (
        "segment",
        {"losses": {"segment": [{"step": s, "loss": 0.5} for s in range(20)]}},
        "The loss does not fall",
    ),
]


@pytest.mark.parametrize("stage, given, what", DEGENERATE)
def test_each_degenerate_stage_is_told_with_what_to_try(stage, given, what):
    found = checks.alarms(**given)
    assert list(found) == [stage]
    (alarm,) = found[stage]
    assert what in alarm.what
    assert alarm.advice


def test_of_a_few_masks_or_a_quarter_found_again_nothing_is_said():
    assert checks.alarms(found_again=(19, 0)) == checks.alarms(found_again=(200, 50)) == {}
    assert checks.alarms(found_again=(200, 49))


def test_a_detector_that_has_not_learnt_is_told_with_what_its_size_can_do_and_what_is_painted():
    whole = checks.of_found_again(187, 8)[0]
    assert "--detect.size resnet50" in whole.advice
    assert "--label.keep-best-stage" in whole.advice
    assert "made of its guesses" in whole.what
    on_tokens = checks.of_found_again(187, 8, in_place="proposals are painted.", on_tokens=True)[0]
    assert on_tokens.what == "The detector has not learnt: proposals are painted."
    assert "resnet50" not in on_tokens.advice
    assert "keep-best-stage" not in on_tokens.advice
    for flag in ("--detect.train.steps", "more pictures", "--propose.method"):
        assert flag in on_tokens.advice


def test_one_cluster_is_no_alarm_where_only_one_was_wanted():
    assert checks.alarms(cluster_sizes={"cluster": [40]}) == {}


def test_a_few_losses_say_nothing_of_their_course():
    assert checks.alarms(losses={"detect": falling(checks.MIN_ROWS - 1)[::-1]}) == {}


def test_the_total_is_named_or_summed_over_the_names_that_start_with_loss():
    rows = [
        {"step": 1, "loss": 2.0, "loss_mask": 9.0},
        {"step": 2, "loss_mask": 1.0, "loss_box": 0.5, "learning_rate": 0.1},
    ]
    np.testing.assert_array_equal(checks.total_loss(rows), [2.0, 1.5])


def test_every_flag_in_an_advice_is_a_setting():
    settings = pytest.importorskip("maskdistill.settings")
    flags = set(re.findall(r"--([a-z{}.\-]+[a-z])", Path(checks.__file__).read_text()))
    flags = {flag.replace("{stage}", stage) for flag in flags for stage in ("detect", "segment")}
    assert len(flags) > 5
    assert flags <= set(_names(settings.RunSettings)), sorted(
        flags - set(_names(settings.RunSettings))
    )


def _names(cls, before=""):
    import typing

    types = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        name = before + field.name.replace("_", "-")
        yield name
        if dataclasses.is_dataclass(types[field.name]):
            yield from _names(types[field.name], name + ".")
