"""propose with a pool: pool.jsonl, the best of it as proposals, export, resume; off: nothing changes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from maskdistill import api
from maskdistill.errors import RunError
from maskdistill.masks import rle
from maskdistill.runs.journal import Journal
from maskdistill.settings import load, resolve
from maskdistill.stages import propose
from maskdistill.workflows import demo_pictures
from tests.made import lines_of, states

POOL = {"methods": ["tokencut", "lost"], "facets": ["keys", "tokens"], "scales": [1, 1.5]}
OWN = {"backbone": "handcrafted", "min_score": 0.01, "stop_score": 0.0, "max_masks": 2}
N = 4


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn pictures, and a flat one, in which nothing is found."""
    folder = tmp_path_factory.mktemp("pool") / "pictures"
    demo_pictures.write(
        folder, folder.parent / "truth.json", n_pictures=N - 1, seed=5, size=(64, 80)
    )
    Image.fromarray(np.full((40, 56, 3), 90, np.uint8)).save(folder / "zzz.png")
    return folder


def proposed(pictures: Path, out: Path, *, pool=POOL, **more) -> Path:
    settings = {"threads": 1, "propose": {**OWN, "pool": pool, **more}}
    api.run(pictures=pictures, out=out, settings=settings, until="propose", quiet=True)
    return out


@pytest.fixture(scope="module")
def pooled(pictures, tmp_path_factory) -> Path:
    return proposed(pictures, tmp_path_factory.mktemp("run") / "pooled")


def outputs(run: Path) -> dict[str, bytes]:
    names = ("proposals.jsonl", "pool.jsonl", "stage.json")
    return {name: (run / "propose" / name).read_bytes() for name in names}


def test_proposals_are_the_best_of_the_pool_and_say_where_they_come_from(pooled):
    whole, best = (
        lines_of(pooled / "propose" / name) for name in ("pool.jsonl", "proposals.jsonl")
    )
    assert [row["id"] for row in whole] == list(range(1, N + 1))
    assert any(len(row["masks"]) > OWN["max_masks"] for row in whole)
    for row, few in zip(whole, best, strict=True):
        assert few["masks"] == row["masks"][: OWN["max_masks"]]
        scores = [mask["score"] for mask in row["masks"]]
        assert scores == sorted(scores, reverse=True)
        for mask in row["masks"]:
            assert mask["area"] == rle.areas([mask["rle"]])[0]
            for source in mask["sources"]:
                assert source["method"] in POOL["methods"]
                assert source["facet"] in POOL["facets"]
                assert source["scale"] in POOL["scales"]
                assert source["block"] == -1
            assert mask["score"] == mask["sources"][0]["score"]
        overlap = rle.iou(*2 * [[mask["rle"] for mask in row["masks"]]])
        np.fill_diagonal(overlap, 0)
        assert not (overlap >= 0.5).any()
    assert whole[-1] == {"id": N, "masks": []}
    assert json.loads((pooled / "propose" / "stage.json").read_text())["counts"]["pooled"] == sum(
        len(row["masks"]) for row in whole
    )


def test_the_order_of_the_settings_moves_no_mask(pictures, pooled, tmp_path):
    turned = {key: values[::-1] for key, values in POOL.items()}
    other = proposed(pictures, tmp_path / "turned", pool=turned)
    for name in ("pool.jsonl", "proposals.jsonl"):
        assert outputs(other)[name] == outputs(pooled)[name]


def test_one_that_was_stopped_on_the_way_goes_on_and_ends_with_the_same_bytes(
    pictures, pooled, tmp_path, monkeypatch
):
    add = Journal.add

    def stopping(journal, key, record):
        add(journal, key, record)
        if "pool" in record and len(journal) == 2:
            raise KeyboardInterrupt

    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "add", stopping)
        with pytest.raises(KeyboardInterrupt):
            proposed(pictures, out)
    assert not (out / "propose" / "pool.jsonl").exists()
    assert outputs(proposed(pictures, out)) == outputs(pooled)


def test_without_a_pool_nothing_of_it_is_written_and_the_fingerprint_knows_none(pictures, tmp_path):
    out = proposed(pictures, tmp_path / "run", pool={})
    assert not (out / "propose" / "pool.jsonl").exists()
    for row in lines_of(out / "propose" / "proposals.jsonl"):
        assert all(set(mask) == {"rle", "box", "area", "score"} for mask in row["masks"])
    # What `overlap` would join counts for nothing where nothing is pooled.
    off, on = (
        propose.parts(resolve(load({"propose": {**OWN, "pool": pool}})))
        for pool in ({"overlap": 0.9, "centre_keys": "no"}, POOL)
    )
    assert "pool" not in off
    assert "lost" not in off
    assert off == {key: value for key, value in on.items() if key in off}
    assert "short_side" in on["tokencut"]
    assert "short_side" not in on["lost"]


def test_a_pool_that_is_given_later_makes_the_proposals_stale_and_taking_it_off_brings_them_back(
    pictures, tmp_path
):
    out = proposed(pictures, tmp_path / "run", pool={})
    before = (out / "propose" / "proposals.jsonl").read_bytes()
    settings = {"threads": 1, "propose": {**OWN, "pool": POOL}}
    api.propose(out=out, settings=settings, redo=True, quiet=True)
    assert (out / "propose" / "pool.jsonl").exists()
    settings = {"threads": 1, "propose": {**OWN, "pool": {**POOL, **dict.fromkeys(POOL, ())}}}
    api.propose(out=out, settings=settings, redo=True, quiet=True)
    assert not (out / "propose" / "pool.jsonl").exists()
    assert (out / "propose" / "proposals.jsonl").read_bytes() == before
    assert states(out)["propose"] == "done"


@pytest.mark.parametrize("polygons", [False, True])
def test_the_pool_is_exported_as_coco_with_its_sources_and_can_be_imported(
    pooled, pictures, tmp_path, polygons
):
    file = api.export(run=pooled, of="pool", out=tmp_path / "pool.json", polygons=polygons)
    made = json.loads(file.read_text())
    masks = [mask for row in lines_of(pooled / "propose" / "pool.jsonl") for mask in row["masks"]]
    assert len(made["images"]) == N
    assert [each["name"] for each in made["categories"]] == ["cluster 0"]
    if polygons:
        assert 0 < len(made["annotations"]) <= len(masks)
        return
    for row, mask in zip(made["annotations"], masks, strict=True):
        assert row["sources"] == mask["sources"]
        assert row["segmentation"] == mask["rle"]
    assert len(COCO(str(file)).anns) == len(masks)
    out = tmp_path / "run"
    settings = {"threads": 1, "propose": {**OWN, "import_file": str(file)}}
    api.run(pictures=pictures, out=out, settings=settings, until="propose", quiet=True)
    imported = lines_of(out / "propose" / "proposals.jsonl")
    assert sum(len(row["masks"]) for row in imported) == len(masks)


def test_proposals_of_a_pool_are_exported_with_their_sources_too(pooled, tmp_path):
    file = api.export(run=pooled, of="proposals", out=tmp_path / "proposals.json")
    assert all(row["sources"] for row in json.loads(file.read_text())["annotations"])


def test_the_pool_of_a_run_without_one_is_refused_with_the_setting_to_give(pictures, tmp_path):
    out = proposed(pictures, tmp_path / "run", pool={})
    with pytest.raises(RunError, match=r"nothing was pooled. Give the run a pool"):
        api.export(run=out, of="pool")
    shutil.rmtree(out / "propose")
    with pytest.raises(RunError, match="not there yet"):
        api.export(run=out, of="pool")


def test_masks_without_a_run_and_of_one_picture_are_the_best_of_the_pool_too(
    pictures, pooled, tmp_path
):
    settings = {"threads": 1, **OWN, "pool": POOL}
    api.masks(pictures=pictures, out=tmp_path / "masks", settings=settings, quiet=True)
    names = {row["id"]: row["path"] for row in lines_of(pooled / "images.jsonl")}
    for row in lines_of(pooled / "propose" / "proposals.jsonl"):
        described = json.loads(
            (tmp_path / "masks" / names[row["id"]]).with_suffix(".json").read_text()
        )
        assert [(each["mask"], each["sources"]) for each in described["masks"]] == [
            (mask["rle"], mask["sources"]) for mask in row["masks"]
        ]
        alone = api.discover(pictures / names[row["id"]], settings={**OWN, "pool": POOL})
        assert len(alone) == len(row["masks"])
        for each, mask in zip(alone, row["masks"], strict=True):
            assert rle.encode(each["segmentation"][None]) == [mask["rle"]]
            assert each["score"] == pytest.approx(mask["score"])
