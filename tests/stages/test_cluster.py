"""What the stage `cluster` writes, and what it makes of input that is thin, equal or not finite."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from maskdistill import api, detector
from maskdistill.artifacts.clusterings import made_by
from maskdistill.artifacts.mask_lines import detections
from maskdistill.clusters import chunks, number
from maskdistill.engine.job import Job
from maskdistill.engine.opening import configured
from maskdistill.errors import SettingsError, StaleError, TrainingError
from maskdistill.runs.layout import RunFolder
from maskdistill.settings import resolve, validate
from maskdistill.stage_parts import fit_clusters
from maskdistill.stages import cluster
from tests.made import lines_of
from tests.stages.clusterings import DRAWN, NETWORK, clustered, read
from tests.tiny_runs import QUICK


def test_clusters_json_says_of_each_cluster_what_it_is(tiny) -> None:
    found, rows, _ = read(tiny.out)
    k, centroids = found["k"], np.load(tiny.out / "cluster" / found["centroids"])
    assert k == len(centroids) == 4
    assert found["settings"]["kmeans"] == "full"
    assert found["settings"]["seed"] == 0
    assert found["left_out"] == {}
    ids = [row["cluster"] for row in rows]
    assert found["sizes"] == np.bincount(ids, minlength=k).tolist()
    assert found["fitted_on"] == sorted(found["fitted_on"], reverse=True)
    assert all(0 < spread < 2 for spread in found["spread"])
    for own, (other, exemplars) in enumerate(
        zip(found["nearest_other"], found["exemplars"], strict=True)
    ):
        away = np.linalg.norm(centroids - centroids[own], axis=1)
        assert other["distance"] == pytest.approx(away[other["cluster"]], abs=1e-5)
        assert other["cluster"] == np.argsort(away)[1]
        assert set(exemplars) == {"nearest", "farthest", "random"}
        for shown in exemplars.values():
            assert len(shown) == min(12, found["sizes"][own])
            of = {(row["id"], row["mask"]) for row in rows if row["cluster"] == own}
            assert {tuple(each) for each in shown} <= of


def test_the_same_seed_gives_the_same_bytes_and_another_one_counts(tiny, tmp_path: Path) -> None:
    out = tmp_path / "again"
    clustered(tiny.pictures, out, kmeans="minibatch", restarts=1)
    first = (
        (out / "cluster" / "clusters.jsonl").read_bytes(),
        (out / "cluster" / "centroids.npy").read_bytes(),
    )
    shutil.rmtree(out / "cluster")
    clustered(tiny.pictures, out, kmeans="minibatch", restarts=1)
    assert first == (
        (out / "cluster" / "clusters.jsonl").read_bytes(),
        (out / "cluster" / "centroids.npy").read_bytes(),
    )


def test_fewer_masks_than_clusters_lower_the_number_and_the_ledger_says_so(
    drawn, tmp_path: Path
) -> None:
    found, rows, events = clustered(drawn[0], tmp_path / "run", k=200, limit=3)
    assert found["k"] == len(rows) < 200
    assert found["sizes"] == [1] * found["k"]
    warned = [event["what"] for event in events if event["event"] == "warning"]
    assert warned == [f"{found['k']} masks for 200 clusters: {found['k']} clusters are used"]


def test_one_mask_in_all_is_one_cluster(drawn, tmp_path: Path) -> None:
    settings = {**QUICK, "limit": 1, "propose": {"backbone": "handcrafted", "max_masks": 1}}
    settings["cluster"] = {"k": 0}
    api.run(pictures=drawn[0], out=tmp_path / "run", settings=settings, until="cluster", quiet=True)
    found, rows, _ = read(tmp_path / "run")
    assert [row["cluster"] for row in rows] == [0]
    assert (found["k"], found["sizes"], found["spread"], found["nearest_other"]) == (
        1,
        [1],
        [0],
        [None],
    )


def test_masks_that_are_all_alike_are_one_cluster_and_the_ledger_says_why(
    drawn, tmp_path: Path
) -> None:
    (tmp_path / "pictures").mkdir()
    for name in "abcde":
        shutil.copy(drawn[0] / "p0001.png", tmp_path / "pictures" / f"{name}.png")
    settings = {**QUICK, "propose": {"backbone": "handcrafted", "max_masks": 1}}
    api.run(
        pictures=tmp_path / "pictures",
        out=tmp_path / "run",
        settings=settings,
        until="cluster",
        quiet=True,
    )
    found, rows, events = read(tmp_path / "run")
    assert [row["cluster"] for row in rows] == [0] * 5
    assert found["k"] == 1
    warned = [event["what"] for event in events if event["event"] == "warning"]
    assert warned == ["1 unlike masks among 5 for 4 clusters: 1 clusters are used"]


def test_embeddings_that_are_not_finite_stop_the_run_where_all_are_and_say_what_to_try(
    drawn, tmp_path: Path
) -> None:
    state = timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict()
    state["norm.bias"][3] = torch.nan
    torch.save(state, tmp_path / "broken.pth")
    weights = ["propose=handcrafted", f"cluster={tmp_path / 'broken.pth'}"]
    own = {"backbone": "timm/vit_tiny_patch16_224", "embedding": "class_token"}
    with pytest.raises(
        TrainingError,
        match=r"not one of the embeddings of \d+ masks is finite.*`precision: float32`",
    ):
        clustered(drawn[0], tmp_path / "run", weights=weights, limit=2, **own)
    assert not (tmp_path / "run" / "cluster" / "clusters.jsonl").exists()


@pytest.mark.parametrize("solver", ["auto", "torch"])
def test_masks_whose_embedding_is_not_finite_are_left_out_of_training_and_counted(
    drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, solver: str
) -> None:
    from maskdistill.clusters import handmade

    own, seen = handmade._one, []

    def one(*given: Any) -> np.ndarray:
        seen.append(own(*given))
        return np.full_like(seen[-1], np.inf) if len(seen) in (2, 5) else seen[-1]

    monkeypatch.setattr(handmade, "_one", one)
    found, rows, events = clustered(drawn[0], tmp_path / "run", workers=0, solver=solver)
    assert [number for number, row in enumerate(rows) if "left_out" in row] == [1, 4]
    assert {row.get("left_out") for row in rows} == {None, "not finite"}
    assert found["left_out"] == {"not finite": 2}
    assert sum(found["fitted_on"]) == len(rows) - 2
    assert any("2 embeddings are not finite" in event.get("what", "") for event in events)
    assert np.isfinite(np.load(tmp_path / "run" / "cluster" / "embeddings.npy")).all()


def test_crops_that_do_not_fit_into_memory_go_in_halves_and_one_that_never_fits_is_left_out(
    drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from maskdistill.clusters import crops

    _, rows, _ = clustered(drawn[0], tmp_path / "whole", weights=DRAWN, limit=4, **NETWORK)
    largest, own = max(np.load(tmp_path / "whole/cluster/embeddings.npy"), key=np.sum), crops.embed

    def embed(views: Any, **how: Any) -> np.ndarray:
        found = own(views, **how)
        if len(views) > 3 or (np.abs(found - largest).max(axis=1) < 1e-3).any():
            raise MemoryError
        return found

    monkeypatch.setattr(crops, "embed", embed)
    out = tmp_path / "narrow"
    found, lines, events = clustered(drawn[0], out, weights=DRAWN, limit=4, **NETWORK)
    assert found["left_out"] == {"not finite": 1}
    assert len(lines) == len(rows) > 4
    assert any(event["event"] == "halved" and event["masks"] == len(rows) for event in events)
    told = [event["what"] for event in events if event["event"] == "warning"]
    assert any("do not fit into memory, even alone" in what for what in told)
    values = [np.load(tmp_path / run / "cluster/embeddings.npy") for run in ("whole", "narrow")]
    kept = values[1].any(axis=1)
    assert kept.sum() == len(rows) - 1
    np.testing.assert_allclose(values[1][kept], values[0][kept], rtol=1e-3, atol=1e-3)


def test_auto_chooses_a_number_whose_curve_stands_in_the_report(drawn, tmp_path: Path) -> None:
    found, _, events = clustered(drawn[0], tmp_path / "run", k="auto", k_most=3)
    assert [row["k"] for row in found["curve"]] == [2, 3]
    assert found["k"] == number.chosen(found["curve"]) == len(found["sizes"])
    noted = [
        event["value"] for event in events if event["event"] == "note" and "chosen" in event["what"]
    ]
    assert noted == [found["k"]]
    api.report(out=tmp_path / "run")
    page = (tmp_path / "run" / "report" / "index.html").read_text(encoding="utf-8")
    assert f"How many clusters: cluster, {found['k']} chosen" in page


def test_auto_on_a_handful_of_masks_is_one_cluster(drawn, tmp_path: Path) -> None:
    found, rows, _ = clustered(drawn[0], tmp_path / "run", k="auto", limit=2)
    assert len(rows) < 8
    assert (found["k"], found["curve"]) == (1, [])


def test_clusters_are_merged_to_the_number_wanted_and_a_loaded_run_would_assign_alike(
    drawn, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    found, rows, _ = clustered(drawn[0], out, k=3, merge_from=8)
    assert (found["k"], len(found["sizes"]), len(found["groups"])) == (3, 3, 8)
    assert sorted(set(found["groups"])) == [0, 1, 2]
    assert len(np.load(out / "cluster" / "centroids.npy")) == 8
    assert found["fitted_on"] == sorted(found["fitted_on"], reverse=True)
    settings = resolve(validate(configured(out), source="config"))
    assign = cluster.assigner(Job.alone(settings), made_by(RunFolder(out), "cluster"))
    masks = json.loads((out / "propose" / "proposals.jsonl").read_text().splitlines()[0])["masks"]
    with Image.open(drawn[0] / "p0001.png") as picture:
        rgb = np.asarray(picture.convert("RGB"))
    ids = assign(rgb, detections({"masks": masks}, rgb.shape[:2]))
    assert ids.tolist() == [row["cluster"] for row in rows if row["id"] == 1]


def test_flags_say_what_looks_like_noise_and_take_nothing_away(drawn, tmp_path: Path) -> None:
    out = tmp_path / "run"
    found, rows, _ = clustered(
        drawn[0], out, flag_far=1.2, flag_area=0.01, flag_score=0.99, flag_border=1.0
    )
    assert found["far"] == sum(row.get("far", False) for row in rows) > 0
    assert found["flags"] == [["area", "score"]] * 4
    assert found["left_out"] == {}
    api.report(out=out)
    assert "flagged: area, score" in (out / "report" / "index.html").read_text(encoding="utf-8")
    none, rows, _ = clustered(
        drawn[0], tmp_path / "none", flag_far=0.0, flag_border=1.0, flag_area=1.0
    )
    assert none["flags"] == [[]] * 4
    assert not any("far" in row for row in rows)


def test_drop_leaves_what_is_flagged_out_of_training_and_of_label_maps(
    drawn, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    own = {"flag_far": 1.2, "flag_border": 1.0, "flag_area": 1.0, "drop": True}
    found, rows, _ = clustered(drawn[0], out, **own)
    assert found["left_out"] == {"far": found["far"]}
    assert {number for number, row in enumerate(rows) if "left_out" in row} == {
        number for number, row in enumerate(rows) if row.get("far")
    }
    settings = {**QUICK, "cluster": {**QUICK["cluster"], **own}}
    seen = []
    batches = detector.batches

    def watched(sample: Any, **given: Any) -> Any:
        seen.extend(len(sample(position)[2]) for position in range(given["n_pictures"]))
        return batches(sample, **given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detector, "batches", watched)
        api.run(pictures=drawn[0], out=out, settings=settings, until="label", quiet=True)
    trusted = [line["masks"] for line in lines_of(out / "propose" / "proposals.jsonl")]
    all_scores = [mask["score"] for masks in trusted for mask in masks]
    kept = [
        number
        for number, row in enumerate(rows)
        if "left_out" not in row and all_scores[number] >= 0.45
    ]
    assert sum(seen) == len(kept) < sum(score >= 0.45 for score in all_scores)
    again = lines_of(out / "recluster" / "clusters.jsonl")
    assert any("left_out" in row for row in again)
    coverage = json.loads((out / "label" / "coverage.json").read_text())
    shown = [
        mask["score"] >= 0.05
        for line in lines_of(out / "detect" / "detections.jsonl")
        for mask in line["masks"]
    ]
    painted: dict[int, int] = {}
    for row, is_shown in zip(again, shown, strict=True):
        painted[row["id"]] = painted.get(row["id"], 0) + (is_shown and "left_out" not in row)
    for picture, count in painted.items():
        assert coverage[str(picture)]["masks"] in (
            count,
            1,
        )  # 1: the best of those below the threshold


def test_where_every_mask_is_flagged_none_is_dropped_and_the_ledger_says_so(
    drawn, tmp_path: Path
) -> None:
    found, rows, events = clustered(drawn[0], tmp_path / "run", flag_score=1.0, drop=True)
    assert found["left_out"] == {}
    assert not any("left_out" in row for row in rows)
    assert any("every mask is flagged" in str(event.get("what")) for event in events)


def test_crops_of_several_pictures_go_together_and_give_what_one_by_one_gives(
    drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from maskdistill.features import packed

    own, sizes, found = packed.tokens, [], []
    monkeypatch.setattr(
        packed,
        "tokens",
        lambda vit, given, **how: sizes.append(len(given)) or own(vit, given, **how),
    )
    for pack, together in ((0, False), (64, True)):
        out = tmp_path / str(pack)
        sizes.clear()
        clustered(drawn[0], out, weights=DRAWN, limit=6, pack=pack, **NETWORK)
        found.append(np.load(out / "cluster" / "embeddings.npy"))
        assert (max(sizes, default=0) > 2) == together
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3, atol=1e-4)
    assert len(np.unique(found[0], axis=0)) == len(found[0])


@pytest.mark.parametrize(
    "own",
    [
        {"background": "blur"},
        {"background": "blur", "blur": 0.5},
        {"background": "fill"},
        {"embedding": "patch_mean"},
        {"scales": [1.0, 0.5]},
        {"flips": True},
        {"min_side": 60},
        {"whitening": "pca", "pca_dims": 5},
    ],
    ids=str,
)
def test_each_choice_of_the_embedding_counts_and_makes_the_clustering_stale(
    drawn, tmp_path: Path, own
) -> None:
    plain = tmp_path / "run"
    clustered(drawn[0], plain, weights=DRAWN, limit=2, **NETWORK)
    before = (
        np.load(plain / "cluster" / "embeddings.npy"),
        np.load(plain / "cluster" / "centroids.npy"),
    )
    with pytest.raises(StaleError, match=next(reversed(own))):
        clustered(drawn[0], plain, weights=DRAWN, limit=2, **{**NETWORK, **own})
    shutil.rmtree(plain / "cluster")
    clustered(drawn[0], plain, weights=DRAWN, limit=2, **{**NETWORK, **own})
    after = (
        np.load(plain / "cluster" / "embeddings.npy"),
        np.load(plain / "cluster" / "centroids.npy"),
    )
    if "whitening" in own:
        assert np.array_equal(before[0], after[0])
        assert after[1].shape[1] <= 5
        assert (plain / "cluster" / "projection.npy").exists()
    else:
        assert np.abs(before[0] - after[0]).max() > 1e-3


def test_pictures_without_any_mask_end_in_an_error_that_says_what_to_try(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (96, 80), (90, 120, 40)).save(tmp_path / "pictures" / "flat.png")
    with pytest.raises(TrainingError, match=r"no masks in the 1 pictures.*`propose\.min_score`"):
        clustered(tmp_path / "pictures", tmp_path / "run")
    assert not (tmp_path / "run" / "cluster" / "clusters.jsonl").exists()


@pytest.mark.parametrize("kmeans", ["full", "spherical"])
def test_the_solver_in_torch_gives_the_clusters_of_scikit_learn_and_the_ledger_says_so(
    drawn, tmp_path: Path, kmeans: str
) -> None:
    before, rows, _ = clustered(drawn[0], tmp_path / "sklearn", kmeans=kmeans)
    after, again, events = clustered(drawn[0], tmp_path / "torch", kmeans=kmeans, solver="torch")
    assert again == rows
    assert after["inertia"] == pytest.approx(before["inertia"], rel=1e-6)
    assert (before["settings"].get("solver"), after["settings"]["solver"]) == (None, "torch")
    assert any(event.get("what") == "k-means in torch" for event in events)
    centroids = [
        np.load(tmp_path / name / "cluster" / "centroids.npy") for name in ("sklearn", "torch")
    ]
    np.testing.assert_allclose(*centroids, atol=1e-5)


def test_auto_takes_torch_for_what_is_large_and_scikit_learn_for_mini_batches(
    drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_clusters, "IN_MEMORY", 100)
    for kmeans, wanted in (("full", True), ("minibatch", False)):
        _, _, events = clustered(drawn[0], tmp_path / kmeans, kmeans=kmeans)
        assert any(event.get("what") == "k-means in torch" for event in events) == wanted
    with pytest.raises(SettingsError, match=r"solver torch has no cluster\.kmeans minibatch"):
        clustered(drawn[0], tmp_path / "refused", kmeans="minibatch", solver="torch")


@pytest.mark.parametrize("own", [{}, {"whitening": "pca", "pca_dims": 5}], ids=str)
def test_in_chunks_of_a_few_masks_the_clusters_are_those_of_one_chunk(
    drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: dict[str, Any]
) -> None:
    _, rows, _ = clustered(drawn[0], tmp_path / "one", solver="torch", **own)
    monkeypatch.setattr(chunks, "BYTES", 2**12)
    _, again, _ = clustered(drawn[0], tmp_path / "many", solver="torch", **own)
    assert len(rows) > 12
    assert again == rows
    embeddings = [
        (tmp_path / name / "cluster" / "embeddings.npy").read_bytes() for name in ("one", "many")
    ]
    assert embeddings[0] == embeddings[1]
    assert not (tmp_path / "many" / "cluster" / "parts").exists()


def test_thin_and_equal_input_goes_through_the_solver_in_torch_too(drawn, tmp_path: Path) -> None:
    few, rows, events = clustered(drawn[0], tmp_path / "few", k=200, limit=3, solver="torch")
    assert few["sizes"] == [1] * len(rows)
    assert any(
        event.get("what") == f"{len(rows)} masks for 200 clusters: {len(rows)} clusters are used"
        for event in events
    )
    (tmp_path / "pictures").mkdir()
    for name in "abcde":
        shutil.copy(drawn[0] / "p0001.png", tmp_path / "pictures" / f"{name}.png")
    for count, limit in ((5, 5), (1, 1)):
        settings = {**QUICK, "limit": limit, "propose": {"backbone": "handcrafted", "max_masks": 1}}
        settings["cluster"] = {"k": 4, "solver": "torch"}
        out = tmp_path / str(count)
        api.run(
            pictures=tmp_path / "pictures", out=out, settings=settings, until="cluster", quiet=True
        )
        found, rows, _ = read(out)
        assert (found["k"], [row["cluster"] for row in rows]) == (1, [0] * count)
