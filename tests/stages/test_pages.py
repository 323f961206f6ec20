"""`pages: all`: each page of a stack, an animation, an MPO file is a picture of a run."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskdistill import api
from maskdistill.workflows import demo_pictures
from tests.stages.scans import rows, run
from tests.tiny_runs import BY_HAND

N_PAGES = 5
SETTINGS: dict[str, Any] = {**BY_HAND, "evaluate": {"bootstrap": 10}}


def spell(page: int) -> str:
    return "stack.tif" if page == 1 else f"stack.tif#{page}"


def stack(path: Path, n: int, size: tuple[int, int] = (12, 8)) -> Path:
    frames = [Image.new("RGB", size, (20 + 9 * number, 0, 0)) for number in range(n)]
    path.parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path, Path]:
    """The same pictures as files and as pages of a stack, a picture beside it; a run of each."""
    root = tmp_path_factory.mktemp("pages")
    files, pages = root / "files", root / "pages"
    truth = root / "truth.json"
    demo_pictures.write(files, truth, n_pictures=N_PAGES + 1, seed=5, size=(96, 120), prefix="p")
    pictures = sorted(files.iterdir())
    frames = [Image.open(path).convert("RGB") for path in pictures]
    pages.mkdir()
    frames[0].save(pages / "stack.tif", save_all=True, append_images=frames[1:N_PAGES])
    frames[N_PAGES].save(pages / "z.png")
    data = json.loads(truth.read_text())
    names = dict(zip((path.name for path in pictures), [*map(spell, range(1, N_PAGES + 1)), "z.png"],
                     strict=True))  # fmt: skip
    for image in data["images"]:
        image["file_name"] = names[image["file_name"]]
    (root / "of-pages.json").write_text(json.dumps(data))
    outs = root / "run-files", root / "run-pages"
    for folder, out, known, more in (
        (files, outs[0], truth, {}),
        (pages, outs[1], root / "of-pages.json", {"pages": "all"}),
    ):
        settings = {**SETTINGS, "ground_truth": [str(known)], **more}
        api.run(pictures=folder, out=out, settings=settings, quiet=True)
    return files, pages, *outs


def test_a_run_of_pages_is_that_of_the_same_pictures_as_files(both):
    _, _, of_files, of_pages = both
    assert [(row["path"], row.get("page")) for row in rows(of_pages)] == [
        *(("stack.tif", page) for page in range(1, N_PAGES + 1)),
        ("z.png", None),
    ]
    for name in ("propose/proposals.jsonl", "detect/detections.jsonl", "evaluate/metrics.json"):
        assert (of_files / name).read_bytes() == (of_pages / name).read_bytes(), name
    for folder in ("label/maps", "segment/predictions"):
        maps = sorted((of_pages / folder).iterdir())
        assert len(maps) == N_PAGES + 1
        for path in maps:
            assert path.read_bytes() == (of_files / folder / path.name).read_bytes()
    page = (of_pages / "report" / "index.html").read_text(encoding="utf-8")
    assert "stack.tif#3" in page


def test_exports_and_imports_name_the_pages(both, tmp_path):
    _, pages, _, of_pages = both
    made = api.export(run=of_pages, of="proposals", out=tmp_path / "masks.json")
    data = json.loads(Path(made).read_text())
    assert [image["file_name"] for image in data["images"]] == [
        *map(spell, range(1, N_PAGES + 1)),
        "z.png",
    ]
    run(pages, tmp_path / "out", until="propose", pages="all",
        propose={"import_file": str(made)})  # fmt: skip
    found, wanted = (
        [
            [mask["rle"] for mask in json.loads(line).get("masks", [])]
            for line in (out / "propose/proposals.jsonl").read_text().splitlines()
        ]
        for out in (tmp_path / "out", of_pages)
    )
    assert found == wanted


def test_a_truth_of_label_maps_is_joined_by_page(both, tmp_path):
    _, _, of_files, of_pages = both
    truths = tmp_path / "by-file" / "truth", tmp_path / "by-page" / "truth"
    for folder in truths:
        folder.mkdir(parents=True)
    for row in rows(of_files):
        number = row["id"]
        label_map = np.zeros((row["height"], row["width"]), np.uint8)
        label_map[: 3 * number, : 4 * number] = 1
        Image.fromarray(label_map).save(truths[0] / f"{Path(row['path']).stem}.png")
        name = {1: "stack.png", 2: "stack#2.png", 3: "stack.tif#3.png", N_PAGES + 1: "z.png"}
        Image.fromarray(label_map).save(truths[1] / name.get(number, f"stack#{number}.png"))
    metrics = []
    for out, truth in zip((of_files, of_pages), truths, strict=True):
        copy = tmp_path / out.name
        shutil.copytree(out, copy)
        api.evaluate(out=copy, settings={"ground_truth": [str(truth)]}, quiet=True)
        metrics.append(json.loads((copy / "evaluate/metrics.json").read_text()))
    assert metrics[0] == metrics[1]
    assert any(row["name"] == "mIoU" for row in metrics[0]["metrics"])


def test_predict_does_each_page_as_the_run_does_and_the_first_alone_when_told(both, tmp_path):
    files, pages, _, of_pages = both
    counts = api.predict(run=of_pages, pictures=pages, out=tmp_path / "all", quiet=True)
    assert counts["predicted"] == N_PAGES + 1
    api.predict(run=of_pages, pictures=files, out=tmp_path / "files", quiet=True)
    for page, path in enumerate(sorted(files.iterdir())[:N_PAGES], 1):
        name = "stack.tif" if page == 1 else f"stack.tif#{page}"
        of_page = json.loads((tmp_path / "all" / f"{name}.json").read_text())
        of_file = json.loads((tmp_path / "files" / f"{path.stem}.json").read_text())
        assert of_page.pop("picture") == spell(page)
        of_file.pop("picture")
        assert of_page == of_file
    counts = api.predict(
        run=of_pages, pictures=pages, out=tmp_path / "first", pages="first", quiet=True
    )
    assert counts["predicted"] == 2
    assert (tmp_path / "first" / "stack.json").exists()


@pytest.mark.parametrize("name", ["a.tif", "a.gif", "a.webp", "a.png", "a.mpo"])
def test_each_page_is_read_as_it_is(tmp_path, name):
    from maskdistill.pictures import header, read

    # Of more pictures Pillow writes an index of an MPO that it cannot read.
    n_pages = 2 if name == "a.mpo" else 6
    frames = [Image.new("L", (12, 8), 20 + 25 * number).convert("RGB") for number in range(n_pages)]
    how = {"lossless": True} if name == "a.webp" else {}
    if name == "a.mpo":
        how = {"format": "MPO"}
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **how)
    assert header(tmp_path / name) == (n_pages, False)
    for page in (n_pages, 1, 2):
        found = read(tmp_path / name, page=page).astype(int)
        assert np.abs(found - (20 + 25 * (page - 1))).max() <= 1


def test_pages_that_cannot_be_used_are_refused_by_page_and_the_others_stay(tmp_path):
    folder, out = tmp_path / "pictures", tmp_path / "out"
    frames = [Image.new("L", size, 9) for size in ((12, 8), (1200, 900), (10, 6))]
    folder.mkdir()
    frames[0].save(folder / "stack.tif", save_all=True, append_images=frames[1:])
    run(folder, out, pages="all", max_megapixels=1.0)
    assert [(row["id"], row["page"], row["width"]) for row in rows(out)] == [(1, 1, 12), (2, 3, 10)]
    (refused,) = map(json.loads, (out / "scan/refused.jsonl").read_text().splitlines())
    assert (refused["path"], refused["page"]) == ("stack.tif", 2)
    assert "above max_megapixels" in refused["refused"]
    assert "stack.tif#2" in (out / "ledger.jsonl").read_text()
    run(folder, out, until="propose", pages="all", max_megapixels=1.0)  # nothing changed


def test_pages_behind_a_damaged_index_are_refused_and_the_first_stays(tmp_path):
    folder, out = tmp_path / "pictures", tmp_path / "out"
    folder.mkdir()
    frames = [Image.new("RGB", (12, 8), (20 + 9 * number, 0, 0)) for number in range(2)]
    frames[0].save(folder / "a.mpo", save_all=True, append_images=frames[1:])
    content = (folder / "a.mpo").read_bytes()
    second = content.rindex(b"\xff\xd8\xff")
    (folder / "a.mpo").write_bytes(content[:second] + bytes(3) + content[second + 3 :])
    run(folder, out, pages="all")
    assert [row["page"] for row in rows(out)] == [1]
    assert "page 2 cannot be decoded" in (out / "scan/refused.jsonl").read_text()


def test_pages_of_one_file_are_held_out_together_and_limit_counts_pages(tmp_path):
    folder = tmp_path / "pictures"
    for letter in "abcd":
        stack(folder / f"{letter}.tif", 3)
    run(folder, tmp_path / "held", pages="all", validation="0.5")
    sides: dict[str, set[str]] = {}
    for row in rows(tmp_path / "held"):
        sides.setdefault(row["path"], set()).add(row["split"])
    assert sorted(side for found in sides.values() for side in found) == [
        "train", "train", "validation", "validation",
    ]  # fmt: skip
    run(folder, tmp_path / "few", pages="all", limit=4)
    assert [(row["path"], row["page"]) for row in rows(tmp_path / "few")] == [
        ("a.tif", 1), ("a.tif", 2), ("a.tif", 3), ("b.tif", 1),
    ]  # fmt: skip


def test_a_fraction_of_one_stack_holds_nothing_out_and_says_why(tmp_path, capsys):
    stack(tmp_path / "pictures" / "a.tif", 3)
    api.run(
        pictures=tmp_path / "pictures",
        out=tmp_path / "out",
        settings={**BY_HAND, "pages": "all", "validation": "0.5"},
        until="scan",
    )
    assert "all pictures are pages of one file, which stay together" in capsys.readouterr().err


def test_first_is_as_ever_and_all_is_another_scan(tmp_path):
    stack(tmp_path / "pictures" / "a.tif", 3)
    run(tmp_path / "pictures", tmp_path / "first")
    run(tmp_path / "pictures", tmp_path / "all", pages="all")
    parts = [
        json.loads((tmp_path / name / "scan/stage.json").read_text())["parts"]["settings"]
        for name in ("first", "all")
    ]
    assert set(parts[1]) - set(parts[0]) == {"pages"}
    assert not {"levels", "bands", "pages"} & set(parts[0])
    assert "page" not in rows(tmp_path / "first")[0]


def test_masks_of_pages_do_not_meet(tmp_path):
    stack(tmp_path / "pictures" / "a.tif", 3, size=(64, 48))
    counts = api.masks(
        pictures=tmp_path / "pictures",
        out=tmp_path / "out",
        backbone="handcrafted",
        settings={"pages": "all", "threads": 1},
        quiet=True,
    )
    assert counts["pictures"] == 3
    made = sorted(path.name for path in (tmp_path / "out").glob("*.json"))
    assert made == ["a.tif#2.json", "a.tif#3.json", "a.tif.json"]
