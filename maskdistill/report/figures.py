"""Plots of the page as SVG: curves of the losses, histograms, sizes of clusters, IoU of each class.

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
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from maskdistill.report.checks import total_loss

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif"
MAX_POINTS = 400  # of a curve: more cannot be told apart on a page, and 30 000 steps would weigh megabytes


@dataclass(frozen=True)
class Theme:
    """Colours of one figure: lines and letters, grid, accent, the faint raw curve, what went wrong."""

    ink: str
    faint: str
    accent: str
    others: tuple[str, ...]
    alarm: str


THEMES = {
    "light": Theme("#5c6068", "#e4e2dc", "#0b6e69", ("#b7791f", "#5b62b3", "#a8577e", "#7a8b3c", "#8a6a52"), "#b3261e"),
    "dark": Theme("#a2a6ae", "#2e3137", "#5fc7bf", ("#e0b066", "#a3a9ee", "#de93b8", "#b9c97a", "#c9a98f"), "#ff8a80"),
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
            *_thinned(steps, smoothed(total)), color=colours.accent, linewidth=1.9, label="all" if names else "loss"
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
        np.array([row[name] for row in rows], np.float64) for name in ("stability", "spread", "silhouette")
    )

    def draw(axes: Axes) -> None:
        axes.axvline(chosen, color=colours.ink, linewidth=1.0, linestyle=":", label="chosen")
        axes.fill_between(
            numbers, stability - spread, stability + spread, color=colours.accent, alpha=0.18, linewidth=0
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
    sizes: Sequence[int], colours_rgb: Sequence[tuple[int, int, int]], numbers: Sequence[int], *, theme: str
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


def class_bars(iou: Mapping[str, float], *, theme: str) -> str:
    """IoU of each class of the ground truth, best first; a value that is nan (absent) is left out."""
    colours = THEMES[theme]
    known = sorted(
        ((value, name) for name, value in iou.items() if np.isfinite(value)), key=lambda pair: (-pair[0], pair[1])
    )

    def draw(axes: Axes) -> None:
        rows = np.arange(len(known))
        axes.barh(rows, [value for value, _ in known], color=colours.accent, height=0.66)
        axes.set_yticks(rows, [_shortened(name) for _, name in known])
        for label in axes.get_yticklabels():
            label.set_parse_math(False)  # a class may be called "$"
        for row, (value, _) in enumerate(known):
            axes.text(value + 0.01, row, f"{value:.2f}", va="center", color=colours.ink, fontsize=9)
        axes.invert_yaxis()
        axes.set_xlim(0, 1.06)
        axes.set_xlabel("IoU")
        axes.grid(True, axis="x")
        axes.grid(False, axis="y")

    return _svg(draw, theme=theme, size=(4.6, 0.8 + 0.24 * max(2, len(known))))


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
    return middle, np.array([values[rows].min() for rows in kept]), np.array([values[rows].max() for rows in kept])


def _thinned(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most MAX_POINTS of a curve, the first and the last among them."""
    if len(steps) <= MAX_POINTS:
        return steps, values
    rows = np.linspace(0, len(steps) - 1, MAX_POINTS).round().astype(int)
    return steps[rows], values[rows]


def _bars_side_by_side(axes: Axes, groups: Mapping[str, Sequence[float]], edges: np.ndarray, colours: Theme) -> None:
    fills = (colours.accent, *colours.others)
    width = np.diff(edges) * 0.86 / max(1, len(groups))
    for place, (stage, values) in enumerate(groups.items()):
        heights, _ = np.histogram(np.asarray(values, np.float64), bins=edges)
        # Whole numbers stand in the middle of their bar: masks are counted, not measured.
        shift = -0.5 if edges[1] - edges[0] == 1 else 0.0
        left = edges[:-1] + shift + np.diff(edges) * 0.07 + place * width
        axes.bar(left, heights, width=width, align="edge", color=fills[place % len(fills)], label=stage)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    if len(groups) > 1:
        _legend(axes, colours)


def _legend(axes: Axes, colours: Theme, *, right_of_axes: bool = False) -> None:
    place = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5)} if right_of_axes else {"loc": "upper right"}
    axes.legend(frameon=False, labelcolor=colours.ink, fontsize=9, handlelength=1.2, **place)


def _svg(draw: Callable[[Axes], None], *, theme: str, size: tuple[float, float]) -> str:
    """One figure as SVG text; size in inches of 72 px."""
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
        axes.tick_params(colors=colours.ink, length=0, labelsize=9)
        for grid_line in axes.get_xgridlines() + axes.get_ygridlines():
            grid_line.set_color(colours.faint)
        axes.xaxis.label.set_color(colours.ink)
        axes.yaxis.label.set_color(colours.ink)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = re.sub(r"'DejaVu Sans'(?:, [^;\"]*?)?(?=[;\"])", FONT.replace('"', "'"), text.getvalue())
    return svg[svg.index("<svg") :]


def _hex(rgb: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def _shortened(name: str) -> str:
    return name if len(name) <= 24 else name[:23] + "…"
