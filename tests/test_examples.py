"""The examples in docstrings do what they say: every module that has one is run.

A module without an example is not imported, so that a door's heavy imports cost nothing here.
"""

import doctest
import importlib
from pathlib import Path

import pytest

import maskdistill

PACKAGE = Path(maskdistill.__file__).parent
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def _module(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = sorted(
    _module(path) for path in PACKAGE.rglob("*.py") if ">>> " in path.read_text(encoding="utf-8")
)


def test_some_modules_have_examples() -> None:
    assert MODULES


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_give_what_they_say(name: str) -> None:
    found = doctest.DocTestFinder().find(importlib.import_module(name))
    examples = [each for each in found if each.examples]
    assert examples, f"{name}: a >>> that no docstring holds"
    runner = doctest.DocTestRunner(verbose=False, optionflags=OPTIONS)
    said: list[str] = []
    for each in examples:
        runner.run(each, out=said.append)
    assert not runner.summarize(verbose=False).failed, "\n".join(said)
