"""Numbers that each stage takes of itself: those of mirrored files made by hand, kept, and told."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskdistill import api
from maskdistill.features.vit import ViT
from maskdistill.labels import paint, select
from maskdistill.masks import rle
from maskdistill.measuring import stage_numbers
from maskdistill.runs.layout import RunFolder
from tests.made import lines_of, states
from tests.reference import self_agreement as reference

ROUNDED = 0.5001e-4  # 4 digits
ON_TOKENS: dict[str, Any] = {
    "threads": 1,
    "weights": ["propose=none"],
    "propose": {
        "backbone": "timm/test_vit",
        "pixels": "nearest",
        "method": "lost",
        "min_score": 0.0,
        "stop_score": 0.0,
        "lost": {"short_side": 0},
    },
    "features": {"short_side": 0},
    "cluster": {"k": 2, "again_min_score": 0.0},
    "detect": {
        "size": "backbone",
        "min_score": 0.0,
        "max_detections": 5,
        "train": {"steps": 3, "batch": 2, "warm_up": 1},
    },
    "label": {"min_score": 0.0, "overlap": "below"},
    "segment": {"size": "backbone", "train": {"steps": 3}},
}


@pytest.fixture(scope="module")
def mirrored(tiny, tmp_path_factory) -> tuple[Path, Path]:
    """Both folders of pictures of the tiny run, each picture mirrored by hand."""
    root = tmp_path_factory.mktemp("mirrored")
    for source in (tiny.pictures, tiny.validation):
        (root / source.name).mkdir()
        for path in source.iterdir():
            with Image.open(path) as picture:
                picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(
                    root / source.name / path.name
                )
    return root / tiny.pictures.name, root / tiny.validation.name


def rows_of(run: Path) -> list[tuple[int, str]]:
    """(id, path) of the pictures of a run."""
    return [(row["id"], row["path"]) for row in lines_of(run / "images.jsonl")]


def predicted(out: Path, mirrored: tuple[Path, ...]) -> dict[int, Any]:
    """What a run's networks say of the mirrored pictures, by picture id."""
    model = api.load(out, device="cpu")
    of = dict(zip(("pictures", "validation"), mirrored, strict=False))
    return {
        row["id"]: model.predict(of[row["root"]] / row["path"])
        for row in lines_of(out / "images.jsonl")
    }


def numbers(run: Path, stage: str) -> dict[str, Any]:
    return json.loads((run / stage / "stage.json").read_text())["numbers"]


def turned(masks: list[dict[str, Any]]) -> list[np.ndarray]:
    return [mask[:, ::-1] for mask in rle.decode(masks)] if masks else []


def test_proposals_agree_as_far_as_those_of_mirrored_files(tiny, mirrored, tmp_path):
    out, settings = tmp_path / "out", {**tiny.settings, "validation": str(mirrored[1])}
    api.run(pictures=mirrored[0], out=out, settings=settings, until="propose", quiet=True)
    files = [lines_of(run / "propose" / "proposals.jsonl") for run in (tiny.out, out)]
    assert rows_of(tiny.out) == rows_of(out)
    found = []
    for row, other in zip(*files, strict=True):
        rles, others = ([mask["rle"] for mask in each["masks"]] for each in (row, other))
        found.append((list(rle.decode(rles)) if rles else [], turned(others)))
    assert numbers(tiny.out, "propose")["agreement_pictures"] == len(found) == 14
    assert numbers(tiny.out, "propose")["agreement"] == pytest.approx(
        reference.of_masks(found), abs=ROUNDED
    )
    assert all("mirrored" not in row for row in files[0])


def shares(out: Path, mirrored: tuple[Path, ...], *, min_score: float) -> dict[str, float]:
    """Agreement of three stages, of what `api.load` predicts of the mirrored files."""
    masks, maps, labels = [], [], []
    rows = {row["id"]: row for row in lines_of(out / "detect" / "detections.jsonl")}
    for number, found in predicted(out, mirrored).items():
        of = [mask for mask in rows[number]["masks"] if mask["score"] >= min_score]
        size = found.instances.size
        there = rle.decode([mask["rle"] for mask in of or rows[number]["masks"][:1]], size=size)
        chosen = select(found.instances.scores, min_score=min_score)
        some = [found.instances.rles[place] for place in chosen]
        masks.append((list(there), turned(some)))
        painted = paint(
            rle.decode(some, size=size),
            found.instances.clusters[chosen],
            found.instances.scores[chosen],
            size,
            overlap="below",
        )
        pairs = (("label/maps", painted, labels), ("segment/predictions", found.label_map, maps))
        for place, other, pictures in pairs:
            path = out / place / f"{number}.png"
            map_there = np.asarray(Image.open(path)) if path.exists() else np.zeros(size, np.uint8)
            pictures.append((np.where(map_there == 255, 0, map_there), other[:, ::-1]))
    return {
        "detect": reference.of_masks(masks),
        "label": reference.of_pixels(labels),
        "segment": reference.of_pixels(maps),
    }


def test_detections_and_maps_agree_as_far_as_those_of_mirrored_files(tiny, mirrored):
    least = tiny.settings["label"]["min_score"]
    wanted = shares(tiny.out, mirrored, min_score=least)
    assert wanted["label"] < 1  # else all of it were background
    for stage, share in wanted.items():
        assert numbers(tiny.out, stage)["agreement"] == pytest.approx(share, abs=ROUNDED), stage
        assert numbers(tiny.out, stage)["agreement_pictures"] == 14
    assert numbers(tiny.out, "detect")["min_score"] == least


def test_on_tokens_too_and_no_view_is_looked_at_twice(tmp_path, monkeypatch):
    looks: list[int] = []
    own = ViT.features_and_tokens  # of whole pictures alone: crops have no tokens

    def counted(network, batch, **how):
        looks.append(len(batch))
        return own(network, batch, **how)

    rng, folders = np.random.default_rng(3), (tmp_path / "pictures", tmp_path / "mirrored")
    for folder in folders:
        folder.mkdir()
    for number in range(3):
        coarse = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)).resize((56, 40))
        for folder, picture in zip(
            folders, (coarse, coarse.transpose(Image.Transpose.FLIP_LEFT_RIGHT)), strict=True
        ):
            picture.save(folder / f"{number}.png")
    out, other = tmp_path / "out", tmp_path / "other"
    with monkeypatch.context() as patched:
        patched.setattr(ViT, "features_and_tokens", counted)
        api.run(pictures=folders[0], out=out, settings=ON_TOKENS, until="segment", quiet=True)
    assert looks == [1] * (2 * 3)
    api.run(pictures=folders[1], out=other, settings=ON_TOKENS, until="propose", quiet=True)
    files = [lines_of(run / "propose" / "proposals.jsonl") for run in (out, other)]
    found = [
        (
            list(rle.decode([mask["rle"] for mask in row["masks"]], size=(40, 56))),
            turned([mask["rle"] for mask in mirror["masks"]]),
        )
        for row, mirror in zip(*files, strict=True)
    ]
    wanted = {"propose": reference.of_masks(found), **shares(out, folders[1:], min_score=0.0)}
    assert sum(len(there) for there, _ in found)
    for stage, share in wanted.items():
        assert numbers(out, stage)["agreement"] == pytest.approx(share, abs=ROUNDED), stage
        assert numbers(out, stage)["agreement_pictures"] == 3


def test_shares_of_the_foreground_are_those_of_pixels_counted(tiny):
    for stage, name in (("propose", "proposals.jsonl"), ("detect", "detections.jsonl")):
        covered = total = n_masks = 0
        for row in lines_of(tiny.out / stage / name):
            masks = row["masks"]
            if stage == "detect":
                least = tiny.settings["label"]["min_score"]
                masks = [mask for mask in masks if mask["score"] >= least] or masks[:1]
            n_masks += len(masks)
            decoded = rle.decode([mask["rle"] for mask in masks], size=(96, 120))
            covered += int(decoded.any(axis=0).sum())
            total += 96 * 120
        found = numbers(tiny.out, stage)
        assert found["foreground"] == pytest.approx(covered / total, abs=ROUNDED)
        assert found["masks_per_picture"] == pytest.approx(n_masks / 14, abs=ROUNDED)


def test_entropies_are_those_of_sizes_and_of_painted_pixels(tiny):
    counts = np.zeros(4, np.int64)
    for path in (tiny.out / "label" / "maps").iterdir():
        label_map = np.asarray(Image.open(path))
        for cluster in range(4):
            counts[cluster] += int((label_map == 1 + cluster).sum())
    sizes = {"label": counts.tolist()}
    for stage in ("cluster", "recluster"):
        sizes[stage] = json.loads((tiny.out / stage / "clusters.json").read_text())["sizes"]
    for stage, each in sizes.items():
        found = numbers(tiny.out, stage)
        assert found["clusters"] == 4
        assert found["effective_clusters"] == pytest.approx(reference.effective(each), rel=1e-3)


def test_numbers_stand_in_metrics_and_on_the_page_beside_the_pictures(tiny):
    metrics = json.loads((tiny.out / "evaluate" / "metrics.json").read_text())["without_truth"]
    table = (tiny.out / "evaluate" / "metrics.md").read_text()
    page = (tiny.out / "report" / "index.html").read_text()
    found = stage_numbers.read(RunFolder(tiny.out))
    assert metrics == stage_numbers.rows_of(found)
    assert list(found) == ["propose", "cluster", "detect", "recluster", "label", "segment"]
    for stage, of in found.items():
        assert stage_numbers.line(stage, of) in table
        assert page.count(stage_numbers.line(stage, of)) == 1


def test_another_sample_makes_no_stage_again_and_its_numbers_stay(tiny, copied, capsys):
    before = {stage: numbers(copied, stage) for stage in stage_numbers.NAMES}
    settings = {**tiny.settings, "evaluate": {"bootstrap": 20, "agreement_pictures": 0}}
    api.run(pictures=tiny.pictures, out=copied, settings=settings, until="segment")
    told = capsys.readouterr().err
    for stage, found in before.items():
        assert numbers(copied, stage) == found
        assert f"{stage}: done before\n{stage}: {stage_numbers.line(stage, found)}\n" in told


def test_no_sample_leaves_the_outputs_as_they_are(tiny, tmp_path):
    out = tmp_path / "out"
    settings = {**tiny.settings, "evaluate": {"agreement_pictures": 0}}
    api.run(pictures=tiny.pictures, out=out, settings=settings, until="propose", quiet=True)
    name = Path("propose") / "proposals.jsonl"
    assert (out / name).read_bytes() == (tiny.out / name).read_bytes()
    found = numbers(out, "propose")
    assert (found["agreement"], found["agreement_pictures"]) == (None, 0)
    assert found["foreground"] == numbers(tiny.out, "propose")["foreground"]


def test_a_run_of_before_there_were_numbers_has_dashes_and_is_not_stale(copied):
    for stage in stage_numbers.NAMES:
        path = copied / stage / "stage.json"
        entry = json.loads(path.read_text())
        del entry["numbers"]
        path.write_text(json.dumps(entry))
    api.report(out=copied, quiet=True)
    api.evaluate(out=copied, quiet=True)
    assert {states(copied)[stage] for stage in stage_numbers.NAMES} == {"done"}
    assert "agreement with the mirrored picture – (pixels)" in (
        copied / "report" / "index.html"
    ).read_text(encoding="utf-8")
    rows = json.loads((copied / "evaluate" / "metrics.json").read_text())["without_truth"]
    assert {row["value"] for row in rows} == {None}


def test_a_picture_that_is_gone_is_left_out_of_the_sample(tiny, tmp_path):
    pictures, out = tmp_path / "pictures", tmp_path / "out"
    shutil.copytree(tiny.pictures, pictures)
    settings = {**tiny.settings, "validation": None, "ground_truth": []}
    settings["cluster"] = {"k": 4, "again": False}
    api.run(pictures=pictures, out=out, settings=settings, until="detect", quiet=True)
    next(iter(sorted(pictures.iterdir()))).unlink()
    whole = numbers(out, "detect")
    assert whole["agreement_pictures"] == 10
    api.label(out=out, quiet=True)
    assert numbers(out, "label")["agreement_pictures"] == 9
