"""The pages: links lead somewhere; commands, flags and calls that they show are those that there are."""

import ast
import contextlib
import functools
import importlib
import inspect
import io
import re
from pathlib import Path

import pytest

from maskdistill import cli
from maskdistill.cli import commands, data_flags

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
