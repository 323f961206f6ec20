"""The house: what import-linter cannot say of it. Stages are apart, folders and files stay small."""

import ast
from pathlib import Path

import maskdistill

PACKAGE = Path(maskdistill.__file__).parent
MOST_FILES, MOST_LINES = 17, 500  # a folder; a file: about 15 and 350 are wanted


def imported(path: Path) -> set[str]:
    """Return the modules of the package that a file imports, those inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.startswith("maskdistill")
        ):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_no_stage_imports_another() -> None:
    stages = {
        path.stem: path for path in (PACKAGE / "stages").glob("*.py") if path.stem != "__init__"
    }
    assert len(stages) > 5
    for name, path in stages.items():
        others = {f"maskdistill.stages.{other}" for other in stages if other != name}
        assert not others & imported(path), name


def test_folders_and_files_stay_small_enough_to_be_looked_through() -> None:
    files = list(PACKAGE.rglob("*.py"))
    counts = {
        folder: sum(path.parent == folder for path in files) for folder in {p.parent for p in files}
    }
    assert {f.name: n for f, n in counts.items() if n > MOST_FILES} == {}
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {name: n for name, n in lines.items() if n > MOST_LINES} == {}


def test_every_folder_says_what_it_holds() -> None:
    for folder in {path.parent for path in PACKAGE.rglob("*.py")}:
        text = (folder / "__init__.py").read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(text)), folder.name
