"""propose.positions: directions of position of a real network, through find and through the stage."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from maskdistill import api
from maskdistill.discovery import blank
from maskdistill.discovery.find import discover
from maskdistill.discovery.recipe import Input, Recipe, recipe_of
from maskdistill.errors import SettingsError
from maskdistill.features import positions, vit
from maskdistill.settings import load, resolve
from maskdistill.stages import propose
from tests.made import events, lines_of

LEARNT, ROTATED = "timm/test_vit", "timm/vit_small_patch16_dinov3"


@pytest.fixture(scope="module")
def small() -> vit.ViT:
    """A network with drawn weights, but a planted bias: its positions lie in a plane."""
    network = vit.load(LEARNT, weights="none")
    embedding: Any = network.model.pos_embed
    side = round((embedding.shape[1] - 1) ** 0.5)
    place = torch.cartesian_prod(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side))
    axes = torch.randn(2, network.width, generator=torch.Generator().manual_seed(0))
    embedding.data[:, 1:] = place @ axes
    return network


def of_square(**more: Any) -> Recipe:
    return Recipe("tokencut", Input(short_side=96), facet="tokens", **more)


def seen(network: vit.ViT, rgb: np.ndarray, recipe: Recipe) -> torch.Tensor:
    """Return the tokens of the patches of a picture, those of positions taken out."""
    ready = recipe.shown.prepare(rgb, backbone=network)
    (features,) = network.features(ready.tensor[None], want=("tokens",))
    if recipe.positions:
        found = blank.directions_of(network, recipe)
        features = positions.without(features, found, facet="tokens")
    return features.tokens[1:].double()


def spread(rows: torch.Tensor) -> float:
    """Return the summed variance of the patches."""
    return float((rows - rows.mean(0)).square().sum())


def test_a_bias_planted_in_a_network_leaves_pictures_of_other_shapes_and_colours(small):
    grey = np.full((64, 128, 3), 128, np.uint8)
    before, after = (spread(seen(small, grey, of_square(positions=most))) for most in (0, 4))
    assert after < 0.01 * before


def test_of_a_network_that_rotates_by_position_too_the_blank_picture_loses_all_of_it():
    network = vit.load(ROTATED, weights="none")
    for name, values in network.model.named_parameters():
        if "gamma" in name:  # 1e-5 where nothing was learnt: the blocks would do nothing
            values.data.fill_(1.0)
    black = np.zeros((96, 96, 3), np.uint8)
    before, after = (spread(seen(network, black, of_square(positions=most))) for most in (0, 100))
    assert before > 1e-3  # rounding is 1e-9
    assert after < 0.01 * before


def test_what_is_taken_out_is_the_same_for_pictures_of_all_sizes(small):
    recipe = of_square(positions=3)
    first = blank.directions_of(small, recipe)
    picture = np.random.default_rng(1).integers(0, 256, (50, 90, 3), dtype=np.uint8)
    discover(lambda: picture, size=(50, 90), backbone=small, recipe=recipe)
    assert blank.directions_of(small, recipe) is first  # computed once


def test_another_block_facet_or_size_has_directions_of_its_own(small):
    base = blank.directions_of(small, of_square(positions=3))
    other = Recipe("tokencut", Input(short_side=96), block=-2, facet="tokens", positions=3)
    assert not torch.equal(base, blank.directions_of(small, other))
    smaller = Recipe("tokencut", Input(short_side=64), facet="tokens", positions=3)
    assert not torch.equal(base, blank.directions_of(small, smaller))
    assert blank.directions_of(small, of_square(positions=5)).shape == (64, 5)


def test_masks_come_of_what_is_left(small, monkeypatch):
    picture = np.random.default_rng(2).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    given = []
    plain = positions.without

    def watched(features, found, *, facet):
        given.append((found.shape, facet))
        return plain(features, found, facet=facet)

    monkeypatch.setattr(positions, "without", watched)
    for most in (0, 4):
        recipe = of_square(positions=most)
        discover(lambda: picture, size=(64, 96), backbone=small, recipe=recipe)
    assert given == [((64, 4), "tokens")]


def test_as_many_directions_as_the_facet_is_wide_are_refused(small):
    with pytest.raises(SettingsError, match=r"^propose\.positions: most must be in 1 \.\. 63"):
        blank.directions_of(small, of_square(positions=64))


def test_handcrafted_features_are_refused_with_what_to_give():
    own = {"backbone": "handcrafted", "positions": 4}
    with pytest.raises(ValueError, match="handcrafted features do not depend on where a patch") as (
        refusal
    ):
        resolve(load({"propose": own}))
    assert "`propose.positions: 0`" in str(refusal.value)


def test_it_counts_only_where_something_is_taken_out():
    made = {
        most: propose.parts(resolve(load({"propose": {"positions": most}}))) for most in (0, 4, 5)
    }
    assert "positions" not in made[0]
    assert made[4] == {**made[0], "positions": 4}
    assert made[4] != made[5]


def test_settings_reach_the_recipe():
    own = resolve(load({"propose": {"positions": 7}})).propose
    assert recipe_of(own).positions == 7
    assert recipe_of(resolve(load({})).propose).positions == 0


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(3)
    for number in range(3):
        coarse = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        Pillow.fromarray(coarse).resize((112, 80)).save(folder / f"{number}.png")
    return folder


def test_a_run_proposes_other_masks_without_positions_and_says_so(pictures, tmp_path):
    def run(most: int) -> list[dict[str, Any]]:
        out = tmp_path / str(most)
        api.run(
            pictures=pictures,
            out=out,
            settings={
                "threads": 1,
                "weights": ["propose=none"],
                "propose": {
                    "backbone": LEARNT,
                    "pixels": "nearest",
                    "method": "tokencut",
                    "stop_score": 0,
                    "min_score": 0,
                    "positions": most,
                },
            },
            until="propose",
            quiet=True,
        )
        return lines_of(out / "propose" / "proposals.jsonl")

    assert run(0) != run(8)
    told = [event["what"] for event in events(tmp_path / "8", "note")]
    assert "8 directions of position are taken out of the tokens" in told
    assert not any("position" in event["what"] for event in events(tmp_path / "0", "note"))
