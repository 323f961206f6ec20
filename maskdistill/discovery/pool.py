"""Pool: the masks of one picture by several methods, blocks, facets and scales, joined by overlap.

In:   the resolved settings of `propose`, a picture, a backbone
Out:  Pooled: each mask once, with the source of every mask that was joined into it
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from maskdistill.discovery.find import BlockFeatures, Discovered, discover, features_of_blocks
from maskdistill.discovery.recipe import Recipe, recipe_of
from maskdistill.masks import rle
from maskdistill.memory import in_halves
from maskdistill.proposals import joined
from maskdistill.settings.propose import ProposeSettings
from maskdistill.settings.resolve import centred
from maskdistill.types import Notes, Rle

DIGITS = 6  # of a score in a record


@dataclass(frozen=True)
class Tried:
    """Describe one way in which masks of a picture are looked for.

    Attributes:
        recipe: its `shown` is that of scale 1.
        scale: factor of the size at which the picture is shown.
    """

    recipe: Recipe
    scale: float = 1.0


@dataclass(frozen=True, order=True)
class Source:
    """Describe where a mask comes from, and the score that it had there, in [0, 1]."""

    method: str
    block: int
    facet: str
    scale: float
    score: float


@dataclass(frozen=True)
class Pooled:
    """Hold the masks of one picture by falling score, n of each field.

    Attributes:
        size: (height, width) of the picture.
        rles: n masks, none empty.
        scores: of each, rounded as a record has it.
        seed_points_xy: as `Discovered` has them.
        sources: of each mask those of all that are one with it, its own first.
        notes: of all searches, each once, sorted.
    """

    size: tuple[int, int]
    rles: list[Rle]
    scores: list[float]
    seed_points_xy: list[list[list[float]]]
    sources: list[list[Source]]
    notes: Notes

    def best(self, n_masks: int) -> Discovered:
        """Return the first masks as pixels."""
        return Discovered(
            masks=rle.decode(self.rles[:n_masks], size=self.size),
            scores=np.array(self.scores[:n_masks], np.float32),
            seed_points_xy=self.seed_points_xy[:n_masks],
            notes=self.notes,
        )


def tried_of(settings: ProposeSettings) -> list[Tried]:
    """Return every combination of the pool that resolved settings describe.

    With nothing to pool: the run's own recipe at scale 1. Else the constants of each method are its
    own, but the picture is shown to all as to the run's method, so that one pass of the backbone
    serves all of one scale.
    """
    own, pool = recipe_of(settings), settings.pool
    if not pool.is_on:
        return [Tried(own)]
    combinations = itertools.product(
        pool.methods or (own.method,),
        pool.blocks or (own.block,),
        pool.facets or (own.facet,),
        pool.scales or (1.0,),
    )
    found = []
    for method, block, facet, scale in dict.fromkeys(combinations):
        centre = pool.centre_keys
        if centre == "each":
            centre = "yes" if centred(settings, method, facet) else "no"
        changed = replace(settings, method=method, block=block, facet=facet, centre_keys=centre)
        found.append(Tried(replace(recipe_of(changed), shown=own.shown), scale))
    return found


def wanted_of(tried: Sequence[Tried]) -> dict[float, dict[int, list[str]]]:
    """Return scale -> block -> fields of Features: what one pass a scale has to give."""
    found: dict[float, dict[int, list[str]]] = {}
    for each in tried:
        fields = found.setdefault(each.scale, {}).setdefault(each.recipe.block, [])
        fields += [field for field in each.recipe.want if field not in fields]
    return found


def discover_all(
    picture: Callable[[], np.ndarray],
    *,
    size: tuple[int, int],
    backbone: Any,
    tried: Sequence[Tried],
    overlap: float,
    features: Mapping[float, BlockFeatures | None] | None = None,
) -> Pooled:
    """Return the masks of one picture that any of the ways finds; those that overlap are joined.

    Of joined masks the one of the higher score stays. The order of the ways counts for nothing:
    equal scores stand in the order of their sources, then of their run lengths.

    Args:
        picture, size, backbone: as `discover` takes them.
        tried: in any order.
        overlap: IoU from which two masks are one, in (0, 1].
        features: scale -> features of the picture shown at it; None where these do not fit into
            memory: each way then sees a smaller picture of its own. Not given: one pass a scale.
    Raises:
        ValueError, MemoryError: as `discover`.
    """
    if features is None:
        shown = tried[0].recipe.shown
        features = {
            scale: _seen(picture, shown.scaled(scale, size), backbone, wanted)
            for scale, wanted in wanted_of(tried).items()
        }
    found: list[tuple[Source, Rle, list[list[float]]]] = []
    notes = set()
    for each in tried:
        recipe, known = each.recipe, features[each.scale]
        made = discover(
            picture,
            size=size,
            backbone=backbone,
            recipe=replace(recipe, shown=recipe.shown.scaled(each.scale, size)),
            features=known.block(recipe.block) if known is not None else None,
        )
        notes.update(made.notes)
        order = made.best_first
        for place, mask in zip(order, rle.encode(made.masks[order]), strict=True):
            score = round(float(made.scores[place]), DIGITS)
            source = Source(recipe.method, recipe.block, recipe.facet, each.scale, score)
            found.append((source, mask, made.seed_points_xy[place]))
    found.sort(key=lambda one: (-one[0].score, one[0], one[1]["counts"]))
    groups = joined([mask for _, mask, _ in found], overlap=overlap)
    return Pooled(
        size=size,
        rles=[found[group[0]][1] for group in groups],
        scores=[found[group[0]][0].score for group in groups],
        seed_points_xy=[found[group[0]][2] for group in groups],
        sources=[[found[row][0] for row in group] for group in groups],
        notes=sorted(notes, key=lambda note: (note[0].value, str(note[1]))),
    )


def _seen(
    picture: Callable[[], np.ndarray],
    shown: Any,
    backbone: Any,
    wanted: Mapping[int, Sequence[str]],
) -> BlockFeatures | None:
    """Return the features of a picture by one pass; None where they do not fit into memory."""
    ready = shown.prepare(picture(), backbone=backbone)
    (found,) = in_halves([ready], lambda some: features_of_blocks(some, backbone, wanted=wanted))
    return found
