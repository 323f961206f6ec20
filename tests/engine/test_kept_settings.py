"""A forgotten flag: the refusal says how to keep what was made, and what it says keeps it."""

import re
import shlex
from pathlib import Path

import pytest

from maskdistill import cli
from maskdistill.engine import kept_settings
from maskdistill.settings import RunSettings
from maskdistill.workflows import demo_pictures

BY_HAND = ["--propose.backbone", "handcrafted", "--threads", "1", "--until", "propose"]


@pytest.fixture
def made(tmp_path: Path) -> tuple[list[str], Path]:
    """A run whose command had two settings more, and that command without them."""
    demo_pictures.write(
        tmp_path / "pictures", tmp_path / "t.json", n_pictures=2, seed=5, size=(48, 64), prefix="p"
    )
    words = ["run", str(tmp_path / "pictures"), "--out", str(tmp_path / "run"), *BY_HAND]
    chosen = ["--propose.max-masks", "2", "--propose.tokencut.threshold", "0.3"]
    assert cli.main([*words, *chosen]) == 0
    return words, tmp_path / "run"


def test_a_forgotten_flag_is_named_with_its_value_and_giving_it_keeps_the_work(made, capsys):
    words, run = made
    before = (run / "propose" / "stage.json").read_bytes()
    capsys.readouterr()
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    flags = re.search(r"Keep it: give (.*); or `maskdistill (run --out .*)`, without", said)
    assert flags[1] == "--propose.max-masks 2, --propose.tokencut.threshold 0.3"
    for kept in ([*words, *shlex.split(flags[1].replace(",", ""))], shlex.split(flags[2])):
        assert cli.main([*kept, *([] if "--until" in kept else ["--until", "propose"])]) == 0
        assert "propose: done before" in capsys.readouterr().err
        assert (run / "propose" / "stage.json").read_bytes() == before


def test_the_stages_own_command_is_told_its_own_flag(made, capsys):
    _, run = made
    assert cli.main(["propose", str(run), "--max-masks", "3"]) == 2
    assert "Keep it: give --max-masks 2; or" in capsys.readouterr().err


def test_no_flag_is_named_where_it_would_not_do_and_nothing_where_inputs_differ():
    def said(there, wanted):
        return kept_settings.advice(
            "cluster", "cluster", there, wanted, settings=RunSettings(), root=Path("r")
        )

    base = {"version": 3, "reads": {"scan": "a"}, "settings": {"k": 5, "drop": True}}
    config = "Keep it: `maskdistill run --out r`, without PICTURES"
    assert said(base, base | {"settings": {"k": 4, "drop": True}}).startswith("Keep it: give ")
    assert said(base, base | {"settings": {"k": 4, "drop": False}}).startswith(config)
    unknown = {"settings": {"k": 5, "drop": True, "descriptors": 2}}
    assert said(base | unknown, base).startswith(config)
    assert said(base | {"weights": "x"}, base | {"settings": {"k": 4}}).startswith(config)
    assert said(base, base | {"reads": {"scan": "b"}}) == ""
    assert said(base, base | {"version": 4}) == ""
