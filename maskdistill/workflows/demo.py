"""Demo: the drawn pictures in folders, apart from their ground truth.

In:       an output folder; how many pictures, of how many kinds
Out:      OUT/pictures, OUT/validation, OUT/ground-truth/*.json, and OUT/drawn.json that says what
          was drawn, so that it is drawn once
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from maskdistill.errors import RunError
from maskdistill.runs import atomic
from maskdistill.workflows import demo_pictures

SEED = 0  # of the drawn pictures: the same for every run seed, so that only the run differs


@dataclass(frozen=True)
class DrawnFolders:
    """Hold where the drawn pictures and their ground truth (COCO JSON) lie."""

    pictures: Path
    validation: Path
    ground_truth: tuple[Path, ...]


def draw(out: Path, *, n_pictures: int, n_validation: int, n_kinds: int) -> DrawnFolders:
    """Draw what is not there yet.

    Args:
        n_pictures, n_validation: at least 1 each. n_kinds: of objects, 2 .. 8.
    Raises:
        ValueError: a number out of range. RunError: `out` holds other drawn pictures, or cannot be
            written.
    """
    if n_pictures < 1 or n_validation < 1:
        raise ValueError(
            f"n_pictures and n_validation must be at least 1, got {n_pictures}, {n_validation}"
        )
    truths = tuple(out / "ground-truth" / f"{name}.json" for name in ("pictures", "validation"))
    places = DrawnFolders(out / "pictures", out / "validation", truths)
    wanted = {
        "version": demo_pictures.VERSION,
        "pictures": n_pictures,
        "validation": n_validation,
        "kinds": n_kinds,
    }
    stamp = out / "drawn.json"
    if stamp.exists():
        found = json.loads(stamp.read_text(encoding="utf-8"))
        if {key: found.get(key) for key in wanted} != wanted:
            raise RunError(
                f"{out}: holds other drawn pictures ({found}) than are wanted ({wanted}). "
                "Give another --out"
            )
        return places
    hashes = {}
    for name, count, seed, truth in (
        ("pictures", n_pictures, SEED, truths[0]),
        ("validation", n_validation, SEED + 1, truths[1]),
    ):
        with atomic.telling(out / name):
            hashes[name] = demo_pictures.write(
                out / name, truth, n_pictures=count, seed=seed, n_kinds=n_kinds, prefix=f"{name}-"
            )
    atomic.write_json(stamp, {**wanted, "sha256": hashes})
    return places
