"""Content of the page, as plain records: the stage fills them, the page only lays them out.

In:       numbers, sentences and RGB thumbnails, overlays already painted
Out:      ReportContent; every part but the title may be empty: a report may follow any stage
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

State = Literal["done", "partial", "missing", "stale"]


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """Degenerate result, shown in red: what was seen, and what to try."""

    what: str
    advice: str


@dataclass(frozen=True, kw_only=True)
class StageSummary:
    """Summary of one stage of the run.

    Attributes:
        name: of the stage, `propose`.
        does: one sentence for a stranger.
        counts: what it made, {"masks": 812}; shown in this order.
        seconds: wall time, None where it is not known.
        warnings: degenerate results of this stage.
        numbers: what the stage says of itself without ground truth, a line; "" where there is none.
    """

    name: str
    does: str
    counts: Mapping[str, int | float | str] = field(default_factory=dict)
    seconds: float | None = None
    state: State = "done"
    warnings: Sequence[Alarm] = ()
    numbers: str = ""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """Picture of a contact sheet.

    Attributes:
        image: (h, w, 3) uint8 RGB at the size that it is shown at, overlay painted.
        path: of the picture, relative.
    """

    image: np.ndarray
    path: str
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Contact sheet; it stands in the section of the stage of that name."""

    stage: str
    caption: str
    tiles: Sequence[Tile]


@dataclass(frozen=True, kw_only=True)
class Story:
    """One picture through the run, for the head of the page.

    Its images are (h, w, 3) uint8 RGB of one size, None where the stage is not there.
    """

    path: str
    picture: np.ndarray
    proposals: np.ndarray | None = None
    detections: np.ndarray | None = None
    label_map: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class ClusterGallery:
    """Gallery of one cluster: crops of some of its masks.

    Attributes:
        colour: RGB as painted in the overlays.
        size: number of masks in the cluster.
        crops: (side, side, 3) uint8 RGB each.
    """

    cluster: int
    name: str
    colour: tuple[int, int, int]
    size: int
    crops: Sequence[np.ndarray] = ()
    flags: Sequence[str] = ()  # why it looks like ground: border, area, score


@dataclass(frozen=True, kw_only=True)
class LedgerEvent:
    """Line of the ledger that a reader should see.

    Attributes:
        time: as it is to be shown.
        kind: of the event.
        what: what happened, in words.
    """

    time: str
    kind: str
    what: str
    stage: str = ""


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """Content of the whole page.

    Attributes:
        title: the run's name.
        subtitle: picture folder, date, version.
        notices: sentences that a reader must not miss: "the weights are supervised".
        facts: (label, value) of the run, in order.
        stages: in the order in which data flows.
        stories: some pictures through all stages.
        sheets: contact sheets; several of one stage are shown one after the other.
        clusters: by number.
        numbers: clustering -> rows {"k", "stability", "spread", "silhouette"} of the numbers of
            clusters that were tried, and the number chosen.
        losses: network -> rows {"step": 10, "<loss>": value, ...}, by step.
        masks_per_picture: stage -> number of masks of each picture.
        coverage: stage -> share of each picture's pixels that are not background, in [0, 1].
        steps: rows of metrics.json's steps: stage, before, name, split, difference, interval, ...
        metrics: rows of metrics.json: stage, name, split, value, interval, pictures, protocol,
            maybe seeds and spread.
        published: figures of others: name, value, source, protocol.
        truth: sentences on the ground truth, which stand below the numbers.
        weights: rows of stage, weights, licence, source.
        confusion: (caption, names of the classes, (classes, classes + 1) pixels), the last column
            no class.
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
    steps: Sequence[Mapping[str, Any]] = ()
    published: Sequence[Mapping[str, Any]] = ()
    truth: Sequence[str] = ()
    weights: Sequence[Mapping[str, str]] = ()
    confusion: tuple[str, Sequence[str], np.ndarray] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    events: Sequence[LedgerEvent] = ()
    refused: Sequence[tuple[str, str]] = ()
