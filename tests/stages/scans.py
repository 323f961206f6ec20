"""Folders of small pictures to scan, and what a scan says of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from maskdistill import api
from maskdistill.workflows import demo_pictures

BY_HAND: dict[str, Any] = {"propose": {"backbone": "handcrafted"}, "threads": 1}


def draw(root: Path) -> Path:
    """Four pictures p0001.png .. and two for validation, v0001.png .."""
    demo_pictures.write(
        root / "pictures", root / "truth.json", n_pictures=4, seed=5, size=(64, 80), prefix="p"
    )
    demo_pictures.write(
        root / "validation", root / "truth.json", n_pictures=2, seed=6, size=(64, 80), prefix="v"
    )
    return root


def small(path: Path, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((3, 5, 3), value, np.uint8)).save(path)


def many(folder: Path, names: list[str]) -> Path:
    for number, name in enumerate(names):
        small(folder / name, number)
    return folder


def run(
    pictures: Path, out: Path, *, until: str = "scan", start: str | None = None, **settings: Any
) -> None:
    api.run(
        pictures=pictures,
        out=out,
        settings={**BY_HAND, **settings},
        until=until,
        start=start,
        quiet=True,
    )


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "images.jsonl").read_text("utf-8").splitlines()]


def held_out(out: Path) -> set[str]:
    return {row["path"] for row in rows(out) if row["split"] == "validation"}


def times(out: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("*/stage.json")}
