"""The command's help: soon, without torch, with an example and a text for every flag."""

import dataclasses
import itertools
import json
import re
import subprocess
import sys
import time
import typing

import pytest

from maskdistill import api, cli
from maskdistill.cli import commands
from maskdistill.settings import CommonSettings, RunSettings
from maskdistill.settings.propose import ProposeSettings


def helped(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "100")  # with more of them tyro sets help in two columns
        with pytest.raises(SystemExit) as stopped:
            cli.main(list(words))
    assert stopped.value.code == 0
    return capsys.readouterr().out


def helps(text: str) -> dict[str, str]:
    """Flag or positional -> its help, of tyro's help in one column; default and the like cut off."""
    found: dict[str, str] = {}
    name = None
    for line in text.splitlines():
        inner = (
            line[1:].rstrip("│ ") if line[:1] in "│ " else ""
        )  # tyro draws boxes where the terminal has them
        if match := re.match(r" (-h, --help|--[a-z][\w.-]*|PATH|\[\{None\}\|PATH\])", inner):
            name = match.group(1)
            words = re.split(r" {2,}", inner.strip(), maxsplit=1)
            found[name] = words[1] if len(words) > 1 else ""
        elif name and inner.startswith("   "):
            found[name] = f"{found[name]} {inner.strip()}".strip()
        else:
            name = None
    assert found
    cut_off = re.compile(r"\s*\((default: .*|repeatable.*|required)\)$")
    return {name: cut_off.sub("", text).strip() for name, text in found.items()}


def flags_of(cls: type, prefix: str = "") -> list[str]:
    found = []
    hints = typing.get_type_hints(cls)
    annotated = typing.get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        # A word that Python keeps for itself (import) is the flag's name alone.
        given = [
            each.name
            for each in getattr(annotated[field.name], "__metadata__", ())
            if hasattr(each, "name")
        ]
        name = f"{prefix}{next(filter(None, given), field.name).replace('_', '-')}"
        found += (
            flags_of(hints[field.name], f"{name}.")
            if dataclasses.is_dataclass(hints[field.name])
            else [name]
        )
    return [name if name.startswith("--") else f"--{name}" for name in found]


def groups(cls: type) -> list[type]:
    """Classes of the settings below one, as often as there are groups of flags of them."""
    below = [hint for hint in typing.get_type_hints(cls).values() if dataclasses.is_dataclass(hint)]
    return [each for hint in below for each in (hint, *groups(hint))]


def test_every_verbs_help_has_an_example_and_loads_neither_torch_nor_numpy():
    code = (
        "import io, json, sys, contextlib\n"
        "from maskdistill import cli\n"
        "from maskdistill.cli import commands\n"
        "texts = {}\n"
        "for verb in ['', *commands.COMMANDS]:\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as said:\n"
        "        try: status = cli.main([verb, '--help'] if verb else ['--help'])\n"
        "        except SystemExit as stopped: status = stopped.code\n"
        "    texts[verb] = [status, said.getvalue()]\n"
        "heavy = [name for name in ('torch', 'numpy', 'torchvision', 'PIL', 'matplotlib') if name in sys.modules]\n"
        "print(json.dumps([texts, heavy]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    texts, heavy = json.loads(done.stdout)
    assert heavy == []
    assert done.stderr == ""
    assert set(texts) == {"", *commands.COMMANDS}
    for verb, (status, text) in texts.items():
        assert status == 0, verb
        if verb:
            assert f"usage: maskdistill {verb}" in text
            assert f"Example: maskdistill {verb} " in text
    for verb, command in commands.COMMANDS.items():
        assert re.search(rf"^  {verb} +{re.escape(command.help)}$", texts[""][1], re.MULTILINE)


def test_help_answers_soon(capsys):
    tries = []
    while (
        len(tries) < 5 and min(tries, default=9.0) > 0.5
    ):  # a busy machine is no fault of the code
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "maskdistill", "run", "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        tries.append(time.monotonic() - began)
        assert "Example: maskdistill run photos/ --out runs/photos" in done.stdout
    with capsys.disabled():
        print(f"\nmaskdistill run --help: {min(tries):.2f} s")
    assert min(tries) < 1.5


def test_no_word_at_all_shows_the_commands_in_the_order_of_the_data(capsys):
    assert cli.main([]) == 0
    shown = capsys.readouterr().out
    verbs = re.findall(r"^  (\w+) +\S", shown, re.MULTILINE)[: len(commands.COMMANDS)]
    assert tuple(verbs[1 : 1 + len(api.VERBS)]) == api.VERBS
    assert verbs == list(commands.COMMANDS)


def test_the_version_is_that_of_the_package(capsys):
    assert cli.main(["--version"]) == 0
    from importlib.metadata import version

    assert capsys.readouterr().out.strip() == version("maskdistill")


def test_help_all_has_every_setting_and_each_has_a_help_text(capsys):
    shown = helps(helped(capsys, "run", "--help-all"))
    wanted = flags_of(RunSettings)
    assert len(wanted) > 60
    assert [flag for flag in wanted if flag not in shown] == []
    assert [flag for flag, text in shown.items() if len(text) < 3] == []


def test_no_help_text_is_that_of_the_line_above(capsys):
    """tyro gives the comment above a field to the next field too, if that has none of its own."""
    said = helped(capsys, "run", "--help-all")
    pairs = itertools.pairwise(helps(said).items())
    assert [flag for (_, above), (flag, text) in pairs if text == above] == []
    heads = [cls.__doc__ for cls in groups(RunSettings)]
    assert {head: said.count(head) for head in heads} == {head: heads.count(head) for head in heads}


def test_help_shows_the_settings_that_most_people_touch_and_no_others(capsys):
    shown = helps(helped(capsys, "run", "--help"))
    places = {"[{None}|PATH]", "-h, --help", "--out", "--until", "--from", "--reuse", "--quiet"}
    assert set(shown) == places | set(flags_of(CommonSettings))
    assert [flag for flag, text in shown.items() if len(text) < 3] == []
    assert shown["[{None}|PATH]"] != "pictures"  # tyro's word for one without a help text


@pytest.mark.parametrize("verb", [verb for verb in commands.COMMANDS if verb != "run"])
def test_every_flag_of_every_verb_has_a_help_text(capsys, verb):
    shown = helps(helped(capsys, verb, "--help"))
    assert [flag for flag, text in shown.items() if len(text) < 3] == []
    own = typing.get_type_hints(RunSettings).get(verb)
    assert set(flags_of(own) if own else []) <= set(shown)


def test_masks_shows_what_propose_has_but_what_it_has_no_use_for(capsys):
    shown, of_propose = helps(helped(capsys, "masks", "--help")), flags_of(ProposeSettings)
    assert set(of_propose) - set(shown) == {
        "--import",
        "--import-images",
        "--import-top",
        "--gpu-batch",
    }
    assert "--import" in of_propose


@pytest.mark.parametrize("verb", api.VERBS)
def test_a_setting_has_one_help_text_whatever_the_command(capsys, verb):
    of_run = helps(helped(capsys, "run", "--help-all"))
    own = helps(helped(capsys, verb, "--help"))
    own_settings = typing.get_type_hints(RunSettings).get(verb)
    bare = flags_of(own_settings) if own_settings else []
    shared = {flag: flag for flag in own if flag in of_run}
    shared |= {flag: f"--{verb}.{flag.removeprefix('--')}" for flag in bare}
    assert len(shared) > len(bare)
    words = {"-h, --help", "--out", "--quiet"}
    assert {flag: own[flag] for flag in shared if flag not in words} == {
        flag: of_run[full] for flag, full in shared.items() if flag not in words
    }
