"""Which pictures of a run have which truth."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from maskdistill import api
from maskdistill.artifacts import ground_truth
from maskdistill.engine.job import Job
from maskdistill.errors import GroundTruthError
from maskdistill.masks import rle
from maskdistill.runs.layout import RunFolder
from maskdistill.runs.ledger import Ledger
from maskdistill.runs.progress import Progress
from maskdistill.settings import load, resolve
from tests.tiny_runs import BY_HAND, SMALL_SIZE


@pytest.fixture
def job(small, tmp_path: Path) -> Job:
    """Six pictures, two of them held out, and a truth that knows five of them."""
    pictures, truth = small
    out = tmp_path / "run"
    (tmp_path / "held-out.txt").write_text("p0005.png\np0006.png\n")
    settings = {**BY_HAND, "validation": str(tmp_path / "held-out.txt")}
    api.run(pictures=pictures, out=out, settings=settings, until="scan", quiet=True)
    kept = {**truth, "images": truth["images"][1:]}
    ids = {row["id"] for row in kept["images"]}
    kept["annotations"] = [row for row in truth["annotations"] if row["image_id"] in ids]
    (tmp_path / "truth.json").write_text(json.dumps(kept))
    given = resolve(load({**settings, "ground_truth": [str(tmp_path / "truth.json")]}))
    folder = RunFolder(out)
    ledger, roots = Ledger(folder.ledger), {"pictures": pictures}
    return Job(given, folder=folder, ledger=ledger, progress=Progress(quiet=True), roots=roots)


def warnings(job: Job) -> list[str]:
    return [row["what"] for row in job.ledger.read() if row["event"] == "warning"]


def test_each_split_has_its_pictures_that_are_known_and_the_others_are_counted(job) -> None:
    sources, _ = ground_truth.read(job)
    joined = ground_truth.by_split(job, sources, early=True)
    paths = {split: [known.image.path for known in each] for split, each in joined.items()}
    assert paths == {
        "train": ["p0002.png", "p0003.png", "p0004.png"],
        "validation": ["p0005.png", "p0006.png"],
    }
    assert warnings(job) == []
    ground_truth.by_split(job, sources)
    assert warnings(job) == ["1 of 4 pictures have no ground truth"]


def test_objects_and_the_label_map_of_a_picture_are_of_one_truth(job) -> None:
    known = ground_truth.by_split(job, ground_truth.read(job)[0])["train"][0]
    assert known.has_objects
    objects, label_map = known.objects(), known.label_map()
    assert label_map.shape == SMALL_SIZE
    masks = rle.decode([row["rle"] for row in objects], size=SMALL_SIZE)
    np.testing.assert_array_equal(label_map > 0, masks.any(axis=0))
    assert set(np.unique(label_map)) - {0} <= {row["category"] for row in objects}


def test_a_folder_of_label_maps_may_lack_the_last_classes_and_tells_no_objects(job, tmp_path):
    for folder, value in (("one", 1), ("two", 2)):
        (tmp_path / folder).mkdir()
        label_map = np.zeros(SMALL_SIZE, np.uint8)
        label_map[3:9, 3:9] = value
        Picture.fromarray(label_map).save(tmp_path / folder / f"p000{value}.png")
    folders = [str(tmp_path / folder) for folder in ("one", "two")]
    sources, names = ground_truth.read(job, folders)
    assert names == ["class 1", "class 2"]
    known = ground_truth.join(job, sources, job.images, partial=True)
    assert [each.has_objects for each in known] == [False, False]
    assert [int(each.label_map().max()) for each in known] == [1, 2]
    with pytest.raises(GroundTruthError, match="names other classes than another ground truth"):
        ground_truth.read(job, [*job.settings.ground_truth, *folders])


def test_a_truth_of_another_size_is_named(job, tmp_path) -> None:
    (tmp_path / "maps").mkdir()
    Picture.fromarray(np.zeros((5, 7), np.uint8)).save(tmp_path / "maps" / "p0001.png")
    sources, _ = ground_truth.read(job, [str(tmp_path / "maps")])
    with pytest.raises(GroundTruthError, match=r"p0001\.png is 7 x 5 px, its picture .* 56 x 40"):
        ground_truth.by_split(job, sources)
