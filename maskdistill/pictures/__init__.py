"""Pictures: any folder to RGB arrays. The first room; after it come `features`.

Contract: find(folder) -> relative paths; search(folder) -> Found(paths, passed_over);
          told(passed_over) -> a sentence; gather(files, folders, patterns) -> Given;
          probe(path) -> Probe; read(path) -> (H, W, 3) uint8 RGB;
          as_rgb(array or path) -> the same; probe_pages(path) -> a Probe a page;
          grey_levels(path) -> how many levels are used; has_few_levels(path);
          limits_of_set(files) -> the levels that a stretch of all of them takes;
          header(path) -> pages, more than 8 bits; pages_told, few_told -> sentences;
          prefetched(items, load, workers=) -> (item, result or PictureError) in order;
          of_like_shape(shapes, size=) -> positions of the pictures that a device sees together
Reads files, changes none. A file that cannot be read raises PictureError with file and reason.
"""

from maskdistill.pictures.batches import of_like_shape
from maskdistill.pictures.folder import Found, find, search, told
from maskdistill.pictures.given import Given, Pictures, check, gather
from maskdistill.pictures.levels import Limits
from maskdistill.pictures.notices import few_told, has_few_levels, pages_told
from maskdistill.pictures.picture_set import limits_of_set
from maskdistill.pictures.prefetch import prefetched
from maskdistill.pictures.read import (
    Probe,
    as_rgb,
    grey_levels,
    header,
    probe,
    probe_pages,
    read,
)

__all__ = [
    "Found",
    "Given",
    "Limits",
    "Pictures",
    "Probe",
    "as_rgb",
    "check",
    "few_told",
    "find",
    "gather",
    "grey_levels",
    "has_few_levels",
    "header",
    "limits_of_set",
    "of_like_shape",
    "pages_told",
    "prefetched",
    "probe",
    "probe_pages",
    "read",
    "search",
    "told",
]
