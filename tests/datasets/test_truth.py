import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maskdistill.datasets import truth
from maskdistill.datasets.names import join
from maskdistill.errors import GroundTruthError
from maskdistill.masks import rle
from tests.reference.masks import run_lengths

SIZE = (4, 7)


def square(row, col, side):
    mask = np.zeros(SIZE, bool)
    mask[row : row + side, col : col + side] = True
    return mask


def plain(mask):
    return {"size": list(SIZE), "counts": run_lengths(mask)}


def annotation(number, segmentation, **changes):
    return {
        "id": number,
        "image_id": 5,
        "category_id": 7,
        "iscrowd": 0,
        "segmentation": segmentation,
    } | changes


def written(folder, annotations, **changes):
    content = {
        "images": [
            {"id": 5, "file_name": "a/x.jpg", "height": SIZE[0], "width": SIZE[1]},
            {"id": 9, "file_name": "y.jpg", "height": 3, "width": 5},
        ],
        "annotations": annotations,
        "categories": [
            {"id": 90, "name": "toothbrush"},
            {"id": 7, "name": "train"},
            {"id": 8, "name": "truck"},
        ],
    } | changes
    path = folder / "instances.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_polygons_plain_and_compressed_run_lengths_are_read(tmp_path):
    mask = square(1, 2, 2)
    forms = [[[2, 1, 4, 1, 4, 3, 2, 3]], plain(mask), rle.encode(mask[None])[0]]
    rows = [annotation(n, form, category_id=(7, 8, 90)[n]) for n, form in enumerate(forms)]
    found = truth.read(written(tmp_path, rows))
    objects = found.objects["a/x.jpg"]
    np.testing.assert_array_equal(rle.decode(objects.rles), [mask, mask, mask])
    assert objects.size == SIZE
    assert found.objects["y.jpg"].rles == []
    assert found.keys == ["a/x.jpg", "y.jpg"]


def test_classes_are_numbered_from_1_by_category_id_and_those_without_objects_are_left_out(
    tmp_path,
):
    rows = [
        annotation(1, plain(square(0, 0, 1)), category_id=90),
        annotation(2, plain(square(0, 0, 1))),
    ]
    names, (found,) = truth.of_one_list([truth.read(written(tmp_path, rows))])
    assert names == ["train", "toothbrush"]
    assert [row["category"] for row in found.objects["a/x.jpg"].records] == [2, 1]


def test_smaller_objects_lie_on_larger_ones_and_crowds_are_ignored_below_both(tmp_path):
    rows = [
        annotation(1, plain(square(0, 0, 2))),
        annotation(2, plain(square(0, 0, 3)), category_id=90),
        annotation(3, plain(square(0, 0, 4)), category_id=8, iscrowd=1),
    ]
    _, (found,) = truth.of_one_list([truth.read(written(tmp_path, rows))])
    label_map = found.label_map("a/x.jpg")
    wanted = np.zeros(SIZE, np.uint8)
    wanted[:4, :4], wanted[:3, :3], wanted[:2, :2] = 255, 3, 1
    np.testing.assert_array_equal(label_map, wanted)
    assert label_map.dtype == np.uint8


def test_a_picture_without_objects_is_background(tmp_path):
    found = truth.read(written(tmp_path, [annotation(1, plain(square(0, 0, 2)))]))
    np.testing.assert_array_equal(found.label_map("y.jpg"), np.zeros((3, 5), np.uint8))


def test_an_annotation_without_a_polygon_is_passed_over(tmp_path):
    assert truth.read(written(tmp_path, [annotation(1, [])])).objects["a/x.jpg"].rles == []


@pytest.mark.parametrize(
    "change, said",
    [
        ({"image_id": 6}, "annotation 1 has image_id 6"),
        ({"category_id": 6}, "annotation 1 has category_id 6"),
        (
            {"segmentation": {"size": [7, 4], "counts": [28]}},
            "annotation 1 has a mask of 4 x 7 px, its image is 7 x 4",
        ),
        (
            {"segmentation": {"size": [4, 7], "counts": [-2, 30]}},
            "annotation 1 holds no mask that can be read",
        ),
        (
            {"segmentation": {"size": [4, 7], "counts": "zzzz~~~"}},
            "annotation 1 holds no mask that can be read",
        ),
    ],
)
def test_an_annotation_that_does_not_fit_is_named(tmp_path, change, said):
    path = written(tmp_path, [annotation(1, plain(square(0, 0, 2))) | change])
    with pytest.raises(GroundTruthError, match=said) as raised:
        truth.read(path)
    assert str(path) in str(raised.value)


def test_two_images_of_one_name_are_refused(tmp_path):
    images = [{"id": number, "file_name": "x.jpg", "height": 4, "width": 7} for number in (5, 6)]
    with pytest.raises(GroundTruthError, match=r"1 file names stand more than once: x\.jpg"):
        truth.read(written(tmp_path, [], images=images))


def test_more_classes_than_a_label_map_holds_are_refused(tmp_path):
    rows = [
        annotation(number, plain(square(0, 0, 1)), category_id=number) for number in range(1, 256)
    ]
    categories = [{"id": number, "name": str(number)} for number in range(1, 256)]
    with pytest.raises(GroundTruthError, match="255 categories"):
        truth.of_one_list([truth.read(written(tmp_path, rows, categories=categories))])
    most = truth.read(written(tmp_path, rows[:254], categories=categories))
    assert len(truth.of_one_list([most])[0]) == 254


@pytest.mark.parametrize(
    "text", ["", "[1, 2]", "{}", '{"images": 3, "annotations": [], "categories": []}', "\x00"]
)
def test_a_file_of_another_format_is_named_with_what_was_wanted(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(GroundTruthError, match=r"other\.json.*images, annotations, categories"):
        truth.read(path)


def test_a_source_that_is_not_there_is_named(tmp_path):
    with pytest.raises(GroundTruthError, match="nowhere: no such file or folder"):
        truth.read(tmp_path / "nowhere")


def saved(path, values, mode):
    picture = Image.fromarray(np.array(values, np.uint8))
    if mode == "P":
        picture.putpalette([3, 200, 7] * 256)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def test_a_folder_of_palette_and_grey_label_maps_is_read(tmp_path):
    values = [[0, 1, 255], [20, 0, 2]]
    saved(tmp_path / "a" / "palette.png", values, "P")
    saved(tmp_path / "grey.png", [[0, 3, 3]], "L")
    found = truth.read(tmp_path)
    assert found.keys == ["a/palette.png", "grey.png"]
    np.testing.assert_array_equal(found.label_map("a/palette.png"), values)
    np.testing.assert_array_equal(found.label_map("grey.png"), [[0, 3, 3]])
    assert found.names == [f"class {number}" for number in range(1, 21)]


def test_a_folder_that_is_void_throughout_is_refused(tmp_path):
    saved(tmp_path / "x.png", [[255, 255]], "L")
    with pytest.raises(GroundTruthError, match="nothing is left to count"):
        truth.read(tmp_path)


def test_a_folder_without_label_maps_is_refused(tmp_path):
    with pytest.raises(GroundTruthError, match=r"holds no \.png"):
        truth.read(tmp_path)


def test_a_coloured_picture_is_not_a_label_map(tmp_path):
    Image.new("RGB", (3, 2)).save(tmp_path / "x.png")
    with pytest.raises(GroundTruthError, match=r"x\.png: its mode is RGB"):
        truth.read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a picture"])
def test_a_label_map_that_cannot_be_read_is_named(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(GroundTruthError, match=r"x\.png: cannot be read as a label map"):
        truth.read(tmp_path)


def test_a_label_map_cut_short_is_named(tmp_path):
    saved(tmp_path / "x.png", np.random.default_rng(0).integers(0, 9, (40, 50)), "L")
    whole = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(GroundTruthError, match=r"x\.png: cannot be read as a label map"):
        truth.read(tmp_path)


def test_truth_is_joined_by_relative_path_before_file_name():
    assert join(["a/x.jpg", "b/x.jpg"], ["b/x.jpg", "a/x.jpg"]) == {
        "a/x.jpg": "a/x.jpg",
        "b/x.jpg": "b/x.jpg",
    }


def test_truth_is_joined_by_file_name_where_that_is_unique():
    assert join(["x.jpg", "y.jpg"], ["a/x.jpg", "b/z.jpg"]) == {"a/x.jpg": "x.jpg"}
    assert join(["x.jpg"], ["a/x.jpg", "b/x.jpg"]) == {}
    assert join(["c/x.jpg", "d/x.jpg"], ["a/x.jpg"]) == {}


def test_a_label_map_is_joined_to_a_picture_of_another_extension():
    assert join(["maps/x.png", "y.png"], ["a/x.jpg", "y.png"]) == {
        "a/x.jpg": "maps/x.png",
        "y.png": "y.png",
    }


def test_a_name_that_two_pictures_share_is_nobodys_even_where_one_was_joined_by_its_path():
    assert join(["a/x.jpg", "x.jpg"], ["a/x.jpg", "b/x.jpg"]) == {"a/x.jpg": "a/x.jpg"}


paths = st.lists(
    st.sampled_from(
        [
            f"{folder}{name}{end}"
            for folder in ("", "a/", "b/")
            for name in "xy"
            for end in (".jpg", ".png")
        ]
    ),
    unique=True,
)


@given(paths, paths)
def test_no_truth_is_given_to_two_pictures_and_equal_paths_always_meet(keys, pictures):
    found = join(keys, pictures)
    assert len(set(found.values())) == len(found)
    assert set(found) <= set(pictures)
    assert set(found.values()) <= set(keys)
    assert all(found[path] == path for path in set(keys) & set(pictures))
