"""Figures of the page as SVG: histograms, sizes of clusters, IoU of each class, confusion.

In:       plain numbers; theme "light" or "dark"
Out:      SVG text
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.ticker import MaxNLocator

from maskdistill.report import svg
from maskdistill.report.measured import Bar


def histogram_masks(counts: Mapping[str, Sequence[int]], *, theme: str) -> str:
    """Draw the number of pictures with 0, 1, 2, ... masks, the stages side by side.

    Args:
        counts: stage -> (pictures,) number of masks, >= 0.
        theme: light or dark.
    """
    colours = svg.THEMES[theme]
    most = max((max(values, default=0) for values in counts.values()), default=0)
    width = max(1, -(-(most + 1) // 24))  # of a bin, so that there are at most 24
    edges = np.arange(0, most + width + 1, width)

    def draw(axes: Axes) -> None:
        _bars_side_by_side(axes, counts, edges, colours)
        axes.set_xlabel("masks in a picture" if width == 1 else f"masks in a picture, by {width}")
        axes.set_ylabel("pictures")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))

    return svg.text_of(draw, theme=theme, size=(4.6, 2.5))


def histogram_coverage(shares: Mapping[str, Sequence[float]], *, theme: str) -> str:
    """Draw a histogram of the share of each picture that is not background.

    Args:
        shares: stage -> (pictures,) in [0, 1].
        theme: light or dark.
    """
    colours = svg.THEMES[theme]

    def draw(axes: Axes) -> None:
        _bars_side_by_side(axes, shares, np.linspace(0, 1, 21), colours)
        axes.set_xlabel("share of the picture that is not background")
        axes.set_ylabel("pictures")
        axes.set_xlim(0, 1)

    return svg.text_of(draw, theme=theme, size=(4.6, 2.5))


def cluster_bars(
    sizes: Sequence[int],
    colours_rgb: Sequence[tuple[int, int, int]],
    numbers: Sequence[int],
    *,
    theme: str,
) -> str:
    """Draw the number of masks in each cluster, largest first, each bar in its cluster's colour.

    Args:
        sizes: (k,) masks in each cluster, k >= 1.
        colours_rgb: (k,) RGB, 0 .. 255.
        numbers: (k,) the clusters' ids.
        theme: light or dark.
    """
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

    return svg.text_of(draw, theme=theme, size=(7.2, 2.3))


def class_bars(iou: Mapping[str, Bar], *, theme: str) -> str:
    """Draw the IoU of each class of the ground truth, best first, with its interval.

    Args:
        iou: class -> bar; a class whose value is nan (absent) is left out.
        theme: light or dark.
    """
    colours = svg.THEMES[theme]
    known = sorted(
        ((name, bar) for name, bar in iou.items() if np.isfinite(bar.value)),
        key=lambda pair: (-pair[1].value, pair[0]),
    )
    height = 0.24 if len(known) <= 40 else 0.17  # inches a class: 81 of them must stay a page

    def draw(axes: Axes) -> None:
        rows = np.arange(len(known))
        axes.barh(rows, [bar.value for _, bar in known], color=colours.accent, height=0.66)
        axes.set_yticks(rows, [svg.shortened(name) for name, _ in known])
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

    return svg.text_of(draw, theme=theme, size=(5.2, 0.8 + height * max(2, len(known))))


def confusion(counts: np.ndarray, names: Sequence[str], *, theme: str) -> str:
    """Draw where the pixels of each class went: rows truth, columns prediction, rows of sum 1.

    Args:
        counts: (classes, classes + 1) pixels, the last column no class; a class without pixels is
            left out as a row.
        names: of the classes; per cent are written into the cells where there are at most 24.
        theme: light or dark.
    """
    colours = svg.THEMES[theme]
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
            np.arange(len(columns)), [svg.shortened(name) for name in columns], rotation=90
        )
        axes.set_yticks(np.arange(len(held)), [svg.shortened(names[row]) for row in held.tolist()])
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

    return svg.text_of(
        draw,
        theme=theme,
        size=(1.9 + cell * len(columns), 1.6 + cell * max(1, len(held))),
        labels=None,
    )


def _bars_side_by_side(
    axes: Axes, groups: Mapping[str, Sequence[float]], edges: np.ndarray, colours: svg.Theme
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
        svg.legend(axes, colours)


def _hex(rgb: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)
