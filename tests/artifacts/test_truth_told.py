"""What is odd in a ground truth is said wherever one is read, on the terminal and in the ledger."""

import json
import shutil
from pathlib import Path

import pytest

from maskdistill import api
from maskdistill.workflows import demo_pictures

SETTINGS = {
    "propose": {"backbone": "handcrafted"},
    "cluster": {"k": 2},
    "threads": 1,
}


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("told")
    demo_pictures.write(
        root / "pictures", root / "truth.json", n_pictures=3, seed=5, size=(128, 160), prefix="p"
    )
    truth = json.loads((root / "truth.json").read_text())
    twice = [{**row, "id": 1000 + n} for n, row in enumerate(truth["annotations"][:2])]
    truth["annotations"] += twice
    (root / "twice.json").write_text(json.dumps(truth))
    api.run(
        pictures=root / "pictures",
        out=root / "run",
        settings=SETTINGS,
        until="cluster",
        quiet=True,
    )
    return root


@pytest.fixture
def run(clustered: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clustered / "run", tmp_path / "run"))


def noted(run: Path) -> list[tuple[str, str]]:
    """Return stage and words of the ledger's notes on ground truth."""
    events = [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()]
    notes = [each for each in events if each["event"] == "note"]
    return [(e["stage"], e["what"]) for e in notes if e["what"].startswith("ground truth: ")]


def test_clusters_named_by_a_truth_with_objects_twice_are_told_so(clustered, run, capsys):
    api.name_clusters(labelled=[clustered / "twice.json"], out=run)
    ((stage, what),) = noted(run)
    assert stage == "cluster"
    assert "twice.json: 2 objects stand twice" in what
    assert what in capsys.readouterr().err


def test_a_sweep_over_a_truth_with_objects_twice_is_told_so(clustered, run, capsys):
    api.sweep(
        out=run,
        n_pictures=1,
        methods=("lost",),
        facets=("keys",),
        settings={"ground_truth": [str(clustered / "twice.json")]},
    )
    ((stage, what),) = noted(run)
    assert stage == "propose"
    assert "twice.json: 2 objects stand twice" in what
    assert what in capsys.readouterr().err


def test_a_run_tells_it_once_the_pictures_are_known(clustered, tmp_path, capsys):
    truth = {"ground_truth": [str(clustered / "twice.json")]}
    out = tmp_path / "out"
    for until in ("scan", "propose"):
        api.run(
            pictures=clustered / "pictures", out=out, settings={**SETTINGS, **truth}, until=until
        )
    ((stage, what),) = noted(out)
    assert stage == "scan"
    said = capsys.readouterr().err
    assert said.count(what) == 1
    assert said.index(what) < said.index("propose: ")


def test_a_truth_without_oddities_is_no_news(clustered, run, capsys):
    api.name_clusters(labelled=[clustered / "truth.json"], out=run)
    assert noted(run) == []
    assert "ground truth" not in capsys.readouterr().err
