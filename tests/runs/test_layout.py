"""layout and stages: one place for file names, one for stages; they agree, and no other file spells them."""

import ast
import re
from pathlib import Path

import pytest

import maskdistill
from maskdistill.runs import layout
from maskdistill.runs.layout import File, RunFolder, StageFolder
from maskdistill.runs.stages import BY_NAME, HELP, STAGES, VERBS, verb_of

PACKAGE = Path(maskdistill.__file__).parent
# Names that folders of results and of runs share, which are no run's own.
ELSEWHERE = {"train"}
# The two that say it; a folder of results, which is no run; colours of the page, by stage.
SPELLERS = {
    "runs/layout.py",
    "runs/stages.py",
    "inference/result_folder.py",
    "report/measured.py",
}


def own_files(folder: type) -> dict[str, str]:
    """Attribute -> name of the files that a class of layout.py spells."""
    return {
        name: value.name
        for each in reversed(folder.__mro__)
        for name, value in vars(each).items()
        if isinstance(value, File)
    }


def test_a_part_of_a_stage_lies_in_its_folder(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.stage("detect/train").path.parent == folder.stage("detect").path
    assert folder.detect_train == folder.stage("detect/train")
    assert (folder.images, folder.lock) == (tmp_path / "images.jsonl", tmp_path / "lock")
    assert folder.old.detect.masks == tmp_path / "old" / "detect" / "detections.jsonl"
    assert folder.seed(3).config == tmp_path / "seeds" / "3" / "config.yaml"


@pytest.mark.parametrize("entry", STAGES, ids=lambda entry: entry.name)
def test_what_a_stage_writes_is_spelt_by_its_folder(entry, tmp_path):
    folder = RunFolder(tmp_path).stage(entry.name)
    assert isinstance(folder, StageFolder)
    there = {folder.path / name for name in own_files(type(folder)).values()}
    there |= {RunFolder(tmp_path).images}
    for name in entry.writes:
        path = folder.base / name
        if "<split>" in name:
            path = RunFolder(tmp_path).evaluate.confusion("<split>", "<stage>")
            there.add(RunFolder(tmp_path).evaluate.path / name)
        if "<id>" in name:
            path = path.parent
        assert path in there, name


def test_stages_stand_behind_all_that_they_read():
    seen = set()
    for entry in STAGES:
        assert set(entry.reads) <= seen, entry.name
        seen.add(entry.name)
    assert len(BY_NAME) == len(STAGES)


def test_every_verb_has_one_help_text_and_a_stage_of_its_name():
    assert set(HELP) == set(VERBS) <= set(BY_NAME)
    assert verb_of("recluster") == "label"
    assert verb_of("segment/train") == "segment"


def test_the_stages_that_are_made_read_and_write_what_the_tuple_says(tiny):
    from maskdistill.runs import record

    folder = RunFolder(tiny.out)
    for entry in STAGES:
        made = record.read(folder.stage(entry.name).record)
        assert made is not None or entry.always or entry.optional, entry.name
        if made is None:
            continue
        assert set(made.parts["reads"]) <= set(entry.reads), entry.name
        outputs = {re.sub(r"\d+\.png$", "<id>.png", name) for name in made.outputs}
        confusion = r"^confusion-\w+-.*\.csv$"
        outputs = {re.sub(confusion, "confusion-<split>-<stage>.csv", name) for name in outputs}
        assert outputs <= set(entry.writes), entry.name


def test_no_other_file_spells_a_name_of_a_runs_file():
    every = [each for each in vars(layout).values() if isinstance(each, type)]
    names = {name for each in every for name in own_files(each).values()} - ELSEWHERE
    names |= {"parts", "old", "recluster", "detect/train", "segment/train"}
    names |= {"propose/features"}
    names -= {"looks", "halved", "lock", "old", "taken", "maps", "predictions"}  # words, too
    spelt = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).as_posix() in SPELLERS:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docs = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
            if is_text and id(node) not in docs and node.value in names:
                spelt.append(f"{path.relative_to(PACKAGE)}:{node.lineno}: {node.value!r}")
    assert not spelt, "\n".join(spelt)
