"""The ranges of all settings: every number has one, both sides of each end behave, nan fails.

A range that a help text states is the one that is checked.
"""

import dataclasses
import inspect
import math
import re
import typing

import pydantic
import pytest
import tyro

from maskdistill.settings import WEIGHT_STAGES, RunSettings
from maskdistill.settings.ranges import Range, check_ranges, declared_ranges

WITHOUT_RANGE = {
    ("ProposeSettings", "block"): "counts from either end; how many there are, the network knows",
    ("FeaturesSettings", "blocks"): "as ProposeSettings.block",
    ("DetectSettings", "blocks"): "as ProposeSettings.block",
    ("PoolSettings", "blocks"): "as ProposeSettings.block",
    ("DetectSettings", "max_side"): "at least short_side: a relation, checked by hand",
}


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


def types_in(hint: object) -> set[type]:
    """The plain types that a hint names, inside unions and tuples too."""
    inner = [types_in(arg) for arg in typing.get_args(hint)]
    return set().union(*inner) if inner else {hint}


def numbers() -> list[tuple[type, str]]:
    """(class, field) of all settings that are numbers, or tuples of them, or may be."""
    return [
        (cls, field.name)
        for cls in classes()
        for field in dataclasses.fields(cls)
        if types_in(typing.get_type_hints(cls)[field.name]) & {int, float}
    ]


def ends() -> list[tuple[type, str, Range, float]]:
    """(class, field, range, end) of every end of every range that is declared."""
    return [
        (cls, name, wanted, end)
        for cls in classes()
        for name, ranges in declared_ranges(cls).items()
        for wanted in ranges
        for end in (wanted.low, wanted.high)
        if end is not None
    ]


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


def test_every_number_has_a_declared_range():
    found = numbers()
    assert len(found) > 60
    without = {(cls.__name__, name) for cls, name in found if name not in declared_ranges(cls)}
    assert without == set(WITHOUT_RANGE)


@pytest.mark.parametrize("cls, name, wanted, end", ends(), ids=str)
def test_both_sides_of_each_end_behave(cls, name, wanted, end):
    """One step outside is refused, one step inside accepted, the end itself unless it is open."""
    kinds = types_in(typing.get_type_hints(cls)[name])
    out, into = (-math.inf, math.inf) if end == wanted.low else (math.inf, -math.inf)

    def beside(towards: float) -> float:
        return math.nextafter(end, towards) if float in kinds else end + (1 if towards > 0 else -1)

    def made(value: float):
        several = typing.get_origin(typing.get_type_hints(cls)[name]) is tuple
        return getattr(cls(**{name: (value, value) if several else value}), name)

    is_open = wanted.low_open if end == wanted.low else wanted.high_open
    for value in (beside(out), *((end,) if is_open else ())):
        with pytest.raises(ValueError, match=rf"{name} must be {re.escape(str(wanted))}, got "):
            made(value)
    for value in (beside(into), *(() if is_open else (end,))):
        assert made(value) in (value, (value, value))


@pytest.mark.parametrize(
    "wanted, words, inside, outside",
    [
        (Range(0, 1), "in [0, 1]", [0, 0.5, 1], [-1e-9, 1.1, math.nan, math.inf]),
        (Range(0, 1, low_open=True), "in (0, 1]", [1e-300, 1], [0, 1.1, math.nan]),
        (Range(0, 1, high_open=True), "in [0, 1)", [0, 0.99], [1, -0.1, math.nan]),
        (Range(0, 1, low_open=True, high_open=True), "in (0, 1)", [0.5], [0, 1, math.nan]),
        (Range(-1, 1), "in [-1, 1]", [-1, 1], [-1.1, math.nan]),
        (Range(1), "at least 1", [1, 10**30], [0, math.nan]),
        (Range(0, low_open=True), "above 0", [1e-300, math.inf], [0, -1, math.nan]),
        (Range(high=254, why="8 bits"), "at most 254 (8 bits)", [-5, 254], [255, math.nan]),
        (Range(high=3, high_open=True), "below 3", [2.9], [3, math.nan]),
    ],
    ids=str,
)
def test_a_range_holds_its_numbers_and_says_which_they_are(wanted, words, inside, outside):
    assert str(wanted) == words
    assert [number for number in inside if number not in wanted] == []
    assert [number for number in outside if number in wanted] == []


def test_tyro_and_pydantic_pass_over_a_range_and_our_checker_does_not():
    @dataclasses.dataclass(frozen=True)
    class Share:
        share: typing.Annotated[float, Range(0, 1)] = 0.5

    assert tyro.cli(Share, args=["--share", "2"]) == Share(2.0)
    assert pydantic.TypeAdapter(Share).validate_python({"share": 2}) == Share(2.0)
    with pytest.raises(ValueError, match=r"^a\.b\.share must be in \[0, 1\], got 2\.0$"):
        check_ranges(Share(2.0), "a.b")
    with pytest.raises(ValueError, match=r"^share must be"):
        check_ranges(Share(2.0))


def test_none_is_passed_over_where_the_field_may_be_none_and_nowhere_else():
    assert RunSettings(chain_seed=None).chain_seed is None
    for cls, name in numbers():
        if getattr(cls(), name) is not None and name in declared_ranges(cls) and name != "k":
            with pytest.raises(TypeError):
                cls(**{name: None})


def test_the_entry_of_a_list_that_is_out_of_range_is_the_one_that_is_named():
    for cls, name, values in (
        ("TrainSettings", "drops", (0.5, 1.5)),
        ("ClusterSettings", "scales", (1.0, 4.5)),
        ("AugmentSettings", "scale", (1.0, 8.5)),
    ):
        with pytest.raises(ValueError, match=rf"{name} must be in \(0, \d\], got {values[1]}$"):
            by_name(cls)(**{name: values})


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
    "positions": 0,
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
    "patches": 1,
    "hidden": 0,
    "passes": 1,
    "looks": 1,
    "bootstrap": 0,
    "agreement_pictures": 0,
    "tiles": 1,
    "tile_px": 32,
    "steps": 0,
    "epochs": 1,
    "exemplars": 1,
    "batch": 1,
    "warm_up": 0,
    "checkpoint_seconds": 0,
}
# any block; sides: see below; void: a value of a label map, 0 .. 255
RULED_OTHERWISE = {"block", "short_side", "max_side", "void"}


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
