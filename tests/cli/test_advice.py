"""Messages name settings; the command shows the flags of the command that was given."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import maskdistill
from maskdistill import api, cli
from maskdistill.cli.advice import flag_words, in_flags
from maskdistill.cli.commands import COMMANDS
from maskdistill.errors import setting
from maskdistill.workflows import demo_pictures
from tests.cli.test_commands import refused

PACKAGE = Path(maskdistill.__file__).parent
# The page's advice is for `run`; a command line that is printed whole names its own flags.
WITHOUT_NEUTRAL_FORM = ("cli", "report", "downloads")


@pytest.mark.parametrize(
    "name, message, shown",
    [
        ("propose", setting("propose.min_score"), "--min-score"),
        ("run", setting("propose.min_score"), "--propose.min-score"),
        ("masks", setting("propose.tokencut.max_area"), "--tokencut.max-area"),
        ("cluster", setting("propose.min_score"), "--min-score of `maskdistill propose`"),
        ("status", setting("label.keep_best"), "--keep-best of `maskdistill label`"),
        ("detect", setting("detect.train.steps"), "--train.steps"),
        ("propose", setting("propose.import_file"), "--import"),
        ("run", setting("detect.import_file"), "--detect.import"),
        ("masks", setting("propose.import_file"), "--import of `maskdistill propose`"),
        ("run", setting("precision", "float32"), "--precision float32"),
        ("cluster", setting("precision", "float32"), "--precision float32 of `maskdistill run`"),
        ("cluster", setting("weights", "cluster="), "--weights cluster="),
        ("evaluate", setting("evaluate.published", "''"), "--published ''"),
        ("run", "a `maskdistill run` of `none`", "a `maskdistill run` of `none`"),
        ("run", "`propose`, `propose.nosuch`", "`propose`, `propose.nosuch`"),
        ("run", f"{setting('seed')} and {setting('cluster.k', '5')}", "--seed and --cluster.k 5"),
    ],
)
def test_a_setting_in_a_message_is_the_flag_of_the_command(name, message, shown):
    assert in_flags(message, COMMANDS[name].settings) == shown


def test_whoever_reads_a_message_in_python_reads_the_setting():
    assert setting("propose.min_score") == "`propose.min_score`"
    assert setting("cluster.k", "5") == "`cluster.k: 5`"


def calls() -> Iterator[tuple[str, ast.expr]]:
    """(file, first argument) of each call of `setting` in the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setting":
                yield path.relative_to(PACKAGE).as_posix(), node.args[0]


def test_every_setting_that_a_message_names_is_one():
    plain = [(file, arg.value) for file, arg in calls() if isinstance(arg, ast.Constant)]
    assert len(plain) > 15
    assert [(file, name) for file, name in plain if flag_words(name) is None] == []


def test_no_message_spells_a_flag_with_the_prefix_of_a_stage():
    """Such a flag is one of `run` alone, and a verb of a stage would print it too."""
    flag = re.compile(rf"--({'|'.join(api.VERBS)})\.[a-z]")
    found = [
        f"{path.relative_to(PACKAGE)}: {node.value}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] not in WITHOUT_NEUTRAL_FORM
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and flag.search(node.value)
    ]
    assert found == []


def test_the_same_advice_in_the_words_of_each_command(capsys, tmp_path):
    folder, out = tmp_path / "pictures", tmp_path / "run"
    demo_pictures.write(folder, tmp_path / "truth.json", n_pictures=1, seed=5, size=(64, 80))
    by_hand = ["--propose.backbone", "handcrafted", "--threads", "1", "--quiet"]
    words = ["run", str(folder), "--out", str(out), *by_hand]
    said = refused(capsys, *words, "--propose.min-score", "1")
    assert "Try a lower --propose.min-score, another --propose.method" in said
    said = refused(capsys, "cluster", str(out), "--quiet")
    assert "Try a lower --min-score of `maskdistill propose`, another --method of `mask" in said
    wrong = ["--weights", "detect=dino_resnet50"]
    said = refused(capsys, "detect", str(out), *wrong)
    assert "Give --size resnet50, or --weights detect=none" in said
    said = refused(capsys, *words, *wrong)
    assert "Give --detect.size resnet50, or --weights detect=none" in said


def test_the_backbone_is_told_by_verbs_that_use_one_or_train_alone(capsys, tmp_path):
    folder, out = tmp_path / "pictures", tmp_path / "run"
    demo_pictures.write(folder, tmp_path / "truth.json", n_pictures=1, seed=5, size=(64, 80))
    flags = ["--propose.backbone", "handcrafted", "--threads", "1", "--until", "propose"]
    assert cli.main(["run", str(folder), "--out", str(out), *flags]) == 0
    assert "device: cpu, backbone: handcrafted, method: tokencut" in capsys.readouterr().err
    assert cli.main(["propose", str(out)]) == 0
    assert "device: cpu, backbone: handcrafted" in capsys.readouterr().err
    for verb in ("evaluate", "report"):
        assert cli.main([verb, str(out)]) == 0
        assert "backbone" not in capsys.readouterr().err
