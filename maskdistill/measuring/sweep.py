"""sweep: method x block x facet x centring on a few pictures, to see what a new backbone needs.

In:   images.jsonl, the pictures, ground truth where there is some
Out:  sweep/table.json; nothing of the run is changed
"""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from maskdistill.artifacts import ground_truth
from maskdistill.discovery.find import PictureFeatures, discover, features_of
from maskdistill.discovery.recipe import METHODS, Input, Recipe, recipe_of
from maskdistill.engine import networks
from maskdistill.engine.job import Image, Job
from maskdistill.engine.picture_loop import over_pictures
from maskdistill.engine.stage import upstream
from maskdistill.errors import PictureError, SettingsError
from maskdistill.evaluation import corloc
from maskdistill.masks import rle
from maskdistill.masks.boxes import boxes_from_masks
from maskdistill.memory import in_halves
from maskdistill.runs import atomic
from maskdistill.runs.fingerprints import digest
from maskdistill.settings import as_dict
from maskdistill.settings.propose import Method, ProposeSettings
from maskdistill.settings.run import HANDCRAFTED
from maskdistill.types import FACETS, Facet, Rle

CROP = 0.1  # of each side, cut off all around, for the agreement under crops
FORMAT = 2  # of the records and of table.json: 2 has coverage, and null for no agreement


@dataclass(frozen=True)
class Grid:
    """Describe the grid: every combination of these is tried."""

    methods: tuple[Method, ...] = tuple(METHODS)
    blocks: tuple[int, ...] = (-1, -2, -3, -4)
    facets: tuple[Facet, ...] = FACETS
    centred: tuple[bool, ...] = (False, True)


@dataclass(frozen=True)
class Trial:
    """Describe one combination of the grid."""

    method: Method
    block: int
    facet: Facet
    centred: bool


def work(job: Job, *, grid: Grid, n_pictures: int) -> list[dict[str, Any]]:
    """Return a row a combination, the best first: by CorLoc with ground truth, else by agreement.

    Returns:
        With ground truth: CorLoc and mean_best_iou. Without: flips and crops, the mean IoU of each
        mask with the most like one found in the mirrored and in the cropped picture, over the
        pictures where either of the two has a mask; None where none has, because nothing found
        twice is no agreement. Always: coverage (share of the pictures with a mask), masks (a
        picture), area (mean share of the picture). A combination without a mask is last.
    Raises:
        SettingsError: the grid names what there is not. PictureError: no picture can be read.
        RunError: the run is not scanned.
    """
    upstream(job, "scan")
    trials = _trials(job, grid)
    images, joined = _chosen(job, n_pictures)
    folder = job.folder.sweep
    key = digest(
        {
            "format": FORMAT,
            "trials": [vars(trial) for trial in trials],
            "images": [image.sha256 for image in images],
            "truth": [joined.get(image.id) for image in images],
            "settings": as_dict(job.settings.propose),
            "precision": job.settings.precision,
            "weights": networks.digest(job, "propose", job.settings.propose.backbone),
        }
    )
    plan = folder.parts.plan
    if plan.exists() and json.loads(plan.read_text(encoding="utf-8")) != key:
        shutil.rmtree(folder.parts.path)
    atomic.make_folder(folder.parts.path)
    atomic.write_json(plan, key)
    network = networks.backbone(job, "propose", job.settings.propose.backbone)

    def describe(image: Image, rgb: np.ndarray) -> dict[str, Any]:
        """Return the numbers of all trials in one picture."""
        truth = joined.get(image.id)
        own = _masks(job, network, rgb, trials)
        others = (
            []
            if truth is not None
            else [_flipped(job, network, rgb, trials), _cropped(job, network, rgb, trials)]
        )
        return {"trials": [_measured(trial, own, others, truth) for trial in range(len(trials))]}

    with over_pictures(job, folder, images, describe, title="sweep") as journal:
        records = [entry["trials"] for _, entry in journal.records() if "refused" not in entry]
    if not records:
        raise PictureError(
            f"{job.roots['pictures']}: none of the {len(images)} pictures of the sweep can be read"
        )
    rows = [
        _row(trial, [record[number] for record in records]) for number, trial in enumerate(trials)
    ]
    rows.sort(key=lambda row: (row["coverage"] == 0, -_goodness(row)))
    table = {"format": FORMAT, "pictures": len(records), "rows": rows}
    atomic.write_json(folder.table, table)
    shutil.rmtree(folder.parts.path, ignore_errors=True)
    return rows


def _trials(job: Job, grid: Grid) -> list[Trial]:
    """Return the combinations of the grid; of handcrafted features only those that it has.

    Raises:
        SettingsError: a method or facet that there is not.
    """
    unknown = [*(set(grid.methods) - set(METHODS)), *(set(grid.facets) - set(FACETS))]
    if unknown:
        raise SettingsError(
            f"sweep: there is no {', '.join(sorted(unknown))}. "
            f"Methods: {', '.join(METHODS)}; facets: {', '.join(FACETS)}"
        )
    blocks, facets = grid.blocks, grid.facets
    if job.settings.propose.backbone == HANDCRAFTED:
        blocks, facets = (-1,), tuple(facet for facet in facets if facet != "values")
    return [Trial(*each) for each in itertools.product(grid.methods, blocks, facets, grid.centred)]


def _chosen(job: Job, n_pictures: int) -> tuple[list[Image], dict[int, list[Rle]]]:
    """Return pictures spread over the folder, and their objects.

    Where there is ground truth, pictures with objects alone are taken; crowds are no objects.

    Returns:
        The pictures, and image id -> its objects, of all pictures that have any.
    """
    joined: dict[int, list[Rle]] = {}
    sources, _ = ground_truth.read(job)
    ground_truth.tell(job, sources, stage="propose")
    for image, source, key in ground_truth.join(job, sources, job.images) if sources else []:
        seen = source.objects.get(key)
        rles = [row["rle"] for row in seen.masked if not row["crowd"]] if seen else []
        if rles:
            joined[image.id] = rles
    images = [image for image in job.images if image.id in joined] if joined else job.images
    picked = np.unique(
        np.linspace(0, len(images) - 1, min(n_pictures, len(images))).round().astype(int)
    )
    return [images[number] for number in picked], joined


def _masks(job: Job, network: Any, rgb: np.ndarray, trials: list[Trial]) -> list[np.ndarray]:
    """Return the masks (n, H, W) bool of each trial by falling score.

    The backbone sees the picture once for each block and way of being shown.
    """
    recipes = [_recipe(job.settings.propose, trial) for trial in trials]
    # Of every block all that any of its trials reads, in one pass for each way of being shown.
    want: dict[int, set[str]] = {}
    for recipe in recipes:
        want.setdefault(recipe.block, set()).update(recipe.want)
    seen: dict[tuple[Input, int], PictureFeatures | None] = {}
    masks = []
    for recipe in recipes:
        key = recipe.shown, recipe.block
        if key not in seen:
            seen[key] = _features(network, rgb, *key, sorted(want[recipe.block]))
        found = discover(
            lambda: rgb,
            size=rgb.shape[:2],
            backbone=network,
            recipe=recipe,
            features=seen[key],
        )
        masks.append(found.masks[found.best_first])
    return masks


def _features(
    network: Any, rgb: np.ndarray, shown: Input, block: int, want: list[str]
) -> PictureFeatures | None:
    """Return the features of a picture; None where they do not fit into memory."""
    ready = shown.prepare(rgb, backbone=network)
    (found,) = in_halves([ready], lambda some: features_of(some, network, block=block, want=want))
    return found


def _recipe(settings: ProposeSettings, trial: Trial) -> Recipe:
    """Return the recipe of the settings, the trial's values in place of theirs."""
    tried = replace(
        settings,
        method=trial.method,
        block=trial.block,
        facet=trial.facet,
        centre_keys="yes" if trial.centred else "no",
        # Combinations are compared, not outlines: a CRF of each mask would take most of the time.
        pixels="nearest" if settings.pixels == "crf" else settings.pixels,
    )
    return recipe_of(tried)


def _flipped(
    job: Job, network: Any, rgb: np.ndarray, trials: list[Trial]
) -> tuple[Any, list[np.ndarray]]:
    """Return where in the picture masks are compared, and the masks of its mirror, turned back."""
    masks = _masks(job, network, np.ascontiguousarray(rgb[:, ::-1]), trials)
    return (slice(None), slice(None)), [each[:, :, ::-1] for each in masks]


def _cropped(
    job: Job, network: Any, rgb: np.ndarray, trials: list[Trial]
) -> tuple[Any, list[np.ndarray]]:
    """Return where in the picture masks are compared, and the masks of that part alone."""
    down, right = (int(CROP * side) for side in rgb.shape[:2])
    inner = (slice(down, rgb.shape[0] - down), slice(right, rgb.shape[1] - right))
    return inner, _masks(job, network, np.ascontiguousarray(rgb[inner]), trials)


def _measured(
    trial: int, own: list[np.ndarray], others: list[Any], truth: list[Rle] | None
) -> dict[str, Any]:
    """Return the numbers of one trial in one picture.

    Args:
        trial: its place among the trials.
        own: masks (n, H, W) bool of each trial.
        others: of the mirrored and of the cropped picture the place of comparison and the masks of
            each trial; none with ground truth.
        truth: objects of the picture; None: no ground truth.
    """
    masks = own[trial]
    measured: dict[str, Any] = {
        "masks": len(masks),
        "area": float(masks.mean(axis=(1, 2)).mean()) if len(masks) else 0.0,
    }
    if truth is not None:
        box = boxes_from_masks(masks[:1])[0] if len(masks) else None
        best = rle.iou(rle.encode(masks), truth).max(axis=0) if len(masks) else np.zeros(len(truth))
        measured |= {
            "hit": corloc.hits([box], [rle.boxes(truth)])[0],
            "best": [float(value) for value in best],
        }
    for name, (place, found) in zip(("flips", "crops"), others, strict=False):
        here = masks[(slice(None), *place)]
        measured[name] = _agreement(here[here.any(axis=(1, 2))], found[trial])
    return measured


def _agreement(one: np.ndarray, other: np.ndarray) -> float | None:
    """Return the mean over both sides' masks of the IoU with the most like one of the other side.

    Args:
        one, other: (n, H, W) bool of one size.
    Returns:
        0 where one side alone has masks; None where neither has.
    """
    if not len(one) and not len(other):
        return None
    if not len(one) or not len(other):
        return 0.0
    overlap = rle.iou(
        rle.encode(np.ascontiguousarray(one)), rle.encode(np.ascontiguousarray(other))
    )
    return float((overlap.max(axis=1).mean() + overlap.max(axis=0).mean()) / 2)


def _row(trial: Trial, measured: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the row of a combination: its means over one picture or more."""
    row: dict[str, Any] = {
        "method": trial.method,
        "block": trial.block,
        "facet": trial.facet,
        "centred": trial.centred,
    }
    if "hit" in measured[0]:
        row["CorLoc"] = corloc.share([each["hit"] for each in measured])
        row["mean_best_iou"] = float(
            np.mean([value for each in measured for value in each["best"]])
        )
    else:
        for name in ("flips", "crops"):
            found = [each[name] for each in measured if each[name] is not None]
            row[name] = float(np.mean(found)) if found else None
    row["coverage"] = float(np.mean([each["masks"] > 0 for each in measured]))
    for name in ("masks", "area"):
        row[name] = float(np.mean([each[name] for each in measured]))
    return row


def _goodness(row: dict[str, Any]) -> float:
    """Return the number that rows are sorted by, in [0, 1]; 0 where there is none."""
    if "CorLoc" in row:
        return float(row["CorLoc"])
    known = [row[name] for name in ("flips", "crops") if row[name] is not None]
    # Agreement counts where something is found alone: one lucky mask in many pictures is little.
    return float(np.mean(known)) * row["coverage"] if known else 0.0
