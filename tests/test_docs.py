"""The pages: links lead somewhere; commands, flags and calls that they show are those that there are."""

import ast
import contextlib
import functools
import importlib
import inspect
import io
import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from maskdistill import cli
from maskdistill.cli import commands, data_flags
from maskdistill.engine.decision import decide
from maskdistill.runs.stages import STAGES
from maskdistill.workflows import demo_pictures

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

# What users read; docs/log tells of the past, the changelog too.
MANUAL = [page for page in PAGES if page.parent.name != "log" and page.name != "CHANGELOG.md"]
COMMAND = re.compile(r"maskdistill ([a-z]+)((?:[ ][^`#|\n]*)?)")
FLAG = re.compile(r"(?<![\w-])--[a-z][\w.-]*\w")


def anchors(page: Path) -> set[str]:
    """Of the headings, as code hosts make them: lower case, spaces as hyphens, other signs left out."""
    text = re.sub(
        r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    links = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: no such file"
        if anchor:
            assert anchor in anchors(target), f"{link}: no such heading"


def test_pages_that_hold_what_another_promises_are_linked() -> None:
    whole = (ROOT / "docs" / "reproduce.md").read_text(encoding="utf-8")
    for name in ("evaluate.md", "datasets.md", "files.md"):
        assert f"({name})" in whole


def code_in(page: Path) -> list[str]:
    """Lines of blocks, fenced or indented, and what stands between backticks."""
    text = page.read_text(encoding="utf-8")
    lines = re.findall(r"^    .*$", text, re.MULTILINE)
    for block in re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL):
        lines += block.splitlines()[1:-1] if not block.startswith("```python") else []
    return lines + re.findall(
        r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    )


@functools.cache
def flags_of(*words: str) -> frozenset[str]:
    """The flags that a command's help shows."""
    with contextlib.redirect_stdout(io.StringIO()) as said, pytest.raises(SystemExit) as stopped:
        cli.main([*words, "--help-all" if words == ("run",) else "--help"])
    assert stopped.value.code == 0
    return frozenset(FLAG.findall(said.getvalue())) | {"--help", "--help-all"}


def flags_of_all() -> frozenset[str]:
    alone = [(verb,) for verb in commands.COMMANDS if verb not in ("data", "score")]
    below = [
        ("score", "semantic"),
        ("score", "instances"),
        *(("data", name) for name in data_flags.DATA),
    ]
    return frozenset().union(*(flags_of(*words) for words in [*alone, *below]))


@pytest.mark.parametrize("page", MANUAL, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_that_a_page_shows_is_one_and_has_its_flags(page: Path) -> None:
    for line in code_in(page):
        for verb, rest in COMMAND.findall(line):
            assert verb in commands.COMMANDS, line
            words = (
                [verb, *re.findall(r"^ ([a-z][\w-]*)", rest)]
                if verb in ("data", "score")
                else [verb]
            )
            assert set(FLAG.findall(rest)) <= flags_of(*words), line


# results.md speaks of the benchmarks' own flags.
@pytest.mark.parametrize(
    "page", [page for page in MANUAL if page.name != "results.md"], ids=lambda page: page.name
)
def test_every_flag_that_a_page_speaks_of_is_one_of_a_command(page: Path) -> None:
    others = r"\b(pip|pytest|ruff|mypy|make|git|python3?)\b"
    told = {
        flag for line in code_in(page) if not re.search(others, line) for flag in FLAG.findall(line)
    }
    assert told - flags_of_all() == set()


def part_of(module: str, name: str) -> object:
    """What `from module import name` gives: an attribute, or else a module below."""
    package = importlib.import_module(module)
    return (
        getattr(package, name)
        if hasattr(package, name)
        else importlib.import_module(f"{module}.{name}")
    )


@pytest.mark.parametrize("page", MANUAL, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_call_that_a_page_shows_takes_the_arguments_that_it_is_given(page: Path) -> None:
    for block in re.findall(
        r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        if block.startswith("# "):  # a file of a recipe, which is carried out below
            continue
        known = {}
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Import):
                known |= {
                    each.asname or each.name: importlib.import_module(each.name)
                    for each in node.names
                }
            if isinstance(node, ast.ImportFrom):
                known |= {
                    each.asname or each.name: part_of(node.module, each.name) for each in node.names
                }
        for node in ast.walk(ast.parse(block)):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Attribute) and getattr(called.value, "id", None) in known:
                function = getattr(known[called.value.id], called.attr)
                given = {each.arg: None for each in node.keywords if each.arg is not None}
                inspect.signature(function).bind_partial(*node.args, **given)


ARCHITECTURE = ROOT / "docs" / "architecture.md"
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)

# `engine/decision.py:decide`: below maskdistill/, else from the root.
NAMED = re.compile(r"(?<![\w./>-])([\w/]+\.py)(?::(\w+))?")


def names_in(file: Path) -> set[str]:
    """Return the functions, classes and constants of a file, those of its classes too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def new_files(text: str) -> dict[str, str]:
    """Return path -> content of the Python blocks that begin with their path as a comment."""
    blocks = [block for form, block in FENCED.findall(text) if form == "python"]
    heads = [block.partition("\n") for block in blocks if block.startswith("# ")]
    return {path.removeprefix("# "): content for path, _, content in heads}


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ARCHITECTURE], ids=lambda page: page.name
)
def test_every_file_and_name_that_a_page_of_the_code_tells_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    spans = re.findall(r"`([^`\n]+)`", FENCED.sub("", text))
    told = [each for span in spans for each in NAMED.findall(span)]
    made = new_files(text)
    for path, name in told:
        places = [ROOT / "maskdistill" / path, ROOT / path]
        there = [place for place in places if place.is_file()]
        assert there or path in made, f"{path}: no such file"
        if name:
            assert name in names_in(there[0]), f"{path} holds no {name}"
    assert told


def test_the_readme_and_contributing_are_short_and_the_tree_shows_every_folder() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 130
    assert len((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= 40
    tree = readme[readme.index("## The tree") :]
    shown = re.findall(r"(\w+)/(?=  )", tree)
    package = ROOT / "maskdistill"
    folders = {path.name for path in package.iterdir() if path.is_dir() and path.name[0] != "_"}
    assert len(shown) == len(set(shown))
    assert set(shown) == folders
    loose = {path.name for path in package.glob("*.py") if path.name[0] != "_"}
    assert loose <= set(re.findall(r"\w+\.py", tree))


@pytest.mark.parametrize("page", MANUAL, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_lines_are_of_at_most_100_characters_but_for_tables_that_cannot_be_wrapped(
    page: Path,
) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    in_tables = page.name != "README.md"
    assert [
        line for line in lines if len(line) > 100 and not (in_tables and line.startswith("|"))
    ] == []


def test_the_floors_are_those_that_imports_are_checked_by() -> None:
    drawn = next(block for _, block in FENCED.findall(ARCHITECTURE.read_text()) if "DOORS" in block)
    floors = [re.split(r" {2,}", line)[0] for line in drawn.splitlines()]
    checked = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert floors == checked["tool"]["importlinter"]["contracts"][0]["layers"]


def test_the_states_of_a_stage_are_those_of_the_engine() -> None:
    def table(text: str) -> list[str]:
        lines = [line.strip() for line in text.splitlines()]
        start = next(n for n, line in enumerate(lines) if line.startswith("| complete here"))
        return list(itertools.takewhile(lambda line: line.startswith("|"), lines[start:]))

    own = table(inspect.getdoc(decide) or "")
    assert len(own) > 10
    assert table(ARCHITECTURE.read_text(encoding="utf-8")) == own


def test_the_folder_of_a_run_shows_every_file_that_a_stage_writes() -> None:
    drawn = next(block for _, block in FENCED.findall(ARCHITECTURE.read_text()) if "RUN/" in block)
    for entry in STAGES:
        assert entry.name == "scan" or f"  {entry.name}/" in drawn
        for name in entry.writes:
            assert Path(name).name in drawn, f"{entry.name}: {name}"


def apply(patch: str, root: Path) -> None:
    """Apply a patch: `--- path`, then hunks parted by `@@`, each of which fits in one place."""
    for of_file in re.split(r"^--- ", patch, flags=re.MULTILINE)[1:]:
        path, _, hunks = of_file.partition("\n")
        for hunk in re.split(r"^@@\n", hunks, flags=re.MULTILINE):
            lines = [line or " " for line in hunk.splitlines()]
            before = "".join(f"{line[1:]}\n" for line in lines if line[0] != "+")
            after = "".join(f"{line[1:]}\n" for line in lines if line[0] != "-")
            text = (root / path).read_text(encoding="utf-8")
            assert text.count(before) == 1, f"{path} has {text.count(before)} times:\n{before}"
            (root / path).write_text(text.replace(before, after), encoding="utf-8")


def test_the_recipes_for_a_method_and_for_a_stage_work_as_they_stand(tmp_path: Path) -> None:
    """A copy of the package, changed as the page says, runs the new method and the new stage."""
    text = ARCHITECTURE.read_text(encoding="utf-8")
    shutil.copytree(ROOT / "maskdistill", tmp_path / "maskdistill")
    for path, content in new_files(text).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content, encoding="utf-8")
    for form, block in FENCED.findall(text):
        if form == "diff":
            apply(block, tmp_path)
    demo_pictures.write(
        tmp_path / "photos", tmp_path / "truth.json", n_pictures=2, seed=0, size=(96, 120)
    )
    own = {"method": "brightest", "facet": "tokens", "stop_score": 0.0, "min_score": 0.0}
    script = f"""
import json
from maskdistill import api
from tests.proposals import test_brightest
test_brightest.test_the_mask_holds_the_patches_whose_tokens_are_longer_than_the_mean()
settings = {{"propose": {own | {"backbone": "handcrafted"}}, "tally": {{"min_score": 0.0}}}}
out = api.run(pictures="photos", out="run", settings=settings, until="tally", quiet=True)
print(json.loads((out / "tally" / "tally.json").read_text()))
print([row["state"] for row in api.status(out=out)][:3])
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["{'1': 1, '2': 1}", "['done', 'done', 'done']"]


def test_the_tests_that_reliability_names_are_there():
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = re.findall(r"`(\w+/test_\w+\.py)`", page)
    assert named
    assert [name for name in named if not (ROOT / "tests" / name).is_file()] == []
