"""Part: the images of a list of names, cut out of an instances JSON as a stream (COCO20k of 2014).

In:       an instances JSON of any size; names (paths, file names, with or without extension)
Out:      pieces of text that make an instances JSON of these images, all categories, all licences
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from maskdistill.datasets.names import join
from maskdistill.datasets.streamed import records
from maskdistill.errors import GroundTruthError, listed


def pieces(source: Path, names: Sequence[str]) -> Iterator[str]:
    """Yield the text piece by piece; read the file twice, for annotations may stand before images.

    Args:
        names: joined to the file names as `names.join` does.
    Raises:
        GroundTruthError: no instances file; names that no image goes by (before the first piece).

    >>> import tempfile
    >>> images = [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}]
    >>> with tempfile.NamedTemporaryFile("w") as file:
    ...     json.dump({"images": images, "annotations": []}, file)
    ...     file.flush()
    ...     json.loads("".join(pieces(Path(file.name), ["b"])))["images"]
    [{'id': 2, 'file_name': 'b.jpg'}]
    """
    try:
        chosen = _images(source, names)
        ids = {row["id"] for row in chosen}
        yield '{"images": [' + ", ".join(map(json.dumps, chosen)) + "]"
        small: dict[str, list[Any]] = {"licenses": [], "categories": []}
        before = ', "annotations": ['
        for key, row in records(source, ("annotations", *small)):
            if key in small:
                small[key].append(row)
            elif isinstance(row, dict) and row.get("image_id") in ids:
                yield before + json.dumps(row)
                before = ", "
        yield ', "annotations": [' if before != ", " else ""
        yield "]" + "".join(f', "{key}": {json.dumps(rows)}' for key, rows in small.items()) + "}\n"
    except (OSError, ValueError, TypeError) as error:
        raise GroundTruthError(
            f"{source}: not a COCO instances file ({error}). "
            "Wanted: an object with images, annotations, categories"
        ) from error


def _images(source: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the images that the names go by, in the file's order; GroundTruthError without one."""
    images = [row for _, row in records(source, ("images",))]
    for row in images:
        if not isinstance(row, dict) or not {"id", "file_name"} <= set(row):
            raise ValueError(f"an image has no id or no file_name: {row}")
    found = join([row["file_name"] for row in images], list(names))
    missing = [name for name in names if name not in found]
    if missing:
        raise GroundTruthError(
            f"{source}: {len(missing)} of {len(names)} names of the list are no image of it, "
            f"or of several: {listed(missing)}. Give the instances file that the list was made for"
        )
    chosen = set(found.values())
    return [row for row in images if row["file_name"] in chosen]
