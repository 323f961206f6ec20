"""Which network of a checkpoint is taken, and that a choice is told."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from maskdistill.errors import WeightsError
from maskdistill.features import branches

State = dict[str, Tensor]


def network(value: float = 1.0) -> State:
    """The fewest tensors by which a ViT is known."""
    return {
        "cls_token": torch.full((1, 1, 2), value),
        "patch_embed.proj.weight": torch.full((2, 3, 1, 1), value),
        "blocks.0.norm1.weight": torch.full((2,), value),
    }


WANTED, OTHER = network(1.0), network(2.0)


def under(prefix: str, state: State) -> State:
    return {f"{prefix}{key}": value for key, value in state.items()}


def same(found: State, expected: State) -> None:
    assert sorted(found) == sorted(expected)
    assert all(torch.equal(found[key], expected[key]) for key in expected)


ALONE: dict[str, dict[str, Any]] = {
    "bare": WANTED,
    "compiled": under("_orig_mod.", WANTED),
    "compiled and distributed": {"model": under("module._orig_mod.", WANTED)},
    "compiled inside": {
        key.replace("norm1", "_orig_mod.norm1"): value for key, value in WANTED.items()
    },
    "FSDP": under("_fsdp_wrapped_module.", WANTED),
    "Lightning": {"state_dict": under("model.", WANTED), "epoch": 3},
    "Lightning, deeper": {"state_dict": under("net.encoder.", WANTED)},
    "DeepSpeed": {"module": WANTED},
    "wrapped twice": {"checkpoint": {"state_dict": WANTED}},
    "EMA alone": {"model_ema": WANTED},
}


@pytest.mark.parametrize("layout", ALONE)
def test_a_network_that_is_alone_is_taken_without_a_word(layout: str) -> None:
    found, note = branches.wanted(ALONE[layout], source="FILE")
    same(found, WANTED)
    assert note == ""


# What holds two, and what the note says is taken, and is not.
CHOICES: dict[str, tuple[dict[str, Any], str, str]] = {
    "DINO": (
        {"student": under("module.backbone.", OTHER), "teacher": under("backbone.", WANTED)},
        "teacher.backbone",
        "student.module.backbone",
    ),
    "DINOv2 in training": (
        {"model": under("student.backbone.", OTHER) | under("teacher.backbone.", WANTED)},
        "model.teacher.backbone",
        "model.student.backbone",
    ),
    "Lightly": (
        {
            "state_dict": under("student_backbone.vit.", OTHER)
            | under("teacher_backbone.vit.", WANTED)
        },
        "state_dict.teacher_backbone.vit",
        "state_dict.student_backbone.vit",
    ),
    "MoCo-v3": (
        {
            "state_dict": under("module.base_encoder.", OTHER)
            | under("module.momentum_encoder.", WANTED)
        },
        "state_dict.module.momentum_encoder",
        "state_dict.module.base_encoder",
    ),
    "I-JEPA": (
        {"encoder": under("module.", OTHER), "target_encoder": under("module.", WANTED)},
        "target_encoder.module",
        "encoder.module",
    ),
    "BYOL": (
        {"state_dict": under("online.", WANTED) | under("target.", OTHER)},
        "state_dict.online",
        "state_dict.target",
    ),
    "timm, EMA beside": (
        {"state_dict": WANTED, "state_dict_ema": OTHER},
        "state_dict",
        "state_dict_ema",
    ),
    "timm, EMA first": (
        {"model_ema": OTHER, "model": under("_orig_mod.", WANTED)},
        "model",
        "model_ema",
    ),
    "Lightning, EMA beside": (
        {"state_dict": under("ema_net.vit.", OTHER) | under("net.vit.", WANTED)},
        "state_dict.net.vit",
        "state_dict.ema_net.vit",
    ),
}


@pytest.mark.parametrize("layout", CHOICES)
def test_of_two_networks_the_one_by_the_fields_convention_is_taken_and_both_are_told(
    layout: str,
) -> None:
    state, taken, other = CHOICES[layout]
    found, note = branches.wanted(state, source="FILE")
    same(found, WANTED)
    assert note.startswith(f"FILE holds 2 networks: {taken} is taken, {other} is not. ")


def test_two_networks_that_nothing_tells_apart_are_refused_by_name() -> None:
    state = {"state_dict": under("left.vit.", WANTED) | under("right.vit.", OTHER)}
    with pytest.raises(WeightsError, match=r"state_dict\.left\.vit, state_dict\.right\.vit"):
        branches.wanted(state, source="FILE")


def test_names_that_would_fall_together_without_what_is_woven_in_stay() -> None:
    state = {"a._orig_mod.b": torch.ones(1), "a.b": torch.zeros(1)}
    found, _ = branches.wanted(state, source="FILE")
    same(found, state)


def test_a_resnet_is_found_behind_any_prefix_too() -> None:
    resnet = {"conv1.weight": torch.ones(1), "layer1.0.conv1.weight": torch.ones(2)}
    found, _ = branches.wanted({"state_dict": under("model.net.", resnet)}, source="FILE")
    same(found, resnet)


WORD = st.sampled_from(
    ["model", "net", "encoder", "vit", "backbone", "module", "_orig_mod", "teacher", "student"]
) | st.text("abcxyz_", min_size=1, max_size=6)


@given(st.lists(WORD, max_size=4), st.lists(WORD, max_size=3))
def test_whatever_the_prefixes_and_wrappers_a_lone_network_is_found(
    prefix: list[str], wrappers: list[str]
) -> None:
    state: dict[str, Any] = under("".join(f"{word}." for word in prefix), WANTED)
    for wrapper in wrappers:
        state = {"epoch": 3, wrapper: state}
    found, note = branches.wanted(state, source="FILE")
    same(found, WANTED)
    assert note == ""


@given(
    st.dictionaries(
        WORD | st.integers(),
        st.recursive(
            st.none() | st.integers() | st.just(torch.ones(1)),
            lambda inner: st.dictionaries(WORD | st.just("patch_embed.proj.weight"), inner),
        ),
    )
)
def test_of_whatever_a_file_holds_tensors_come_back_or_our_own_error(state: Any) -> None:
    with contextlib.suppress(WeightsError):
        found, _ = branches.wanted(state, source="FILE")
        assert found
        assert all(isinstance(value, Tensor) for value in found.values())
