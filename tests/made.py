"""What a run made, read back by tests: lines of a file, states of the stages, events of the ledger."""

import json
from pathlib import Path
from typing import Any

from maskdistill import api


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def states(run: Path) -> dict[str, str]:
    """Return stage -> state, as `status` tells them."""
    return {row["stage"]: row["state"] for row in api.status(out=run)}


def events(run: Path, event: str) -> list[dict[str, Any]]:
    """Return what happened of one kind, in order."""
    return [row for row in lines_of(run / "ledger.jsonl") if row["event"] == event]
