"""memory: what does not fit is done in halves, and nothing else is caught."""

import pytest
import torch

from maskdistill import memory


def out_of_memory_on_the_cpu() -> Exception:
    with pytest.raises(RuntimeError) as found:
        torch.empty(1 << 60, dtype=torch.uint8)
    return found.value


ERRORS = [MemoryError(), torch.OutOfMemoryError(), out_of_memory_on_the_cpu()]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("fits", [0, 1, 2, 3, 7])
def test_as_many_as_fit_are_done_at_a_time_and_the_order_stays(error, fits) -> None:
    halved = []

    def work(items):
        if len(items) > fits:
            raise error
        return [10 * item for item in items]

    found = memory.in_halves(range(7), work, on_halved=halved.append)
    assert found == ([10 * item for item in range(7)] if fits else [None] * 7)
    assert bool(halved) == (fits < 7)


def test_another_error_is_not_taken_for_a_full_memory() -> None:
    def work(items):
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        memory.in_halves([1, 2], work)


def test_nothing_is_done_for_no_items() -> None:
    assert memory.in_halves([], lambda items: pytest.fail("called")) == []
