"""Pictures of the page: the same ones for each stage, of detections those that the run paints."""

import numpy as np

from maskdistill.engine.opening import opened, settings_of
from maskdistill.masks import rle
from maskdistill.pictures import read
from maskdistill.report import overlays
from maskdistill.runs.layout import RunFolder
from maskdistill.stage_parts.page_pictures import PagePictures
from maskdistill.stage_parts.page_sources import PageSources
from maskdistill.stages.report import _short
from tests.made import lines_of


def test_sheets_have_the_same_pictures_and_the_detections_that_are_painted(tiny):
    with opened(tiny.out, settings_of(RunFolder(tiny.out)), pictures=None, quiet=True) as job:
        sheets = {sheet.stage: sheet for sheet in PagePictures(PageSources(job)).sheets()}
    assert list(sheets) == ["propose", "detect", "label", "segment"]
    paths = {stage: [tile.path for tile in sheet.tiles] for stage, sheet in sheets.items()}
    assert len(paths["detect"]) == tiny.settings["report"]["tiles"]
    assert all(each == paths["detect"] for each in paths.values())
    assert "score at least 0.05, or the best one" in sheets["detect"].caption
    least, n_left_out = tiny.settings["label"]["min_score"], 0
    rows = {row["id"]: row for row in lines_of(tiny.out / "detect" / "detections.jsonl")}
    clusters = {
        (row["id"], row["mask"]): row["cluster"]
        for row in lines_of(tiny.out / "recluster" / "clusters.jsonl")
    }
    pictures = {row["path"]: row for row in lines_of(tiny.out / "images.jsonl")}
    for tile in sheets["detect"].tiles:
        row = pictures[tile.path]
        folder = tiny.pictures if row["root"] == "pictures" else tiny.validation
        masks = rows[row["id"]]["masks"]
        shown = [number for number, mask in enumerate(masks) if mask["score"] >= least] or [0]
        n_left_out += len(masks) - len(shown)
        small = overlays.thumbnail(read(folder / tile.path), 96)
        wanted = overlays.overlay_masks(
            small,
            rle.decode([masks[number]["rle"] for number in shown]),
            np.array([clusters[row["id"], number] for number in shown]),
            np.array([masks[number]["score"] for number in shown]),
        )
        np.testing.assert_array_equal(tile.image, wanted)
    assert n_left_out  # of all of them, some are not painted


def test_a_file_of_weights_is_shown_with_the_last_of_its_folders_alone():
    assert _short("/home/ada/networks/vits16.pth") == "networks/vits16.pth"
    assert _short("dino_vits16") == "dino_vits16"
