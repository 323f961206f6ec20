"""Whether intervals hold the truth as often as they say: 200 simulated sets of 100 pictures each."""

import numpy as np
import pytest

from maskdistill.evaluation import bootstrap, label_map_counts, semantic

N_SETS, N_PICTURES, RESAMPLES = 200, 100, 400
OFTEN = (0.5, 0.3, 0.2, 0.12, 0.08)  # share of the pictures that hold each class but the background
N_CLASSES = 1 + len(OFTEN)


def world(rng, n_pictures, *, skill=2.0):
    """Confusions of pictures: which classes are there, how large, how well each is found."""
    found = np.zeros((n_pictures, N_CLASSES, N_CLASSES + 1), np.int64)
    for counts in found:
        here = 1 + np.flatnonzero(rng.random(len(OFTEN)) < OFTEN)
        ground, *areas = rng.dirichlet([4.0, *np.ones(len(here))]) * 10_000
        false = rng.uniform(0, 0.1)
        counts[0, 0] += int(ground * (1 - false))
        counts[0, rng.integers(1, N_CLASSES)] += int(ground * false)
        for area, which in zip(areas, here, strict=True):
            right = rng.beta(skill, 1.2)
            counts[which, which] += int(area * right)
            counts[which, rng.integers(0, N_CLASSES + 1)] += int(area * (1 - right))
    return found


def covered(truths, intervals):
    return np.mean(
        [low <= truth <= high for truth, (low, high) in zip(truths, intervals, strict=True)]
    )


@pytest.mark.slow
def test_the_interval_of_miou_holds_the_truth_as_often_as_it_says(rng):
    everything = world(rng, 20_000)
    each = semantic.iou(everything.sum(axis=0))
    truths, intervals = [], []
    for number in range(N_SETS):
        chosen = everything[rng.integers(0, len(everything), N_PICTURES)]
        of = label_map_counts.LabelMaps(list(chosen), rule=None)
        samples = bootstrap.draws(N_PICTURES, resamples=RESAMPLES, seed=number)
        value = bootstrap.value(of.mean_iou(), N_PICTURES)
        intervals.append(bootstrap.spread(of.mean_iou()(samples), around=value))
        truths.append(each[of.total.sum(axis=1) > 0].mean())  # over the classes of the set
    share = covered(truths, intervals)
    print(f"mIoU: {share:.3f} of {N_SETS} intervals hold the truth")
    assert 0.90 <= share <= 0.99


@pytest.mark.slow
def test_the_interval_of_corloc_holds_the_truth_as_often_as_it_says(rng):
    truths, intervals = [], []
    for number in range(N_SETS):
        truth = rng.uniform(0.2, 0.8)
        counted = rng.random(N_PICTURES) < 0.9
        hits = counted & (rng.random(N_PICTURES) < truth)
        samples = bootstrap.draws(N_PICTURES, resamples=RESAMPLES, seed=number)
        of = bootstrap.ratio(hits, counted)
        value = bootstrap.value(of, N_PICTURES)
        intervals.append(bootstrap.spread(of(samples), around=value))
        truths.append(truth)
    share = covered(truths, intervals)
    print(f"CorLoc: {share:.3f} of {N_SETS} intervals hold the truth")
    assert 0.90 <= share <= 0.99


@pytest.mark.slow
def test_two_results_that_are_equally_good_are_seldom_told_apart_and_others_often(rng):
    told = {}
    for skill in (2.0, 8.0):
        n_told = 0
        for number in range(100):
            one, other = (
                label_map_counts.LabelMaps(list(world(rng, N_PICTURES, skill=s)), rule=None)
                for s in (2.0, skill)
            )
            samples = bootstrap.draws(N_PICTURES, resamples=RESAMPLES, seed=number)
            n_told += bootstrap.paired(one.mean_iou(), other.mean_iou(), samples).p < 0.05
        told[skill] = n_told / 100
    print(f"share with p < 0.05: equally good {told[2.0]:.2f}, better {told[8.0]:.2f}")
    assert told[2.0] <= 0.12
    assert told[8.0] >= 0.8
