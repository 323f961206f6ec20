"""Instances files of any size and order: read a record at a time, cut down to a list of names."""

import gc
import gzip
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from maskdistill.datasets import truth
from maskdistill.datasets.coco import instances_file, masks_file, part, results_file, walk
from maskdistill.datasets.names import read_list
from maskdistill.errors import GroundTruthError
from tests.datasets import trees


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trees.coco(tmp_path_factory.mktemp("coco"), n=5)


def reordered(source: Path, out: Path, keys: Sequence[str]) -> Path:
    loaded = json.loads(source.read_text())
    out.write_text(json.dumps({key: loaded[key] for key in keys}))
    return out


@pytest.mark.parametrize("keys", [*itertools.permutations(walk.LISTS)])
def test_images_come_before_annotations_whatever_the_order_in_the_file(source, tmp_path, keys):
    path = reordered(source, tmp_path / "other.json", keys)
    steps: list[Any] = []
    walk.instances(path, begin=steps.append, take=steps.append)
    assert [len(steps[0]), *steps[1:]] == [5, *json.loads(source.read_text())["annotations"]]
    assert truth.read(path).objects == truth.read(source).objects
    assert instances_file.read(path).objects == instances_file.read(source).objects


@pytest.mark.parametrize("is_on", [True, False])
def test_the_collector_is_left_as_it_was_where_a_file_is_bad_too(source, tmp_path, is_on):
    (tmp_path / "bad.json").write_text('{"images": [')
    gc.enable() if is_on else gc.disable()
    try:
        truth.read(source)
        assert gc.isenabled() == is_on
        with pytest.raises(GroundTruthError):
            truth.read(tmp_path / "bad.json")
        assert gc.isenabled() == is_on
    finally:
        gc.enable()


@pytest.mark.parametrize("read", [truth.read, instances_file.read])
@pytest.mark.parametrize("value", [None, 3, {}, {"item": []}], ids=repr)
@pytest.mark.parametrize("gone", walk.NEEDED)
def test_a_list_that_is_missing_is_named(source, tmp_path, gone, value, read):
    loaded = json.loads(source.read_text())
    del loaded[gone]
    path = tmp_path / "other.json"
    path.write_text(json.dumps(loaded if value is None else {**loaded, gone: value}))
    said = rf"other\.json: not a COCO instances file .*there is no list {gone}"
    with pytest.raises(GroundTruthError, match=said):
        read(path)


def test_a_list_that_is_empty_is_none_that_is_missing(source, tmp_path):
    path = tmp_path / "other.json"
    path.write_text(json.dumps({**json.loads(source.read_text()), "annotations": []}))
    assert all(not rows for rows in instances_file.read(path).objects.values())
    assert truth.of_one_list([truth.read(path)])[0] == []


@pytest.mark.parametrize("read", [truth.read, instances_file.read])
def test_a_file_that_is_cut_short_is_named(source, tmp_path, read):
    text = source.read_text()
    path = tmp_path / "cut.json"
    for share in (0, 3, 5, 7, 9):
        path.write_text(text[: len(text) * share // 10])
        with pytest.raises(GroundTruthError, match=r"cut\.json: not a COCO instances file"):
            read(path)


def test_only_the_objects_of_chosen_images_are_read_but_the_ids_of_all_are_looked_at(
    source, tmp_path
):
    everything = instances_file.read(source)
    names = list(everything.files.values())[1:3]
    some = instances_file.read(source, objects_of=[f"train2014/{name}" for name in names])
    assert (some.files, some.sizes, some.names) == (
        everything.files,
        everything.sizes,
        everything.names,
    )
    assert {everything.files[number] for number, rows in some.objects.items() if rows} == set(names)
    assert (
        instances_file.only(some, names).objects == instances_file.only(everything, names).objects
    )
    with pytest.raises(GroundTruthError, match=r"1 of 1 names of the list are no image of it"):
        instances_file.read(source, objects_of=["nobody"])
    loaded = json.loads(source.read_text())
    loaded["annotations"][-1]["category_id"] = 7
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(loaded))
    with pytest.raises(GroundTruthError, match="has category_id 7, which is not listed"):
        instances_file.read(bad, objects_of=names[:1])


def test_the_part_of_a_list_has_its_images_objects_and_all_categories(source, tmp_path):
    loaded = json.loads(source.read_text())
    names = [row["file_name"] for row in loaded["images"]]
    for wanted in ([names[3], names[0]], names[2:3], names):
        for keys in (
            ["images", "annotations", "categories"],
            ["annotations", "categories", "images"],
        ):
            path = reordered(source, tmp_path / "other.json", keys)
            made = json.loads("".join(part.pieces(path, [f"train2014/{name}" for name in wanted])))
            ids = {row["id"] for row in loaded["images"] if row["file_name"] in wanted}
            assert made["images"] == [row for row in loaded["images"] if row["id"] in ids]
            assert made["annotations"] == [
                row for row in loaded["annotations"] if row["image_id"] in ids
            ]
            assert made["categories"] == loaded["categories"]
    loaded["annotations"] = []
    (tmp_path / "none.json").write_text(json.dumps(loaded))
    assert json.loads("".join(part.pieces(tmp_path / "none.json", names)))["annotations"] == []


def test_the_part_of_names_that_are_no_image_is_refused_before_a_piece_is_written(source, tmp_path):
    with pytest.raises(
        GroundTruthError,
        match=r"1 of 1 names of the list are no image of it, or of several: nobody",
    ):
        next(part.pieces(source, ["nobody"]))
    (tmp_path / "bad.json").write_text("[1]")
    with pytest.raises(GroundTruthError, match="not a COCO instances file"):
        next(part.pieces(tmp_path / "bad.json", ["a"]))


@pytest.mark.parametrize("encoding, packed", [("utf-8-sig", False), ("utf-16", True)])
def test_truth_results_and_lists_are_read_in_every_encoding_and_packed(
    source, tmp_path, encoding, packed
):
    def other(path: Path, text: str) -> Path:
        data = text.encode(encoding)
        path.write_bytes(gzip.compress(data) if packed else data)
        return path

    instances = other(tmp_path / "instances.json", source.read_text())
    wanted = instances_file.read(source)
    assert instances_file.read(instances).objects == wanted.objects
    assert truth.read(instances).objects == truth.read(source).objects
    rows = [{**row, "score": 0.5} for row in json.loads(source.read_text())["annotations"]]
    plain = tmp_path / "plain.json"
    plain.write_text(json.dumps(rows))
    results = other(tmp_path / "results.json", json.dumps(rows))
    read = [results_file.read(path, wanted, same_categories=True) for path in (plain, results)]
    assert read[0] == read[1]
    asked = {"known": wanted.files.__contains__, "categories": wanted.names}
    masks = [list(masks_file.masks(path, wanted.sizes, **asked)) for path in (plain, results)]
    assert masks[0] == masks[1]
    names = [*wanted.files.values(), "ä.jpg"]
    assert read_list(other(tmp_path / "list.txt", "\n".join(names))) == names


def ignored(source: Path, out: Path, value: Any) -> Path:
    loaded = json.loads(source.read_text())
    loaded["images"][0]["ignored"] = value
    out.write_text(json.dumps(loaded))
    return out


def test_what_an_image_ignores_lies_on_all_else(source, tmp_path):
    height, width = trees.SIZE
    # Plain run lengths go column by column: the first ten columns.
    value = {"size": [height, width], "counts": [0, 10 * height, (width - 10) * height]}
    known = truth.read(ignored(source, tmp_path / "i.json", value))
    before, after = (
        each.label_map(next(iter(known.objects))) for each in (truth.read(source), known)
    )
    assert (after[:, :10] == 255).all()
    assert (after[:, 10:] == before[:, 10:]).all()


@pytest.mark.parametrize(
    "value, said",
    [
        ({"size": [3, 5], "counts": [15]}, "is of another size than the image"),
        ({"size": list(trees.SIZE), "counts": [-2, 30]}, "is no mask that can be read"),
        ({"size": list(trees.SIZE)}, "`ignored` is no mask that can be read: neither polygons nor"),
    ],
)
def test_an_ignored_that_is_no_mask_of_its_image_is_named(source, tmp_path, value, said):
    with pytest.raises(GroundTruthError, match=said):
        truth.read(ignored(source, tmp_path / "i.json", value))
