"""pool: masks of several methods, facets and scales as one list, each with its sources."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskdistill.discovery import pool
from maskdistill.discovery.find import discover, features_of_blocks
from maskdistill.discovery.pool import Source, discover_all, tried_of, wanted_of
from maskdistill.discovery.recipe import Input
from maskdistill.errors import SettingsError
from maskdistill.features import handcrafted
from maskdistill.features import vit as vits
from maskdistill.settings import load, resolve
from maskdistill.types import Note
from maskdistill.workflows import demo_pictures

SIZE = (64, 100)
RGB = demo_pictures.draw(3, 1, size=SIZE).rgb
OWN = {
    "backbone": "handcrafted",
    "method": "lost",
    "pixels": "nearest",
    "min_score": 0.0,
    "stop_score": 0.0,
}
POOL = {"methods": ["tokencut", "lost"], "facets": ["keys", "tokens"], "scales": [1, 1.5]}


def proposing(**own):
    return resolve(load({"propose": {**OWN, **own}})).propose


def pooled(tried, *, overlap=0.5, rgb=RGB, backbone=None, **given):
    backbone = backbone or handcrafted.load()
    size = rgb.shape[:2]
    return discover_all(
        lambda: rgb, size=size, backbone=backbone, tried=tried, overlap=overlap, **given
    )


def test_every_combination_is_tried_and_an_empty_list_means_the_runs_own_value():
    tried = tried_of(proposing(pool=POOL))
    found = {(each.recipe.method, each.recipe.facet, each.scale) for each in tried}
    assert len(found) == len(tried) == 8
    assert {each.recipe.block for each in tried} == {-1}
    (alone,) = tried_of(proposing(pool={"scales": [2]}))
    assert (alone.recipe.method, alone.recipe.facet, alone.scale) == ("lost", "keys", 2)
    assert tried_of(proposing(pool={"scales": [2, 2, 2.0]})) == [alone]
    (off,) = tried_of(proposing())
    assert off.scale == 1


def test_all_methods_are_shown_what_the_runs_own_one_is_shown():
    own = {"backbone": "timm/test_vit", "method": "maskcut", "pool": {"methods": ["lost", "auto"]}}
    tried = tried_of(proposing(**own))
    assert [each.recipe.method for each in tried] == ["lost", "maskcut"]
    assert {each.recipe.shown.square for each in tried} == {480}
    # By the rule of centre_keys, for each of its own: LOST's facet here is that of maskcut.
    assert [each.recipe.facet for each in tried] == ["tokens", "tokens"]
    assert [each.recipe.centre_keys for each in tried] == [True, False]
    never = tried_of(proposing(**{**own, "pool": {**own["pool"], "centre_keys": "no"}}))
    assert [each.recipe.centre_keys for each in never] == [False, False]


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(8)), st.sampled_from([0.3, 0.7, 1.0]))
def test_the_order_in_which_ways_are_tried_does_not_matter(order, overlap):
    tried = tried_of(proposing(pool=POOL))
    assert pooled([tried[place] for place in order], overlap=overlap) == pooled(
        tried, overlap=overlap
    )


def test_a_pool_of_one_way_holds_its_masks_with_their_source():
    own = proposing(pool={"scales": [1]})
    tried = tried_of(own)
    alone = discover(lambda: RGB, size=SIZE, backbone=handcrafted.load(), recipe=tried[0].recipe)
    found = pooled(tried, overlap=1.0)
    order = alone.best_first
    assert len(order) > 1
    np.testing.assert_array_equal(found.best(99).masks, alone.masks[order])
    np.testing.assert_allclose(found.best(99).scores, alone.scores[order], atol=1e-6)
    assert found.seed_points_xy == [alone.seed_points_xy[place] for place in order]
    assert found.sources == [[Source("lost", -1, "keys", 1.0, score)] for score in found.scores]
    assert found.best(1).masks.shape == (1, *SIZE)


def test_equal_masks_are_one_mask_with_the_sources_of_all():
    (once,) = tried_of(proposing(pool={"scales": [1]}))
    alone = pooled([once], overlap=1.0)
    found = pooled([once, once, once], overlap=1.0)
    assert found.rles == alone.rles
    assert [len(each) for each in found.sources] == [3] * len(alone.rles)
    assert [each[0].score for each in found.sources] == found.scores


def test_the_mask_of_the_higher_score_stays_and_scores_fall():
    found = pooled(tried_of(proposing(pool=POOL)))
    assert found.scores == sorted(found.scores, reverse=True)
    assert any(len({source.scale for source in each}) > 1 for each in found.sources)
    for score, each in zip(found.scores, found.sources, strict=True):
        assert each[0].score == score == max(source.score for source in each)


def test_where_nothing_is_found_the_pool_is_empty_and_says_why():
    flat = np.full((*SIZE, 3), 90, np.uint8)
    found = pooled(tried_of(proposing(pool=POOL, min_score=1.0)), rgb=flat)
    assert (found.rles, found.scores, found.sources) == ([], [], [])
    assert found.best(3).masks.shape == (0, *SIZE)
    assert len(found.notes) == len(set(found.notes))


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
def test_a_scale_is_a_factor_of_what_the_backbone_is_shown(scale):
    for shown in (Input(), Input(short_side=48), Input(square=48)):
        rows, cols = shown.grid(SIZE, patch=1)
        scaled = shown.scaled(scale, SIZE).grid(SIZE, patch=1)
        np.testing.assert_allclose(scaled, (scale * rows, scale * cols), atol=1)
    least = Input(short_side=1).scaled(0.1, SIZE)
    assert least.grid(SIZE, patch=1)[0] == 1
    assert Input(max_patches=9).scaled(8, SIZE).grid(SIZE, patch=8) == Input(max_patches=9).grid(
        SIZE, patch=8
    )


def test_all_blocks_and_facets_of_a_scale_are_of_one_pass(monkeypatch):
    backbone = vits.load("timm/test_vit", weights="none")
    seen = []
    embedded = type(backbone).embedded
    monkeypatch.setattr(
        type(backbone),
        "embedded",
        lambda self, batch, grid: seen.append(grid) or embedded(self, batch, grid),
    )
    own = {"backbone": "timm/test_vit", "method": "lost", "lost": {"short_side": 64}}
    many = {"blocks": [-1, -2], "facets": ["keys", "tokens", "values"], "scales": [1, 2]}
    tried = tried_of(proposing(**own, pool=many))
    found = pooled(tried, backbone=backbone)
    assert found.rles
    assert len(seen) == 2
    # Each way finds in it what it finds on its own.
    together = pooled(tried, overlap=1.0, backbone=backbone)
    alone = [pooled([each], overlap=1.0, backbone=backbone) for each in tried]
    assert sorted(every_source(together)) == sorted(
        source for each in alone for source in every_source(each)
    )
    shapes = {mask["counts"] for each in alone for mask in each.rles}
    assert {mask["counts"] for mask in together.rles} == shapes


def every_source(found):
    return [source for sources in found.sources for source in sources]


def test_features_of_several_blocks_are_those_of_each_bit_by_bit():
    backbone = vits.load("timm/test_vit", weights="none")
    ready = Input(short_side=48).prepare(RGB, backbone=backbone)
    wanted = {-1: ["tokens"], -2: ["keys", "tokens"], 0: ["values", "queries"]}
    for blocks in ((), (-2, -1)):
        (found,) = features_of_blocks([ready], backbone, wanted=wanted, blocks=blocks)
        assert found.content == ready.content
        assert (found.tokens is None) == (not blocks)
        for block, fields in wanted.items():
            (alone,) = backbone.features(ready.tensor[None], block=block, want=fields)
            for field in ("queries", "keys", "values", "tokens"):
                given, own = getattr(found.of[block], field), getattr(alone, field)
                assert (given is None) == (own is None) == (field not in fields)
                assert given is None or torch.equal(given, own)


def test_what_does_not_fit_at_a_scale_is_shown_smaller_at_it_and_told():
    class Small:
        """Handcrafted features of a machine whose memory holds 150 patches."""

        def __init__(self):
            self.inner = handcrafted.load()
            self.patch, self.mean, self.std = 8, self.inner.mean, self.inner.std

        def of_blocks(self, batch, **given):
            if batch.shape[2] * batch.shape[3] > 150 * 64:
                raise MemoryError
            return self.inner.of_blocks(batch, **given)

        def features(self, batch, **given):
            if batch.shape[2] * batch.shape[3] > 150 * 64:
                raise MemoryError
            return self.inner.features(batch, **given)

    found = pooled(tried_of(proposing(pool=POOL)), backbone=Small())
    assert found.rles
    assert Note.SMALLER in dict(found.notes)
    assert {source.scale for each in found.sources for source in each} == {1, 1.5}


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({"pool": {"scales": [0.0]}}, "propose.pool.scales must be in"),
        ({"pool": {"overlap": 0.0}}, "propose.pool.overlap must be in"),
        ({"pool": {"facets": ["values"]}}, "handcrafted has keys, queries and tokens"),
        ({"pool": {"blocks": [-2]}}, "of one block, -1"),
        ({"pool": {"methods": ["lost"]}, "import_file": "theirs.json"}, "are imported"),
        (
            {"method": "lost", "pool": {"methods": ["maskcut"]}, "max_patches": 20_000},
            "at most 12000 for maskcut",
        ),
    ],
)
def test_a_pool_of_what_there_is_not_is_refused_with_a_sentence(own, says):
    with pytest.raises((ValueError, SettingsError), match=says):
        proposing(**own)


def test_wanted_of_names_each_field_once():
    tried = tried_of(proposing(pool=POOL))
    assert wanted_of(tried) == {1.0: {-1: ["keys", "tokens"]}, 1.5: {-1: ["keys", "tokens"]}}
    assert wanted_of([replace(tried[0], scale=3.0)]) == {3.0: {-1: ["keys"]}}
    assert pool.DIGITS == 6
