"""Weights that the stages of a run start from, with their licences: told in every file of results.

In:   the settings of a run
Out:  rows {"stage", "weights", "licence", "source"}; one line of text
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from maskdistill.features import licences
from maskdistill.settings import WEIGHT_STAGES, RunSettings
from maskdistill.settings.segment import BACKBONE


def used(settings: RunSettings, stages: Sequence[str] = WEIGHT_STAGES) -> list[dict[str, str]]:
    """Return a row for each of some stages: its weights, their licence, the licence's source.

    Args:
        settings: resolved; weights are known by the name or file that they were given by. Of a file
            its name alone is told.
        stages: of those that start from weights, in the order wanted.
    """
    rows = []
    for stage in stages:
        given = getattr(getattr(settings, stage), "import_file", "")
        what, shown = (given, f"imported: {given}") if given else _named(settings, stage)
        if what not in licences.KNOWN and not what.startswith("timm/"):
            shown = shown.replace(what, PurePath(what).name)  # of a file its name: results may move
        licence = licences.of(what)
        rows.append(
            {"stage": stage, "weights": shown, "licence": licence.name, "source": licence.source}
        )
    return rows


def line(rows: Sequence[Mapping[str, str]]) -> str:
    """Return the rows in one line of text, for tables.

    >>> line([{"stage": "propose", "weights": "dino_vits16", "licence": "Apache-2.0"}])
    'propose: dino_vits16 (Apache-2.0)'
    """
    return "; ".join(f"{row['stage']}: {row['weights']} ({row['licence']})" for row in rows)


def _named(settings: RunSettings, stage: str) -> tuple[str, str]:
    """Return the name by which the licence is known, and the name to show."""
    given = settings.weights_of(stage)
    propose = settings.propose
    if stage == "segment" and settings.segment.size == BACKBONE:
        return _named(settings, "propose")
    if stage == "propose":
        what = given or propose.backbone
        return what, what if what in (
            propose.backbone,
            "handcrafted",
        ) else f"{propose.backbone}, {what}"
    if stage == "cluster":
        own = settings.cluster
        if own.embedding == "descriptors":
            return "handcrafted", "descriptors made by hand"
        if given is None and own.backbone == propose.backbone:
            return _named(settings, "propose")
        what = given or own.backbone
        return what, what if what == own.backbone else f"{own.backbone}, {what}"
    if stage == "detect" and settings.detect.on_tokens:
        return _named(settings, "propose")
    if stage == "segment" and given == "detect":
        what, shown = _named(settings, "detect")
        return what, f"this run's detector, which started from {shown}"
    return given or "none", given or "none"
