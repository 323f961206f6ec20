"""Curves of the page as SVG: losses over steps, measures over numbers of clusters.

In:       rows of plain numbers; theme "light" or "dark"
Out:      SVG text
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from maskdistill.report import svg
from maskdistill.report.checks import total_loss

# Of a curve: more cannot be told apart on a page, and 30 000 steps would weigh megabytes.
MAX_POINTS = 400


def loss_curves(rows: Sequence[Mapping[str, float]], *, theme: str) -> str:
    """Draw the losses of one network over its steps: the sum raw and smoothed, its parts smoothed.

    Args:
        rows: {"step", loss names}, by step, at least one; values that are not finite are marked at
            the foot.
        theme: light or dark.
    """
    colours = svg.THEMES[theme]
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
        svg.legend(axes, colours, right_of_axes=True)

    return svg.text_of(draw, theme=theme, size=(7.2, 2.7))


def number_curve(rows: Sequence[Mapping[str, float]], chosen: int, *, theme: str) -> str:
    """Draw stability, with its deviation, and silhouette over the number of clusters.

    Args:
        rows: {"k", "stability", "spread", "silhouette"}, at least one, by k.
        chosen: the number of clusters that is marked.
        theme: light or dark.
    """
    colours = svg.THEMES[theme]
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
        svg.legend(axes, colours, right_of_axes=True)

    return svg.text_of(draw, theme=theme, size=(4.6, 2.5))


def smoothed(values: np.ndarray) -> np.ndarray:
    """Return the running mean of the finite values, over a thirtieth of the curve, 5 at least.

    At both ends the window is cut off.

    Returns:
        (n,) float64; nan where no value in the window is finite.

    >>> smoothed(np.array([0.0, 0.0, 3.0, np.nan, 0.0])).tolist()
    [1.0, 1.0, 0.75, 1.0, 1.5]
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
    """Return middle step, lowest and highest value of bins of neighbouring rows.

    There are at most MAX_POINTS bins, of at least two rows each.
    """
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
    """Return at most MAX_POINTS of a curve, the first and the last among them."""
    if len(steps) <= MAX_POINTS:
        return steps, values
    rows = np.linspace(0, len(steps) - 1, MAX_POINTS).round().astype(int)
    return steps[rows], values[rows]
