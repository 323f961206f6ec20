"""Masks as others may have found them, made of a dataset of drawn objects; importing them, and what a run then says."""

import json
from pathlib import Path

import pytest

from maskdistill import api
from maskdistill.errors import PredictionError
from tests.made import lines_of


def saved(path: Path, content) -> Path:
    path.write_text(json.dumps(content))
    return path


def results(truth, *, of=lambda row: True) -> list[dict]:
    """The objects as a results list: every mask once, with a score that falls."""
    return [
        {
            "image_id": row["image_id"],
            "category_id": row["category_id"],
            "segmentation": row["segmentation"],
            "bbox": row["bbox"],
            "score": round(0.99 - 0.01 * number, 2),
        }
        for number, row in enumerate(truth["annotations"])
        if of(row)
    ]


def masks_by_path(truth) -> dict[str, list[str]]:
    names = {row["id"]: row["file_name"] for row in truth["images"]}
    found: dict[str, list[str]] = {name: [] for name in names.values()}
    for row in truth["annotations"]:
        found[names[row["image_id"]]].append(row["segmentation"]["counts"])
    return found


def imported(out: Path, source: Path, **more) -> list[dict]:
    api.propose(out=out, settings={"propose": {"import_file": str(source), **more}})
    return lines_of(out / "propose" / "proposals.jsonl")


def warnings_of(out: Path) -> list[str]:
    return [row["what"] for row in lines_of(out / "ledger.jsonl") if row["event"] == "warning"]


def refusal(out: Path, source: Path, **more) -> str:
    with pytest.raises(PredictionError) as caught:
        imported(out, source, **more)
    assert str(caught.value).startswith(str(source))
    assert not (
        out / "propose" / "parts"
    ).exists()  # so that the mended file is not another one than was begun with
    return str(caught.value)
