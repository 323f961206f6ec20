import numba
import pytest
from numba.core import caching

from maskdistill.numba_jit import compiled


def doubled(number):
    return 2 * number


def test_where_no_folder_can_be_written_loops_are_compiled_without_a_cache(monkeypatch):
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(cache=True)(doubled)
    assert compiled()(doubled)(21) == 42


def test_elsewhere_they_are_kept():
    made = compiled(fastmath=True)(doubled)
    assert made(21) == 42
    assert made.targetoptions["nogil"] is True
    assert not isinstance(made._cache, caching.NullCache)


def test_another_error_of_numba_is_raised(monkeypatch):
    def njit(**_):
        raise RuntimeError("broken")

    monkeypatch.setattr(numba, "njit", njit)
    with pytest.raises(RuntimeError, match="broken"):
        compiled()(doubled)
