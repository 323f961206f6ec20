"""What all tests share: the reference data's folder, a printed seed, one thread a test."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from tests.tiny_runs import copied, drawn, scanned, small, tiny  # noqa: F401 -- fixtures

# No deadline: a machine that is busy for half a second is no fault of the code.
settings.register_profile("here", deadline=None)
settings.load_profile("here")

REFERENCE = Path(os.environ.get("MASKDISTILL_REFERENCE", Path(__file__).parents[2] / "shared"))


def pytest_report_header(config: pytest.Config) -> str:
    state = (
        "found"
        if REFERENCE.is_dir()
        else "missing: tests that compare with the originals are skipped"
    )
    return f"reference data: {state}; seed of the drawn inputs: {seed()}"


def seed() -> int:
    return int(os.environ.get("MASKDISTILL_TEST_SEED", "0"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "reference" in getattr(item, "fixturenames", ()) or "golden" in item.nodeid.split("/"):
            item.add_marker(pytest.mark.golden)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts = {
        outcome: sum(
            "golden" in report.keywords for report in terminalreporter.stats.get(outcome, [])
        )
        for outcome in ("passed", "failed", "skipped")
    }
    ran = counts["passed"] + counts["failed"]
    terminalreporter.write_line(f"golden cases: {ran} ran, {counts['skipped']} skipped")


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of reference data; the test skips, and says so, where it is missing."""
    if not REFERENCE.is_dir():
        pytest.skip("reference data missing (MASKDISTILL_REFERENCE)")
    return REFERENCE


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(seed())


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    # Two busy processes make two-threaded BLAS far slower than one thread; equal bytes need an equal count.
    import torch

    torch.set_num_threads(1)
