"""Run lengths that are no mask of their picture, through every reader of files of others.

Without the check the library below loops for ever on some of these, and ignores Ctrl-C.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskdistill.datasets import truth
from maskdistill.datasets.coco import instances_file, masks_file, results_file
from maskdistill.errors import GroundTruthError, PredictionError
from maskdistill.masks import rle
from tests.reference.masks import run_lengths

SIZE = (9, 14)
MASK = np.zeros(SIZE, bool)
MASK[2:6, 3:11] = True
WHOLE = rle.encode(MASK[None])[0]
BOX = [3, 2, 8, 4]


def plain(counts: Any) -> dict[str, Any]:
    return {"size": list(SIZE), "counts": counts}


# What stands in the file, and what is said of it.
REFUSED = {
    "too few": (plain([29, 4, 5, 4, 50]), "run lengths sum to 92, a picture of 14 x 9 has 126"),
    "the last run left out": (plain([29, 4]), "sum to 33, .*(is the last run left out?)"),
    "too many": (plain([29, 4, 5, 4, 90]), "sum to 132"),
    "none": (plain([]), "sum to 0"),
    "cut between numbers": (plain(WHOLE["counts"][:2]), "sum to 29"),
    "cut within a number": (plain(WHOLE["counts"][:-1] + "o"), "cut short within a number"),
    "empty text": (plain(""), "sum to 0"),
    "floats": (plain([29.0, 4.0, 93.0]), "not whole numbers: 29.0 stands at place 0"),
    "fractions": (plain([29, 4.5, 92.5]), "not whole numbers: 4.5 stands at place 1"),
    "strings": (plain(["29", "4", "93"]), "not whole numbers: '29' stands at place 0"),
    "negative": (plain([29, -4, 101]), "a negative run: -4 stands at place 1"),
    "pairs": (plain([30, 4, 39, 4, 49, 4]), "they read as start-length pairs"),
    "pairs as text": (plain("30 4 39 4 48 4"), "read as start-length pairs"),
    "list as text": (plain("29,4,93"), "a list as text"),
    "row by row": (plain(run_lengths(MASK.T)), "fit its bbox .* only if read row by row"),
    "without a size": ({"counts": [126]}, "size is None"),
    "size in floats": ({"size": [9.0, 14.0], "counts": [126]}, r"size is \[9.0, 14.0\]"),
    "without counts": ({"size": list(SIZE)}, "neither polygons nor run lengths"),
    "no counts": (plain(None), "counts are None"),
    "several": ([WHOLE, WHOLE], "a list of 2 masks; wanted one"),
    "text": ("29 4 93", "neither polygons nor run lengths"),
}
each = pytest.mark.parametrize(
    "segmentation, said",
    [
        (what, said.replace("(is", r"\(is").replace("?)", r"\?\)"))
        for what, said in REFUSED.values()
    ],
    ids=list(REFUSED),
)


def dataset(segmentation: Any, **image: Any) -> dict[str, Any]:
    good = {"image_id": 4, "category_id": 2, "iscrowd": 0, "area": 32, "bbox": BOX}
    return {
        "images": [{"id": 4, "file_name": "b/x.png", "height": 9, "width": 14} | image],
        "annotations": [
            good | {"id": 71, "segmentation": WHOLE},
            good | {"id": 72, "segmentation": segmentation, "category_id": 3},
        ],
        "categories": [{"id": 2, "name": "boat"}, {"id": 3, "name": "bus"}],
    }


def results(segmentation: Any) -> list[dict[str, Any]]:
    return [
        {key: row[key] for key in ("image_id", "category_id", "segmentation", "bbox")}
        | {"score": 0.5}
        for row in dataset(segmentation)["annotations"]
    ]


def saved(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def imported(source: Path) -> list[masks_file.Found]:
    read = masks_file.masks(source, {4: SIZE}, known=lambda key: key == 4, categories=None)
    return [found for found in read if isinstance(found, masks_file.Found)]


@each
def test_the_truth_of_a_run_names_file_annotation_and_image(tmp_path, segmentation, said) -> None:
    source = saved(tmp_path / "theirs.json", dataset(segmentation))
    with pytest.raises(GroundTruthError, match=said) as raised:
        truth.read(source)
    for where in ("theirs.json", "annotation 72", "image b/x.png"):
        assert where in str(raised.value)


@each
def test_the_truth_of_a_score_names_file_annotation_and_image(tmp_path, segmentation, said) -> None:
    source = saved(tmp_path / "theirs.json", dataset(segmentation))
    with pytest.raises(GroundTruthError, match=said) as raised:
        instances_file.read(source)
    for where in ("theirs.json", "annotation 72", "image b/x.png"):
        assert where in str(raised.value)


@each
def test_results_name_file_place_and_image(tmp_path, segmentation, said) -> None:
    known = instances_file.read(saved(tmp_path / "truth.json", dataset(WHOLE)))
    source = saved(tmp_path / "theirs.json", results(segmentation))
    with pytest.raises(PredictionError, match=said) as raised:
        results_file.read(source, known, same_categories=True)
    for where in ("theirs.json", "result 1 ", "image b/x.png"):
        assert where in str(raised.value)


@each
@pytest.mark.parametrize("of", [results, dataset])
def test_an_import_names_file_place_and_image(tmp_path, segmentation, said, of) -> None:
    source = saved(tmp_path / "theirs.json", of(segmentation))
    with pytest.raises(PredictionError, match=said) as raised:
        imported(source)
    for where in ("theirs.json", "1 of 2 masks", "number 1 of image 4"):
        assert where in str(raised.value)


def test_a_folder_of_files_names_the_file_of_a_picture(tmp_path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    row = {"segmentation": plain([29, 4]), "predicted_iou": 0.9}
    image = {"file_name": "x.jpg", "height": 9, "width": 14}
    saved(folder / "sa_1.json", {"image": image, "annotations": [row]})
    read = masks_file.masks(folder, {"sa_1.json": SIZE}, known=lambda key: True, categories=None)
    with pytest.raises(
        PredictionError, match=r"number 0 of image sa_1.json \(run lengths sum to 33"
    ):
        list(read)


def test_what_an_image_calls_ignored_is_checked_too(tmp_path) -> None:
    source = saved(tmp_path / "theirs.json", dataset(WHOLE, ignored=plain([29, 4])))
    with pytest.raises(GroundTruthError, match=r"image 4: `ignored` is no mask .* sum to 33"):
        truth.read(source)


@pytest.mark.parametrize("form", [WHOLE, plain(run_lengths(MASK))], ids=["compressed", "plain"])
def test_whole_run_lengths_are_read_as_they_are(tmp_path, form) -> None:
    source = saved(tmp_path / "theirs.json", dataset(form))
    known = instances_file.read(source)
    assert [row["rle"] for row in known.objects[4]] == [WHOLE, WHOLE]
    assert truth.read(source).objects["b/x.png"].rles == [WHOLE, WHOLE]
    assert [found.rle for found in imported(source)] == [WHOLE, WHOLE]
    found = results_file.read(
        saved(tmp_path / "results.json", results(form)), known, same_categories=True
    )
    assert [row["rle"] for row in found.records[4]] == [WHOLE, WHOLE]


signs = st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=12)
counts_of_others = st.one_of(
    signs, st.text(max_size=8), st.integers(0, 9).map(lambda end: WHOLE["counts"][:end]),
    st.lists(st.integers(-1, 99), max_size=6), st.lists(st.floats(), max_size=4), st.none(),
)  # fmt: skip
sizes = st.sampled_from([list(SIZE), [14, 9], [9], None, [0, 126], ["9", "14"], [9, 2**40]])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(counts_of_others, sizes)
def test_whatever_the_run_lengths_are_every_reader_ends_with_masks_or_our_own_error(
    tmp_path, counts, size
) -> None:
    segmentation = {"size": size, "counts": counts}
    source = saved(tmp_path / "theirs.json", dataset(segmentation))
    listed = saved(tmp_path / "results.json", results(segmentation))
    known = instances_file.read(saved(tmp_path / "truth.json", dataset(WHOLE)))

    def masks_or_none(read, error) -> int | None:
        try:
            return len(read())
        except error:
            return None

    ended = {
        masks_or_none(lambda: truth.read(source).objects["b/x.png"].rles, GroundTruthError),
        masks_or_none(lambda: instances_file.read(source).objects[4], GroundTruthError),
        masks_or_none(
            lambda: results_file.read(listed, known, same_categories=True).records[4],
            PredictionError,
        ),
    }
    assert ended in ({2}, {None})
    # An import passes over masks without a pixel.
    assert masks_or_none(lambda: imported(source), PredictionError) in (
        {None} if ended == {None} else {1, 2}
    )
