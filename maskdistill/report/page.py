"""Page: one HTML file with everything inside it, for a browser without network and without scripts.

In:       ReportContent; nothing is read from disk but the templates beside this file
Out:      the text of index.html: pictures as WebP, plots as SVG (light and dark), one inline style
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from maskdistill.evaluation.tables import by_class, on_seeds
from maskdistill.report import curves, figures
from maskdistill.report.content import ReportContent, Sheet, StageSummary
from maskdistill.report.measured import (
    CHOSEN,
    class_iou,
    explained,
    gains,
    headlines,
    summary,
    tables,
)

TEMPLATES = Path(__file__).parent / "templates"
QUALITY = 80  # of WebP; a tile of 280 px weighs about 10 KB
MAX_EVENTS = 500  # of the ledger; the file itself holds them all
NBSP = "\N{NO-BREAK SPACE}"


def render(content: ReportContent) -> str:
    """Return the whole page as text, to be written as UTF-8.

    Every text is escaped: names of files and clusters, reasons and settings are shown as they are,
    never obeyed. A part that `content` does not have is left out, with its place in the navigation.

    Raises:
        ValueError: an image is not (h, w, 3) uint8.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number,
        duration=duration,
        ratio=ratio,
        picture=picture_uri,
        anchor=anchor,
        css_rgb=css_rgb,
        file_name=file_name,
    )
    stages = _all_stages(content)
    sheets: dict[str, list[Sheet]] = {}
    for sheet in content.sheets:
        sheets.setdefault(sheet.stage, []).append(sheet)
    html = environment.get_template("page.html.j2").render(
        content=content,
        stages=stages,
        sheets=sheets,
        headlines=headlines(content.metrics),
        summary=summary(content.metrics),
        gains=gains(content.steps),
        tables=tables(content.metrics),
        splits=[split for split, _ in tables(content.metrics)],
        truth=content.truth,
        published=[row for row in content.published if not row["name"].startswith("IoU/")],
        classes=list(_classes(content)),
        seeds=on_seeds(content.metrics),
        chosen=any(row["stage"] == CHOSEN for row in content.metrics),
        explained=explained(content.metrics),
        alarms=[(stage.name, alarm) for stage in stages for alarm in stage.warnings],
        curves=list(_curves(content)),
        cluster_figure=_cluster_figure(content),
        class_figure=_class_figure(content),
        confusion_figure=_confusion_figure(content),
        settings=grouped(content.settings),
        events=content.events[:MAX_EVENTS],
    )
    # A file name that is not UTF-8 comes as lone surrogates, which no file can hold.
    return html.encode("utf-8", "replace").decode("utf-8")


def picture_uri(rgb: np.ndarray) -> str:
    """Return a picture (h, w, 3) uint8 RGB as a data URI.

    Raises:
        ValueError: another shape or dtype.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"image: wanted (h, w, 3) uint8, got shape {rgb.shape} {rgb.dtype}")
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb)).save(stream, "WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def number(value: float | str) -> str:
    """Return a number as it is shown: 12 345 for counts, 0.123 for fractions, words as they are."""
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int | np.integer):
        return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return (
        f"{value:.3f}"
        if abs(value) < 10
        else f"{value:,.1f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    )


def duration(seconds: float) -> str:
    """Return seconds as they are shown: 0.4 s, 42 s, 3 min 20 s, 1 h 5 min."""
    if seconds < 10:
        return f"{seconds:.1f}{NBSP}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{NBSP}s"
    if whole < 3600:
        return f"{whole // 60}{NBSP}min {whole % 60}{NBSP}s"
    return f"{whole // 3600}{NBSP}h {whole % 3600 // 60}{NBSP}min"


def ratio(image: np.ndarray) -> str:
    """Return width over height for the sheet's layout, as text with three digits.

    It is kept within 0.5 .. 2.5: a ribbon must not take a whole row.
    """
    return f"{float(np.clip(image.shape[1] / image.shape[0], 0.5, 2.5)):.3f}"


def css_rgb(colour: tuple[int, int, int]) -> str:
    """Return a colour as CSS has it.

    >>> css_rgb((230, 159, 0))
    'rgb(230, 159, 0)'
    """
    red, green, blue = (int(channel) for channel in colour)
    return f"rgb({red}, {green}, {blue})"


def anchor(name: str) -> str:
    """Return a name as the end of an id: letters and digits, dashes for all else.

    >>> anchor("detect/train")
    'detect-train'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "x"


def file_name(path: str) -> str:
    """Return the last part of a path, for captions.

    Of a long path that is cut short, nothing but folders would be seen.
    """
    return path.rsplit("/", 1)[-1]


def grouped(settings: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return nested settings as groups of (dotted name, value) by their first name.

    Settings without a group stand first.

    >>> grouped({"seed": 0, "label": {"keep_best": True}})
    [('run', [('seed', '0')]), ('label', [('keep_best', 'yes')])]
    """
    single = [
        (key, _shown(value)) for key, value in settings.items() if not isinstance(value, Mapping)
    ]
    groups = [
        (key, list(_leaves(value))) for key, value in settings.items() if isinstance(value, Mapping)
    ]
    return ([("run", single)] if single else []) + [
        (key, leaves) for key, leaves in groups if leaves
    ]


def _leaves(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", _shown(value)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "" or (isinstance(value, list | tuple | Mapping) and not value):
        return "—"
    if isinstance(value, list | tuple):
        return ", ".join(str(one) for one in value)
    return str(value)


def _all_stages(content: ReportContent) -> list[StageSummary]:
    """Return the stages handed in, and one for each sheet whose stage is not among them."""
    names = {stage.name for stage in content.stages}
    others = dict.fromkeys(sheet.stage for sheet in content.sheets if sheet.stage not in names)
    return [*content.stages, *(StageSummary(name=name, does="") for name in others)]


def _curves(content: ReportContent) -> Iterator[tuple[str, str, str]]:
    """Yield (caption, light, dark) of each plot of the section of curves."""
    for stage, (rows, chosen) in content.numbers.items():
        if rows:
            caption = f"How many clusters: {stage}, {chosen} chosen"
            yield (caption, *_themed(curves.number_curve, rows, chosen))
    for network, rows in content.losses.items():
        if rows:
            yield (
                f"Loss of {network}, each step and smoothed",
                *_themed(curves.loss_curves, rows),
            )
    for caption, groups, draw in (
        ("Masks in a picture", content.masks_per_picture, figures.histogram_masks),
        ("Coverage", content.coverage, figures.histogram_coverage),
    ):
        known = {stage: values for stage, values in groups.items() if len(values)}
        if known:
            yield (caption, *_themed(draw, known))


def _cluster_figure(content: ReportContent) -> tuple[str, str] | None:
    if len(content.clusters) < 2:
        return None
    sizes = [cluster.size for cluster in content.clusters]
    numbers = [cluster.cluster for cluster in content.clusters]
    return _themed(
        figures.cluster_bars, sizes, [cluster.colour for cluster in content.clusters], numbers
    )


def _class_figure(content: ReportContent) -> tuple[str, str, str] | None:
    found = class_iou(content.metrics)
    if found is None:
        return None
    caption, values = found
    return (caption, *_themed(figures.class_bars, values))


def _confusion_figure(content: ReportContent) -> tuple[str, str, str] | None:
    if content.confusion is None or not content.confusion[2].any():
        return None
    caption, names, counts = content.confusion
    return (caption, *_themed(figures.confusion, counts, names))


def _classes(content: ReportContent) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Yield (split, head, lines) of the table by class of each split that has one."""
    for split, _ in tables(content.metrics):
        head, *lines = by_class(
            [row for row in content.metrics if row["split"] == split], content.published
        )
        if lines:
            yield split, head, lines


def _themed(draw: Callable[..., str], *arguments: Any) -> tuple[str, str]:
    """Return the data URIs of a plot for a light and for a dark page."""
    light, dark = (
        draw(*arguments, theme=theme).encode("utf-8", "replace") for theme in ("light", "dark")
    )
    return tuple(
        "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")
        for svg in (light, dark)
    )  # type: ignore[return-value]
