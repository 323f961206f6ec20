"""Docstrings: how they open, how long their lines are, and that a function that raises says so."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

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
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

MOST = 100  # characters of a line of a docstring or a comment
OPENINGS = {"What", "Who", "Whether", "Which", "As", "It", "They"}  # a pronoun before its noun
# First words of the docstrings of public functions; add a verb that is missing.
VERBS = """
Accept Add Advance Align Allow Answer Append Apply Arrange Ask Assert Assign Average Begin Break
Bring Build Call Centre Change Check Choose Clear Clip Close Cluster Collect Compare Compute
Convert Copy Count Crop Cut Decide Declare Decode Delete Describe Detect Divide Do Download Draw
Drop Embed Empty Encode End Estimate Evaluate Expand Export Extend Fetch Fill Filter Find Finish
Fit Flag Flush Follow Forget Fork Format Freeze Gather Get Give Go Group Grow Guard Hand Hash Hold
Import Initialise Insert Iterate Join Keep Label Leave Let Link List Load Lock Look Make Map Mark
Match Measure Merge Move Multiply Name Need Normalise Note Number Open Order Pack Pad Paint Pair
Parse Pass Pause Place Plan Point Predict Prepare Print Probe Project Propose Put Raise Rank Read
Rebuild Recall Record Reduce Refine Refuse Release Remove Render Repeat Replace Report Resample
Resize Resolve Restore Resume Return Round Run Sample Save Say Scale Scan Score Search See Segment
Select Send Set Shift Show Shrink Skip Smooth Solve Sort Split Stack Start Stop Store Subtract Sum
Switch Take Tell Test Train Transform Transpose Trim Try Turn Unpack Update Use Verify Wait Walk
Warn Whiten Write Yield
"""
IMPERATIVES = frozenset(VERBS.split())


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


def test_docstrings_open_with_their_subject_or_with_a_verb() -> None:
    found = {path: list(_odd_openings(path)) for path in _files()}
    assert not _told(found), "\n".join(_told(found))


def test_lines_of_docstrings_and_comments_are_short() -> None:
    found = {path: list(_long_lines(path)) for path in _files()}
    assert not _told(found), "\n".join(_told(found))


@pytest.mark.parametrize(
    "source, odd",
    [
        ('"""Rows: what they are."""', []),
        ('"""What rows are."""', ["1 module: What"]),
        ('def rows(): """Return the rows."""', []),
        ('def rows(): """The rows."""', ["1 rows: The"]),
        ('def rows(): """(n, 4) float32."""', ["1 rows: (n,"]),
        ('def _rows(): """Whether there are rows."""', []),
        ('class Rows: """Rows of a table."""', []),
        (
            'class Rows:\n  """It holds rows."""\n  def n(self): """As many."""',
            ["1 Rows: It", "3 n: As"],
        ),
        ("def rows(): return 1", []),
    ],
)
def test_the_check_of_openings_sees_what_it_should(
    source: str, odd: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "rows.py"
    path.write_text(source, encoding="utf-8")
    assert list(_odd_openings(path)) == odd


def test_the_check_of_lines_sees_docstrings_and_comments_and_no_code(tmp_path: Path) -> None:
    path, long = tmp_path / "rows.py", "x" * MOST
    path.write_text(
        f'"""Rows.\n\n{long}\n{long}x\n"""\nA = "{long}"\n# {long}\nB = 1  # short\n',
        encoding="utf-8",
    )
    assert list(_long_lines(path)) == ["4", "7"]


def _files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _told(found: dict[Path, list[str]]) -> list[str]:
    """Return what is wrong, a line each."""
    return [f"{_name(path)}:{what}" for path, several in found.items() for what in several]


def _odd_openings(path: Path) -> Iterator[str]:
    """`line name: first word` of docstrings of public modules, classes and functions."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    for node in (module, *_public_parts(module)):
        words = (ast.get_docstring(node) or "").split()
        if not words:
            continue
        is_odd = words[0] in OPENINGS
        if isinstance(node, Function):
            is_odd = words[0].rstrip(".,:;") not in IMPERATIVES
        if is_odd:
            yield f"{getattr(node, 'lineno', 1)} {getattr(node, 'name', 'module')}: {words[0]}"


def _public_parts(node: ast.AST) -> Iterator[ast.ClassDef | Function]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | Function) and not child.name.startswith("_"):
            yield child
            if isinstance(child, ast.ClassDef):
                yield from _public_parts(child)


def _long_lines(path: Path) -> Iterator[str]:
    """Numbers of the lines of docstrings and comments that are too long, in order."""
    source = path.read_text(encoding="utf-8")
    inside: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Documented) and ast.get_docstring(node) is not None:
            first = node.body[0]
            inside.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            inside.add(token.start[0])
    for number, line in enumerate(source.splitlines(), 1):
        # A link, or a directive for a tool, cannot be broken.
        if (
            number in inside
            and len(line) > MOST
            and not re.search(r"https?://|# (type|noqa)", line)
        ):
            yield str(number)


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
