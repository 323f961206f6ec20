"""Levels and bands as settings of scan: what is said, what counts, and that all stages see them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskdistill import api
from maskdistill.errors import SettingsError
from tests.pictures import tiffs
from tests.stages.scans import rows, run
from tests.tiny_runs import BY_HAND


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Thermal pictures of 16 bits, and the same ones stretched to 8 bits beforehand."""
    root = tmp_path_factory.mktemp("thermal")
    rng = np.random.default_rng(2)
    for folder in ("deep", "eight"):
        (root / folder).mkdir()
    for number in range(4):
        row, col = np.mgrid[:60, :80]
        inside = ((row - 30) / 12) ** 2 + ((col - 25 - 8 * number) / 16) ** 2 < 1
        values = np.rint(51200 + 900 * inside + rng.normal(0, 25, inside.shape)).astype(np.uint16)
        order = np.sort(values, axis=None)
        black, white = int(order[5]), int(order[-6])  # a thousandth of 4800 pixels, rounded up
        scaled = np.clip((values.astype(float) - black) / (white - black), 0, 1) * 255
        Image.fromarray(values).save(root / "deep" / f"{number}.png")
        Image.fromarray(scaled.astype(np.uint8)).save(root / "eight" / f"{number}.png")
    return root / "deep", root / "eight"


def test_a_run_over_stretched_pictures_is_that_over_their_8_bits(folders, tmp_path):
    settings = {**BY_HAND, "evaluate": {"bootstrap": 10}}
    outs = tmp_path / "deep", tmp_path / "eight"
    for folder, out, levels in zip(folders, outs, ("stretch", "full"), strict=True):
        api.run(
            pictures=folder, out=out, until="segment", settings={**settings, "levels": levels},
            quiet=True,
        )  # fmt: skip
        api.predict(run=out, pictures=folder, out=out / "predicted", quiet=True)
    names = ["propose/proposals.jsonl", "cluster/clusters.jsonl", "detect/detections.jsonl"]
    names += [
        f"{folder}/{n}.png" for n in range(1, 5) for folder in ("label/maps", "segment/predictions")
    ]
    names += [f"predicted/{n}.{kind}" for n in range(4) for kind in ("png", "json")]
    for name in names:
        assert (outs[0] / name).read_bytes() == (outs[1] / name).read_bytes(), name


def test_masks_of_stretched_pictures_are_those_of_their_8_bits(folders, tmp_path):
    for folder, levels in zip(folders, ("stretch", "full"), strict=True):
        api.masks(
            pictures=folder, out=tmp_path / levels, backbone="handcrafted",
            settings={"levels": levels, "threads": 1}, quiet=True,
        )  # fmt: skip
    for number in range(4):
        found, wanted = (
            json.loads((tmp_path / levels / f"{number}.json").read_text())
            for levels in ("stretch", "full")
        )
        assert found == wanted
        assert found["masks"]


def test_few_grey_levels_are_told_with_the_setting_and_only_then(folders, tmp_path, capsys):
    for levels in ("full", "stretch"):
        api.run(
            pictures=folders[0], out=tmp_path / levels, until="scan",
            settings={**BY_HAND, "levels": levels},
        )  # fmt: skip
        said = capsys.readouterr().err
        if levels == "full":
            what = "4 of 4 pictures use fewer than 64 of the 256 grey levels (0.png, 1.png, 2.png, ...)"
            assert what in said
            assert "--levels stretch" in said
            assert what in (tmp_path / "full/ledger.jsonl").read_text()
        else:
            assert "grey levels" not in said
    assert {len(row) for row in rows(tmp_path / "full")} == {9}
    run(folders[1], tmp_path / "eight")
    counts = [
        json.loads((tmp_path / out / "scan/stage.json").read_text())["counts"]
        for out in ("full", "eight")
    ]
    assert counts[0] == {**counts[1], "few_grey_levels": 4}


def test_masks_tell_few_grey_levels_and_pages_too(folders, tmp_path, capsys):
    given = tmp_path / "pictures"
    given.mkdir()
    shutil.copy(folders[0] / "0.png", given)
    shutil.copy(folders[1] / "1.png", given)
    with Image.open(folders[1] / "2.png") as page:
        page.save(given / "stack.tif", save_all=True, append_images=[page, page])
    for levels, pages in (("full", "first"), ("stretch", "all")):
        api.masks(
            pictures=given, out=tmp_path / levels, backbone="handcrafted",
            settings={"levels": levels, "pages": pages, "threads": 1},
        )  # fmt: skip
        said = capsys.readouterr().err
        for what in (
            "1 of 3 pictures uses fewer than 64 of the 256 grey levels (0.png): ",
            "1 of 3 pictures has more pages: 2 pages left out, the first of each is read\n",
        ):
            assert (what in said) == (levels == "full")


def test_levels_of_all_pictures_are_taken_once_and_used_by_each_stage(folders, tmp_path):
    out = tmp_path / "out"
    run(folders[0], out, until="propose", levels="stretch_all")
    values = np.sort(
        [np.asarray(Image.open(path)) for path in sorted(folders[0].iterdir())], axis=None
    )
    n_cut = -(-values.size // 1000)
    limits = json.loads((out / "scan/levels.json").read_text())["limits"]
    assert limits == [[values[n_cut], values[-1 - n_cut]]]
    assert "scan/levels.json" in json.loads((out / "scan/stage.json").read_text())["outputs"]
    api.masks(
        pictures=folders[0], out=tmp_path / "masks", backbone="handcrafted",
        settings={"levels": "stretch_all", "threads": 1}, quiet=True,
    )  # fmt: skip
    kept = json.loads((tmp_path / "masks/.maskdistill/levels.json").read_text())["limits"]
    assert kept == limits
    lines = (out / "propose/proposals.jsonl").read_text().splitlines()
    for number, line in enumerate(lines):
        masks = json.loads((tmp_path / f"masks/{number}.json").read_text())["masks"]
        assert [mask["mask"] for mask in masks] == [
            mask["rle"] for mask in json.loads(line)["masks"]
        ]


def test_bands_that_are_not_shown_are_told_and_too_many_refused(tmp_path, capsys):
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    tiffs.write(folder / "four.tif", rng.integers(0, 256, (20, 30, 4), np.uint8), photometric=1)
    tiffs.write(folder / "five.tif", rng.integers(0, 256, (20, 30, 5), np.uint8), photometric=1)
    api.run(pictures=folder, out=tmp_path / "out", until="scan", settings=BY_HAND)
    said = capsys.readouterr().err
    assert "1 of 1 pictures have bands that are not shown (four.tif)" in said
    (refused,) = map(json.loads, (tmp_path / "out/scan/refused.jsonl").read_text().splitlines())
    assert "has 5 bands" in refused["refused"]
    assert "--bands" in refused["refused"]
    run(folder, tmp_path / "chosen", until="propose", bands="4,3,1")
    assert len(rows(tmp_path / "chosen")) == 2
    parts = json.loads((tmp_path / "chosen/scan/stage.json").read_text())["parts"]["settings"]
    assert parts["bands"] == "4,3,1"


@pytest.mark.parametrize("bands", ["1,2", "0,1,2", "R,G,B", "", "1,2,3,4"])
def test_bands_are_three_numbers_or_one(tmp_path, bands):
    with pytest.raises(SettingsError, match=r"bands: .*neither three numbers"):
        run(tmp_path, tmp_path / "out", bands=bands)
