"""Plots of the page as SVG: curves of the losses, histograms, sizes of clusters, IoU of each class, confusion.

In:       plain numbers; theme "light" or "dark", since a picture inside a page cannot see the page's colours
Out:      SVG text, transparent, letters as letters; matplotlib's object API only, no global figure or state
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from maskdistill.report.checks import total_loss
from maskdistill.report.measured import Bar

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif"
MAX_POINTS = (
    400  # of a curve: more cannot be told apart on a page, and 30 000 steps would weigh megabytes
)


@dataclass(frozen=True)
class Theme:
    """Colours of one figure: lines and letters, grid, accent, other curves, what went wrong, letters on the accent."""

    ink: str
    faint: str
    accent: str
    others: tuple[str, ...]
    alarm: str
    paper: str


THEMES = {
    "light": Theme(
        ink="#5c6068",
        faint="#e4e2dc",
        accent="#0b6e69",
        others=("#b7791f", "#5b62b3", "#a8577e", "#7a8b3c", "#8a6a52"),
        alarm="#b3261e",
        paper="#ffffff",
    ),
    "dark": Theme(
        ink="#a2a6ae",
        faint="#2e3137",
        accent="#5fc7bf",
        others=("#e0b066", "#a3a9ee", "#de93b8", "#b9c97a", "#c9a98f"),
        alarm="#ff8a80",
        paper="#16181c",
    ),
}


def loss_curves(rows: Sequence[Mapping[str, float]], *, theme: str) -> str:
    """The losses of one network over its steps: the sum raw and smoothed, its parts smoothed.

    Args:
        rows: {"step", loss names}, by step, at least one; values that are not finite are marked at the foot.
        theme: light or dark.
    """
    colours = THEMES[theme]
    steps = np.array([row["step"] for row in rows], np.float64)
    total = np.array(total_loss(rows))
    names = [name for name in rows[-1] if name.startswith("loss") and name != "loss"]

    def draw(axes: Axes) -> None:
        middle, low, high = _binned(steps, total)
        axes.fill_between(middle, low, high, color=colours.accent, alpha=0.18, linewidth=0)
        for name, colour in zip(names, colours.others * len(names), strict=False):
            values = np.array([row.get(name, np.nan) for row in rows], np.float64)
            label = name.removeprefix("loss_").replace("_", " ")
            axes.plot(*_thinned(steps, smoothed(values)), color=colour, linewidth=1.0, label=label)
        axes.plot(
            *_thinned(steps, smoothed(total)),
            color=colours.accent,
            linewidth=1.9,
            label="all" if names else "loss",
        )
        finite = total[np.isfinite(total)]
        if len(finite) and finite.min() > 0 and finite.max() > 30 * np.median(finite):
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        lost = steps[~np.isfinite(total)]
        if len(lost):
            foot = np.full(len(lost[:MAX_POINTS]), 0.02)
            axes.plot(
                lost[:MAX_POINTS],
                foot,
                "x",
                color=colours.alarm,
                transform=axes.get_xaxis_transform(),
                label="not finite",
            )
        axes.set_xlabel("step")
        _legend(axes, colours, right_of_axes=True)

    return _svg(draw, theme=theme, size=(7.2, 2.7))


def number_curve(rows: Sequence[Mapping[str, float]], chosen: int, *, theme: str) -> str:
    """Stability, with its deviation, and silhouette by the number of clusters; the chosen number is marked.

    Args:
        rows: {"k", "stability", "spread", "silhouette"}, at least one, by k.
    """
    colours = THEMES[theme]
    numbers = np.array([row["k"] for row in rows])
    stability, spread, silhouette = (
        np.array([row[name] for row in rows], np.float64)
        for name in ("stability", "spread", "silhouette")
    )

    def draw(axes: Axes) -> None:
        axes.axvline(chosen, color=colours.ink, linewidth=1.0, linestyle=":", label="chosen")
        axes.fill_between(
            numbers,
            stability - spread,
            stability + spread,
            color=colours.accent,
            alpha=0.18,
            linewidth=0,
        )
        axes.plot(numbers, stability, color=colours.accent, linewidth=1.9, label="stability")
        axes.plot(numbers, silhouette, color=colours.others[0], linewidth=1.2, label="silhouette")
        axes.set_xlabel("clusters")
        axes.set_ylim(min(0.0, float(silhouette.min())), 1.05)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        _legend(axes, colours, right_of_axes=True)

    return _svg(draw, theme=theme, size=(4.6, 2.5))


def histogram_masks(counts: Mapping[str, Sequence[int]], *, theme: str) -> str:
    """How many pictures have 0, 1, 2, ... masks, the stages side by side; counts: stage -> (pictures,) >= 0."""
    colours = THEMES[theme]
    most = max((max(values, default=0) for values in counts.values()), default=0)
    width = max(1, -(-(most + 1) // 24))  # of a bin, so that there are at most 24
    edges = np.arange(0, most + width + 1, width)

    def draw(axes: Axes) -> None:
        _bars_side_by_side(axes, counts, edges, colours)
        axes.set_xlabel("masks in a picture" if width == 1 else f"masks in a picture, by {width}")
        axes.set_ylabel("pictures")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))

    return _svg(draw, theme=theme, size=(4.6, 2.5))


def histogram_coverage(shares: Mapping[str, Sequence[float]], *, theme: str) -> str:
    """How much of each picture is not background; shares: stage -> (pictures,) in [0, 1]."""
    colours = THEMES[theme]

    def draw(axes: Axes) -> None:
        _bars_side_by_side(axes, shares, np.linspace(0, 1, 21), colours)
        axes.set_xlabel("share of the picture that is not background")
        axes.set_ylabel("pictures")
        axes.set_xlim(0, 1)

    return _svg(draw, theme=theme, size=(4.6, 2.5))


def cluster_bars(
    sizes: Sequence[int],
    colours_rgb: Sequence[tuple[int, int, int]],
    numbers: Sequence[int],
    *,
    theme: str,
) -> str:
    """Masks in each cluster, largest first, each bar in its cluster's colour; all three of length k >= 1."""
    order = np.argsort(-np.asarray(sizes), kind="stable")

    def draw(axes: Axes) -> None:
        fills = [_hex(colours_rgb[index]) for index in order]
        axes.bar(np.arange(len(order)), np.asarray(sizes)[order], color=fills, width=0.86)
        axes.set_xlim(-0.6, len(order) - 0.4)
        axes.set_xlabel("cluster, largest first")
        axes.set_ylabel("masks")
        if len(order) <= 24:
            axes.set_xticks(np.arange(len(order)), [str(numbers[index]) for index in order])
        else:
            axes.set_xticks([])

    return _svg(draw, theme=theme, size=(7.2, 2.3))


def class_bars(iou: Mapping[str, Bar], *, theme: str) -> str:
    """IoU of each class of the ground truth, best first, with interval; a value that is nan (absent) is left out."""
    colours = THEMES[theme]
    known = sorted(
        ((name, bar) for name, bar in iou.items() if np.isfinite(bar.value)),
        key=lambda pair: (-pair[1].value, pair[0]),
    )
    height = 0.24 if len(known) <= 40 else 0.17  # inches a class: 81 of them must stay a page

    def draw(axes: Axes) -> None:
        rows = np.arange(len(known))
        axes.barh(rows, [bar.value for _, bar in known], color=colours.accent, height=0.66)
        axes.set_yticks(rows, [_shortened(name) for name, _ in known])
        for label in axes.get_yticklabels():
            label.set_parse_math(False)  # a class may be called "$"
            label.set_fontsize(9 if len(known) <= 40 else 8)
        for row, (_, bar) in enumerate(known):
            end = bar.value
            if bar.low is not None and bar.high is not None:
                end = max(end, bar.high)
                axes.plot(
                    [max(0.0, bar.low), bar.high], [row, row], color=colours.ink, linewidth=1.0
                )
            axes.text(
                end + 0.012, row, f"{bar.value:.2f}", va="center", color=colours.ink, fontsize=8
            )
        axes.invert_yaxis()
        axes.set_ylim(len(known) - 0.4, -0.6)
        axes.set_xlim(0, 1.09)
        axes.set_xlabel("IoU")
        axes.grid(True, axis="x")
        axes.grid(False, axis="y")

    return _svg(draw, theme=theme, size=(5.2, 0.8 + height * max(2, len(known))))


def confusion(counts: np.ndarray, names: Sequence[str], *, theme: str) -> str:
    """Where the pixels of each class went: rows truth, columns prediction, each row divided by its sum.

    Args:
        counts: (classes, classes + 1) pixels, the last column no class; a class without pixels is left out as a row.
        names: of the classes; per cent are written into the cells where there are at most 24 classes.
    """
    colours = THEMES[theme]
    held = np.flatnonzero(counts.sum(axis=1))
    shares = counts[held] / counts[held].sum(axis=1, keepdims=True)
    columns = [*names, "no class"]
    few = len(names) <= 24
    cell = 0.36 if few else 0.165  # inches
    blend = LinearSegmentedColormap.from_list(
        "shares", [(*to_rgb(colours.accent), 0.0), to_rgb(colours.accent)]
    )

    def draw(axes: Axes) -> None:
        edges = np.arange(len(columns) + 1) - 0.5, np.arange(len(held) + 1) - 0.5
        # One raster, not thousands of paths: the square root keeps small confusions visible.
        axes.pcolormesh(*edges, np.sqrt(shares), cmap=blend, vmin=0, vmax=1, rasterized=not few)
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")
        axes.set_xticks(
            np.arange(len(columns)), [_shortened(name) for name in columns], rotation=90
        )
        axes.set_yticks(np.arange(len(held)), [_shortened(names[row]) for row in held.tolist()])
        for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
            label.set_parse_math(False)
            label.set_fontsize(9)
        for (row, column), share in np.ndenumerate(shares if few else np.zeros((0, 0))):
            if share >= 0.005:
                ink = colours.paper if share > 0.4 else colours.ink
                axes.text(
                    column,
                    row,
                    f"{100 * share:.0f}",
                    ha="center",
                    va="center",
                    color=ink,
                    fontsize=8,
                )
        axes.set_xlabel("predicted")
        axes.set_ylabel("truth")
        axes.invert_yaxis()
        axes.grid(False)

    return _svg(
        draw,
        theme=theme,
        size=(1.9 + cell * len(columns), 1.6 + cell * max(1, len(held))),
        labels=None,
    )


def smoothed(values: np.ndarray) -> np.ndarray:
    """(n,) float64: the running mean over a thirtieth of the curve, 5 at least, of the values that are finite.

    At both ends the window is cut off.
    """
    n = len(values)
    half = max(2, n // 60)
    finite = np.isfinite(values)
    sums = np.concatenate([[0], np.cumsum(np.where(finite, values, 0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    index = np.arange(n)
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, n)
    inside = counts[high] - counts[low]
    return np.where(inside > 0, (sums[high] - sums[low]) / np.maximum(inside, 1), np.nan)


def _binned(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Middle step, lowest and highest value of neighbouring rows, at most MAX_POINTS, at least two rows a bin."""
    n_bins = max(1, min(MAX_POINTS, len(values) // 2))
    bins = np.array_split(np.arange(len(values)), n_bins)
    kept = [rows[np.isfinite(values[rows])] for rows in bins]
    kept = [rows for rows in kept if len(rows)]
    middle = np.array([steps[rows].mean() for rows in kept])
    return (
        middle,
        np.array([values[rows].min() for rows in kept]),
        np.array([values[rows].max() for rows in kept]),
    )


def _thinned(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most MAX_POINTS of a curve, the first and the last among them."""
    if len(steps) <= MAX_POINTS:
        return steps, values
    rows = np.linspace(0, len(steps) - 1, MAX_POINTS).round().astype(int)
    return steps[rows], values[rows]


def _bars_side_by_side(
    axes: Axes, groups: Mapping[str, Sequence[float]], edges: np.ndarray, colours: Theme
) -> None:
    fills = (colours.accent, *colours.others)
    width = np.diff(edges) * 0.86 / max(1, len(groups))
    for place, (stage, values) in enumerate(groups.items()):
        heights, _ = np.histogram(np.asarray(values, np.float64), bins=edges)
        # Whole numbers stand in the middle of their bar: masks are counted, not measured.
        shift = -0.5 if edges[1] - edges[0] == 1 else 0.0
        left = edges[:-1] + shift + np.diff(edges) * 0.07 + place * width
        axes.bar(
            left, heights, width=width, align="edge", color=fills[place % len(fills)], label=stage
        )
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    if len(groups) > 1:
        _legend(axes, colours)


def _legend(axes: Axes, colours: Theme, *, right_of_axes: bool = False) -> None:
    place = (
        {"loc": "center left", "bbox_to_anchor": (1.01, 0.5)}
        if right_of_axes
        else {"loc": "upper right"}
    )
    axes.legend(frameon=False, labelcolor=colours.ink, fontsize=9, handlelength=1.2, **place)


def _svg(
    draw: Callable[[Axes], None], *, theme: str, size: tuple[float, float], labels: int | None = 9
) -> str:
    """One figure as SVG text; size in inches of 72 px; labels: of the ticks in points, None: as `draw` set them."""
    colours = THEMES[theme]
    # svg.fonttype: letters stay letters; svg.hashsalt: the same numbers give the same bytes.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "maskdistill", "font.size": 10}):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.set_axisbelow(True)
        axes.patch.set_alpha(0)
        axes.grid(True, axis="y", color=colours.faint, linewidth=0.8)
        draw(axes)
        for side, spine in axes.spines.items():
            spine.set_visible(side == "bottom")
            spine.set_color(colours.faint)
        axes.tick_params(colors=colours.ink, length=0)
        if labels is not None:
            axes.tick_params(labelsize=labels)
        for grid_line in axes.get_xgridlines() + axes.get_ygridlines():
            grid_line.set_color(colours.faint)
        axes.xaxis.label.set_color(colours.ink)
        axes.yaxis.label.set_color(colours.ink)
        text = io.StringIO()
        figure.savefig(
            text, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    svg = re.sub(r"'DejaVu Sans'(?:, [^;\"]*?)?(?=[;\"])", FONT.replace('"', "'"), text.getvalue())
    return svg[svg.index("<svg") :]


def _hex(rgb: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def _shortened(name: str) -> str:
    return name if len(name) <= 24 else name[:23] + "…"
