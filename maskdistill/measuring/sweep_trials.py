"""Sweep's trials: every combination of method, block, facet, centring and scale, as a recipe each.

In:   the resolved settings of `propose`, and what is to be tried
Out:  Trials, in the order of the grid, and their Recipes
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

from maskdistill.discovery.recipe import METHODS, Recipe, recipe_of
from maskdistill.errors import SettingsError
from maskdistill.settings.propose import Method, ProposeSettings
from maskdistill.settings.run import HANDCRAFTED
from maskdistill.types import FACETS, Facet


@dataclass(frozen=True)
class Grid:
    """Describe what is tried: every combination of these.

    Attributes:
        scales: px that the shorter side is resized to (of `maskcut` both sides), 0: own size; none:
            the scale that the settings give the method.
    """

    methods: tuple[Method, ...] = tuple(METHODS)
    blocks: tuple[int, ...] = (-1, -2, -3, -4)
    facets: tuple[Facet, ...] = FACETS
    centred: tuple[bool, ...] = (False, True)
    scales: tuple[int, ...] = ()


@dataclass(frozen=True)
class Trial:
    """Describe one combination; scale in px, as `Grid` has it."""

    method: Method
    block: int
    facet: Facet
    centred: bool
    scale: int


def trials_of(settings: ProposeSettings, grid: Grid) -> list[Trial]:
    """Return the combinations of the grid; of handcrafted features only those that it has.

    Raises:
        SettingsError: a method or facet that there is not.
    """
    unknown = [*(set(grid.methods) - set(METHODS)), *(set(grid.facets) - set(FACETS))]
    if unknown:
        raise SettingsError(
            f"sweep: there is no {', '.join(sorted(unknown))}. "
            f"Methods: {', '.join(METHODS)}; facets: {', '.join(FACETS)}"
        )
    blocks, facets = grid.blocks, grid.facets
    if settings.backbone == HANDCRAFTED:
        blocks, facets = (-1,), tuple(facet for facet in facets if facet != "values")
    return [
        Trial(method, block, facet, centred, scale)
        for method, block, facet, centred in itertools.product(
            grid.methods, blocks, facets, grid.centred
        )
        for scale in grid.scales or (scale_of(settings, method),)
    ]


def scale_of(settings: ProposeSettings, method: Method) -> int:
    """Return the px that resolved settings resize a method's input to; 0: own size."""
    own = getattr(settings, method)
    px: int = own.square if method == "maskcut" else own.short_side
    return px


def changed(settings: ProposeSettings, trial: Trial) -> ProposeSettings:
    """Return the settings with a trial's values in place of theirs."""
    name = "square" if trial.method == "maskcut" else "short_side"
    values: dict[str, Any] = {
        "method": trial.method,
        "block": trial.block,
        "facet": trial.facet,
        "centre_keys": "yes" if trial.centred else "no",
        trial.method: replace(getattr(settings, trial.method), **{name: trial.scale}),
    }
    return replace(settings, **values)


def recipe(settings: ProposeSettings, trial: Trial, *, most_masks: int | None = None) -> Recipe:
    """Return the recipe of the settings, the trial's values in place of theirs.

    Args:
        most_masks: so many masks a picture at most; None: as many as the settings allow.
    """
    # Combinations are compared, not outlines: a CRF of each mask would take most of the time.
    pixels = "nearest" if settings.pixels == "crf" else settings.pixels
    n_masks = min(settings.max_masks, most_masks or settings.max_masks)
    return recipe_of(replace(changed(settings, trial), pixels=pixels, max_masks=n_masks))
