"""What a room's docstrings promise: a public function that raises says so."""

import ast
from collections.abc import Iterator
from pathlib import Path

import maskdistill

PACKAGE = Path(maskdistill.__file__).parent
ROOMS = (
    *(
        "features",
        "proposals",
        "clusters",
        "detector",
        "segmenter",
        "training",
        "crf",
        "evaluation",
        "masks",
    ),
    *("labels.py", "types.py"),
)
Function = ast.FunctionDef | ast.AsyncFunctionDef


def test_public_functions_of_rooms_that_raise_say_what_they_raise() -> None:
    silent = []
    for path in (path for room in ROOMS for path in _sources(PACKAGE / room)):
        for function in _public(ast.parse(path.read_text(encoding="utf-8"))):
            raised = set(_raised(function))
            told = ast.get_docstring(function) or ""
            if any(name not in told for name in raised):
                silent.append(
                    f"{path.relative_to(PACKAGE)}:{function.lineno} {function.name}: {sorted(raised)}"
                )
    assert not silent, "\n".join(silent)


def _sources(room: Path) -> list[Path]:
    return [room] if room.is_file() else sorted(room.glob("*.py"))


def _public(node: ast.AST) -> Iterator[Function]:
    """Functions and methods of modules and classes, without those that begin with an underscore."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function) and not child.name.startswith("_"):
            yield child
        elif isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from _public(child)


def _raised(node: ast.AST) -> Iterator[str]:
    """Names of what is raised in a function itself, not in functions inside it."""
    for child in ast.iter_child_nodes(node):
        if (
            isinstance(child, ast.Raise)
            and isinstance(child.exc, ast.Call)
            and isinstance(child.exc.func, ast.Name)
        ):
            if not child.exc.func.id.startswith("_"):
                yield child.exc.func.id
        elif not isinstance(child, Function):
            yield from _raised(child)
