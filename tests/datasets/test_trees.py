"""The made trees are what the readers take for the originals' layouts."""

import json

import numpy as np
import scipy.io

from maskdistill.datasets import voc
from maskdistill.datasets.coco import instances_file
from maskdistill.datasets.label_maps import map_folder
from tests.datasets import trees


def test_the_devkit_with_sbd_has_its_splits_maps_and_boxes(tmp_path):
    home = trees.voc(tmp_path)
    found = voc.find(tmp_path)
    assert found.root == home
    assert len(found.names("segmentation/train")) == 4
    assert len(found.names("segmentation/val")) == 3
    only_segmentation = set(found.names("segmentation/val")) - set(
        found.names("detection/trainval")
    )
    assert len(only_segmentation) == 1
    masks = voc.dataset(found, "segmentation/trainval")
    boxes = voc.dataset(found, "segmentation/trainval", of="boxes")
    assert len(masks["annotations"]) == len(boxes["annotations"]) > 7
    n_near = 0
    for mask, box in zip(masks["annotations"], boxes["annotations"], strict=True):
        assert mask["category_id"] == box["category_id"]
        # The rim is void, so a mask's box lies 1 px inside the one of the XML, or 2 where another
        # object covers it.
        n_near += bool(np.abs(np.array(mask["bbox"]) - box["bbox"]).max() <= 4)
    assert n_near == len(masks["annotations"])
    own = trees.sbd(tmp_path, home)
    trainaug = voc.trainaug(found, own)
    assert set(found.names("segmentation/train")) < set(trainaug)
    assert not set(trainaug) & set(found.names("segmentation/val"))
    assert len(trainaug) == 4 + 4
    mat = scipy.io.loadmat(own / "benchmark_RELEASE" / "dataset" / "cls" / f"{trainaug[0]}.mat")
    inside = mat["GTcls"][0]["Segmentation"][0]  # as torchvision's SBDataset reads it
    label_map = map_folder.read_map(found.class_maps / f"{trainaug[0]}.png")
    np.testing.assert_array_equal(inside[label_map != 255], label_map[label_map != 255])


def test_the_devkit_of_2007_has_a_test_split(tmp_path):
    trees.voc(tmp_path, year=2007)
    found = voc.find(tmp_path)
    assert len(found.names("segmentation/test")) == len(found.names("detection/test")) == 3
    assert not set(found.names("detection/test")) & set(found.names("detection/trainval"))


def test_the_single_archive_names_the_same_trainaug(tmp_path):
    home = trees.voc(tmp_path)
    own = trees.sbd(tmp_path, home)
    single = voc.find(trees.archive(tmp_path, home, own))
    assert voc.trainaug(single) == voc.trainaug(voc.find(home), own)
    assert len(single.names("train_all")) == 11
    assert single.label_maps(single.names("val_seg"))


def test_coco_has_polygons_and_a_crowd(tmp_path):
    path = trees.coco(tmp_path)
    found = instances_file.read(path)
    assert found.notes == ["2 of 17 annotations are crowds, here no objects"]
    assert found.has_masks
    assert sum(row["crowd"] for rows in found.objects.values() for row in rows) >= 1
    assert all((path.parents[1] / "train2014" / name).is_file() for name in found.files.values())
    assert next(iter(found.files.values())) == "COCO_train2014_000000000009.jpg"
    newer = json.loads(trees.coco(tmp_path, split="val2017").read_text())
    assert newer["images"][0]["file_name"] == "000000000009.jpg"
