"""Picture rows: what the scan notes of each file, and the rows of images.jsonl that it becomes.

In:   a picture file and the settings of the scan
Out:  a record of the journal; of it a row a page, and what is said of the pictures
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskdistill.datasets.page_names import name_of
from maskdistill.errors import PictureError
from maskdistill.pictures import Probe, has_few_levels, probe, probe_pages
from maskdistill.settings import RunSettings

Row = dict[str, Any]

# Keys of a row of the journal that images.jsonl has not.
_PAGES, _MORE, _DEEP, _FEW, _UNUSED = "pages", "more", "deep", "few", "unused"


@dataclass(frozen=True)
class Seen:
    """Hold what was seen of a row's picture, beside the row.

    Attributes:
        name: of the picture, with its page.
        pages: of its file, those that are rows of their own not counted: at least 1.
        is_deep: it has more than 8 bits, a sign or a fraction.
        has_few_levels: it is shown with few of the grey levels, and a stretch would give more.
        n_unused: bands that are not shown.
    """

    name: str
    pages: int
    is_deep: bool
    has_few_levels: bool
    n_unused: int


def described(file: Path, root: str, path: str, settings: RunSettings) -> Row:
    """Return the record of a file: its first page, the others below `more` where each counts.

    Raises:
        PictureError: it cannot be read.
    """
    reading = settings.reading
    is_all = settings.pages == "all"
    pages = (probe_pages if is_all else _first_page)(
        file,
        max_megapixels=reading["max_megapixels"],
        orientation=reading["orientation"],
        bands=reading["bands"],
    )
    rows = [
        {"refused": str(page)}
        if isinstance(page, PictureError)
        else _row(file, number, page, settings)
        for number, page in enumerate(pages, 1)
    ]
    record = {"root": root, "path": path, **rows[0]}
    first = pages[0]
    if not is_all and isinstance(first, Probe) and first.pages > 1:
        record[_PAGES] = first.pages
    return {**record, _MORE: rows[1:]} if len(rows) > 1 else record


def expanded(record: Mapping[str, Any]) -> list[tuple[Row, Seen | None]]:
    """Return the rows of a record, a page each, with what was seen; None of one that is refused."""
    first = dict(record)
    more = first.pop(_MORE, [])
    place = {"root": first.pop("root"), "path": first.pop("path")}
    rows = []
    for number, row in enumerate([first, *more], 1):
        page = {"page": number} if more else {}
        name = name_of(place["path"], number)
        own = dict(row)
        seen = Seen(
            name=name,
            pages=own.pop(_PAGES, 1),
            is_deep=own.pop(_DEEP, False),
            has_few_levels=own.pop(_FEW, False),
            n_unused=own.pop(_UNUSED, 0),
        )
        rows.append(({**place, **page, **own}, None if "refused" in own else seen))
    return rows


def _row(file: Path, number: int, seen: Probe, settings: RunSettings) -> Row:
    row: Row = {
        "width": seen.width,
        "height": seen.height,
        "orientation": seen.orientation,
        "bytes": seen.bytes,
        "sha256": seen.sha256,
    }
    if seen.is_deep:
        row[_DEEP] = True
        reading = settings.reading
        if settings.levels == "full" and has_few_levels(
            file, page=number, max_megapixels=reading["max_megapixels"], bands=reading["bands"]
        ):
            row[_FEW] = True
    if seen.n_unused:
        row[_UNUSED] = seen.n_unused
    return row


def _first_page(file: Path, **how: Any) -> list[Probe | PictureError]:
    return [probe(file, **how)]
