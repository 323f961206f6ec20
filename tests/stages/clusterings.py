"""Runs up to `cluster` that tests of it make, and what they read of them."""

import json
from pathlib import Path
from typing import Any

from maskdistill import api
from tests.tiny_runs import QUICK

NETWORK = {
    "backbone": "timm/vit_tiny_patch16_224",
    "embedding": "class_token",
    "min_side": 0,
    "max_side": 64,
}
DRAWN = ["propose=handcrafted", "cluster=none"]


def clustered(
    pictures: Path, out: Path, **own: Any
) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """clusters.json, the lines of clusters.jsonl, the events of the ledger of a run up to `cluster`."""
    settings = {
        **QUICK,
        **{key: own.pop(key) for key in ("weights", "limit", "workers") if key in own},
    }
    settings["cluster"] = {**QUICK["cluster"], **own}
    api.run(pictures=pictures, out=out, settings=settings, until="cluster", quiet=True)
    return read(out)


def read(out: Path) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    rows, events = (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for path in (out / "cluster" / "clusters.jsonl", out / "ledger.jsonl")
    )
    return json.loads((out / "cluster" / "clusters.json").read_text(encoding="utf-8")), rows, events
