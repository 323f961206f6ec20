"""VOC in the layouts that people have: splits, label maps, boxes, instances; what is missing."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskdistill import api, cli
from maskdistill.datasets import truth, voc
from maskdistill.datasets.coco import instances_file
from maskdistill.errors import GroundTruthError
from maskdistill.masks import rle
from tests.datasets import trees

NAMES = ("2007_000001", "2007_000002", "2008_000003")
SIZE = (12, 17)


def maps() -> tuple[np.ndarray, np.ndarray]:
    """Return maps of a dog (12) of 4 x 5 px, a person (15) of 3 x 6, void between and around."""
    classes, objects = np.zeros((2, *SIZE), int)
    classes[1:7, 1:8] = objects[1:7, 1:8] = 255
    classes[2:6, 2:7], objects[2:6, 2:7] = 12, 1
    classes[8:11, 9:15], objects[8:11, 9:15] = 15, 2
    return classes, objects


XML = """<annotation><size><width>17</width><height>12</height><depth>3</depth></size>
<object><name>dog</name><truncated>1</truncated><difficult>0</difficult>
<bndbox><xmin>3</xmin><ymin>3</ymin><xmax>7</xmax><ymax>6</ymax></bndbox></object>
<object><name>person</name><difficult>1</difficult>
<bndbox><xmin>10</xmin><ymin>9</ymin><xmax>15</xmax><ymax>11</ymax></bndbox></object>
</annotation>"""


@pytest.fixture
def devkit(tmp_path: Path) -> Path:
    home = tmp_path / "VOCdevkit" / "VOC2012"
    (home / "JPEGImages").mkdir(parents=True)
    (home / "Annotations").mkdir()
    classes, objects = maps()
    for name in NAMES:
        Image.new("RGB", SIZE[::-1]).save(home / "JPEGImages" / f"{name}.jpg")
        trees.save_map(home / "SegmentationClass" / f"{name}.png", classes)
        trees.save_map(home / "SegmentationObject" / f"{name}.png", objects)
        (home / "Annotations" / f"{name}.xml").write_text(XML)
    for folder in ("Main", "Segmentation"):
        (home / "ImageSets" / folder).mkdir(parents=True)
        # No newline at its end.
        (home / "ImageSets" / folder / "train.txt").write_text("\n".join(NAMES[:2]))
        (home / "ImageSets" / folder / "val.txt").write_text(f"{NAMES[2]}\n")
    (home / "ImageSets" / "Main" / "dog_train.txt").write_text(
        "".join(f"{name} -1\n" for name in NAMES)
    )
    return home


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    home = tmp_path / "VOCSegmentation"
    (home / "images").mkdir(parents=True)
    for name in NAMES:
        Image.new("RGB", SIZE[::-1]).save(home / "images" / f"{name}.jpg")
        trees.save_map(home / "SegmentationClassAug" / f"{name}.png", maps()[0])
    (home / "sets").mkdir()
    (home / "sets" / "val_seg.txt").write_text(f"{NAMES[1]}\n")
    (home / "sets" / "train_train.txt").write_text(
        "".join(f"{name}  1\n" for name in reversed(NAMES))
    )
    return home


@pytest.mark.parametrize("above", [".", "..", "../.."])
def test_the_devkit_is_found_from_its_own_folder_and_from_those_above(devkit, above) -> None:
    found = voc.find((devkit / above).resolve())
    assert sorted(found.lists) == [
        "detection/train",
        "detection/val",
        "segmentation/train",
        "segmentation/val",
    ]
    assert found.names("segmentation/train") == list(NAMES[:2])
    assert found.names("detection/val") == [NAMES[2]]
    assert list(found.label_maps(found.names("segmentation/val"))) == [NAMES[2]]


def test_the_single_archive_is_read_by_its_own_lists(archive) -> None:
    found = voc.find(archive)
    assert found.names("train_train") == list(NAMES)  # sorted, the second column passed over
    assert found.label_maps(NAMES)[NAMES[0]].parent.name == "SegmentationClassAug"


def test_a_folder_that_is_neither_or_holds_two_is_refused(devkit, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(GroundTruthError, match="is neither VOC's devkit"):
        voc.find(tmp_path / "empty")
    (devkit.parent / "VOC2007" / "JPEGImages").mkdir(parents=True)
    (devkit.parent / "VOC2007" / "ImageSets").mkdir()
    with pytest.raises(GroundTruthError, match=r"holds several: .*VOC2007, .*VOC2012"):
        voc.find(devkit.parent)


def test_a_missing_split_is_answered_with_those_that_are_there(devkit) -> None:
    with pytest.raises(
        GroundTruthError,
        match=r"no list of the split 'val'\. There are: detection/train, detection/val",
    ):
        voc.find(devkit).names("val")


def test_names_that_stand_twice_are_refused(devkit) -> None:
    (devkit / "ImageSets" / "Main" / "val.txt").write_text(f"{NAMES[0]}\n{NAMES[0]}\n")
    with pytest.raises(GroundTruthError, match=f"1 names stand twice: {NAMES[0]}"):
        voc.find(devkit).names("detection/val")


def test_maps_and_pictures_that_are_missing_are_counted_and_named(devkit) -> None:
    found = voc.find(devkit)
    (devkit / "JPEGImages" / f"{NAMES[1]}.jpg").unlink()
    with pytest.raises(
        GroundTruthError, match=f"the picture of 1 of 3 names is missing: {NAMES[1]}"
    ):
        found.label_maps(NAMES)
    (devkit / "SegmentationClass" / f"{NAMES[0]}.png").unlink()
    with pytest.raises(
        GroundTruthError, match=f"the label map of 1 of 3 names is missing: {NAMES[0]}"
    ):
        found.label_maps(NAMES)


def test_boxes_are_half_open_from_0(devkit) -> None:
    dog, person = voc.boxes(voc.find(devkit), NAMES[0])
    assert (dog.category, dog.box, dog.difficult) == (12, (2, 2, 7, 6), False)
    assert (person.category, person.box, person.difficult) == (15, (9, 8, 15, 11), True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<annotation><object><name>dog</name></object></annotation>",
        XML.replace("dog", "dragon"),
    ],
)
def test_an_xml_that_cannot_be_read_is_named(devkit, text) -> None:
    (devkit / "Annotations" / f"{NAMES[0]}.xml").write_text(text)
    with pytest.raises(GroundTruthError, match=rf"{NAMES[0]}\.xml: cannot be read"):
        voc.boxes(voc.find(devkit), NAMES[0])


def test_objects_become_instances_with_the_class_of_their_pixels(devkit, tmp_path) -> None:
    _, objects = maps()
    made = voc.dataset(voc.find(devkit), "segmentation/train")
    assert [row["file_name"] for row in made["images"]] == [f"{name}.jpg" for name in NAMES[:2]]
    assert [row["id"] for row in made["annotations"]] == [1, 2, 3, 4]
    assert [row["category_id"] for row in made["annotations"]] == [12, 15, 12, 15]
    assert [row["name"] for row in made["categories"]] == list(voc.CLASSES[1:])
    for number, row in enumerate(made["annotations"][:2], 1):
        np.testing.assert_array_equal(rle.decode([row["segmentation"]])[0], objects == number)
        assert row["area"] == (objects == number).sum()
    assert made["annotations"][0]["bbox"] == [2, 2, 5, 4]
    path = tmp_path / "voc.json"
    path.write_text(json.dumps(made))
    assert truth.of_one_list([truth.read(path)])[0] == ["dog", "person"]
    assert instances_file.read(path).notes == []


def test_without_classes_there_is_one_category(devkit) -> None:
    made = voc.dataset(voc.find(devkit), "segmentation/val", class_agnostic=True)
    assert {row["category_id"] for row in made["annotations"]} == {1}
    assert made["categories"] == [{"id": 1, "name": "object"}]


def test_boxes_become_instances_without_masks(devkit, tmp_path) -> None:
    made = voc.dataset(voc.find(devkit), "detection/train", of="boxes")
    assert made["images"][0] | {"id": 0} == {
        "id": 0,
        "file_name": f"{NAMES[0]}.jpg",
        "height": 12,
        "width": 17,
    }
    assert [row["bbox"] for row in made["annotations"][:2]] == [[2, 2, 5, 4], [9, 8, 6, 3]]
    assert [row["difficult"] for row in made["annotations"][:2]] == [0, 1]
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(made))
    assert not instances_file.read(path).has_masks
    results = [
        {
            "image_id": row["image_id"],
            "category_id": row["category_id"],
            "bbox": row["bbox"],
            "score": 1,
        }
        for row in made["annotations"]
    ]
    (tmp_path / "results.json").write_text(json.dumps(results))
    score = api.score_instances(
        predictions=tmp_path / "results.json", ground_truth=path, bootstrap=0
    )
    assert (
        next(
            row["value"]
            for row in score.rows
            if row["name"] == "box_AP" and row["stage"] == "score"
        )
        == 1
    )


def test_an_object_without_a_class_or_of_another_size_is_refused(devkit) -> None:
    classes, objects = maps()
    trees.save_map(
        devkit / "SegmentationClass" / f"{NAMES[2]}.png", np.where(classes == 12, 255, classes)
    )
    with pytest.raises(GroundTruthError, match=rf"{NAMES[2]}\.png: object 1 has no class of VOC"):
        voc.dataset(voc.find(devkit), "segmentation/val")
    trees.save_map(devkit / "SegmentationObject" / f"{NAMES[2]}.png", objects[:, :9])
    with pytest.raises(GroundTruthError, match="is 9 x 12 px, its map of classes another size"):
        voc.dataset(voc.find(devkit), "segmentation/val")


def test_trainaug_is_train_and_sbd_without_val(devkit, tmp_path) -> None:
    sbd = tmp_path / "benchmark_RELEASE" / "dataset"
    sbd.mkdir(parents=True)
    (sbd / "train.txt").write_text(f"{NAMES[1]}\n2009_000004\n")
    with pytest.raises(GroundTruthError, match=r"dataset.val\.txt: missing|val\.txt: missing"):
        voc.trainaug(voc.find(devkit), sbd)
    (sbd / "val.txt").write_text(f"{NAMES[2]}\n2010_000005\n")
    wanted = [*NAMES[:2], "2009_000004", "2010_000005"]
    for folder in (sbd, sbd.parent, tmp_path):
        assert voc.trainaug(voc.find(devkit), folder) == wanted


def test_trainaug_of_the_archive_is_its_list_or_its_maps_without_val(archive, devkit) -> None:
    assert voc.trainaug(voc.find(archive)) == [NAMES[0], NAMES[2]]
    (archive / "sets" / "trainaug_seg.txt").write_text(NAMES[0])
    assert voc.trainaug(voc.find(archive)) == [NAMES[0]]
    with pytest.raises(
        GroundTruthError, match=r"trainaug needs SBD\. Give the folder of its lists"
    ):
        voc.trainaug(voc.find(devkit))


def test_the_command_writes_the_instances(devkit, tmp_path, capsys) -> None:
    out = tmp_path / "val.json"
    words = ["data", "voc-instances", str(devkit), "--split", "segmentation/val", "--out", str(out)]
    assert cli.main(words) == 0
    assert capsys.readouterr().out == f"images 1, objects 2\n{out}\n"
    assert json.loads(out.read_text()) == voc.dataset(voc.find(devkit), "segmentation/val")
    assert cli.main(["data", "voc", str(devkit)]) == 2
    assert "there is no 'voc'. There are: voc-instances, voc2012" in capsys.readouterr().err


def test_a_split_alone_is_scored_by_its_list(devkit) -> None:
    chosen = {"ground_truth": devkit / "SegmentationClass", "classes": "voc", "bootstrap": 0}
    names = devkit / "ImageSets" / "Segmentation" / "val.txt"
    score = api.score_semantic(predictions=devkit / "SegmentationClass", only=names, **chosen)
    assert {row["pictures"] for row in score.rows} == {1}
    assert "2 predictions have no ground truth and are not counted" in score.notes[0]
    names.write_text(f"{NAMES[2]}\n2099_000001\n")
    with pytest.raises(
        GroundTruthError, match=r"has no label map of 1 of 2 names of .*val.txt: 2099_000001"
    ):
        api.score_semantic(predictions=devkit / "SegmentationClass", only=names, **chosen)
