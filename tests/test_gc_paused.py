"""The collector of cycles is as it was once a block ends, well or not."""

import gc

import pytest

from maskdistill import gc_paused


def test_it_is_off_inside_and_on_again_after_an_error_too():
    with gc_paused.paused():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ValueError, match="inside"), gc_paused.paused():
        raise ValueError("inside")
    assert gc.isenabled()


def test_where_it_was_off_it_stays_off():
    gc.disable()
    try:
        with gc_paused.paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_function_may_be_called_more_than_once():
    inside = gc_paused.paused()(gc.isenabled)
    assert [inside(), inside(), gc.isenabled()] == [False, False, True]
