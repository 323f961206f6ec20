"""run --seeds: the chain after the proposals, or k-means alone, made again with other seeds and evaluated together."""

import json
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest

from maskdistill import api, cli
from maskdistill.errors import RunError, SettingsError, StaleError
from maskdistill.runs import record
from maskdistill.stage_parts import embeddings, train_network
from maskdistill.stages import cluster
from tests.made import events, states

CHAIN = (
    "scan",
    "propose",
    "cluster",
    "detect/train",
    "detect",
    "recluster",
    "label",
    "segment/train",
    "segment",
)


def outputs(run: Path, *stages: str) -> dict[str, bytes]:
    """Bytes of the outputs of stages, and of their records."""
    found = {}
    for stage in stages:
        entry = record.read(run / stage / "stage.json")
        assert entry is not None, stage
        base = run if stage == "scan" else run / stage
        found[f"{stage}/stage.json"] = (run / stage / "stage.json").read_bytes()
        found |= {f"{stage}:{name}": (base / name).read_bytes() for name in entry.outputs}
    return found


def metrics(run: Path) -> list[dict[str, Any]]:
    return json.loads((run / "evaluate" / "metrics.json").read_text(encoding="utf-8"))["metrics"]


def go(
    tiny, out: Path, *, until: str = "report", settings: dict[str, Any] | None = None, **given
) -> None:
    """The run of `tiny` again, all of its stages taken, with other settings."""
    verbs = ("propose", "cluster", "detect", "label", "segment")
    reuse = {verb: tiny.out for verb in verbs if api.VERBS.index(verb) <= api.VERBS.index(until)}
    wanted = {**tiny.settings, **(settings or {})}
    api.run(
        pictures=tiny.pictures,
        out=out,
        settings=wanted,
        until=until,
        quiet=True,
        **{"reuse": reuse, **given},
    )


@pytest.fixture(scope="module")
def three(tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with the seeds 0, 1 and 2."""
    out = tmp_path_factory.mktemp("seeds") / "run"
    go(tiny, out, settings={"seeds": 3})
    return out


def test_each_seed_is_a_run_of_its_own_and_the_runs_own_seed_is_taken_whole(three, tiny):
    assert sorted(path.name for path in (three / "seeds").iterdir()) == ["0", "1", "2"]
    assert outputs(three / "seeds" / "0", *CHAIN) == outputs(three, *CHAIN)
    assert events(three / "seeds" / "0", "start") == []
    assert (three / "seeds" / "0" / "images.jsonl").samefile(three / "images.jsonl")
    assert set(states(three / "seeds" / "1").values()) == {
        "done",
        "missing",
    }  # a page of its own it has none
    api.load(three / "seeds" / "1").predict(tiny.validation / "v0001.png")


def test_what_no_seed_changes_is_taken_and_not_made_again(three):
    for number in ("1", "2"):
        own = three / "seeds" / number
        assert [row["stage"] for row in events(own, "start")] == list(CHAIN[2:])
        assert (own / "images.jsonl").samefile(three / "images.jsonl")
        assert (own / "propose" / "proposals.jsonl").samefile(three / "propose" / "proposals.jsonl")
        assert (own / "cluster" / "embeddings.npy").read_bytes() == (
            three / "cluster" / "embeddings.npy"
        ).read_bytes()
        assert "embeddings" in [row.get("what") for row in events(own, "reuse")]


def test_k_means_itself_has_the_seed_of_the_chain(three, tiny, tmp_path, monkeypatch):
    from maskdistill.clusters import kmeans, streamed

    seeds: list[tuple[str, int]] = []
    for room in (kmeans, streamed):
        own = room.fit
        monkeypatch.setattr(
            room,
            "fit",
            lambda *given, own=own, name=room.__name__, **how: (
                seeds.append((name, how["seed"])) or own(*given, **how)
            ),
        )
    for solver in ("sklearn", "torch"):
        settings = {**tiny.settings, "chain_seed": 7, "cluster": {"solver": solver}}
        reuse = {"propose": tiny.out}
        api.run(
            pictures=tiny.pictures,
            out=tmp_path / solver,
            settings=settings,
            until="cluster",
            reuse=reuse,
            quiet=True,
        )
    assert {name.rpartition(".")[2] for name, _ in seeds} == {"kmeans", "streamed"}
    assert {seed for _, seed in seeds} == {7}


def test_a_seed_gives_what_a_run_of_that_seed_alone_gives(three, tiny, tmp_path):
    settings = {**tiny.settings, "chain_seed": 2}
    api.run(
        pictures=tiny.pictures,
        out=tmp_path / "alone",
        settings=settings,
        until="segment",
        quiet=True,
    )
    assert outputs(three / "seeds" / "2", *CHAIN) == outputs(tmp_path / "alone", *CHAIN)
    assert outputs(three / "seeds" / "2", "segment") != outputs(three, "segment")


def test_metrics_have_mean_and_deviation_over_the_seeds_beside_the_runs_own_rows(three, tiny):
    rows = metrics(three)
    assert [row for row in rows if "seeds" not in row] == metrics(tiny.out)
    of_each = [
        {
            (row["stage"], row["name"], row["split"]): row["value"]
            for row in metrics(three / "seeds" / number)
        }
        for number in "012"
    ]
    over = {(row["stage"], row["name"], row["split"]): row for row in rows if "seeds" in row}
    assert {stage for stage, _, _ in over} == {"cluster", "detect", "label", "segment"}
    assert len({tuple(each.values()) for each in of_each}) == 3  # the seeds do differ
    for key, row in over.items():
        values = [each[key] for each in of_each if each[key] is not None]
        assert list(row["by_seed"].values()) == [each[key] for each in of_each]
        assert row["seeds"] == len(values)
        if len(values) > 1:
            assert row["value"] == pytest.approx(statistics.mean(values), abs=1e-6)
            assert row["spread"] == pytest.approx(statistics.stdev(values), abs=1e-6)
    table = (three / "evaluate" / "metrics.md").read_text(encoding="utf-8")
    assert "validation over seeds (chain)" in table
    assert "everything after the proposals made anew" in table
    assert "(3 seeds)" in table


def test_a_seeds_own_metrics_are_those_that_it_has_when_it_is_evaluated_alone(three, tmp_path):
    alone = Path(shutil.copytree(three / "seeds" / "2", tmp_path / "alone"))
    api.evaluate(out=alone)

    def by_key(rows: list[dict[str, Any]]) -> dict[Any, Any]:
        return {(row["stage"], row["name"], row["split"]): row for row in rows}

    assert by_key(metrics(alone)) == by_key(metrics(three / "seeds" / "2"))
    assert len(metrics(alone)) == len(metrics(three / "seeds" / "2"))


def test_status_has_a_row_for_each_seed_and_says_what_is_to_be_done(three, tiny, tmp_path):
    assert {name: state for name, state in states(three).items() if name.startswith("seeds")} == {
        f"seeds/{number}": "done" for number in range(3)
    }
    assert not any(name.startswith("seeds") for name in states(tiny.out))
    copied = Path(shutil.copytree(three, tmp_path / "copied"))
    (copied / "seeds" / "1" / "label" / "stage.json").unlink()
    shutil.rmtree(copied / "seeds" / "2")
    rows = {row["stage"]: row for row in api.status(out=copied)}
    assert (rows["seeds/1"]["state"], rows["seeds/2"]["state"]) == ("unfinished", "missing")
    assert "to do: label" in rows["seeds/1"]["why"][-1]


def test_the_same_command_again_makes_nothing_again_and_what_is_missing_is_made_with_the_same_bytes(
    three, tiny, tmp_path
):
    copied = Path(shutil.copytree(three, tmp_path / "copied"))
    before = outputs(copied / "seeds" / "1", *CHAIN)
    written = (copied / "evaluate" / "metrics.json").read_bytes()
    (copied / "seeds" / "1" / "label" / "stage.json").unlink()
    go(tiny, copied, settings={"seeds": 3})
    assert outputs(copied / "seeds" / "1", *CHAIN) == before
    assert (copied / "evaluate" / "metrics.json").read_bytes() == written
    assert [row["stage"] for row in events(copied / "seeds" / "1", "start")] == [
        *CHAIN[2:],
        "label",
    ]
    assert len(events(copied / "seeds" / "2", "start")) == len(CHAIN[2:])


class Killed(BaseException):
    """What a kill is to a test: nothing that anybody handles."""


@pytest.mark.parametrize("where", ["embeddings taken", "clustered", "trained"])
def test_a_seed_that_was_killed_goes_on_with_the_same_bytes(
    three, tiny, tmp_path, monkeypatch, where
):
    owner, name = {
        "embeddings taken": (cluster.other_runs, "embeddings"),
        "clustered": (cluster.lines, "write"),
        "trained": (train_network, "placed"),
    }[where]
    own = getattr(owner, name)
    calls = [0]

    def killed(*given, **named):
        made = own(*given, **named)
        calls[0] += 1
        if calls[0] == 1:
            raise Killed
        return made

    out = tmp_path / "out"
    go(tiny, out, until="segment")
    monkeypatch.setattr(owner, name, killed)
    with pytest.raises(Killed):
        go(tiny, out, until="segment", settings={"seeds": 2})
    monkeypatch.undo()
    go(tiny, out, until="segment", settings={"seeds": 2})
    for number in "01":
        assert outputs(out / "seeds" / number, *CHAIN) == outputs(
            three / "seeds" / number, *CHAIN
        ), number


def test_clusters_alone_are_repeated_without_looking_at_the_pictures_again(
    tiny, tmp_path, monkeypatch
):
    def refused(*_: Any) -> None:
        raise AssertionError("embeddings were computed")

    out = tmp_path / "out"
    monkeypatch.setattr(embeddings, "embedder", refused)
    go(tiny, out, settings={"seeds": 4, "seeds_of": "clusters", "seed": 0})
    assert {
        path.name for path in (out / "seeds" / "3").iterdir() if (path / "stage.json").exists()
    } == {
        "scan",
        "propose",
        "cluster",
    }
    over = [row for row in metrics(out) if "seeds" in row]
    assert {row["stage"] for row in over} == {"cluster"}
    assert {row["of"] for row in over} == {"clusters"}
    assert all("understates" in row["protocol"] for row in over)
    assert "understates" in (out / "evaluate" / "metrics.md").read_text(encoding="utf-8")


def test_a_seed_made_with_other_settings_is_stale_left_out_of_the_mean_and_made_again_with_from(
    tiny, tmp_path
):
    out = tmp_path / "out"
    few = {"seeds": 2, "seeds_of": "clusters"}
    go(tiny, out, settings=few)
    other = {**few, "cluster": {**tiny.settings["cluster"], "k": 3}}
    with pytest.raises(StaleError, match=r"settings\.k: 4 -> 3"):
        api.run(
            pictures=tiny.pictures,
            out=out,
            settings={**tiny.settings, **other},
            until="cluster",
            quiet=True,
        )
    api.cluster(out=out, settings={"cluster": {"k": 3}}, redo=True)  # of the run alone
    assert states(out)["seeds/1"] == "stale"
    api.evaluate(out=out)
    assert not any("seeds" in row for row in metrics(out))
    stale, seeds = (event["what"] for event in events(out, "warning")[:-3:-1])
    assert "made from another cluster" in stale
    assert "seeds 0, 1 are not complete" in seeds
    api.run(out=out, until="cluster", start="cluster", quiet=True)
    assert states(out)["seeds/1"] == "done"
    assert json.loads((out / "seeds" / "1" / "cluster" / "clusters.json").read_text())["k"] == 3


def test_seeds_count_from_the_runs_own_and_a_drawn_validation_is_the_same_for_all(tiny, tmp_path):
    out = tmp_path / "out"
    settings = {**tiny.settings, "validation": "0.3", "seed": 7, "seeds": 2, "seeds_of": "clusters"}
    api.run(pictures=tiny.pictures, out=out, settings=settings, until="cluster", quiet=True)
    assert sorted(path.name for path in (out / "seeds").iterdir()) == ["7", "8"]
    rows = [(out / "seeds" / number / "images.jsonl").read_bytes() for number in "78"]
    assert rows == [(out / "images.jsonl").read_bytes()] * 2


def test_evaluate_takes_the_seeds_that_it_is_asked_for(three, tmp_path):
    copied = Path(shutil.copytree(three, tmp_path / "copied"))
    assert cli.main(["evaluate", str(copied), "--seeds", "2"]) == 0
    assert {
        row["seeds"] for row in metrics(copied) if row["name"] == "mIoU" and "seeds" in row
    } == {2}
    assert cli.main(["evaluate", str(copied), "--seeds", "1"]) == 0
    assert not any("seeds" in row for row in metrics(copied))
    with pytest.raises(SettingsError, match="seeds must be at least 1"):
        api.evaluate(out=copied, settings={"seeds": 0})


def test_embeddings_alone_are_taken_of_another_run_and_other_ones_are_refused(tiny, tmp_path):
    settings = {"cluster": {**tiny.settings["cluster"], "k": 3}}
    api.run(
        pictures=tiny.pictures,
        out=tmp_path / "alone",
        settings={**tiny.settings, **settings},
        until="cluster",
    )
    reuse = {"propose": tiny.out, "cluster/embeddings": tiny.out}
    go(tiny, tmp_path / "out", until="cluster", settings=settings, reuse=reuse)
    assert outputs(tmp_path / "out", "cluster") == outputs(tmp_path / "alone", "cluster")
    other = {"cluster": {**tiny.settings["cluster"], "max_side": 64}}
    with pytest.raises(StaleError, match=r"cannot be reused(.|\n)*max_side: 512 -> 64"):
        go(tiny, tmp_path / "other", until="cluster", settings=other, reuse=reuse)
    damaged = Path(shutil.copytree(tiny.out, tmp_path / "damaged"))
    (damaged / "cluster" / "embeddings.npy").write_bytes(b"something else")
    with pytest.raises(RunError, match=r"embeddings\.npy missing or changed"):
        go(
            tiny,
            tmp_path / "third",
            until="cluster",
            settings=settings,
            reuse={"cluster/embeddings": damaged},
        )
