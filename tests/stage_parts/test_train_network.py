"""How long a network is trained where nobody says it, and what of a schedule counts."""

import pytest

from maskdistill.settings import load, resolve
from maskdistill.settings.training import TrainSettings
from maskdistill.stage_parts import train_network
from maskdistill.stages import cluster, detect, segment


@pytest.mark.parametrize(
    "own, n_pictures, stage, wanted",
    [
        ({}, 1, "detect", 600),
        ({}, 1, "segment", 1500),
        ({}, 400, "detect", 2500),  # 25 epochs in batches of 4
        ({"epochs": 10}, 400, "detect", 1000),
        ({"batch": 8}, 400, "detect", 1250),
        ({}, 10**6, "segment", 12000),
        ({"steps": 7, "epochs": 10}, 400, "detect", 7),
    ],
)
def test_steps_come_from_the_epochs_between_a_least_and_a_most_unless_they_are_set(
    own, n_pictures, stage, wanted
) -> None:
    assert train_network.steps_of(TrainSettings(**own), n_pictures, stage) == wanted


@pytest.mark.parametrize("n_pictures", [1, 10**6])
def test_on_tokens_a_detector_has_as_many_steps_whatever_the_pictures(n_pictures) -> None:
    for own, wanted in (({}, 400), ({"epochs": 10}, 400), ({"steps": 7}, 7)):
        given = TrainSettings(**own)
        assert train_network.steps_of(given, n_pictures, "detect", on_tokens=True) == wanted


def test_epochs_count_where_they_say_how_many_steps_there_are_and_were_not_always_so() -> None:
    old = train_network.parts(TrainSettings())
    assert {"steps", "batch", "learning_rate", "augment"} < set(old)
    assert not {"epochs", "checkpoint_seconds"} & set(old)  # so that old runs do not turn stale
    assert train_network.parts(TrainSettings(epochs=10)) == {**old, "epochs": 10}
    assert "epochs" not in train_network.parts(TrainSettings(epochs=10, steps=9))


def test_numbers_that_became_settings_count_at_other_values_alone() -> None:
    def parts(values) -> list:
        settings = resolve(
            load({"detect": {"size": "small"}, "segment": {"size": "small"}}, values)
        )
        named = (detect.train_parts, segment.train_parts, cluster.parts)
        return [str(part(settings)) for part in named]

    defaults = parts({})
    assert not any("epochs" in text or "exemplars" in text for text in defaults)
    other = {"train": {"epochs": 3}}
    changed = parts({"detect": other, "segment": other, "cluster": {"exemplars": 3}})
    assert all("epochs" in text or "exemplars" in text for text in changed)
