"""What the page shows, as plain records: the stage fills them from a run's folder, the page only lays them out.

In:       numbers, sentences and RGB thumbnails, overlays already painted
Out:      ReportContent; every part but the title may be empty, since a report may be made after any stage
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

State = Literal["done", "partial", "missing", "stale"]


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """A degenerate result, shown in red: what was seen, and what to try."""

    what: str
    advice: str


@dataclass(frozen=True, kw_only=True)
class StageSummary:
    """One stage of the run, in the order in which data flows.

    Attributes:
        name: as the verb, `propose`.
        does: one sentence for a stranger.
        counts: what it made, {"masks": 812}; shown in this order.
        seconds: wall time, None where it is not known.
        warnings: degenerate results of this stage.
    """

    name: str
    does: str
    counts: Mapping[str, int | float | str] = field(default_factory=dict)
    seconds: float | None = None
    state: State = "done"
    warnings: Sequence[Alarm] = ()


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One picture of a contact sheet: image (h, w, 3) uint8 at the size it is shown at, overlay painted."""

    image: np.ndarray
    path: str
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A contact sheet; it stands in the section of the stage of that name."""

    stage: str
    caption: str
    tiles: Sequence[Tile]


@dataclass(frozen=True, kw_only=True)
class Story:
    """One picture through the run, for the head of the page: each (h, w, 3) uint8 of one size, None where not there."""

    path: str
    picture: np.ndarray
    proposals: np.ndarray | None = None
    detections: np.ndarray | None = None
    label_map: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class ClusterGallery:
    """One cluster with crops of some of its masks: colour as painted in the overlays, crops (side, side, 3) uint8."""

    cluster: int
    name: str
    colour: tuple[int, int, int]
    size: int
    crops: Sequence[np.ndarray] = ()
    flags: Sequence[str] = ()  # why it looks like ground: border, area, score


@dataclass(frozen=True, kw_only=True)
class LedgerEvent:
    """One line of the ledger that a reader should see: time as it is to be shown, the kind of event, what happened."""

    time: str
    kind: str
    what: str
    stage: str = ""


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """Everything on the page.

    Attributes:
        title: the run's name.
        subtitle: picture folder, date, version.
        notices: sentences that a reader must not miss: "the weights are supervised".
        facts: (label, value) of the run, in order.
        stages: in the order in which data flows.
        stories: some pictures through all stages.
        sheets: contact sheets; several of one stage are shown one after the other.
        clusters: by number.
        numbers: clustering -> rows {"k", "stability", "spread", "silhouette"} of what was tried, and the number chosen.
        losses: network -> rows {"step": 10, "<loss>": value, ...}, by step.
        masks_per_picture: stage -> number of masks of each picture.
        coverage: stage -> share of each picture's pixels that are not background, in [0, 1].
        metrics: rows of metrics.json: stage, name, split, value, interval, pictures, protocol, maybe seeds and spread.
        published: figures of others: name, value, source, protocol. weights: stage, weights, licence, source.
        confusion: (caption, names of the classes, (classes, classes + 1) pixels), the last column no class.
        settings: nested, as in config.yaml.
        versions: library -> version.
        events: of the ledger, oldest first.
        refused: (path, reason).
    """

    title: str
    subtitle: str = ""
    notices: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()
    stages: Sequence[StageSummary] = ()
    stories: Sequence[Story] = ()
    sheets: Sequence[Sheet] = ()
    clusters: Sequence[ClusterGallery] = ()
    numbers: Mapping[str, tuple[Sequence[Mapping[str, float]], int]] = field(default_factory=dict)
    losses: Mapping[str, Sequence[Mapping[str, float]]] = field(default_factory=dict)
    masks_per_picture: Mapping[str, Sequence[int]] = field(default_factory=dict)
    coverage: Mapping[str, Sequence[float]] = field(default_factory=dict)
    metrics: Sequence[Mapping[str, Any]] = ()
    published: Sequence[Mapping[str, Any]] = ()
    weights: Sequence[Mapping[str, str]] = ()
    confusion: tuple[str, Sequence[str], np.ndarray] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    events: Sequence[LedgerEvent] = ()
    refused: Sequence[tuple[str, str]] = ()
