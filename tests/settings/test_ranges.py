"""The ranges of all settings: nan fails everywhere, and a range that a help text states is the one that is checked."""

import dataclasses
import inspect
import math
import re
import typing

import pytest

from maskdistill.settings import WEIGHT_STAGES, RunSettings


def classes(cls=RunSettings):
    """RunSettings and every dataclass below it, each once."""
    found = [cls]
    for hint in typing.get_type_hints(cls).values():
        if dataclasses.is_dataclass(hint):
            found += [each for each in classes(hint) if each not in found]
    return found


def fields_of(kind: type) -> list[tuple[type, str]]:
    """(class, field) of all settings of a type, those that may be None too."""
    return [
        (cls, field.name)
        for cls in classes()
        for field in dataclasses.fields(cls)
        if typing.get_type_hints(cls)[field.name] in (kind, kind | None)
    ]


def stated() -> list[tuple[type, str, str]]:
    """(class, field, range) where the comment at a field states a range: `in [0, 1]`."""
    found = []
    for cls in classes():
        comment = ""
        for line in inspect.getsource(cls).splitlines():
            code, sign, words = line.strip().partition("# ")
            comment += f" {words}" if sign else ""
            wanted = re.search(r"in [\[(]-?[\d.]+, -?[\d.]+[\])]", comment)
            if code and wanted and (name := re.match(r"(\w+): ", code)):
                found.append((cls, name.group(1), wanted.group().removeprefix("in ")))
            comment = "" if code else comment
    return found


def named(case) -> str:
    return case.__name__ if isinstance(case, type) else str(case)


@pytest.mark.parametrize("cls, name", fields_of(float), ids=named)
def test_nan_fails(cls, name):
    with pytest.raises(ValueError, match=rf"{name} must be .*nan"):
        cls(**{name: math.nan})


@pytest.mark.parametrize("cls, name, interval", stated(), ids=named)
def test_the_range_that_the_help_states_is_the_one_that_is_checked(cls, name, interval):
    low, high = (float(edge) for edge in interval[1:-1].split(", "))
    several = (
        typing.get_origin(typing.get_type_hints(cls)[name]) is tuple
    )  # of which each has to be in the range

    def made(value: float):
        return getattr(cls(**{name: (value,) if several else value}), name)

    for edge, is_in in ((low, interval[0] == "["), (high, interval[-1] == "]")):
        outside = math.nextafter(edge, -math.inf if edge == low else math.inf)
        refused = [outside] if is_in else [edge, outside]
        for value in refused:
            with pytest.raises(ValueError, match=rf"{name} must be in {re.escape(interval)}, got"):
                made(value)
        accepted = edge if is_in else math.nextafter(edge, high if edge == low else low)
        assert made(accepted) == ((accepted,) if several else accepted)


def test_ranges_are_stated_at_the_settings_that_are_shares_or_scores():
    assert {name for _, name, _ in stated()} >= {
        "top_fraction",
        "mass",
        "threshold",
        "min_score",
        "again_min_score",
        "min_proposal_score",
        "mask_nms",
        "hardest",
    }


LEAST = {
    "limit": 0,
    "seed": 0,
    "seeds": 1,
    "chain_seed": 0,
    "threads": 0,
    "workers": 0,
    "max_masks": 1,
    "max_patches": 0,
    "gpu_batch": 1,
    "square": 0,
    "n_candidates": 1,
    "restarts": 1,
    "pack": 0,
    "k_most": 2,
    "merge_from": 0,
    "min_side": 0,
    "pca_dims": 1,
    "max_detections": 1,
    "import_top": 0,
    "side": 32,
    "looks": 1,
    "bootstrap": 0,
    "tiles": 1,
    "tile_px": 32,
    "steps": 0,
    "epochs": 1,
    "exemplars": 1,
    "batch": 1,
    "warm_up": 0,
    "checkpoint_seconds": 0,
}
RULED_OTHERWISE = {"block", "short_side", "max_side"}  # any block; sides: see below


@pytest.mark.parametrize("cls, name", fields_of(int), ids=named)
def test_every_count_has_a_least_value(cls, name):
    if name in RULED_OTHERWISE:
        return
    assert getattr(cls(**{name: LEAST[name]}), name) == LEAST[name]
    with pytest.raises(
        ValueError, match=rf"{name} must be at least {LEAST[name]}, got {LEAST[name] - 1}"
    ):
        cls(**{name: LEAST[name] - 1})


def by_name(name: str) -> type:
    return next(cls for cls in classes() if cls.__name__ == name)


@pytest.mark.parametrize(
    "cls, values, words",
    [
        ("MaskDistillSettings", {"short_side": -1}, "short_side must be at least 0"),
        ("TokenCutSettings", {"short_side": -1}, "short_side must be at least 0"),
        ("TokenCutSettings", {"floor": 0.0}, "floor must be in"),
        ("TokenCutSettings", {"floor": 1.0}, "floor must be in"),
        ("ClusterSettings", {"max_side": -1}, "max_side must be at least 0"),
        ("ClusterSettings", {"k": 255}, "k must be at most 254"),
        ("ClusterSettings", {"k": -1}, "k must be at least 0, got -1"),
        ("ClusterSettings", {"merge_from": 255}, "merge_from must be at most 254"),
        (
            "ClusterSettings",
            {"k": 9, "merge_from": 8},
            "merge_from must be at least cluster.k, 9, or 0, got 8",
        ),
        (
            "ClusterSettings",
            {"solver": "torch", "kmeans": "minibatch"},
            "solver torch has no cluster.kmeans minibatch",
        ),
        ("ClusterSettings", {"scales": ()}, "must name one scale at least"),
        ("DetectSettings", {"short_side": 31}, "short_side must be at least 32"),
        ("DetectSettings", {"short_side": 300, "max_side": 299}, "max_side must be at least 300"),
        ("DetectSettings", {"nms": 1.1}, "nms must be in"),
        ("TrainSettings", {"learning_rate": 0.0}, "learning_rate must be above 0"),
        ("TrainSettings", {"weight_decay": -0.1}, "weight_decay must be at least 0"),
        ("TrainSettings", {"clip_norm": -0.1}, "clip_norm must be at least 0"),
        ("TrainSettings", {"average": 1.0}, "average must be in"),
        ("TrainSettings", {"average": -0.1}, "average must be in"),
        ("RunSettings", {"max_megapixels": 0.0}, "max_megapixels must be above 0"),
    ],
)
def test_values_out_of_range_are_refused_with_setting_and_value(cls, values, words):
    with pytest.raises(ValueError, match=words) as caught:
        by_name(cls)(**values)
    assert str(list(values.values())[-1]) in str(caught.value)


@pytest.mark.parametrize(
    "cls, values",
    [
        ("ClusterSettings", {"k": 254, "max_side": 0}),
        ("DetectSettings", {"short_side": 32, "max_side": 32, "nms": 1.0}),
        (
            "TrainSettings",
            {"weight_decay": 0.0, "clip_norm": 0.0, "average": 0.0, "learning_rate": 1e-12},
        ),
        ("RunSettings", {"max_megapixels": 1e-6}),
    ],
)
def test_values_at_the_edge_are_accepted(cls, values):
    made = by_name(cls)(**values)
    assert {name: getattr(made, name) for name in values} == values


@pytest.mark.parametrize("stage", WEIGHT_STAGES)
def test_weights_name_a_stage_and_what(stage):
    for what in ("none", "a/file.pth", "dino_vits16", "c:\\x=y.pth"):
        assert RunSettings(weights=(f"{stage}={what}",)).weights_of(stage) == what
    assert RunSettings().weights_of(stage) is None
    assert RunSettings(weights=(f"{stage}=a", f"{stage}=b")).weights_of(stage) == "b"


@pytest.mark.parametrize(
    "entry", ["", "propose", "propose=", "=none", "label=none", "Propose=none", "propose =none"]
)
def test_weights_that_are_not_stage_and_what_are_refused_with_the_stages(entry):
    with pytest.raises(
        ValueError, match=rf"weights: {re.escape(repr(entry))} is not STAGE=WHAT.*propose, cluster"
    ):
        RunSettings(weights=("detect=none", entry))
