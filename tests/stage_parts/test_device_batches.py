"""Batches of the trained networks: planned over all pictures, halved where memory is full."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maskdistill.artifacts import label_maps
from maskdistill.engine.job import Job
from maskdistill.runs.layout import DetectFolder, RunFolder, SegmentFolder, StageFolder
from maskdistill.runs.ledger import Ledger
from maskdistill.runs.progress import Progress
from maskdistill.settings import load, resolve
from maskdistill.stage_parts import device_batches
from maskdistill.stages import detect, segment
from maskdistill.workflows import demo_pictures
from tests.stages.scans import run
from tests.tiny_runs import TinyRun

SIZES = [(64, 80), (80, 64), (64, 80), (64, 80), (80, 64), (64, 80), (33, 50)]


def opened(root: Path, settings: dict[str, Any], **roots: Path) -> Job:
    folder = RunFolder(root)
    return Job(
        resolve(load(settings)),
        folder=folder,
        ledger=Ledger(folder.ledger),
        progress=Progress(quiet=True),
        roots=roots,
    )


def written(job: Job, event: str) -> list[dict[str, Any]]:
    return [row for row in job.ledger.read() if row["event"] == event]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Scan seven pictures of three sizes, p1.png .. p7.png."""
    for number, size in enumerate(SIZES, 1):
        demo_pictures.write(
            tmp_path / str(number), tmp_path / "t.json", n_pictures=1, seed=number, size=size
        )
        (tmp_path / "pictures").mkdir(exist_ok=True)
        shutil.move(tmp_path / str(number) / "0001.png", tmp_path / "pictures" / f"p{number}.png")
    run(tmp_path / "pictures", tmp_path / "run")
    return opened(tmp_path / "run", {"workers": 2}, pictures=tmp_path / "pictures")


def at(path: Path) -> StageFolder:
    return StageFolder(path, path)


class Network:
    """The sum of a picture's values, for as many pictures at a time as fit."""

    def __init__(self, fits: int = 99, never: tuple[int, int] = (0, 0)) -> None:
        self.fits, self.never, self.seen = fits, never, []

    def __call__(self, pictures: list[np.ndarray]) -> list[int]:
        self.seen.append([rgb.shape[:2] for rgb in pictures])
        if len(pictures) > self.fits or self.never in self.seen[-1]:
            raise MemoryError
        return [int(rgb.sum()) for rgb in pictures]


def records(job: Job, network: Any, *, size: int, behind: int = 0, each: Any = None) -> Any:
    with device_batches.over_like_shapes(
        job,
        at(job.folder.root / "stage"),
        shape_of=lambda image: image.size,
        size=size,
        together=network,
        each=each or (lambda image, rgb, made: {"sum": made, "own": int(rgb.sum())}),
        title="stage",
        behind=behind,
    ) as journal:
        return dict(journal.records())


@pytest.mark.parametrize("behind", [0, 2])
def test_pictures_of_one_shape_are_seen_together_and_each_gets_its_own(job, behind) -> None:
    network = Network()
    found = records(job, network, size=3, behind=behind)
    assert network.seen == [[(64, 80)] * 3, [(80, 64)] * 2, [(64, 80)], [(33, 50)]]
    assert list(found) == [1, 2, 3, 4, 5, 6, 7]
    assert all(row["sum"] == row["own"] for row in found.values())
    assert not written(job, "halved")


def test_a_batch_that_does_not_fit_is_halved_and_the_ledger_says_so(job) -> None:
    wanted = records(job, Network(), size=1)
    shutil.rmtree(job.folder.root / "stage")
    network = Network(fits=2)
    assert records(job, network, size=4) == wanted
    assert [len(each) for each in network.seen] == [4, 2, 2, 2, 1]
    assert [row["pictures"] for row in written(job, "halved")] == [4]


def test_only_the_picture_that_does_not_fit_alone_is_refused(job) -> None:
    found = records(job, Network(fits=2, never=(80, 64)), size=4)
    refused = {number for number, row in found.items() if "refused" in row}
    assert refused == {2, 5}
    assert "p2.png: 64 x 80 px do not fit into memory, even alone" in found[2]["refused"]
    assert [row["picture"] for row in written(job, "refused")] == ["p2.png", "p5.png"]


def test_a_picture_whose_masks_do_not_fit_is_refused_too(job) -> None:
    def each(image: Any, rgb: np.ndarray, made: int) -> dict[str, int]:
        if image.id == 3:
            raise MemoryError
        return {"sum": made}

    found = records(job, Network(), size=4, behind=2, each=each)
    assert [number for number, row in found.items() if "refused" in row] == [3]


def test_a_cpu_sees_one_picture_and_a_gpu_as_many_as_the_setting_says() -> None:
    sizes = [device_batches.size_of(torch.device(name), 8) for name in ("cpu", "cuda", "cuda:1")]
    assert sizes == [1, 8, 8]


def test_how_many_are_seen_together_makes_no_stage_stale() -> None:
    parts = []
    for size in (1, 8):
        batch = {"gpu_batch": size}
        settings = resolve(load({"detect": batch, "segment": batch}))
        assert settings.detect.gpu_batch == settings.segment.gpu_batch == size
        parts.append(
            [
                *(part(settings) for part in (detect.train_parts, detect.predict_parts)),
                *(part(settings) for part in (segment.train_parts, segment.PREDICT.parts)),
            ]
        )
    assert parts[0] == parts[1]


@pytest.fixture
def trained(tiny: TinyRun, tmp_path: Path) -> Job:
    """Copy the tiny run, to ask its networks once more."""
    out = Path(shutil.copytree(tiny.out, tmp_path / "copy"))
    return opened(out, tiny.settings, pictures=tiny.pictures, validation=tiny.validation)


def detections(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_the_detector_finds_alike_in_batches_and_the_same_bytes_without(
    trained: Job, tiny: TinyRun, tmp_path: Path
) -> None:
    """Scores to 1e-5, rounded to 1e-6: a convolution may add up in another order."""
    alone = detect.detect(trained, DetectFolder(tmp_path / "alone", tmp_path / "alone"))
    path = tiny.out / "detect" / "detections.jsonl"
    assert (tmp_path / "alone" / "detections.jsonl").read_bytes() == path.read_bytes()
    together = detect.detect(
        trained, DetectFolder(tmp_path / "together", tmp_path / "together"), batch=5
    )
    assert together.counts == alone.counts
    found = detections(tmp_path / "together" / "detections.jsonl")
    for row, wanted in zip(found, detections(path), strict=True):
        assert row["id"] == wanted["id"]
        scores = [[mask["score"] for mask in each["masks"]] for each in (row, wanted)]
        np.testing.assert_allclose(*scores, atol=2e-5)
    assert any(row["masks"] for row in found)


def test_the_segmenter_sees_alike_in_batches_and_the_same_bytes_without(
    trained: Job, tiny: TinyRun, tmp_path: Path
) -> None:
    alone = segment.segment(trained, SegmentFolder(tmp_path / "alone", tmp_path / "alone"))
    together = segment.segment(
        trained, SegmentFolder(tmp_path / "together", tmp_path / "together"), batch=5
    )
    names = [path.relative_to(tmp_path / "alone") for path in alone.outputs]
    assert [path.relative_to(tmp_path / "together") for path in together.outputs] == names
    assert len(names) == 14
    for name in names:
        assert (tmp_path / "alone" / name).read_bytes() == (
            tiny.out / "segment" / name
        ).read_bytes()
        maps = [label_maps.read(tmp_path / each / name) for each in ("alone", "together")]
        assert (maps[0] == maps[1]).mean() > 0.99
