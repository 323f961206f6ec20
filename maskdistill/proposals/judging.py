"""Judging: which of several settings has the best masks, without ground truth.

Paper:    none
In:       of each picture the best mask of each setting, seen thrice, and tokens, all on one canvas
Out:      of a setting how far it can be trusted, and how many of the trusted agree with it
Differs:  ours; docs/log/proposals.md, 2026-12-01
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# A canvas covers a picture of any shape with equal cells, so that masks of different pictures and
# of different patch grids can be compared.
SIDE = 40  # cells of a canvas of masks, each way
STEP = 2  # of these cells a canvas of tokens has every second one
CHANNELS = 64  # of tokens on a canvas; a head on all of a ViT's ranked the same
INNER = slice(SIDE // 10, SIDE - SIDE // 10)  # cells of a picture that its crop shows
# Of the mean variance of the tokens, added to each in the head: it has few pictures to learn from.
_RIDGE = 0.3
MEETS = 0.5  # IoU from which two settings mean one thing, as CorLoc has it
# Power of the trust in a setting that its vote counts with: 3 to 6 chose alike, and without it a
# crowd of poor settings outvotes the good ones (docs/log/proposals.md, 2026-12-01).
POWER = 4


@dataclass(frozen=True)
class Judged:
    """Hold how a setting's masks stand a picture: (pictures,) each.

    Attributes:
        flips, crops: IoU with the mask of the mirrored picture, and of the crop within it; 0 where
            one of the two alone is empty, nan where both are.
        chance: the mean IoU with masks of other pictures, over both.
        foretold: correlation of the mask with what a linear head, learnt on other pictures, says
            (`foretold`); nan where none was.
    """

    flips: np.ndarray
    crops: np.ndarray
    chance: np.ndarray
    foretold: np.ndarray

    @property
    def trust(self) -> float:
        """Return how far the setting can be trusted, in [0, 1].

        The product of two means over all pictures: agreement under flips and crops above that of
        chance, and what a head foretells. What is not known, because nothing was found, counts 0 in
        both, so that a mask in few pictures is little; a whole picture or one blot in every picture
        agree as chance does, and nothing of them is foretold. 0 of a single picture, in which there
        is no chance and no other to learn from.
        """
        agree = (np.nan_to_num(self.flips) + np.nan_to_num(self.crops)) / 2 - self.chance
        told = np.nan_to_num(self.foretold).mean()
        return float(max(0.0, agree.mean()) * max(0.0, told))


def on_canvas(values: np.ndarray, *, patch: int, content: tuple[int, int], side: int) -> np.ndarray:
    """Return what the patches under the middles of a canvas's cells hold, (side, side, ...).

    Args:
        values: (rows, cols, ...) of a patch grid, which may be padded right and below.
        patch: px of a side of a patch.
        content: px (rows, cols) of the grid that hold the picture.

    >>> on_canvas(np.eye(3, dtype=int), patch=8, content=(16, 16), side=2)
    array([[1, 0],
           [0, 1]])
    """
    middles = (np.arange(side) + 0.5) / side
    rows, cols = (
        np.minimum((middles * px / patch).astype(int), n - 1)
        for px, n in zip(content, values.shape[:2], strict=True)
    )
    return values[np.ix_(rows, cols)]


def in_crop(mask: np.ndarray) -> np.ndarray:
    """Return a mask (SIDE, SIDE) bool of a picture's crop at its place in the whole picture."""
    whole = np.zeros_like(mask)
    n_cells = len(range(*INNER.indices(SIDE)))
    middles = ((np.arange(n_cells) + 0.5) / n_cells * SIDE).astype(int)
    whole[INNER, INNER] = mask[np.ix_(middles, middles)]
    return whole


def fewer_channels(tokens: np.ndarray) -> np.ndarray:
    """Return tokens (..., channels) in CHANNELS channels at most, as float16.

    Many channels are turned by a fixed random rotation and the first of them kept, which keeps
    about what lies between two tokens, whatever the pictures.
    """
    width = tokens.shape[-1]
    if width > CHANNELS:
        drawn = np.random.default_rng(0).standard_normal((width, CHANNELS))
        tokens = tokens @ np.linalg.qr(drawn)[0].astype(np.float32)
    return np.nan_to_num(tokens, posinf=0.0, neginf=0.0).clip(-6e4, 6e4).astype(np.float16)


def judged(views: Mapping[str, np.ndarray], tokens: np.ndarray) -> Judged:
    """Return how the masks of a setting stand.

    Args:
        views: (pictures, SIDE, SIDE) bool each, empty where nothing was found: `own`, the best mask
            of each picture; `flips`, of its mirror, turned back; `crops`, of its crop (`in_crop`).
        tokens: (pictures, n, n, channels) with n = SIDE / STEP.
    """
    own = views["own"]
    inner = np.zeros_like(own)
    inner[:, INNER, INNER] = own[:, INNER, INNER]
    flipped, by_chance = agreement(own, views["flips"])
    cropped, in_crops = agreement(inner, views["crops"])
    middle = slice(STEP // 2, None, STEP)
    return Judged(
        flips=flipped,
        crops=cropped,
        chance=(by_chance + in_crops) / 2,
        foretold=foretold(own[:, middle, middle], tokens),
    )


def votes(masks: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """Return how many of the other settings agree with each, weighted by the trust in them.

    Two settings agree on a picture where their masks meet (IoU at least MEETS). What is agreed on
    by trusted settings is a thing; what one setting alone sees may be stable and nothing. Settings
    with the very same masks (queries and keys of handcrafted features) are one voice, and none of
    them speaks for the others.

    Args:
        masks: (settings, pictures, SIDE, SIDE) bool, the best mask of each picture, or empty.
        trust: (settings,) as `Judged.trust`; none is trusted where all are 0.
    Returns:
        (settings,) in [0, 1]: over pictures, the mean share of the others' weights that agree; 0
        where no other is trusted.
    """
    bits = np.packbits(masks.reshape(len(masks), -1), axis=1)
    _, first, of_each = np.unique(bits, axis=0, return_index=True, return_inverse=True)
    masks, trust = masks[first], trust[first]
    n_settings, n_pictures = masks.shape[:2]
    meets = np.zeros((n_settings, n_settings))
    for picture in range(n_pictures):
        flat = masks[:, picture].reshape(n_settings, -1).astype(np.float32)
        common, area = flat @ flat.T, flat.sum(1)
        union = area[:, None] + area[None] - common
        meets += (common >= MEETS * union) & (union > 0)
    weights = np.where(np.eye(n_settings, dtype=bool), 0.0, trust[None] ** POWER)
    total = weights.sum(1)
    agreeing = (weights * meets).sum(1) / n_pictures
    shares = np.divide(agreeing, total, out=np.zeros(n_settings), where=total > 0)
    return shares[of_each.ravel()]


def agreement(own: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the IoU of the masks of each picture with those of the same picture seen otherwise.

    Args:
        own, other: (pictures, SIDE, SIDE) bool, empty where nothing was found.
    Returns:
        (pictures,) each: the IoU, 0 where one alone is empty, nan where both are; and the mean IoU
        with the masks of the other pictures: whoever puts one blot into every picture agrees with
        itself as much by chance. 0 of a picture alone, and where nothing is found.
    """
    ones, others = (each.reshape(len(each), -1).astype(np.float32) for each in (own, other))
    common = ones @ others.T
    union = ones.sum(1)[:, None] + others.sum(1)[None] - common
    iou = np.where(union > 0, common / np.maximum(union, 1), np.nan)
    found = np.diag(iou).copy()
    # With the pictures where the other view found something: an empty mask is like nothing.
    differs = (others.sum(1) > 0)[None] & ~np.eye(len(iou), dtype=bool)
    with_others = np.where(differs, np.nan_to_num(iou), 0.0).sum(1)
    return found, with_others / np.maximum(differs.sum(1), 1)


def foretold(masks: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Return how well masks follow from those of other pictures, by a linear head on tokens.

    The head is a ridge regression, learnt on one half of the pictures that have a mask and applied
    to the other half, and the other way round. Learnt and foretold is by what a mask differs from
    the mean mask of the half that is learnt from: one blot in every picture leaves nothing.

    Args:
        masks: (pictures, n, n) bool, empty where nothing was found.
        tokens: (pictures, n, n, channels) of the same cells.
    Returns:
        (pictures,) the correlation of what is foretold with what is, in [-1, 1]; 0 where either is
        of one value; nan of a picture whose mask is empty or whole, and where the other half has no
        mask to learn from.
    """
    found = np.full(len(masks), np.nan)
    inside = masks.reshape(len(masks), -1)
    vectors = tokens.reshape(*inside.shape, -1).astype(np.float64)
    usable = np.flatnonzero(inside.any(axis=1) & ~inside.all(axis=1))
    for learnt, seen in ((usable[::2], usable[1::2]), (usable[1::2], usable[::2])):
        if not len(learnt):
            continue
        usual = inside[learnt].mean(axis=0)
        known = vectors[learnt].reshape(-1, vectors.shape[-1])
        mean, deviation = known.mean(axis=0), known.std(axis=0) + 1e-6
        known = (known - mean) / deviation
        gram = known.T @ known / len(known)
        # At least 1, so that tokens of one value leave a matrix that can be inverted.
        gram[np.diag_indices_from(gram)] += _RIDGE * max(1.0, np.trace(gram) / len(gram))
        wanted = (inside[learnt] - usual).ravel()
        weights = np.linalg.solve(gram, known.T @ wanted / len(known))
        for place in seen:
            told = ((vectors[place] - mean) / deviation) @ weights
            found[place] = _correlation(told, inside[place] - usual)
    return found


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of two vectors; 0 where either is of one value."""
    one, other = one - one.mean(), other - other.mean()
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / length if length > 1e-9 else 0.0
