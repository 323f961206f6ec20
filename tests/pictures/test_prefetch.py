"""pictures/prefetch.py: in order, a few ahead, refused pictures handed on, no thread left."""

import itertools
import threading
import time

import pytest

from maskdistill.errors import PictureError
from maskdistill.pictures import prefetched


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_results_come_in_the_order_of_the_items_though_later_ones_are_ready_first(workers):
    def load(item: int) -> int:
        time.sleep(0.02 if item % 4 == 0 else 0)
        return item * item

    assert list(prefetched(range(20), load, workers=workers)) == [
        (item, item * item) for item in range(20)
    ]


@pytest.mark.parametrize("workers", [0, 3])
def test_a_picture_that_cannot_be_read_is_handed_on_and_the_others_come(workers):
    def load(item: int) -> int:
        if item == 2:
            raise PictureError("damaged")
        return item

    results = [result for _, result in prefetched(range(5), load, workers=workers)]
    assert isinstance(results.pop(2), PictureError)
    assert results == [0, 1, 3, 4]


@pytest.mark.parametrize("workers", [0, 3])
def test_any_other_error_is_raised_at_its_item(workers):
    def load(item: int) -> int:
        return 1 // (3 - item)

    stream = prefetched(range(9), load, workers=workers)
    assert [next(stream) for _ in range(3)] == [(0, 0), (1, 0), (2, 1)]
    with pytest.raises(ZeroDivisionError):
        next(stream)


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_nothing_in_nothing_out(workers):
    assert list(prefetched([], int, workers=workers)) == []


@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_than_two_items_a_thread_are_held_ahead(workers):
    items = itertools.count()  # endless: held whole, it would never answer
    begun: list[int] = []
    stream = prefetched(items, begun.append, workers=workers)
    for asked in range(1, 6):
        next(stream)
        assert len(begun) <= asked + 2 * workers
    stream.close()


def test_threads_are_at_work_side_by_side():
    both = threading.Barrier(2, timeout=20)  # breaks unless two loads wait at the same time
    assert len(list(prefetched(range(4), lambda _: both.wait(), workers=2))) == 4


def test_leaving_early_stops_the_threads_and_loads_no_more():
    before = threading.active_count()
    begun: list[int] = []

    def load(item: int) -> int:
        begun.append(item)
        time.sleep(0.01)
        return item

    stream = prefetched(range(1000), load, workers=2)
    assert next(stream) == (0, 0)
    stream.close()
    n_begun = len(begun)
    assert threading.active_count() == before
    time.sleep(0.05)
    assert len(begun) == n_begun <= 5


def test_in_line_nothing_is_loaded_before_it_is_asked_for():
    begun: list[int] = []
    stream = prefetched(range(3), begun.append, workers=0)
    next(stream)
    assert begun == [0]


def test_less_than_no_worker_is_refused():
    with pytest.raises(ValueError, match="workers"):
        next(prefetched([1], int, workers=-1))
