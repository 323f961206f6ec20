"""sweep: method x block x facet x centring x scale on a few pictures, the best first.

In:   images.jsonl, the pictures, ground truth where there is some
Out:  sweep/table.json; nothing of the run is changed
"""

from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from maskdistill.artifacts import ground_truth
from maskdistill.engine import networks
from maskdistill.engine.job import Image, Job
from maskdistill.engine.picture_loop import over_pictures
from maskdistill.engine.stage import upstream
from maskdistill.errors import PictureError
from maskdistill.evaluation import corloc
from maskdistill.measuring import sweep_views
from maskdistill.measuring.sweep_trials import Trial, recipe
from maskdistill.proposals import judging
from maskdistill.runs import atomic
from maskdistill.runs.fingerprints import digest
from maskdistill.settings import as_dict
from maskdistill.types import Rle

FORMAT = 3  # of the records and of table.json: 3 has scale, chance, foretold, trust, votes


def work(
    job: Job, *, trials: list[Trial], n_pictures: int, with_truth: bool = True
) -> list[dict[str, Any]]:
    """Return a row a combination, the best first: by CorLoc with ground truth, else by votes.

    Args:
        trials: what is tried.
        n_pictures: that are looked at, spread over the folder.
        with_truth: rank by ground truth where the run has some.
    Returns:
        With ground truth: CorLoc and mean_best_iou. Without: flips and crops, the mean IoU of the
        best mask with that of the mirrored and of the cropped picture, over the pictures where
        either has one; None where none has, because nothing found twice is no agreement; chance,
        the same with other pictures' masks; foretold, how well a linear head tells the masks of one
        half of the pictures by those of the other (a correlation), None where none can be told;
        trust, made of these (`judging.Judged.trust`); and votes, how many of the trusted
        combinations find the same (`judging.votes`), by which they are ranked, of equals by trust.
        Always: coverage (share of the pictures with a mask), masks (a picture), area (mean share of
        the picture); without ground truth two masks are looked for at most. A combination without a
        mask is last; of equals the first tried is first.
    Raises:
        PictureError: no picture can be read.
        RunError: the run is not scanned.
    """
    upstream(job, "scan")
    own = job.settings.propose
    images, joined = _chosen(job, n_pictures, with_truth=with_truth)
    folder = job.folder.sweep
    key = _key(job, trials, images, joined)
    plan = folder.parts.plan
    if plan.exists() and json.loads(plan.read_text(encoding="utf-8")) != key:
        shutil.rmtree(folder.parts.path)
    atomic.make_folder(folder.parts.path)
    atomic.write_json(plan, key)
    network = networks.backbone(job, "propose", own.backbone)
    most_masks = None if joined else sweep_views.MOST_MASKS
    recipes = [recipe(own, trial, most_masks=most_masks) for trial in trials]

    def describe(image: Image, rgb: np.ndarray) -> dict[str, Any]:
        """Return what all trials find in one picture."""
        truth = joined.get(image.id)
        if truth is not None:
            return sweep_views.with_truth(network, rgb, recipes, truth)
        return sweep_views.without_truth(network, rgb, recipes)

    # One thread of the BLAS, as in propose: more would fight over the cores, and move last bits.
    with (
        threadpool_limits(1, user_api="blas"),
        over_pictures(job, folder, images, describe, title="sweep") as journal,
    ):
        records = [entry for _, entry in journal.records() if "refused" not in entry]
    if not records:
        raise PictureError(
            f"{job.roots['pictures']}: none of the {len(images)} pictures of the sweep can be read"
        )
    with threadpool_limits(1, user_api="blas"):
        rows = rows_of(trials, records)
    table = {"format": FORMAT, "pictures": len(records), "rows": rows}
    atomic.write_json(folder.table, table)
    shutil.rmtree(folder.parts.path, ignore_errors=True)
    return rows


def key_of(job: Job, *, trials: list[Trial], n_pictures: int) -> str:
    """Return the digest of all that the rows of a sweep without ground truth depend on."""
    images, joined = _chosen(job, n_pictures, with_truth=False)
    return _key(job, trials, images, joined)


def _key(job: Job, trials: list[Trial], images: list[Image], joined: dict[int, list[Rle]]) -> str:
    own = job.settings.propose
    return digest(
        {
            "format": FORMAT,
            "trials": [vars(trial) for trial in trials],
            "images": [image.sha256 for image in images],
            "truth": [joined.get(image.id) for image in images],
            "settings": as_dict(own),
            "precision": job.settings.precision,
            "weights": networks.digest(job, "propose", own.backbone),
        }
    )


def rows_of(trials: list[Trial], records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of trials, the best first.

    Args:
        records: of one picture or more, as `sweep_views` makes them.
    """
    by_trial = [[record["trials"][number] for record in records] for number in range(len(trials))]
    if has_truth := "hit" in by_trial[0][0]:
        numbers = [_by_truth(measured) for measured in by_trial]
    else:
        numbers = _by_itself(records, len(trials))
    rows = []
    for trial, measured, found in zip(trials, by_trial, numbers, strict=True):
        row = {**vars(trial), **found}
        row["coverage"] = float(np.mean([each["masks"] > 0 for each in measured]))
        for name in ("masks", "area"):
            row[name] = float(np.mean([each[name] for each in measured]))
        rows.append(row)
    by = ("CorLoc",) if has_truth else ("votes", "trust")
    return sorted(rows, key=lambda row: (row["coverage"] == 0, *(-row[name] for name in by)))


def _by_truth(measured: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the numbers of a trial over pictures with ground truth."""
    return {
        "CorLoc": corloc.share([each["hit"] for each in measured]),
        "mean_best_iou": float(np.mean([value for each in measured for value in each["best"]])),
    }


def _by_itself(records: list[dict[str, Any]], n_trials: int) -> list[dict[str, Any]]:
    """Return the numbers of each trial over pictures without ground truth."""
    tokens = sweep_views.tokens_of(records)
    every = [sweep_views.masks_of(records, number) for number in range(n_trials)]
    judged = [judging.judged(masks, tokens) for masks in every]
    trust = np.array([each.trust for each in judged])
    votes = judging.votes(np.stack([masks["own"] for masks in every]), trust)
    return [
        {
            "flips": _mean(each.flips),
            "crops": _mean(each.crops),
            "chance": float(each.chance.mean()),
            "foretold": _mean(each.foretold),
            "trust": each.trust,
            "votes": float(agreeing),
        }
        for each, agreeing in zip(judged, votes, strict=True)
    ]


def _mean(values: np.ndarray) -> float | None:
    """Return the mean of what is known; None where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _chosen(
    job: Job, n_pictures: int, *, with_truth: bool
) -> tuple[list[Image], dict[int, list[Rle]]]:
    """Return pictures spread over the folder, and their objects.

    Where there is ground truth, pictures with objects alone are taken; crowds are no objects.

    Returns:
        The pictures, and image id -> its objects, of all pictures that have any.
    """
    joined: dict[int, list[Rle]] = {}
    sources: list[Any] = []
    if with_truth:
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
