"""What stages and the report take of this room is what the room exports."""

import ast
from pathlib import Path

import maskdistill
from maskdistill import evaluation

PACKAGE = Path(maskdistill.__file__).parent
ROOM = "maskdistill.evaluation"


def imported(path):
    """Modules of the room that a file imports, or imports from."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == ROOM:
            yield from (alias.name for alias in node.names)
        elif (
            isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(ROOM + ".")
        ):
            yield node.module.removeprefix(ROOM + ".")


def test_stages_and_report_import_nothing_but_exported_modules():
    folders = (
        "measuring",
        "artifacts",
        "stages",
        "stage_parts",
        "report",
        "exports",
        "datasets",
        "api",
    )
    used = {
        name
        for folder in folders
        for path in (PACKAGE / folder).rglob("*.py")
        for name in imported(path)
    }
    assert {"curves", "label_map_counts", "rows", "semantic"} <= used
    assert used <= set(evaluation.__all__)
