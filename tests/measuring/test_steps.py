"""Steps from stage to stage: paired over pictures; mean and deviation over seeds."""

import numpy as np
import pytest

from maskdistill.evaluation import bootstrap
from maskdistill.evaluation.rows import Measure
from maskdistill.measuring import steps


def measure(stage, name, hits):
    hits = np.array(hits, np.float64)
    return Measure(stage, name, "share", bootstrap.ratio(hits, np.ones(len(hits))))


SAMPLES = bootstrap.draws(8, resamples=300)
EASY = [1, 1, 1, 1, 0, 0, 0, 0]  # four pictures that both stages get right


def test_a_step_is_the_difference_to_the_stage_before():
    found = steps.of_split(
        [measure("cluster", "mIoU", EASY), measure("label", "mIoU", [1, 1, 1, 1, 1, 0, 0, 0])],
        SAMPLES,
        split="train",
    )
    (row,) = found
    assert (row["stage"], row["before"], row["split"]) == ("label", "cluster", "train")
    assert (row["value"], row["other"], row["difference"]) == (0.625, 0.5, 0.125)


def test_pictures_are_drawn_for_both_alike():
    # Equal on every picture: drawn apart, the difference would have an interval of its own.
    (row,) = steps.of_split(
        [measure("propose", "CorLoc", EASY), measure("detect", "CorLoc", EASY)],
        SAMPLES,
        split="train",
    )
    assert row["interval"] == [0, 0]


@pytest.mark.parametrize(
    ("stage", "name", "other"),
    [
        ("recluster", "mIoU", "cluster"),  # no step of its own
        ("label", "pixel_accuracy", "cluster"),  # mostly background
        ("label", "mIoU", "propose"),
        ("propose", "CorLoc", "detect"),
    ],
)
def test_no_other_pairs_are_steps(stage, name, other):
    pair = [measure(stage, name, EASY), measure(other, name, EASY)]
    assert not [
        row for row in steps.of_split(pair, SAMPLES, split="train") if row["stage"] == stage
    ]


def test_weights_that_the_truth_chose_are_named_so():
    chosen = "segment:best_on_the_reported_data"
    pair = [measure("label", "mIoU", EASY), measure(chosen, "mIoU", EASY)]
    (row,) = steps.of_split(pair, SAMPLES, split="train")
    assert (row["stage"], row["before"]) == (chosen, "label")


def test_over_seeds_the_difference_has_mean_and_deviation():
    def of(hits):
        pair = [measure("label", "mIoU", EASY), measure("segment", "mIoU", hits)]
        return steps.of_split(pair, SAMPLES, split="train")

    down, up = of([1, 1, 1, 0, 0, 0, 0, 0]), of([1, 1, 1, 1, 1, 1, 0, 0])
    (row,) = steps.over_seeds({0: down, 1: up})
    assert row["by_seed"] == {"0": -0.125, "1": 0.25}
    assert row["difference"] == 0.0625
    assert row["spread"] == pytest.approx(np.std([-0.125, 0.25], ddof=1))
    assert (row["seeds"], row["interval"], row["p"]) == (2, None, None)


def test_a_seed_alone_has_no_deviation():
    one = steps.of_split(
        [measure("label", "mIoU", EASY), measure("segment", "mIoU", EASY)], SAMPLES, split="train"
    )
    assert steps.over_seeds({3: one})[0]["spread"] is None
