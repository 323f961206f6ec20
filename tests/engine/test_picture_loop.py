"""stages/passes.py: batches ahead of and behind the device, in a journal that loses nothing."""

import json
import threading
import time
from pathlib import Path

import pytest

from maskdistill.engine.job import Image, Job
from maskdistill.engine.picture_loop import over_batches
from maskdistill.errors import PictureError
from maskdistill.runs.journal import Journal
from maskdistill.runs.layout import RunFolder, StageFolder
from maskdistill.runs.ledger import Ledger
from maskdistill.runs.progress import Progress
from maskdistill.settings import RunSettings


def images(n: int) -> list[Image]:
    return [Image(number, f"{number}.png", 8, 8, 1, 100, "", "train") for number in range(1, n + 1)]


def job(tmp_path: Path, workers: int = 2) -> Job:
    folder = RunFolder(tmp_path)
    settings = RunSettings(workers=workers)
    return Job(
        settings,
        folder=folder,
        ledger=Ledger(folder.ledger),
        progress=Progress(quiet=True),
        roots={},
    )


def ran(
    tmp_path: Path,
    batches: list[list[Image]],
    *,
    behind: int = 2,
    workers: int = 2,
    stop_at: int | None = None,
):
    """Records by image id, and the batches that the device saw."""
    seen: list[list[int]] = []
    threads = set()

    def load(image: Image) -> int:
        if image.id == 3:
            raise PictureError("3.png: damaged")
        return 10 * image.id

    def together(loaded: list[int]) -> list[int]:
        if stop_at is not None and len(seen) == stop_at:
            raise KeyboardInterrupt
        seen.append(loaded)
        return [value + 1 for value in loaded]

    def each(image: Image, loaded: int, made: int) -> dict[str, int]:
        threads.add(threading.get_ident())
        time.sleep(0.02 if image.id == 1 else 0)
        return {"id": image.id, "loaded": loaded, "made": made}

    with over_batches(
        job(tmp_path, workers),
        StageFolder(tmp_path / "stage", tmp_path / "stage"),
        batches,
        load=load,
        together=together,
        each=each,
        title="test",
        behind=behind,
    ) as journal:
        assert (threading.get_ident() in threads) == (behind == 0)
        return dict(journal.records()), seen


@pytest.mark.parametrize("behind", [0, 1, 3])
@pytest.mark.parametrize("workers", [0, 2])
def test_each_picture_gets_what_the_device_made_of_it(tmp_path, behind, workers):
    one, two, three, four, five = images(5)
    records, seen = ran(tmp_path, [[one, three, five], [two, four]], behind=behind, workers=workers)
    assert seen == [[10, 50], [20, 40]]
    assert records.pop(3) == {"refused": "3.png: damaged"}
    assert records == {
        number: {"id": number, "loaded": 10 * number, "made": 10 * number + 1}
        for number in (1, 2, 4, 5)
    }
    (event,) = map(json.loads, (tmp_path / "ledger.jsonl").read_text().splitlines())
    assert (event["event"], event["picture"], event["reason"]) == (
        "refused",
        "3.png",
        "3.png: damaged",
    )


def test_a_batch_that_was_cut_short_is_done_again_whole(tmp_path):
    one, two, three, four, five = images(5)
    batches = [[one, two], [three, four], [five]]
    with pytest.raises(KeyboardInterrupt):
        ran(tmp_path, batches, stop_at=2)
    journal = tmp_path / "stage" / "parts" / "journal.jsonl"
    kept = journal.read_bytes().splitlines(keepends=True)
    assert len(kept) == 4  # what the device had seen was waited for
    journal.write_bytes(b"".join(kept[:3]))  # as a kill may leave it: picture 4 is missing
    records, seen = ran(tmp_path, batches)
    assert seen == [[40], [50]]
    assert sorted(records) == [1, 2, 3, 4, 5]


def test_an_error_behind_the_device_ends_the_pass_and_keeps_what_was_done_before(tmp_path):
    def each(image: Image, loaded: int, made: int) -> dict[str, int]:
        if image.id == 4:
            raise RuntimeError("broken")
        return {"id": image.id}

    with pytest.raises(RuntimeError, match="broken"):
        over_batches(
            job(tmp_path),
            StageFolder(tmp_path / "stage", tmp_path / "stage"),
            [[image] for image in images(9)],
            load=lambda image: image.id,
            together=lambda loaded: loaded,
            each=each,
            title="test",
            behind=2,
        )
    journal = Journal(tmp_path / "stage" / "parts")
    assert {1, 2, 3} <= journal.done
    assert 4 not in journal
