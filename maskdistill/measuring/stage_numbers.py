"""Stage numbers: what each stage says of itself without ground truth; read back, and as sentences.

In:   what a stage left; numbers in its stage.json
Out:  {name: number}, None where there is none; {stage: {name: number}} of a run; lines of text
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskdistill.artifacts import label_maps
from maskdistill.artifacts.finished_stages import Outputs
from maskdistill.engine.job import Image, Job
from maskdistill.evaluation import agreement, clusters, tables
from maskdistill.labels import IGNORE
from maskdistill.masks import rle
from maskdistill.runs import record
from maskdistill.runs.layout import RunFolder
from maskdistill.runs.stages import RECLUSTER
from maskdistill.types import MOST_IDS

Numbers = dict[str, float | None]
_AGREEMENT = ("agreement", "agreement_pictures")
_MASKS = (*_AGREEMENT, "masks_per_picture", "foreground")
_CLUSTERS = ("entropy", "effective_clusters", "clusters")
_LABEL_MAPS = (*_AGREEMENT, "foreground", *_CLUSTERS)
# Stage -> names of its numbers, in the order in which they are said.
NAMES: dict[str, tuple[str, ...]] = {
    "propose": _MASKS,
    "cluster": _CLUSTERS,
    "detect": ("found_again", *_MASKS, "min_score"),
    RECLUSTER: _CLUSTERS,
    "label": _LABEL_MAPS,
    "segment": _LABEL_MAPS,
}
NONE = "–"


def sampled(job: Job) -> list[Image]:
    """Return the pictures that stages are compared on with their mirror images, spread evenly.

    At most `evaluate.agreement_pictures`, by id.
    """
    images = job.images
    count = min(job.settings.evaluate.agreement_pictures, len(images))
    places = np.linspace(0, len(images) - 1, count).tolist()
    return [images[round(place)] for place in places]


def rounded(numbers: Mapping[str, float | None]) -> Numbers:
    """Return numbers as a record holds them: floats to 4 digits, None for what is not finite."""
    return {
        name: value
        if value is None or isinstance(value, int)
        else (round(float(value), 4) if math.isfinite(value) else None)
        for name, value in numbers.items()
    }


def met(masks: Sequence[Mapping[str, Any]], turned_back: np.ndarray) -> list[int]:
    """Return how many masks of a picture and of the mirrored one have partners, and all of them.

    Partners have IoU >= 0.5, one to one: both count.

    Args:
        masks: records of the picture.
        turned_back: (n, H, W) bool, of the mirrored picture, mirrored again.
    """
    iou = rle.iou([mask["rle"] for mask in masks], rle.encode(turned_back))
    return [2 * agreement.partners(iou), len(masks) + len(turned_back)]


def agreement_of(found: Sequence[Sequence[int]]) -> Numbers:
    """Return the agreement over pictures, the ratio of the sums; None where nothing was compared.

    Args:
        found: of each picture masks that have a partner, or equal pixels; and all there are.
    """
    same, total = (sum(each[place] for each in found) for place in (0, 1))
    share = round(same / total, 4) if total else None
    return {"agreement": share, "agreement_pictures": len(found)}


def of_masks(
    rows: Iterator[dict[str, Any]],
    images: Sequence[Image],
    counts: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = lambda masks: masks,
) -> Numbers:
    """Return masks a picture and the share of pixels on which one mask at least lies.

    Refused pictures count in neither; both are None without a picture.

    Args:
        rows: of a mask file.
        counts: from the masks of a picture to those that count.
    """
    pixels = {image.id: image.width * image.height for image in images}
    n_pictures = n_masks = covered = total = 0
    for row in rows:
        if "refused" in row:
            continue
        masks = counts(row.get("masks", []))
        n_pictures, n_masks = n_pictures + 1, n_masks + len(masks)
        covered += rle.area_of_union([mask["rle"] for mask in masks])
        total += pixels[row["id"]]
    if not n_pictures:
        return {"masks_per_picture": None, "foreground": None}
    return {"masks_per_picture": n_masks / n_pictures, "foreground": covered / total}


def of_sizes(sizes: Sequence[int]) -> Numbers:
    """Return how evenly k clusters are filled: the entropy H of their shares, in two ways.

    Returns:
        entropy: H / ln k, in [0, 1]. effective_clusters: exp(H), in [1, k]: so many clusters of one
        size have that entropy (Hill, Ecology 1973). clusters: k. The first two are None where all
        are empty.
    """
    k, counts = len(sizes), np.asarray(sizes, np.int64)
    share = clusters.entropy(counts)
    effective = math.exp(share * math.log(k)) if k else float("nan")
    return rounded({"entropy": share, "effective_clusters": effective, "clusters": k})


def of_label_maps(paths: Sequence[tuple[Path, Image]], *, n_clusters: int) -> Numbers:
    """Return the share of pixels that label maps paint, and how evenly clusters share these.

    Args:
        paths: of the maps, with their pictures; where there is no file, nothing is painted. Ignored
            pixels (255) are not painted.
        n_clusters: that the maps count in.
    """
    counts, total = np.zeros(256, np.int64), 0
    for path, image in paths:
        total += image.width * image.height
        if path.exists():
            counts += np.bincount(label_maps.read(path).ravel(), minlength=256)
    painted = counts[1 : 1 + MOST_IDS]
    assert not painted[n_clusters:].any(), "a label map holds a cluster that there is not"
    share = int(counts[1:IGNORE].sum()) / total if total else None
    return {"foreground": share, **of_sizes(painted[:n_clusters].tolist())}


def of_run(job: Job) -> dict[str, Numbers]:
    """Return {stage: {name: number}} of the stages that are complete and current.

    A stage that was made before there were numbers has None for each.
    """
    outputs = Outputs(job)
    names = [name for name in NAMES if name != RECLUSTER or job.settings.cluster.again]
    known = read(job.folder)
    return {name: known[name] for name in names if name in known and not outputs.others(name)}


def read(folder: RunFolder) -> dict[str, Numbers]:
    """Return {stage: {name: number}} of the stages that are complete, whether current or not.

    For programs that compare runs: numbers are rounded to 4 digits, None where there is none.

    Raises:
        RunError: a stage.json is damaged.
    """
    entries = {stage: record.read(folder.stage(stage).record) for stage in NAMES}
    return {
        stage: {name: entry.numbers.get(name) for name in NAMES[stage]}
        for stage, entry in entries.items()
        if entry is not None
    }


def rows_of(numbers: Mapping[str, Numbers]) -> list[dict[str, Any]]:
    """Return numbers of a run as metrics.json has them: {"stage", "name", "value"}."""
    return [
        {"stage": stage, "name": name, "value": value}
        for stage, found in numbers.items()
        for name, value in found.items()
    ]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows of `rows_of` as a table for people, a line a stage; "" where no stage has any."""
    if not rows:
        return ""
    numbers: dict[str, Numbers] = {}
    for row in rows:
        numbers.setdefault(row["stage"], {})[row["name"]] = row["value"]
    head = ["without ground truth", "what the stage says of itself"]
    return tables.markdown([head, *([stage, line(stage, of)] for stage, of in numbers.items())])


def line(stage: str, numbers: Mapping[str, float | None]) -> str:
    """Return the numbers of a stage as one line of text; what there is none of is a dash.

    >>> line("cluster", {"entropy": 0.8412, "effective_clusters": 12.43, "clusters": 20})
    'clusters as even as 12.4 equal ones of 20 (entropy 0.841)'
    """
    of = {name: numbers.get(name) for name in NAMES[stage]}
    parts = []
    if "found_again" in of:
        parts.append(f"found again {_shown(of['found_again'])} of the training masks")
    if "agreement" in of:
        what = "pixels" if stage in ("label", "segment") else "masks"
        if of["agreement"] is not None:
            what += f", {of['agreement_pictures']} pictures"
        parts.append(f"agreement with the mirrored picture {_shown(of['agreement'])} ({what})")
    if "masks_per_picture" in of:
        parts.append(f"{_shown(of['masks_per_picture'], 2)} masks a picture")
    if "foreground" in of:
        parts.append(f"foreground {_shown(of['foreground'])} of all pixels")
    if of.get("min_score") is not None:
        parts.append(f"detections from {of['min_score']:g} on, as painted")
    if "entropy" in of:
        even = f"{_shown(of['effective_clusters'], 1)} equal ones of {_shown(of['clusters'], 0)}"
        parts.append(f"clusters as even as {even} (entropy {_shown(of['entropy'])})")
    return "; ".join(parts)


def tell(job: Job, stage: str) -> None:
    """Say the numbers of a complete stage; nothing of one that has none."""
    entry = record.read(job.folder.stage(stage).record) if stage in NAMES else None
    if entry is not None and entry.numbers:
        job.progress.say(f"{stage}: {line(stage, entry.numbers)}")


def _shown(value: float | None, digits: int = 3) -> str:
    return NONE if value is None else f"{value:.{digits}f}"
