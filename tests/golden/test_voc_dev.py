"""Real pictures of VOC 2012 through the reader of the devkit's layout, and label maps against plain loops."""

import json

import numpy as np

from maskdistill import api
from maskdistill.datasets import voc
from maskdistill.datasets.label_maps import map_folder
from maskdistill.evaluation import semantic
from tests.reference import semantic as plain


def test_splits_maps_and_boxes_of_the_devkit(reference):
    found = voc.find(reference / "data" / "voc-dev")
    train, val = found.names("segmentation/train"), found.names("segmentation/val")
    assert (len(train), len(val)) == (14, 40)
    assert found.names("segmentation/trainval") == sorted(train + val)
    maps = found.label_maps(train + val)
    n_inside = n_classes = 0
    for name, path in maps.items():
        label_map = map_folder.read_map(path)
        assert (label_map == 255).any()
        objects = voc.boxes(found, name)
        for which in np.setdiff1d(np.unique(label_map), [0, 255]):
            inside = np.zeros(label_map.shape, bool)
            for each in objects:
                if each.category == which:
                    x1, y1, x2, y2 = map(round, each.box)
                    inside[y1:y2, x1:x2] = True
            n_classes += 1
            n_inside += inside[label_map == which].mean() > 0.95
    assert (n_inside, n_classes) == (155, 157)  # as its README says


def test_a_perturbed_copy_is_scored_as_by_a_loop_over_classes(reference, tmp_path, rng):
    from PIL import Image

    found = voc.find(reference / "data" / "voc-dev")
    counted = np.zeros((3, 21), np.int64)
    for name, path in found.label_maps(found.names("segmentation/val")).items():
        label_map = map_folder.read_map(path)
        moved = np.roll(label_map, tuple(rng.integers(-9, 10, 2)), (0, 1))
        moved = np.where(
            rng.random(moved.shape) < 0.05, rng.integers(0, 23, moved.shape), moved
        ).astype(np.uint8)
        Image.fromarray(moved).save(tmp_path / f"{name}.png")
        counted += plain.loop_over_classes(moved, label_map, 21)
        np.testing.assert_array_equal(
            np.diag(semantic.confusion(moved, label_map, 21)[:, :21]),
            plain.loop_over_classes(moved, label_map, 21)[0],
        )
    score = api.score_semantic(
        predictions=tmp_path,
        ground_truth=found.class_maps,
        classes="voc",
        only=found.lists["segmentation/val"],
        bootstrap=0,
    )
    right, false, missed = counted
    values = {row["name"]: row["value"] for row in score.rows if row["stage"] == "score"}
    for which, name in enumerate(voc.CLASSES):
        assert abs(values[f"IoU/{name}"] - right[which] / (right + false + missed)[which]) < 1e-12
    assert abs(values["mIoU"] - (right / (right + false + missed)).mean()) < 1e-12


def test_a_run_takes_its_split_from_the_devkits_lists(reference, tmp_path):
    found = voc.find(reference / "data" / "voc-dev")
    lists = {"only": "segmentation/train", "validation": "segmentation/val"}
    settings = {name: str(found.lists[split]) for name, split in lists.items()}
    api.scan(pictures=found.pictures, out=tmp_path / "run", settings={**settings, "threads": 1})
    rows = [
        json.loads(line) for line in (tmp_path / "run" / "images.jsonl").read_text().splitlines()
    ]
    for split, name in (("train", "segmentation/train"), ("validation", "segmentation/val")):
        assert [row["path"] for row in rows if row["split"] == split] == [
            f"{each}.jpg" for each in found.names(name)
        ]
