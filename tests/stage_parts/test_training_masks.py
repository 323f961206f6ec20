"""The masks that a detector learns from, and how many of them its best detections meet."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from maskdistill import api
from maskdistill.engine.job import Image, Job
from maskdistill.masks import rle
from maskdistill.runs.layout import DetectFolder, RunFolder
from maskdistill.settings import load, resolve
from maskdistill.stage_parts.training_masks import TrainedOn
from maskdistill.stages import detect
from tests.stage_parts.test_device_batches import opened
from tests.tiny_runs import TinyRun


def square(left: int, score: float = 0.9) -> dict:
    mask = np.zeros((1, 20, 60), bool)
    mask[0, 5:15, left : left + 10] = True
    return {
        "rle": rle.encode(mask)[0],
        "box": [left, 5, left + 10, 15],
        "area": 100,
        "score": score,
    }


def write(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Make two pictures to learn from, one held out; of their masks two are not learnt from."""
    made = Job.alone(resolve(load({"detect": {"min_proposal_score": 0.5}})))
    made.folder = RunFolder(tmp_path)
    shared = {"width": 60, "height": 20, "orientation": 1, "bytes": 9, "sha256": ""}
    splits = ("train", "train", "validation")
    made._images = [
        Image(id=n, path=f"{n}.png", split=split, **shared) for n, split in enumerate(splits, 1)
    ]
    own = [[square(0), square(20), square(40, score=0.4)], [square(10), square(30)], [square(0)]]
    write(
        RunFolder(tmp_path).propose.masks,
        [{"id": n, "masks": masks} for n, masks in enumerate(own, 1)],
    )
    rows = [
        {"id": n, "mask": at, "cluster": at}
        for n, masks in enumerate(own, 1)
        for at in range(len(masks))
    ]
    rows[4]["left_out"] = "far"
    write(tmp_path / RunFolder(tmp_path).cluster.clusters, rows)
    return made


def test_masks_of_low_score_and_noise_are_not_learnt_from(job: Job) -> None:
    given = TrainedOn(job)
    assert [image.id for image in given.images] == [1, 2]
    found = [given.of(image) for image in given.images]
    assert [[mask["box"][0] for mask in masks] for masks, _ in found] == [[0, 20], [10]]
    assert [clusters.tolist() for _, clusters in found] == [[0, 1], [0]]


def test_a_mask_is_found_again_where_it_is_among_as_many_best_detections(
    job: Job, tmp_path: Path
) -> None:
    best = [
        [square(21, 0.8), square(41, 0.7), square(0, 0.6)],
        [square(14, 0.9), square(10, 0.8)],
        [square(0)],
    ]
    write(
        tmp_path / "detect" / "detections.jsonl",
        [{"id": n, "masks": masks} for n, masks in enumerate(best, 1)],
    )
    # 20 is met by the first; 0 by the third alone, where two count; 10 is met by too little, and
    # then by the second.
    assert TrainedOn(job).found_again(tmp_path / "detect" / "detections.jsonl") == (3, 1)
    write(
        tmp_path / "detect" / "detections.jsonl",
        [{"id": n, "masks": masks} for n, masks in enumerate(best[::-1], 1)],
    )
    assert TrainedOn(job).found_again(tmp_path / "detect" / "detections.jsonl") == (3, 1)
    write(tmp_path / "detect" / "detections.jsonl", [{"id": n, "masks": []} for n in (1, 2, 3)])
    assert TrainedOn(job).found_again(tmp_path / "detect" / "detections.jsonl") == (3, 0)


@pytest.fixture
def ran(tiny: TinyRun, tmp_path: Path) -> Job:
    out = Path(shutil.copytree(tiny.out, tmp_path / "copy"))
    return opened(out, tiny.settings, pictures=tiny.pictures, validation=tiny.validation)


def test_a_run_whose_proposals_or_clusters_are_gone_or_others_has_nothing_to_find_again(
    ran: Job, tmp_path: Path
) -> None:
    given = TrainedOn.of_run(ran)
    assert given is not None
    assert len(given.images) == 10
    for name in ("propose", "cluster"):
        file = ran.folder.stage(name).record
        whole = file.read_text("utf-8")
        entry = json.loads(whole)
        file.write_text(json.dumps({**entry, "fingerprint": "of another"}), encoding="utf-8")
        assert TrainedOn.of_run(ran) is None
        file.unlink()
        assert TrainedOn.of_run(ran) is None
        file.write_text(whole, encoding="utf-8")


def test_what_is_recorded_of_detections_does_not_depend_on_what_their_fingerprint_does_not_name(
    ran: Job, tmp_path: Path
) -> None:
    with_masks = detect.detect(ran, DetectFolder(tmp_path / "with", tmp_path / "with"))
    for name in ("propose", "cluster"):
        shutil.rmtree(ran.folder.stage(name).path)
    without = detect.detect(ran, DetectFolder(tmp_path / "without", tmp_path / "without"))
    assert without.counts == with_masks.counts


def test_the_page_says_how_many_masks_are_found_again_though_no_record_does(ran: Job) -> None:
    given = TrainedOn.of_run(ran)
    assert given is not None
    n_masks, n_met = given.found_again(ran.folder.detect.masks)
    assert n_masks > 0
    page = api.report(out=ran.folder.root).read_text(encoding="utf-8")
    assert re.search(rf"{n_masks}</b> trained_on\b", page)
    assert re.search(rf"{n_met}</b> found_again\b", page)
