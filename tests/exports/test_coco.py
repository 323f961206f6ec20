import io
import json
import tracemalloc

import numpy as np
import pytest
from pycocotools import mask as judge
from pycocotools.coco import COCO

from maskdistill.exports import coco
from maskdistill.masks import rle
from maskdistill.masks.polygons import polygons_from_mask

NAMES = ["Käfer", "cluster 1", "海"]


def line(image_id: int, masks: np.ndarray, clusters: list[int] | None) -> dict:
    rles = rle.encode(masks)
    found = [
        {"rle": each, "box": [float(edge) for edge in box], "area": int(area), "score": 0.5}
        for each, box, area in zip(rles, rle.boxes(rles), rle.areas(rles), strict=True)
    ]
    for number, cluster in enumerate(clusters or []):
        found[number]["cluster"] = cluster
    return {"id": image_id, "masks": found}


def image(image_id: int, path: str, size: tuple[int, int]) -> dict:
    return {
        "id": image_id,
        "path": path,
        "width": size[1],
        "height": size[0],
        "sha256": "0" * 64,
        "split": "train",
    }


def opened(tmp_path, images, lines, names) -> COCO:
    with (tmp_path / "coco.json").open("w", encoding="utf-8") as file:
        coco.write(file, images, lines, names)
    return COCO(tmp_path / "coco.json")


# pycocotools' decoder hands arrays in NumPy's old way.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_reads_the_same_masks_boxes_and_categories_back(tmp_path, rng, capsys):
    sizes = {1: (7, 11), 2: (5, 3), 3: (4, 4)}
    masks = {
        1: rng.random((2, 7, 11)) < 0.4,
        2: np.zeros((0, 5, 3), bool),
        3: rng.random((1, 4, 4)) < 0.5,
    }
    clusters = {1: [2, 0], 2: [], 3: [1]}
    read = opened(
        tmp_path,
        (image(number, f"Füße/{number} ñ.jpg", size) for number, size in sizes.items()),
        (line(number, masks[number], clusters[number]) for number in sizes),
        NAMES,
    )
    assert {
        row["id"]: (row["height"], row["width"]) for row in read.loadImgs(read.getImgIds())
    } == sizes
    assert read.imgs[3]["file_name"] == "Füße/3 ñ.jpg"
    assert {number: row["name"] for number, row in read.cats.items()} == dict(enumerate(NAMES, 1))
    assert read.getAnnIds(imgIds=[2]) == []
    for number in (1, 3):
        found = read.loadAnns(read.getAnnIds(imgIds=[number]))
        assert [row["category_id"] for row in found] == [
            1 + cluster for cluster in clusters[number]
        ]
        for row, mask in zip(found, masks[number], strict=True):
            np.testing.assert_array_equal(read.annToMask(row).astype(bool), mask)
            assert row["bbox"] == judge.toBbox(row["segmentation"]).tolist()
            assert row["area"] == mask.sum()
            assert (row["iscrowd"], row["score"]) == (0, 0.5)
    assert sorted(read.anns) == [1, 2, 3]


def test_masks_without_clusters_are_all_of_the_first_category(tmp_path, capsys):
    read = opened(
        tmp_path, [image(1, "a.jpg", (2, 3))], [line(1, np.ones((2, 2, 3), bool), None)], ["object"]
    )
    assert [row["category_id"] for row in read.anns.values()] == [1, 1]


def test_nothing_at_all_is_a_dataset_too(tmp_path, capsys):
    read = opened(tmp_path, [], [], [])
    assert (read.imgs, read.anns, read.cats) == ({}, {}, {})


def test_a_picture_that_was_refused_has_no_annotations(tmp_path, capsys):
    read = opened(
        tmp_path, [image(1, "a.jpg", (2, 3))], [{"id": 1, "refused": "cut short"}], ["object"]
    )
    assert read.anns == {}
    assert list(read.imgs) == [1]


def test_the_file_is_ascii_so_that_every_system_reads_the_same_names():
    file = io.StringIO()
    coco.write(file, [image(1, "海.jpg", (2, 3))], [], NAMES)
    assert file.getvalue().isascii()
    assert json.loads(file.getvalue())["images"][0]["file_name"] == "海.jpg"


@pytest.mark.parametrize("cluster", [-1, 3])
def test_a_cluster_without_a_name_is_refused(cluster):
    with pytest.raises(
        ValueError, match=f"names: has 3, but a mask of image 7 is of cluster {cluster}"
    ):
        coco.write(io.StringIO(), [], [line(7, np.ones((1, 2, 3), bool), [cluster])], NAMES)


def test_a_score_that_is_no_number_is_refused():
    row = line(1, np.ones((1, 2, 3), bool), [0])
    row["masks"][0]["score"] = float("nan")
    with pytest.raises(ValueError, match="Out of range float"):
        coco.write(io.StringIO(), [], [row], NAMES)


def test_memory_does_not_grow_with_the_number_of_pictures(tmp_path):
    one = line(1, np.ones((3, 20, 30), bool), [0, 1, 2])

    def peak(count: int) -> int:
        with (tmp_path / "coco.json").open("w", encoding="utf-8") as file:
            tracemalloc.start()
            coco.write(
                file,
                (image(n, "a.jpg", (20, 30)) for n in range(count)),
                ({**one, "id": n} for n in range(count)),
                NAMES,
            )
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return found

    peak(10)
    assert peak(2000) < peak(100) + 50_000


def test_polygons_stand_in_place_of_run_lengths_and_what_has_none_is_left_out_and_counted(
    tmp_path, capsys
):
    masks = np.zeros((3, 20, 30), bool)
    masks[0, 3:15, 4:22] = True
    masks[1, 9, 9] = True  # smaller than the tolerance
    masks[2, 2:18, 2:28] = True
    masks[2, 7:12, 9:20] = False
    with (tmp_path / "coco.json").open("w", encoding="utf-8") as file:
        left_out = coco.write(
            file, [image(1, "a.jpg", (20, 30))], [line(1, masks, None)], ["x"], tolerance_px=2.0
        )
    read = COCO(tmp_path / "coco.json")
    assert left_out == 1
    assert sorted(read.anns) == [1, 2]
    for row, mask in zip(read.anns.values(), (masks[0], masks[2]), strict=True):
        assert row["segmentation"] == polygons_from_mask(mask)
        assert row["area"] == mask.sum()  # of the mask, not of the polygon
    assert [len(row["segmentation"]) for row in read.anns.values()] == [1, 2]
    # A hole is a polygon of its own, which readers fill: the release's files have it so too.
    assert read.annToMask(read.anns[2])[8:11, 11:18].all()
