"""propose --sweep: a table of combinations, best first; the run stays as it is."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from maskdistill import api, cli
from maskdistill.discovery.recipe import METHODS
from maskdistill.errors import RunError, SettingsError
from maskdistill.measuring import sweep, sweep_views
from maskdistill.measuring.sweep_trials import Grid, Trial, changed, trials_of
from maskdistill.settings import load, resolve
from maskdistill.workflows import demo_pictures

COLUMNS = [
    "method",
    "block",
    "facet",
    "centred",
    "scale",
    "flips",
    "crops",
    "chance",
    "foretold",
    "trust",
    "votes",
    "coverage",
    "masks",
    "area",
]
BY_HAND = {"threads": 1, "propose": {"backbone": "handcrafted", "max_masks": 2}}


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of five pictures that were only scanned, and their ground truth."""
    root = tmp_path_factory.mktemp("sweep")
    demo_pictures.write(root / "pictures", root / "truth.json", n_pictures=5, seed=3, size=(64, 80))
    api.run(
        pictures=root / "pictures", out=root / "run", settings=BY_HAND, until="scan", quiet=True
    )
    return root / "run", root / "truth.json"


def contents(folder: Path) -> dict[str, bytes]:
    ours = {"ledger.jsonl", "lock"}
    files = {path for path in folder.rglob("*") if path.is_file() and "sweep" not in path.parts}
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in files if path.name not in ours
    }


def test_without_ground_truth_every_combination_is_measured_by_agreement(scanned, tmp_path):
    out = Path(shutil.copytree(scanned[0], tmp_path / "run"))
    before = contents(out)
    rows = api.sweep(out=out, n_pictures=2, facets=("keys", "tokens"))
    assert contents(out) == before
    assert {(row["method"], row["facet"], row["centred"]) for row in rows} == {
        (method, facet, centred)
        for method in METHODS
        for facet in ("keys", "tokens")
        for centred in (False, True)
    }
    assert len(rows) == 16
    assert {row["block"] for row in rows} == {-1}  # handcrafted has one
    for row in rows:
        assert list(row) == COLUMNS
        agreement = [row[name] for name in ("flips", "crops") if row[name] is not None]
        shares = [row[name] for name in ("chance", "trust", "votes", "coverage", "area")]
        assert all(0 <= value <= 1 for value in (*agreement, *shares))
        assert agreement or not row["masks"]
        assert 0 <= row["masks"] <= 2
    found = [row for row in rows if row["coverage"]]
    assert rows[: len(found)] == found
    votes = [(row["votes"], row["trust"]) for row in found]
    assert votes == sorted(votes, reverse=True)
    stored = json.loads((out / "sweep" / "table.json").read_text())
    assert (stored["pictures"], stored["rows"]) == (2, rows)


def test_what_finds_nothing_is_last_and_has_no_agreement(scanned, tmp_path):
    out = Path(shutil.copytree(scanned[0], tmp_path / "run"))
    settings = {**BY_HAND, "propose": {**BY_HAND["propose"], "min_score": 0.5}}
    rows = api.sweep(out=out, settings=settings, n_pictures=5, facets=("keys",))
    finds = [row["coverage"] > 0 for row in rows]
    assert finds == sorted(finds, reverse=True)
    assert any(finds)
    nothing = [row for row in rows if not row["masks"]]
    assert {row["method"] for row in nothing} == {"lost"}
    assert all((row["flips"], row["crops"]) == (None, None) for row in nothing)
    stored = json.loads((out / "sweep" / "table.json").read_text())
    assert (stored["format"], stored["rows"]) == (3, rows)


def record(*masks: np.ndarray | None) -> dict:
    """Return the record of a picture: of each trial one mask, the same in every view, or none."""
    empty = np.zeros((40, 40), bool)
    texts = [sweep_views._text(empty if mask is None else mask) for mask in masks]
    return {
        "trials": [
            {"masks": int(mask is not None), "area": 0.2, "own": text, "flips": text, "crops": text}
            for mask, text in zip(masks, texts, strict=True)
        ],
        "tokens": None,
    }


def test_agreement_is_over_the_pictures_in_which_something_is_found():
    trial = Trial("lost", -1, "keys", False, 0)
    mask = np.zeros((40, 40), bool)
    mask[10:20, 10:20] = True
    (row,) = sweep.rows_of([trial], [record(mask), record(None)])
    assert (row["flips"], row["crops"], row["coverage"], row["masks"]) == (1.0, 1.0, 0.5, 0.5)
    (row,) = sweep.rows_of([trial], [record(None)])
    assert (row["flips"], row["crops"], row["foretold"], row["votes"]) == (None, None, None, 0.0)


def test_one_lucky_mask_is_not_better_than_a_mask_in_every_picture():
    rng = np.random.default_rng(0)
    records = []
    for number in range(8):
        row, col = rng.integers(8, 28, 2)
        steady = np.zeros((40, 40), bool)
        steady[row : row + 8, col : col + 8] = True
        nearly = np.roll(steady, 1, axis=0)
        records.append(record(steady if number == 3 else None, steady, nearly))
    names = [Trial(name, -1, "keys", False, 0) for name in ("lost", "tokencut", "maskcut")]
    told = np.stack([sweep_views.masks_of([each], 1)["own"][0, 1::2, 1::2] for each in records])
    for each, tokens in zip(records, told, strict=True):
        each["tokens"] = sweep_views.base64.b64encode(
            np.repeat(tokens[..., None], 2, -1).astype("<f2").tobytes()
        ).decode()
    rows = sweep.rows_of(names, records)
    assert [row["method"] for row in rows][-1] == "lost"
    assert rows[-1]["trust"] < rows[0]["trust"] / 8


def test_scales_are_tried_too_and_maskcut_has_squares(scanned, tmp_path):
    out = Path(shutil.copytree(scanned[0], tmp_path / "run"))
    rows = api.sweep(
        out=out, n_pictures=1, methods=("lost", "maskcut"), facets=("keys",), scales=(32, 0)
    )
    assert {(row["method"], row["scale"]) for row in rows} == {
        ("lost", 32),
        ("lost", 0),
        ("maskcut", 32),
        ("maskcut", 0),
    }
    settings = load({"propose": {"backbone": "handcrafted"}})
    own = resolve(settings).propose
    assert changed(own, Trial("maskcut", -1, "keys", True, 32)).maskcut.square == 32
    moved = changed(own, Trial("lost", -1, "keys", True, 32))
    assert (moved.method, moved.lost.short_side, moved.centre_keys) == ("lost", 32, "yes")
    assert {trial.scale for trial in trials_of(own, Grid(methods=("maskcut",)))} == {480}
    with pytest.raises(SettingsError, match="scales must be px"):
        api.sweep(out=out, scales=(-1,))


def test_with_ground_truth_what_finds_nothing_is_last_too(scanned, tmp_path):
    out = Path(shutil.copytree(scanned[0], tmp_path / "run"))
    own = {**BY_HAND["propose"], "min_score": 0.5}
    settings = {**BY_HAND, "propose": own, "ground_truth": [str(scanned[1])]}
    rows = api.sweep(out=out, settings=settings, n_pictures=5, facets=("keys",))
    assert [row["coverage"] == 0 for row in rows] == [False] * 6 + [True] * 2
    hits = [row["CorLoc"] for row in rows[:6]]
    assert hits == sorted(hits, reverse=True)


def test_with_ground_truth_by_corloc_as_evaluate_counts_it(scanned, tmp_path):
    out = Path(shutil.copytree(scanned[0], tmp_path / "run"))
    settings = {"ground_truth": [str(scanned[1])]}
    rows = api.sweep(
        out=out, settings=settings, n_pictures=5, methods=("tokencut",), facets=("keys",)
    )
    api.run(out=out, settings=settings, until="propose", quiet=True)
    api.evaluate(out=out)
    metrics = json.loads((out / "evaluate" / "metrics.json").read_text())["metrics"]
    measured = {row["name"]: row["value"] for row in metrics if row["stage"] == "propose"}
    plain = next(row for row in rows if not row["centred"])
    assert plain["CorLoc"] == pytest.approx(measured["CorLoc"], abs=1e-6)
    assert plain["mean_best_iou"] == pytest.approx(measured["mean_best_iou"], abs=1e-6)
    assert plain["mean_best_iou"] > 0


def test_a_sweep_goes_on_where_it_was_stopped(scanned, tmp_path, monkeypatch):
    out = Path(shutil.copytree(scanned[0], tmp_path / "run"))
    arguments = {"out": out, "n_pictures": 3, "methods": ("lost",), "facets": ("keys",)}
    wanted = api.sweep(**arguments)
    done = []
    own = sweep_views._seen

    def seen(*given):
        if len(done) == 4:  # of the second picture
            raise KeyboardInterrupt
        done.append(1)
        return own(*given)

    monkeypatch.setattr(sweep_views, "_seen", seen)
    with pytest.raises(KeyboardInterrupt):
        api.sweep(**arguments)
    done.clear()
    monkeypatch.setattr(sweep_views, "_seen", lambda *given: done.append(1) or own(*given))
    assert api.sweep(**arguments) == wanted
    assert len(done) == 2 * 3  # two pictures, each as it is, mirrored, cropped


@pytest.mark.parametrize("change", ["settings", "truth"])
def test_a_stopped_sweep_of_other_settings_or_truth_is_not_gone_on_with(
    scanned, tmp_path, monkeypatch, change
):
    out = Path(shutil.copytree(scanned[0], tmp_path / "run"))
    arguments = {"out": out, "n_pictures": 3, "methods": ("lost",), "facets": ("keys",)}
    other = (
        {"ground_truth": [str(scanned[1])]}
        if change == "truth"
        else {"propose": {"max_masks": 1, "min_score": 0.0}}
    )
    clean = Path(shutil.copytree(scanned[0], tmp_path / "clean"))
    wanted = api.sweep(**{**arguments, "out": clean}, settings=other)
    own, done = sweep_views._seen, []

    def seen(*given):
        if len(done) == 4:  # of the second picture
            raise KeyboardInterrupt
        done.append(1)
        return own(*given)

    monkeypatch.setattr(sweep_views, "_seen", seen)
    with pytest.raises(KeyboardInterrupt):
        api.sweep(**arguments)
    monkeypatch.setattr(sweep_views, "_seen", own)
    assert api.sweep(**arguments, settings=other) == wanted


def test_a_sweep_of_a_run_that_is_not_scanned_says_so(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(
        f"preset: quick\npictures: {tmp_path / 'pictures'}\n"
    )
    with pytest.raises(RunError, match=r"not complete\. Do it first: maskdistill scan"):
        api.sweep(out=tmp_path / "run", settings=BY_HAND)


def test_another_grid_begins_anew(scanned, tmp_path):
    out = Path(shutil.copytree(scanned[0], tmp_path / "run"))
    (out / "sweep" / "parts").mkdir(parents=True)
    (out / "sweep" / "parts" / "plan.json").write_text('"another"')
    (out / "sweep" / "parts" / "journal.jsonl").write_text('{"id": 1}')
    assert len(api.sweep(out=out, n_pictures=1, methods=("lost",), facets=("keys",))) == 2


def test_the_command_prints_the_table(scanned, tmp_path, capsys):
    out = Path(shutil.copytree(scanned[0], tmp_path / "run"))
    words = [
        "propose",
        str(out),
        "--sweep",
        "--sweep-pictures",
        "1",
        "--sweep-methods",
        "lost",
        "--sweep-facets",
        "keys",
    ]
    assert cli.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == COLUMNS
    assert [line.split()[0] for line in lines[1:]] == ["lost", "lost"]
    assert not (out / "propose").exists()


def test_the_command_prints_a_dash_where_there_is_no_agreement(scanned, tmp_path, capsys):
    out = Path(shutil.copytree(scanned[0], tmp_path / "run"))
    words = ["propose", str(out), "--sweep", "--sweep-pictures", "1", "--min-score", "0.5"]
    assert cli.main([*words, "--sweep-methods", "lost", "--sweep-facets", "keys"]) == 0
    lines = capsys.readouterr().out.splitlines()
    numbers = dict(zip(COLUMNS, lines[1].split(), strict=True))
    assert [numbers[name] for name in ("flips", "crops", "foretold")] == ["-", "-", "-"]
    assert [numbers[name] for name in ("votes", "coverage", "masks")] == ["0.000"] * 3


def test_what_is_not_there_is_refused(scanned):
    for given, words in (
        ({"methods": ("lst",)}, "there is no lst"),
        ({"n_pictures": 0}, "n_pictures"),
    ):
        with pytest.raises(SettingsError, match=words):
            api.sweep(out=scanned[0], **given)
