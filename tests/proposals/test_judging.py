"""Judging settings without ground truth: planted good, random, blot, whole and empty masks."""

import numpy as np
import pytest

from maskdistill.proposals import judging

SIDE, CHANNELS, PICTURES = judging.SIDE, 5, 12


def blob(row: int, col: int, half: int = 7) -> np.ndarray:
    """Return a square mask around a cell."""
    mask = np.zeros((SIDE, SIDE), bool)
    mask[max(0, row - half) : row + half, max(0, col - half) : col + half] = True
    return mask


def things(rng: np.random.Generator) -> np.ndarray:
    """Return a thing a picture, (PICTURES, SIDE, SIDE), each somewhere in the middle part."""
    return np.stack([blob(*rng.integers(11, 29, 2)) for _ in range(PICTURES)])


def tokens_of(masks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return tokens of which one direction says, with noise, what is inside."""
    inside = masks[:, 1::2, 1::2]
    direction = rng.standard_normal(CHANNELS)
    noise = rng.standard_normal((*inside.shape, CHANNELS))
    return (inside[..., None] * direction * 3 + noise).astype(np.float16)


def views(own: np.ndarray, flips: np.ndarray | None = None) -> dict[str, np.ndarray]:
    inner = np.zeros_like(own)
    inner[:, judging.INNER, judging.INNER] = own[:, judging.INNER, judging.INNER]
    return {"own": own, "flips": own if flips is None else flips, "crops": inner}


def planted(seed: int = 3) -> tuple[dict[str, dict[str, np.ndarray]], np.ndarray]:
    """Return the views of planted settings by name, and tokens of the things."""
    rng = np.random.default_rng(seed)
    truth = things(rng)
    somewhere, elsewhere = things(rng), things(rng)
    nothing, whole = np.zeros_like(truth), np.ones_like(truth)
    centre = np.repeat(blob(20, 20)[None], PICTURES, 0)
    few = np.where(np.arange(PICTURES)[:, None, None] < 2, truth, False)
    grown = np.stack([np.roll(mask, 1, axis=0) | mask for mask in truth])
    settings = {
        "good": views(truth),
        "nearly": views(grown),
        "random": views(somewhere, elsewhere),
        "whole": views(whole),
        "centre": views(centre),
        "nothing": views(nothing),
        "few": views(few),
    }
    return settings, tokens_of(truth, rng)


def ranked(seed: int) -> tuple[list[str], dict[str, float], dict[str, float]]:
    settings, tokens = planted(seed)
    trust = np.array([judging.judged(each, tokens).trust for each in settings.values()])
    votes = judging.votes(np.stack([each["own"] for each in settings.values()]), trust)
    names = list(settings)
    order = sorted(range(len(names)), key=lambda place: (-votes[place], -trust[place]))
    return (
        [names[place] for place in order],
        dict(zip(names, trust.tolist(), strict=True)),
        dict(zip(names, votes.tolist(), strict=True)),
    )


@pytest.mark.parametrize("seed", range(5))
def test_what_finds_the_things_is_before_all_that_only_looks_steady(seed):
    order, trust, votes = ranked(seed)
    assert set(order[:2]) == {"good", "nearly"}
    assert trust["good"] > 0.3
    for name in ("whole", "centre", "nothing"):
        assert trust[name] == 0.0
    assert trust["random"] < 0.1
    assert trust["few"] < trust["good"] / 4
    assert votes["nothing"] == 0.0
    assert votes["good"] > 0.9


def test_the_agreement_of_nothing_with_nothing_is_not_known_and_counts_nothing():
    mask, nothing = blob(20, 20)[None], np.zeros((1, SIDE, SIDE), bool)
    own = np.concatenate([mask, nothing, nothing])
    other = np.concatenate([mask, mask, nothing])
    found, _ = judging.agreement(own, other)
    np.testing.assert_array_equal(found[:2], [1.0, 0.0])
    assert np.isnan(found[2])


def slow_agreement(own: np.ndarray, other: np.ndarray) -> tuple[list[float], list[float]]:
    """The twin: pixel by pixel, pair by pair."""

    def iou(one: np.ndarray, two: np.ndarray) -> float:
        both = either = 0
        for here, there in zip(one.ravel(), two.ravel(), strict=True):
            both += int(here and there)
            either += int(here or there)
        return both / either if either else float("nan")

    same = [iou(one, two) for one, two in zip(own, other, strict=True)]
    chance = []
    for number, one in enumerate(own):
        others = [iou(one, two) for place, two in enumerate(other) if place != number and two.any()]
        chance.append(float(np.mean(others)) if others and one.any() else 0.0)
    return same, chance


def test_agreement_and_chance_are_those_of_counting_cell_by_cell():
    rng = np.random.default_rng(0)
    own, other = things(rng)[:4], things(rng)[:4]
    own[1], other[2] = False, False
    found, chance = judging.agreement(own, other)
    same, by_chance = slow_agreement(own, other)
    np.testing.assert_allclose(found, same, atol=1e-6)
    np.testing.assert_allclose(chance, by_chance, atol=1e-6)


def test_one_picture_alone_has_no_chance_and_nothing_is_foretold():
    truth = blob(20, 20)[None]
    judged = judging.judged(views(truth), np.ones((1, SIDE // 2, SIDE // 2, 3), np.float16))
    assert judged.chance.tolist() == [0.0]
    assert np.isnan(judged.foretold).all()
    assert judged.trust == 0.0


def test_a_head_foretells_what_tokens_say_and_nothing_of_noise():
    rng = np.random.default_rng(1)
    truth = things(rng)
    told = judging.foretold(truth[:, 1::2, 1::2], tokens_of(truth, rng))
    assert told.mean() > 0.6
    noise = rng.standard_normal((PICTURES, SIDE // 2, SIDE // 2, CHANNELS)).astype(np.float16)
    assert abs(judging.foretold(truth[:, 1::2, 1::2], noise).mean()) < 0.15


def test_nothing_is_foretold_of_a_blot_in_every_picture_though_tokens_know_their_place():
    centre = np.repeat(blob(20, 20)[None], PICTURES, 0)
    rows, cols = np.meshgrid(np.arange(20), np.arange(20), indexing="ij")
    place = np.stack([(rows - 10) ** 2, (cols - 10) ** 2, rows, cols], -1)
    tokens = np.repeat(place[None], PICTURES, 0).astype(np.float16)
    np.testing.assert_array_equal(judging.foretold(centre[:, 1::2, 1::2], tokens), 0.0)


def test_tokens_of_one_value_foretell_nothing_and_do_not_fail():
    truth = things(np.random.default_rng(2))
    tokens = np.zeros((PICTURES, 20, 20, 3), np.float16)
    np.testing.assert_array_equal(judging.foretold(truth[:, 1::2, 1::2], tokens), 0.0)


def test_clones_are_one_voice_and_do_not_speak_for_each_other():
    rng = np.random.default_rng(5)
    truth, alone = things(rng), things(rng)
    masks = np.stack([alone, alone, alone, truth, truth | np.roll(truth, 1, axis=2)])
    votes = judging.votes(masks, np.array([0.5, 0.5, 0.5, 0.5, 0.5]))
    assert votes[0] == votes[1] == votes[2]
    assert votes[0] < votes[3]
    no_clones = judging.votes(masks[2:], np.array([0.5, 0.5, 0.5]))
    np.testing.assert_allclose(votes[2:], no_clones)


def test_none_is_voted_for_where_none_is_trusted_or_there_is_one():
    masks = np.stack([things(np.random.default_rng(0))] * 2)
    masks[1] = np.roll(masks[1], 1, axis=1)
    assert judging.votes(masks, np.zeros(2)).tolist() == [0.0, 0.0]
    assert judging.votes(masks[:1], np.ones(1)).tolist() == [0.0]


def test_a_mask_is_put_on_the_canvas_at_its_place_and_its_crop_too():
    mask = np.zeros((6, 8), bool)  # 48 x 64 px; the last column and row are padding
    mask[1:3, 4:6] = True
    drawn = judging.on_canvas(mask, patch=8, content=(40, 56), side=SIDE)
    rows, cols = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    assert (rows[0], rows[-1] + 1) == (8, 24)  # 8 to 24 of 40 px
    assert (cols[0], cols[-1] + 1) == (23, 34)  # 32 to 48 of 56 px
    whole = judging.in_crop(np.ones((SIDE, SIDE), bool))
    assert whole[4:36, 4:36].all()
    assert whole.sum() == 32 * 32


def test_fewer_channels_keep_what_lies_between_tokens_and_mend_what_is_not_finite():
    rng = np.random.default_rng(0)
    tokens = rng.standard_normal((30, 200)).astype(np.float32)
    few = judging.fewer_channels(tokens).astype(np.float64)
    assert few.shape == (30, judging.CHANNELS)
    before = np.linalg.norm(tokens[:, None] - tokens[None], axis=-1)
    after = np.linalg.norm(few[:, None] - few[None], axis=-1)
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.9
    assert judging.fewer_channels(np.array([[np.nan, np.inf, 1.0]], np.float32)).tolist() == [
        [0.0, 0.0, 1.0]
    ]
