"""What does not fit into memory is shown smaller, and what is left out says why."""

import json

import pytest
import torch

from maskdistill import api
from maskdistill.discovery.find import Discovered, discover
from maskdistill.discovery.limits import FEWEST, as_large_as_fits
from maskdistill.discovery.recipe import Input, Recipe
from maskdistill.engine.job import Job
from maskdistill.features import handcrafted
from maskdistill.runs.ledger import Ledger
from maskdistill.settings import RunSettings
from maskdistill.stages import propose
from maskdistill.types import Note
from maskdistill.workflows import demo_pictures


class Small:
    """The hand-made backbone of a machine whose memory holds so many patches, all pictures of a batch together."""

    def __init__(self, patches: int, error: Exception) -> None:
        self.inner, self.patches, self.error = handcrafted.load(), patches, error
        self.patch, self.mean, self.std = self.inner.patch, self.inner.mean, self.inner.std
        self.asked: list[int] = []

    def features(self, batch: torch.Tensor, **given):
        n_patches = len(batch) * (batch.shape[2] // self.patch) * (batch.shape[3] // self.patch)
        self.asked.append(n_patches)
        if n_patches > self.patches:
            raise self.error
        return self.inner.features(batch, **given)


RECIPE = Recipe("tokencut", Input(), constants={"affinity": "gaussian"})
SIZE = (160, 200)


def discovered(network: Small) -> Discovered:
    rgb = demo_pictures.draw(3, 23, size=SIZE).rgb
    return discover(lambda: rgb, size=SIZE, backbone=network, recipe=RECIPE)


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError()])
def test_a_picture_that_does_not_fit_into_memory_is_tried_smaller_and_the_notes_say_so(error):
    network = Small(200, error)
    found = discovered(network)
    assert found.masks.shape[1:] == SIZE
    assert network.asked[0] > 400
    assert network.asked[-1] <= 200
    assert dict(found.notes)[Note.SMALLER] >= network.asked[-1]
    assert Note.SMALLER not in dict(discovered(Small(10**6, error)).notes)


def test_what_is_too_large_at_any_size_and_other_errors_are_raised():
    network = Small(0, torch.OutOfMemoryError())
    with pytest.raises(MemoryError, match="200 x 160 px does not fit into memory, not even as"):
        discovered(network)
    assert network.asked[-1] <= FEWEST < network.asked[-2]
    with pytest.raises(RuntimeError, match="broken"):
        discovered(Small(0, RuntimeError("broken")))


def test_half_the_patches_are_tried_until_they_fit():
    tried = []

    def work(shown: Input) -> tuple[int, int]:
        tried.append(shown.max_patches)
        if len(tried) < 3:
            raise MemoryError
        return shown.grid(SIZE, patch=8)

    grid, notes = as_large_as_fits(work, Input(), size=SIZE, patch=8)
    assert tried[:2] == [None, 20 * 25 // 2]
    assert grid[0] * grid[1] <= tried[2] < tried[1]
    assert notes == [(Note.SMALLER, tried[2])]


def test_a_batch_that_does_not_fit_into_memory_is_seen_in_parts_and_the_ledger_says_so(tmp_path):
    network = Small(900, torch.OutOfMemoryError())
    job = Job.alone(RunSettings())
    job.ledger = Ledger(tmp_path / "ledger.jsonl")
    ready = [
        Input().prepare(demo_pictures.draw(3, n, size=SIZE).rgb, backbone=network) for n in range(4)
    ]
    seen = propose.features_that_fit(job, ready, network, {-1: ["keys"]})
    assert len(network.asked) > 1
    for each, found in zip(ready, seen, strict=True):
        (alone,) = network.inner.features(each.tensor[None], want=("keys",))
        torch.testing.assert_close(found.of[-1].keys, alone.keys)
        assert found.content == each.content
    halved = [event["pictures"] for event in job.ledger.read() if event["event"] == "halved"]
    assert halved == [4, 2, 2]
    tiny = Small(1, MemoryError())
    assert propose.features_that_fit(job, ready[:2], tiny, {-1: ["keys"]}) == [None, None]
    assert job.ledger.count("halved") == len(halved) + 1


def test_such_pictures_of_a_run_get_their_masks_and_stand_in_the_ledger(tmp_path, monkeypatch):
    demo_pictures.write(
        tmp_path / "pictures", tmp_path / "truth.json", n_pictures=3, seed=5, size=(160, 200)
    )
    inner = handcrafted.Handcrafted.features

    def features(self, batch: torch.Tensor, **given):
        if batch.shape[2] * batch.shape[3] > 150 * 190:
            raise MemoryError
        return inner(self, batch, **given)

    monkeypatch.setattr(handcrafted.Handcrafted, "features", features)
    settings = {"weights": ["propose=handcrafted"]}
    api.run(
        pictures=tmp_path / "pictures",
        out=tmp_path / "run",
        settings=settings,
        until="propose",
        quiet=True,
    )
    rows = list(
        map(json.loads, (tmp_path / "run" / "propose" / "proposals.jsonl").read_text().splitlines())
    )
    assert all(row["masks"] and "smaller" in dict(row["notes"]) for row in rows)
    events = list(map(json.loads, (tmp_path / "run" / "ledger.jsonl").read_text().splitlines()))
    assert sum(event.get("what") == "smaller" for event in events) == 3
