"""A room's signature holds the paper's value, the settings hold ours: where the two differ, and why."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from maskdistill import detector, labels, segmenter
from maskdistill.clusters import crops, kmeans, whitening
from maskdistill.proposals import lost, maskcut, maskdistill, tokencut
from maskdistill.segmenter import hardest_cross_entropy
from maskdistill.settings.cluster import ClusterSettings
from maskdistill.settings.detect import DetectSettings
from maskdistill.settings.label import LabelSettings
from maskdistill.settings.propose import (
    LostSettings,
    MaskCutSettings,
    MaskDistillSettings,
    ProposeSettings,
    TokenCutSettings,
)
from maskdistill.settings.run import RunSettings
from maskdistill.settings.segment import PatchHeadSettings, SegmentSettings
from maskdistill.settings.training import AugmentSettings, TrainSettings
from maskdistill.training import Plan, augment

# Function of a room, settings, and the parameters whose setting goes by another name.
PAIRS: list[tuple[Callable[..., Any], type, dict[str, str]]] = [
    (maskdistill.discover, MaskDistillSettings, {}),
    (maskdistill.discover, ProposeSettings, {}),
    (lost.discover, LostSettings, {}),
    (lost.discover, ProposeSettings, {}),
    (maskcut.discover, MaskCutSettings, {}),
    (maskcut.discover, ProposeSettings, {}),
    (tokencut.discover, TokenCutSettings, {}),
    (tokencut.discover, ProposeSettings, {}),
    (labels.select, LabelSettings, {}),
    (labels.paint, LabelSettings, {}),
    (crops.crops, ClusterSettings, {}),
    (kmeans.fit, ClusterSettings, {"algorithm": "kmeans"}),
    (kmeans.fit, RunSettings, {}),
    (whitening.scale_of, ClusterSettings, {}),
    (detector.build, DetectSettings, {}),
    (detector.build, RunSettings, {}),
    (detector.build_on_tokens, DetectSettings, {"drop": "drop_loss"}),
    (detector.predict, DetectSettings, {}),
    (segmenter.build, SegmentSettings, {}),
    (segmenter.build, RunSettings, {}),
    (segmenter.build_on_patches, PatchHeadSettings, {}),
    (segmenter.patches.drawn, SegmentSettings, {"most": "patches"}),
    (segmenter.patches.drawn, PatchHeadSettings, {}),
    (segmenter.patches.steps, PatchHeadSettings, {}),
    (segmenter.patches.patch_batches, PatchHeadSettings, {}),
    (hardest_cross_entropy, SegmentSettings, {"share": "hardest"}),
    (Plan, TrainSettings, {}),
    (augment.Ranges, AugmentSettings, {}),
    (Plan, RunSettings, {}),
]

# (room, parameter): (the paper's value, in the signature; ours, in the settings; why they differ).
DIFFERENT: dict[tuple[str, str], tuple[Any, Any, str]] = {
    ("maskdistill.discover", "mass_rule"): (
        "signed",
        "positive",
        "the release's sum is an accident; meant is ours",
    ),
    ("maskdistill.discover", "facet"): (
        "keys",
        "auto",
        "cuts of networks that are not DINO find more by tokens",
    ),
    ("lost.discover", "facet"): (
        "keys",
        "auto",
        "cuts of networks that are not DINO find more by tokens",
    ),
    ("tokencut.discover", "facet"): (
        "keys",
        "auto",
        "cuts of networks that are not DINO find more by tokens",
    ),
    ("maskcut.discover", "facet"): (
        "keys",
        "auto",
        "cuts of networks that are not DINO find more by tokens",
    ),
    ("maskdistill.discover", "max_masks"): (
        1,
        6,
        "pictures hold several objects; the search stops by score",
    ),
    ("maskdistill.discover", "stop_score"): (
        0.0,
        0.05,
        "what is left of a picture may hold nothing more",
    ),
    ("lost.discover", "max_masks"): (
        1,
        6,
        "pictures hold several objects; the search stops by score",
    ),
    ("lost.discover", "stop_score"): (0.0, 0.05, "what is left of a picture may hold nothing more"),
    ("lost.discover", "rule"): ("paper", "sound", "ties by the place of a patch are an accident"),
    ("maskcut.discover", "max_masks"): (
        3,
        6,
        "pictures hold other numbers; the search stops by score",
    ),
    ("maskcut.discover", "stop_score"): (
        0.0,
        0.05,
        "what is left of a picture may hold nothing more",
    ),
    ("maskcut.discover", "rule"): (
        "paper",
        "sound",
        "a rejected mask that comes back and passes is an accident",
    ),
    ("tokencut.discover", "affinity"): (
        "threshold",
        "auto",
        "descriptors made by hand need the gaussian one",
    ),
    ("tokencut.discover", "max_masks"): (
        1,
        6,
        "pictures hold several objects; the search stops by score",
    ),
    ("tokencut.discover", "stop_score"): (
        0.0,
        0.05,
        "what is left of a picture may hold nothing more",
    ),
    ("tokencut.discover", "rule"): (
        "paper",
        "sound",
        "the first mask may be ground as well as the others",
    ),
    ("drawn", "share"): (1.0, 0.3, "neighbouring patches are alike: the rest costs time alone"),
    ("crops", "min_side"): (0, 224, "small things are told apart far better enlarged"),
    ("crops", "max_side"): (
        None,
        512,
        "a network sees 250 000 tokens of a crop of 4000 px at patch 8",
    ),
    ("kmeans.fit", "algorithm"): (
        "minibatch",
        "full",
        "a folder of thousands fits into memory, and it is steadier",
    ),
    ("kmeans.fit", "restarts"): (1, 10, "one start is at the mercy of its seed"),
    ("detector.build", "size"): ("resnet50", "auto", "two cores train the others in minutes"),
    ("build_on_tokens", "drop"): (0.0, 0.01, "proposals miss objects, which are no background"),
    ("detector.build", "short_side"): (800, 256, "time on two cores goes with the pixels"),
    ("detector.build", "max_side"): (1333, 512, "time on two cores goes with the pixels"),
    ("detector.predict", "mask_score"): (False, True, "a box's score says nothing of its mask"),
    ("detector.predict", "mask_nms"): (
        1.0,
        0.5,
        "twins of a mask in boxes of other shapes outlive suppression by box",
    ),
    ("segmenter.build", "size"): (
        "resnet50",
        "auto",
        "two cores train the small one, or a head on the backbone, in minutes",
    ),
    ("paint", "overlap"): (
        "skip",
        "auto",
        "detections on tokens overlap more: below for these, else skip",
    ),
    ("hardest_cross_entropy", "share"): (
        0.2,
        0.3,
        "a small network in a short training needs more of the pixels",
    ),
    ("Plan", "optimiser"): ("sgd", "adamw", "networks from drawn weights learn sooner with it"),
    ("Plan", "learning_rate"): (0.002, 1e-3, "of the other optimiser"),
    ("Plan", "warm_up"): (0, 20, "drawn weights need one"),
    ("Plan", "decay"): ("steps", "cosine", "a short training has no place for a late step"),
    ("Plan", "clip_norm"): (0.0, 5.0, "a batch of four pictures has outliers"),
    ("Plan", "average"): (
        0.0,
        0.99,
        "the mean of late weights stands for a choice by validation, which needs truth",
    ),
}


def name_of(function: Callable[..., Any]) -> str:
    """`tokencut.discover`, `Plan`; a function of a package by the package's name."""
    module = function.__module__.split(".")
    shared = {"discover": module[-1], "fit": module[-1], "scale_of": module[-1]}
    rooms = {"build": module[1], "predict": module[1]}
    prefix = shared.get(function.__name__) or rooms.get(function.__name__)
    return f"{prefix}.{function.__name__}" if prefix else function.__name__


def defaults_of_settings(cls: type) -> dict[str, Any]:
    made = cls()
    return {field.name: getattr(made, field.name) for field in dataclasses.fields(cls)}


def shared_parameters(
    function: Callable[..., Any], cls: type, renamed: dict[str, str]
) -> dict[str, tuple[Any, Any]]:
    """Parameter -> (default of the signature, default of the settings), where both have one."""
    ours = defaults_of_settings(cls)
    return {
        name: (parameter.default, ours[renamed.get(name, name)])
        for name, parameter in inspect.signature(function).parameters.items()
        if renamed.get(name, name) in ours and parameter.default is not parameter.empty
    }


@pytest.mark.parametrize(
    "function, cls, renamed", PAIRS, ids=lambda case: getattr(case, "__qualname__", "")
)
def test_a_default_differs_from_the_signatures_only_where_the_table_says_so(function, cls, renamed):
    shared = shared_parameters(function, cls, renamed)
    assert shared, "these two have nothing in common: was something renamed?"
    assert set(renamed) <= set(shared)
    for name, (paper, ours) in shared.items():
        entry = DIFFERENT.get((name_of(function), name))
        if entry is None:
            assert paper == ours, (
                f"{name_of(function)}: {name} differs, and the table has no reason for it"
            )
        else:
            assert (paper, ours) == entry[:2], (
                f"{name_of(function)}: {name} is not what the table says"
            )


def test_every_entry_of_the_table_still_differs_and_has_a_reason():
    compared = {
        (name_of(function), name): values
        for function, cls, renamed in PAIRS
        for name, values in shared_parameters(function, cls, renamed).items()
    }
    for key, (paper, ours, reason) in DIFFERENT.items():
        assert key in compared, f"{key} is compared no more"
        assert compared[key][0] != compared[key][1], f"{key} differs no more: take it off the table"
        assert paper != ours
        assert len(reason.split()) > 2


def test_the_paper_presets_agree_with_the_signatures_where_both_speak_of_the_method():
    from maskdistill.settings import load, resolve

    for name in ("paper-voc12", "paper-coco20k"):
        settings = resolve(load(preset_name=name))
        told = {
            ("maskdistill.discover", "mass_rule"): settings.propose.maskdistill.mass_rule,
            ("maskdistill.discover", "max_masks"): settings.propose.max_masks,
            ("maskdistill.discover", "stop_score"): settings.propose.stop_score,
            ("kmeans.fit", "algorithm"): settings.cluster.kmeans,
            ("kmeans.fit", "restarts"): settings.cluster.restarts,
            ("detector.build", "size"): settings.detect.size,
            ("detector.build", "max_side"): settings.detect.max_side,
            ("detector.predict", "mask_score"): settings.detect.mask_score,
            ("detector.predict", "mask_nms"): settings.detect.mask_nms,
            ("segmenter.build", "size"): settings.segment.size,
            ("hardest_cross_entropy", "share"): settings.segment.hardest,
            ("Plan", "optimiser"): settings.segment.train.optimiser,
            ("Plan", "learning_rate"): settings.segment.train.learning_rate,
            ("Plan", "warm_up"): settings.segment.train.warm_up,
            ("Plan", "decay"): settings.segment.train.decay,
            ("Plan", "clip_norm"): settings.segment.train.clip_norm,
            ("Plan", "average"): settings.segment.train.average,
        }
        assert told == {key: DIFFERENT[key][0] for key in told}, name
