"""`run` chooses how to propose by a sweep where weights are not known: said, kept, never made twice."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import save_file

from maskdistill import api, cli
from maskdistill.engine import opening
from maskdistill.errors import SettingsError
from maskdistill.features import vit, weights
from maskdistill.measuring import sweep_views
from maskdistill.runs.layout import RunFolder
from maskdistill.settings import known_weights, load, resolve
from maskdistill.workflows import choosing, demo_pictures

BACKBONE = "timm/vit_tiny_patch16_224"
CHOSEN = ("method", "block", "facet", "centre_keys")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of five pictures, and a file of drawn weights, which nobody knows."""
    root = tmp_path_factory.mktemp("choosing")
    demo_pictures.write(root / "pictures", root / "truth.json", n_pictures=5, seed=3, size=(64, 80))
    state = vit.load(BACKBONE, weights="none").model.state_dict()
    save_file({name: each.contiguous() for name, each in state.items()}, root / "drawn.safetensors")
    return root / "pictures", root / "drawn.safetensors"


def settings_with(file: Path, **propose: Any) -> dict[str, Any]:
    return {
        "threads": 1,
        "weights": [f"propose={file}"],
        "features": {"short_side": 64, "keep": "none"},
        "propose": {
            "backbone": BACKBONE,
            "pixels": "nearest",
            "maskcut": {"square": 64},
            "maskdistill": {"short_side": 64},
            **propose,
        },
    }


def words_of(pictures: Path, file: Path, out: Path, *more: str) -> list[str]:
    """The command of `settings_with`."""
    flags = {
        "--threads": "1",
        "--weights": f"propose={file}",
        "--features.short-side": "64",
        "--features.keep": "none",
        "--propose.backbone": BACKBONE,
        "--propose.pixels": "nearest",
        "--propose.maskcut.square": "64",
        "--propose.maskdistill.short-side": "64",
    }
    words = [word for pair in flags.items() for word in pair]
    return ["run", str(pictures), "--out", str(out), "--until", "propose", *words, *more]


def config_of(out: Path) -> dict[str, Any]:
    return yaml.safe_load((out / "config.yaml").read_text())["propose"]


def notes_of(out: Path) -> list[str]:
    events = [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]
    return [
        event["what"]
        for event in events
        if event["event"] == "note" and event["what"].startswith("chosen: ")
    ]


@pytest.fixture(scope="module")
def chosen(given: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that chose by itself, through the command."""
    out = tmp_path_factory.mktemp("run") / "chosen"
    assert cli.main(words_of(*given, out)) == 0
    return out


def bytes_of(out: Path) -> dict[str, bytes]:
    files = ("config.yaml", "sweep/chosen.json", "sweep/table.json", "propose/proposals.jsonl")
    return {name: (out / name).read_bytes() for name in files}


def test_the_best_row_of_the_sweep_is_what_proposals_are_made_with_and_is_said(chosen):
    table = json.loads((chosen / "sweep" / "table.json").read_text())
    kept = json.loads((chosen / "sweep" / "chosen.json").read_text())
    assert len(table["rows"]) == kept["tried"] == 72
    best = table["rows"][0]
    assert best["votes"] > 0
    own = config_of(chosen)
    assert (own["method"], own["block"], own["facet"]) == tuple(
        best[name] for name in ("method", "block", "facet")
    )
    assert own["centre_keys"] == ("yes" if best["centred"] else "no")
    size = "square" if best["method"] == "maskcut" else "short_side"
    assert own[best["method"]][size] == best["scale"]
    assert own["choose"] == "no"
    record = json.loads((chosen / "propose" / "stage.json").read_text())
    assert record["parts"]["settings"]["method"] == best["method"]
    assert "choose" not in record["parts"]["settings"]
    (note,) = notes_of(chosen)
    assert note.startswith(f"chosen: {best['method']} on {best['facet']} of block {best['block']},")
    assert "of 72 settings on 5 pictures, without labels" in note


def test_the_same_command_chooses_nothing_again_and_the_run_goes_on_with_it(
    given, chosen, tmp_path, monkeypatch, capsys
):
    out = Path(shutil.copytree(chosen, tmp_path / "run"))
    before = bytes_of(out)
    monkeypatch.setattr(sweep_views, "without_truth", None)  # a second sweep would fail
    assert cli.main(words_of(*given, out)) == 0
    assert bytes_of(out) == before
    assert "propose: done before" in capsys.readouterr().err
    api.run(out=out, until="propose", quiet=True)
    assert bytes_of(out) == before
    shutil.rmtree(out / "propose")  # the choice alone is left
    assert cli.main(words_of(*given, out)) == 0
    assert bytes_of(out) == before
    shutil.rmtree(out / "sweep")  # the proposals alone are left
    assert cli.main(words_of(*given, out)) == 0
    assert config_of(out) == yaml.safe_load(before["config.yaml"])["propose"]


def test_a_sweep_that_was_killed_goes_on_and_ends_with_the_same_bytes(
    given, chosen, tmp_path, monkeypatch
):
    out, looked = tmp_path / "run", []
    own = sweep_views.without_truth

    def without_truth(*arguments):
        if len(looked) == 3:
            raise KeyboardInterrupt
        looked.append(1)
        return own(*arguments)

    monkeypatch.setattr(sweep_views, "without_truth", without_truth)
    with pytest.raises(KeyboardInterrupt):
        api.run(
            pictures=given[0],
            out=out,
            settings=settings_with(given[1]),
            until="propose",
            quiet=True,
        )
    assert config_of(out)["choose"] == "method,block,facet,centre_keys,short_side"
    looked.clear()
    monkeypatch.setattr(
        sweep_views, "without_truth", lambda *arguments: looked.append(1) or own(*arguments)
    )
    api.run(out=out, until="propose", quiet=True)  # without PICTURES: by config.yaml alone
    assert len(looked) == 2
    assert bytes_of(out) == bytes_of(chosen)


def test_what_is_given_is_not_overridden(given, tmp_path):
    out = tmp_path / "run"
    own = {"method": "lost", "facet": "keys", "lost": {"short_side": 48}}
    api.run(
        pictures=given[0],
        out=out,
        settings=settings_with(given[1], **own),
        until="propose",
        quiet=True,
    )
    table = json.loads((out / "sweep" / "table.json").read_text())
    tried = {(row["method"], row["facet"], row["scale"]) for row in table["rows"]}
    assert tried == {("lost", "keys", 48)}
    assert len(table["rows"]) == 6  # three blocks, centred or not
    after = config_of(out)
    assert (after["method"], after["facet"], after["lost"]["short_side"]) == ("lost", "keys", 48)


def test_what_is_given_to_a_run_that_was_stopped_before_the_sweep_counts(given, tmp_path):
    out = tmp_path / "run"
    api.run(pictures=given[0], out=out, settings=settings_with(given[1]), until="scan", quiet=True)
    assert config_of(out)["choose"] != "no"
    api.run(
        out=out,
        settings={"propose": {"method": "lost", "block": -1, "lost": {"short_side": 32}}},
        until="propose",
        quiet=True,
    )
    table = json.loads((out / "sweep" / "table.json").read_text())
    assert {(row["method"], row["block"], row["scale"]) for row in table["rows"]} == {
        ("lost", -1, 32)
    }


def test_one_flag_turns_it_off(given, tmp_path):
    out = tmp_path / "run"
    assert cli.main(words_of(*given, out, "--propose.choose", "no")) == 0
    assert not (out / "sweep").exists()
    own = config_of(out)
    assert (own["method"], own["block"], own["facet"]) == ("tokencut", -2, "tokens")


def test_one_picture_says_nothing_and_the_usual_settings_stay(given, tmp_path):
    out, alone = tmp_path / "run", tmp_path / "alone"
    alone.mkdir()
    shutil.copy(sorted(given[0].iterdir())[0], alone)
    for _ in range(2):  # a choice that could not be made is not tried again
        settings = settings_with(given[1])
        api.run(pictures=alone, out=out, settings=settings, until="propose", quiet=True)
        own = config_of(out)
        assert (own["method"], own["block"], own["facet"]) == ("tokencut", -2, "tokens")
    assert not (out / "sweep" / "table.json").exists()
    assert "because one picture says nothing" in notes_of(out)[0]
    assert "the usual ones stay" in notes_of(out)[0]


def test_pictures_that_cannot_be_read_leave_the_usual_settings(given, tmp_path, monkeypatch):
    out, broken = tmp_path / "run", tmp_path / "broken"
    shutil.copytree(given[0], broken)
    settings = settings_with(given[1])
    api.run(pictures=broken, out=out, settings=settings, until="scan", quiet=True)
    for path in sorted(broken.iterdir())[1:]:
        path.write_bytes(b"x" * path.stat().st_size)
    api.run(out=out, until="propose", quiet=True)
    assert "one picture alone can be read" in notes_of(out)[0]
    assert config_of(out)["method"] == "tokencut"


def test_weights_that_the_table_knows_by_their_content_need_no_sweep(given, tmp_path, monkeypatch):
    out = tmp_path / "run"
    digest = weights.fingerprint(weights.read(given[1], name=BACKBONE))
    line = known_weights.Known(
        names=("ours",),
        method="lost",
        facet="keys",
        block=-3,
        centre="yes",
        source="this test",
        measured=True,
        digests=(digest,),
    )
    monkeypatch.setattr(known_weights, "TABLE", (line,))
    settings = settings_with(given[1], block=-1)
    api.run(pictures=given[0], out=out, settings=settings, until="propose", quiet=True)
    own = config_of(out)
    assert [own[name] for name in CHOSEN] == ["lost", -1, "keys", "yes"]
    assert not (out / "sweep").exists()
    assert "by the weights, known as ours" in notes_of(out)[0]


def test_a_run_that_reuses_proposals_takes_what_they_were_made_with(given, chosen, tmp_path):
    out = tmp_path / "run"
    api.run(
        pictures=given[0],
        out=out,
        settings=settings_with(given[1]),
        until="propose",
        reuse={"propose": chosen},
        quiet=True,
    )
    assert not (out / "sweep").exists()
    assert config_of(out) == config_of(chosen)
    assert (out / "propose" / "proposals.jsonl").read_bytes() == (
        chosen / "propose" / "proposals.jsonl"
    ).read_bytes()


@pytest.mark.parametrize(
    "propose",
    [
        {"backbone": "handcrafted"},
        {"backbone": "dino_vits16"},
        {"import_file": "masks.json"},
    ],
)
def test_nothing_is_chosen_where_there_is_nothing_to_choose(propose):
    assert resolve(load({"propose": propose})).propose.choose == "no"


def test_drawn_weights_and_other_presets_choose_nothing():
    drawn = {"weights": ["propose=none"], "propose": {"backbone": BACKBONE}}
    assert resolve(load(drawn)).propose.choose == "no"
    unknown = {"propose": {"backbone": BACKBONE}}
    assert resolve(load(unknown)).propose.choose != "no"
    assert resolve(load(unknown, preset_name="demo")).propose.choose == "no"


def test_a_name_that_cannot_be_chosen_is_refused_with_the_list():
    with pytest.raises(SettingsError, match=r"choose: there is no 'size'.*method,block"):
        load({"propose": {"choose": "method,size"}})


def test_the_estimate_counts_the_sweep(given, tmp_path):
    from maskdistill.workflows import estimate

    out = tmp_path / "run"
    api.run(pictures=given[0], out=out, settings=settings_with(given[1]), until="scan", quiet=True)
    asked = opening.settings_of(RunFolder(out))
    with opening.opened(out, asked, pictures=None, keep_config=True, quiet=True) as job:
        assert len(choosing.trials_of(job.settings)) == 72
        with_it = estimate.by_stage(job, ["propose"])["propose"]
    off = opening.settings_of(RunFolder(out), propose={**config_of(out), "choose": "no"})
    with opening.opened(out, off, pictures=None, keep_config=True, quiet=True) as job:
        without = estimate.by_stage(job, ["propose"])["propose"]
    assert with_it.forward > 3 * without.forward
    assert with_it.other == pytest.approx(without.other + 15 * 72 * estimate.TRIAL)
