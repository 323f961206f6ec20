"""The number of threads that a verb is told is not left behind in the caller's process."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from maskdistill import api
from maskdistill.errors import MaskDistillError
from maskdistill.workflows import demo_pictures

ONE = {"propose": {"backbone": "handcrafted", "max_masks": 1}, "threads": 1}


@pytest.fixture(autouse=True)
def _three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Proposals of two pictures beside their folder and their ground truth."""
    root = tmp_path_factory.mktemp("drawn")
    demo_pictures.write(
        root / "pictures", root / "truth.json", n_pictures=2, seed=5, size=(64, 80), prefix="p"
    )
    place = {"pictures": root / "pictures", "out": root / "run"}
    api.run(**place, settings=ONE, until="propose", quiet=True)
    return root / "run"


CALLS: dict[str, Callable[[Path], object]] = {
    "run": lambda out: api.run(out=out, settings={"threads": 1}, until="scan", quiet=True),
    "scan": lambda out: api.scan(pictures=out.parent / "pictures", out=out, settings=ONE),
    "propose": lambda out: api.propose(out=out, settings={"threads": 1}, quiet=True),
    "evaluate": lambda out: api.evaluate(out=out, settings={"threads": 1}, quiet=True),
    "report": lambda out: api.report(out=out, settings={"threads": 1}, quiet=True),
    "sweep": lambda out: api.sweep(
        out=out, settings={"threads": 1}, methods=("lost",), n_pictures=1, quiet=True
    ),
    "masks": lambda out: api.masks(
        pictures=out.parent / "pictures",
        out=out.parent / "masks",
        backbone="handcrafted",
        settings={"threads": 1},
        quiet=True,
    ),
}


@pytest.mark.parametrize("verb", CALLS)
def test_a_verb_gives_the_caller_its_threads_back(run: Path, verb: str) -> None:
    CALLS[verb](run)
    assert torch.get_num_threads() == 3


def test_a_verb_that_raises_gives_the_threads_back_too(run: Path) -> None:
    settings = {"threads": 1, "evaluate": {"published": str(run / "nosuch.csv")}}
    with pytest.raises(MaskDistillError, match=r"nosuch\.csv"):
        api.evaluate(out=run, settings=settings, quiet=True)
    assert torch.get_num_threads() == 3
    wrong = {"propose": {"method": "lost"}, "threads": 1}
    with pytest.raises(MaskDistillError, match=r"settings\.method: tokencut -> lost"):
        api.propose(out=run, settings=wrong, quiet=True)
    assert torch.get_num_threads() == 3
