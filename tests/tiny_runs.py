"""A tiny run through every stage, made once: 10 drawn pictures to learn from, 4 held out, a few steps of training."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from maskdistill import api
from maskdistill.workflows import demo_pictures

SIZE = (96, 120)
QUICK: dict[str, Any] = {
    "threads": 1,
    "propose": {"backbone": "handcrafted"},
    "cluster": {"k": 4, "again": True, "again_min_score": 0.0},
    "label": {"min_score": 0.05, "overlap": "below"},
    "detect": {
        "short_side": 64,
        "max_side": 96,
        "max_detections": 10,
        "min_score": 0.0,
        "train": {"steps": 6, "batch": 2, "warm_up": 2},
    },
    "segment": {"side": 64, "train": {"steps": 6, "batch": 2, "warm_up": 2}},
    "report": {"tiles": 4, "tile_px": 96},
    "evaluate": {"bootstrap": 20},
}

SMALL_SIZE = (40, 56)
BY_HAND: dict[str, Any] = {**QUICK, "cluster": {"k": 2}, "weights": ["segment=none", "detect=none"]}


class TinyRun(NamedTuple):
    pictures: Path
    validation: Path
    truth: list[str]
    out: Path
    settings: dict[str, Any]


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[str]]:
    root = tmp_path_factory.mktemp("drawn")
    truths = [root / "truth" / f"{name}.json" for name in ("pictures", "validation")]
    demo_pictures.write(root / "pictures", truths[0], n_pictures=10, seed=5, size=SIZE, prefix="p")
    demo_pictures.write(root / "validation", truths[1], n_pictures=4, seed=6, size=SIZE, prefix="v")
    return root / "pictures", root / "validation", [str(path) for path in truths]


@pytest.fixture(scope="session")
def tiny(drawn: tuple[Path, Path, list[str]], tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    import torch

    torch.set_num_threads(1)
    pictures, validation, truth = drawn
    out = tmp_path_factory.mktemp("run") / "tiny"
    settings = {**QUICK, "validation": str(validation), "ground_truth": truth}
    api.run(pictures=pictures, out=out, settings=settings, quiet=True)
    return TinyRun(pictures, validation, truth, out, settings)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Six drawn pictures and their objects as a COCO dataset: what others may have found."""
    root = tmp_path_factory.mktemp("drawn")
    demo_pictures.write(
        root / "pictures", root / "truth.json", n_pictures=6, seed=3, size=SMALL_SIZE, prefix="p"
    )
    return root / "pictures", json.loads((root / "truth.json").read_text())


@pytest.fixture
def scanned(small: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    """A run over them that knows its pictures and nothing else."""
    out = tmp_path / "run"
    api.run(pictures=small[0], out=out, settings=BY_HAND, until="scan", quiet=True)
    return out


@pytest.fixture
def copied(tiny: TinyRun, tmp_path: Path) -> Path:
    """A copy of the tiny run, to be changed."""
    return Path(shutil.copytree(tiny.out, tmp_path / "copy"))
