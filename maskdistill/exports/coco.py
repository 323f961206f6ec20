"""COCO export: masks as a COCO dataset, written as a stream, never more than a picture in memory.

In:       rows of images, lines of proposals or detections, names of the clusters
Out:      one JSON object of COCO's format: images, annotations with score, categories; ASCII alone
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

from maskdistill.masks import rle
from maskdistill.masks.polygons import polygons_from_mask


def write(
    file: IO[str],
    images: Iterable[Mapping[str, Any]],
    lines: Iterable[Mapping[str, Any]],
    names: Sequence[str],
    *,
    tolerance_px: float | None = None,
) -> int:
    """Write images, annotations and categories into an open text file; each may be empty.

    Args:
        images: rows with id, path (becomes file_name), width, height (px).
        lines: a picture each: id and masks with rle, box (half-open xyxy, px), area (px), score,
            cluster or none (then 0), and sources of pooled masks, which are written as they are;
            without masks where it was refused. Annotations are numbered from 1 in this order.
        names: of the clusters; category ids are 1 + cluster.
        tolerance_px: write polygons, whose outlines may move by so much; None: run lengths. A mask
            that has no polygon, because it is smaller than that, is left out. Holes are polygons
            too, so readers fill them.
    Returns:
        The number of masks that were left out.
    Raises:
        ValueError: a cluster that has no name, a number that is not finite. The file is then cut
            short.

    >>> import io
    >>> file = io.StringIO()
    >>> write(file, [{"id": 1, "path": "a.jpg", "width": 3, "height": 2}], [], ["dog"])
    0
    >>> json.loads(file.getvalue())["images"]
    [{'id': 1, 'file_name': 'a.jpg', 'width': 3, 'height': 2}]
    """
    file.write(
        '{"info": {"description": "masks found without labels by maskdistill"},\n"images": ['
    )
    _write_rows(file, (_image(row) for row in images))
    file.write('],\n"annotations": [')
    left_out: list[int] = []
    _write_rows(file, _annotations(lines, len(names), tolerance_px, left_out))
    file.write('],\n"categories": [')
    _write_rows(file, ({"id": number, "name": name} for number, name in enumerate(names, 1)))
    file.write("]}\n")
    return len(left_out)


def _image(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "file_name": row["path"],
        "width": row["width"],
        "height": row["height"],
    }


def _annotations(
    lines: Iterable[Mapping[str, Any]],
    n_names: int,
    tolerance_px: float | None,
    left_out: list[int],
) -> Iterator[dict[str, Any]]:
    number = 0
    for line in lines:
        for mask in line.get("masks", []):
            cluster = mask.get("cluster", 0)
            if not 0 <= cluster < n_names:
                raise ValueError(
                    f"names: has {n_names}, but a mask of image {line['id']} "
                    f"is of cluster {cluster}"
                )
            shape = mask["rle"]
            if tolerance_px is not None:
                shape = polygons_from_mask(rle.decode([shape])[0], tolerance_px=tolerance_px)
                if not shape:
                    left_out.append(line["id"])
                    continue
            number += 1
            x1, y1, x2, y2 = mask["box"]
            yield {
                "id": number,
                "image_id": line["id"],
                "category_id": 1 + cluster,
                "segmentation": shape,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": mask["area"],
                "iscrowd": 0,
                "score": mask["score"],
                **({"sources": mask["sources"]} if "sources" in mask else {}),
            }


def _write_rows(file: IO[str], rows: Iterable[Mapping[str, Any]]) -> None:
    for number, row in enumerate(rows):
        # Letters beyond ASCII as escapes: readers (pycocotools) open the file in the encoding of
        # their system.
        text = json.dumps(row, ensure_ascii=True, allow_nan=False)
        file.write((",\n" if number else "\n") + text)
