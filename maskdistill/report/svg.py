"""SVG of one plot: its frame, grid, letters and colours, for a light and for a dark page.

In:       a function that draws on axes; theme "light" or "dark", since a picture inside a page
          cannot see the page's colours
Out:      SVG text, transparent, letters as letters; matplotlib's object API only, no global figure
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Theme:
    """Colours of one plot, as #rrggbb.

    Attributes:
        ink: of lines and letters.
        faint: of the grid.
        accent: of the main curve and of bars.
        others: of other curves.
        alarm: of what went wrong.
        paper: of letters on the accent.
    """

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


def text_of(
    draw: Callable[[Axes], None], *, theme: str, size: tuple[float, float], labels: int | None = 9
) -> str:
    """Return one plot as SVG text; the same numbers give the same bytes.

    Args:
        draw: draws on the axes.
        theme: light or dark.
        size: (width, height) in inches of 72 px.
        labels: size of the ticks' labels in points; None: as `draw` set them.
    """
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


def legend(axes: Axes, colours: Theme, *, right_of_axes: bool = False) -> None:
    """Add a legend without a frame, inside the axes or right of them."""
    place = (
        {"loc": "center left", "bbox_to_anchor": (1.01, 0.5)}
        if right_of_axes
        else {"loc": "upper right"}
    )
    axes.legend(frameon=False, labelcolor=colours.ink, fontsize=9, handlelength=1.2, **place)


def shortened(name: str) -> str:
    """Return a name of at most 24 characters, cut short by an ellipsis.

    >>> shortened("a class of things with a long name")
    'a class of things with …'
    """
    return name if len(name) <= 24 else name[:23] + "…"
