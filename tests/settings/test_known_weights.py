"""settings/known_weights.py: weights are known by what they are, and `auto` follows what is known."""

import dataclasses
import itertools
import typing

import pytest

from maskdistill.features import weights
from maskdistill.settings import FACETS, METHODS, known_weights, load, resolve
from maskdistill.settings.known_weights import TABLE, Known
from maskdistill.settings.propose import Method

NAMES = [name for known in TABLE for name in known.names]
OF_TIMM = [name.removeprefix("timm/") for name in NAMES if name.startswith("timm/")]
MEASURED = {"dino_vits16", "timm/deit_tiny_patch16_224.fb_in1k"}


def test_no_weights_have_two_lines():
    digests = [digest for known in TABLE for digest in known.digests]
    assert len(set(NAMES)) == len(NAMES)
    assert len(set(digests)) == len(digests)


def test_each_line_has_a_source_and_says_where_it_was_not_measured():
    for known in TABLE:
        assert known.source
        assert known.measured == ("not measured" not in known.source), known.names


@pytest.mark.parametrize("known", TABLE, ids=lambda known: known.names[0])
def test_a_line_names_a_method_and_a_facet_that_there_are(known):
    assert known.method in METHODS
    assert known.facet in FACETS
    assert known.block < 0
    assert known.enlarge > 0


@pytest.mark.parametrize("family", ["dinov2", "reg4_dinov2", "dinov3", ".mae", "clip", "deit"])
def test_the_families_that_people_use_have_a_line(family):
    assert any(family in name for name in OF_TIMM)


@pytest.mark.parametrize("family", ["MoCo-v3", "iBOT"])
def test_families_that_no_name_fetches_have_a_line_in_words(family):
    assert any(family in name for name in NAMES)


@pytest.mark.parametrize("model", OF_TIMM)
def test_a_name_of_timm_is_one_and_without_a_tag_means_the_tag_beside_it(model):
    import timm

    found = timm.get_pretrained_cfg(model)
    assert found is not None
    assert f"{found.architecture}.{found.tag}" in OF_TIMM


@pytest.mark.parametrize("name", ["dino_vits16", "dino_vits8", "dino_vitb16", "dino_vitb8"])
def test_the_names_of_dino_and_of_timm_mean_the_same_file(name):
    import timm

    (known,) = (known for known in TABLE if name in known.names)
    for other in known.names[1:]:
        assert timm.get_pretrained_cfg(other.removeprefix("timm/")).url == weights.URLS[name]


def test_what_was_not_measured_is_unknown_but_its_line_can_be_read():
    for known in TABLE:
        first = known.names[0]
        assert known_weights.line(first) is known
        assert known_weights.of(first) is (known if first in MEASURED else None)


@pytest.mark.parametrize("what", [None, "none", "mine.pth", "timm/vit_small_patch16_224"])
def test_other_weights_have_no_line(what):
    assert known_weights.of(what) is None
    assert known_weights.line(what) is None


def test_a_file_is_known_by_its_digest_whatever_it_is_called():
    (deit,) = (known for known in TABLE if known.digests)
    assert known_weights.of("mine.pth", digest=deit.digests[0]) is deit
    assert known_weights.of(None, digest=deit.digests[0]) is deit
    assert known_weights.of("mine.pth", digest="0" * 64) is None


def test_the_digest_decides_where_the_name_says_something_else():
    (deit,) = (known for known in TABLE if known.digests)
    assert known_weights.of("dino_vits16", digest=deit.digests[0]) is deit


def test_a_line_without_digests_is_not_found_by_a_missing_one():
    assert known_weights.of(None, digest=None) is None


# The rule of before there was a table.
def ruled(own: dict[str, typing.Any]) -> tuple[str, str, int, str]:
    name = own["backbone"]
    dino, by_hand = name.startswith("dino_"), name == "handcrafted"
    method = own["method"]
    if method == "auto":
        method = "maskdistill" if dino else "tokencut"
    cuts = method in ("tokencut", "maskcut")
    others = cuts and not dino and not by_hand
    block = own["block"] if own["block"] is not None else -2 if others else -1
    facet = own["facet"] if own["facet"] != "auto" else "tokens" if others else "keys"
    centre = own["centre_keys"]
    if centre == "auto":
        centre = "no" if by_hand or dino or (cuts and facet == "tokens") else "yes"
    return method, facet, block, centre


FIRST = [known.names[0] for known in TABLE if " " not in known.names[0]]


@pytest.mark.parametrize("backbone", ["handcrafted", "timm/vit_small_patch16_224", *FIRST])
def test_the_table_leaves_what_auto_meant_before(backbone):
    for method, facet, block, centre in itertools.product(
        typing.get_args(Method), ("auto", "keys", "tokens"), (None, -3), ("auto", "yes")
    ):
        own = {"backbone": backbone, "method": method, "facet": facet, "block": block}
        found = resolve(load({"propose": {**own, "centre_keys": centre}})).propose
        assert (found.method, found.facet, found.block, found.centre_keys) == ruled(
            {**own, "centre_keys": centre}
        )


@pytest.mark.parametrize(
    "name", [name for known in TABLE if known.names[0] in weights.URLS for name in known.names[1:]]
)
def test_dinos_weights_mean_the_same_under_timms_name(name):
    (known,) = (known for known in TABLE if name in known.names)
    for method in typing.get_args(Method):
        ours, timms = (
            resolve(load({"propose": {"backbone": each, "method": method}})).propose
            for each in (known.names[0], name)
        )
        assert dataclasses.replace(timms, backbone=ours.backbone) == ours


def test_a_file_on_an_architecture_that_is_in_the_table_is_not_known_by_it():
    own = {"backbone": "timm/vit_small_patch16_224.dino"}
    found = resolve(load({"propose": own, "weights": ["propose=supervised.pth"]})).propose
    assert (found.method, found.facet, found.block) == ("tokencut", "tokens", -2)


def test_a_line_decides_what_is_auto_and_leaves_what_is_given(monkeypatch):
    line = Known(
        names=("timm/vit_tiny_patch16_224",),
        method="lost",
        facet="values",
        block=-3,
        centre="no",
        source="this test",
        measured=True,
    )
    monkeypatch.setattr(known_weights, "TABLE", (line,))

    def chosen(**own):
        found = resolve(load({"propose": {"backbone": "timm/vit_tiny_patch16_224", **own}})).propose
        return found.method, found.facet, found.block, found.centre_keys

    assert chosen() == ("lost", "values", -3, "no")
    assert chosen(facet="keys") == ("lost", "keys", -3, "yes")  # centring is the line's facet's
    assert chosen(block=-1) == ("lost", "values", -1, "no")
    assert chosen(centre_keys="yes") == ("lost", "values", -3, "yes")
    assert chosen(method="tokencut") == ("tokencut", "tokens", -2, "no")  # not the line's method
    monkeypatch.setattr(known_weights, "TABLE", (dataclasses.replace(line, measured=False),))
    assert chosen() == ("tokencut", "tokens", -2, "no")


def test_what_is_told_of_a_line_says_where_the_run_does_otherwise():
    (dino,) = (known for known in TABLE if "dino_vits16" in known.names)
    same = resolve(load({"weights": ["propose=dino_vits16"]})).propose
    told = known_weights.told(dino, same)
    assert told == (
        "weights known as dino_vits16: maskdistill on keys of block -1, not centred "
        f"({dino.source})"
    )
    other = resolve(load({"propose": {"method": "lost", "facet": "tokens"}})).propose
    assert known_weights.told(dino, other) == (
        f"{told}; this run has lost on tokens of block -1, not centred"
    )


def test_what_is_told_of_weights_that_were_not_measured_says_so_and_what_the_run_has():
    name = "timm/vit_small_patch14_dinov2.lvd142m"
    own = resolve(load({"propose": {"backbone": name}})).propose
    told = known_weights.told(known_weights.line(name), own)
    assert told.startswith(f"weights known as {name}: not measured: ")
    assert told.endswith("; this run has tokencut on tokens of block -2, not centred")


def test_weights_on_another_architecture_than_theirs_are_told_of():
    (deit,) = (known for known in TABLE if known.digests)
    own = resolve(load({"propose": {"backbone": "timm/vit_tiny_patch16_224"}})).propose
    assert "propose.backbone is timm/vit_tiny_patch16_224, which may want pictures of another " in (
        known_weights.told(deit, own)
    )


@pytest.mark.parametrize(
    ("name", "backbone", "other"),
    [
        ("dino_vits16", "dino_vits16", False),
        ("dino_vits16", "timm/vit_small_patch16_224", False),
        ("dino_vits16", "timm/vit_small_patch16_224.augreg_in1k", False),
        ("dino_vits16", "timm/vit_base_patch16_224", True),
        ("timm/deit_tiny_patch16_224", "timm/vit_tiny_patch16_224", True),
    ],
)
def test_the_tag_of_a_name_is_no_architecture(name, backbone, other):
    assert known_weights.is_other_architecture(known_weights.line(name), backbone) == other
