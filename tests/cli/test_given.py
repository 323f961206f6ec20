"""The flags of a command as a layer of settings: what is given and nothing else."""

import dataclasses

import pytest

from maskdistill.cli.commands import COMMANDS
from maskdistill.cli.flags import OF_RUN, names_of
from maskdistill.cli.given import Chosen, parse
from maskdistill.settings import RunSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Words:
    """Words of a command."""

    name: str = "x"  # no setting


def layer(*words: str, chosen: Chosen = OF_RUN) -> dict:
    return parse(Words, chosen, list(words), prog="test")[1]


def test_nothing_given_is_an_empty_layer():
    assert layer() == {}


def test_words_and_settings_are_told_apart():
    words, given = parse(Words, OF_RUN, ["--seed", "3", "--name", "y"], prog="test")
    assert (words, given) == (Words(name="y"), {"seed": 3})
    assert parse(Words, None, ["--name", "y"], prog="test") == (Words(name="y"),)


def test_a_setting_given_at_its_default_is_in_the_layer():
    default = RunSettings()
    words = [
        "--seed",
        str(default.seed),
        "--cluster.k",
        str(default.cluster.k),
        "--label.keep-best",
    ]
    assert layer(*words) == {
        "seed": default.seed,
        "cluster": {"k": default.cluster.k},
        "label": {"keep_best": default.label.keep_best},
    }


def test_values_have_the_types_of_the_settings():
    given = layer(
        *["--detect.min-proposal-score", "None", "--cluster.k", "auto", "--propose.no-rotated"],
        *["--cluster.scales", "1", "0.5", "--weights", "a=b", "--weights=c=d"],
    )
    assert given == {
        "detect": {"min_proposal_score": None},
        "cluster": {"k": "auto", "scales": (1.0, 0.5)},
        "propose": {"rotated": False},
        "weights": ("a=b", "c=d"),
    }
    assert layer("--cluster.scales") == {"cluster": {"scales": ()}}  # given, with nothing in it
    assert layer("--ground-truth", "") == {"ground_truth": ("",)}


def test_a_bare_stage_has_no_prefix_and_lacks_what_is_left_out(capsys):
    chosen = Chosen(names=("propose", "seed"), bare="propose", without=("max_masks",))
    words = ["--method", "lost", "--lost.n-candidates", "5", "--seed", "1"]
    assert layer(*words, chosen=chosen) == {
        "propose": {"method": "lost", "lost": {"n_candidates": 5}},
        "seed": 1,
    }
    for flag in ("--max-masks", "--propose.method", "--limit"):
        with pytest.raises(SystemExit) as stopped:
            layer(flag, "3", chosen=chosen)
        assert stopped.value.code == 2
        assert f"Unrecognized options: {flag}" in capsys.readouterr().err


def test_help_shows_the_values_of_the_settings_that_are_shown(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    shown = RunSettings(seed=77, weights=("propose=none",), validation="a b")
    names = ("seed", "weights", "ground_truth", "validation", "config")
    with pytest.raises(SystemExit):
        layer("--help", chosen=Chosen(names=names, shown=lambda: shown))
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "of every random draw (default: 77)" in said
    assert "(repeatable, appends to: propose=none)" in said
    assert 'only evaluated with; "": none (repeatable)' in said
    assert "(default: 'a b')" in said
    assert "(default: None)" in said


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_function_of_its_own_and_settings_that_there_are(name):
    command = COMMANDS[name]
    others = [each.does for other, each in COMMANDS.items() if other != name]
    assert command.does not in others
    if command.settings:
        assert set(command.settings.names) <= set(names_of(RunSettings))
        assert command.settings.bare in ("", *names_of(RunSettings))
