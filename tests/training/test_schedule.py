import pytest

from maskdistill.training import schedule


def test_the_rate_rises_in_equal_steps_to_all_of_it():
    found = [schedule.factor(step, steps=100, warm_up=4, decay="cosine") for step in range(5)]
    assert found == pytest.approx([0.25, 0.5, 0.75, 1, 1])


def test_steps_fall_where_losts_schedule_falls():
    at = {
        step: schedule.factor(step, steps=24_000, warm_up=0, decay="steps")
        for step in (0, 17_999, 18_000)
    }
    at |= {
        step: schedule.factor(step, steps=24_000, warm_up=0, decay="steps")
        for step in (21_999, 22_000, 23_999)
    }
    assert at == pytest.approx(
        {0: 1, 17_999: 1, 18_000: 0.1, 21_999: 0.1, 22_000: 0.01, 23_999: 0.01}
    )


def test_drops_are_shares_of_the_schedule():
    found = [
        schedule.factor(step, steps=45, warm_up=0, decay="steps", drops=(8 / 9,))
        for step in (39, 40, 44)
    ]
    assert found == pytest.approx([1, 0.1, 0.1])


def test_a_cosine_is_half_way_down_in_the_middle_and_never_rises():
    found = [schedule.factor(step, steps=13, warm_up=3, decay="cosine") for step in range(3, 13)]
    assert found[0] == 1
    assert found[5] == pytest.approx(0.5)
    assert found == sorted(found, reverse=True)
    assert 0 < found[-1] < 0.03


def test_a_schedule_that_is_all_warm_up_ends_at_all_of_the_rate():
    assert schedule.factor(4, steps=5, warm_up=5, decay="cosine") == 1
    assert schedule.factor(5, steps=5, warm_up=5, decay="cosine") == 1


def test_another_decay_is_refused():
    with pytest.raises(ValueError, match="cosine or steps, got 'poly'"):
        schedule.factor(3, steps=5, warm_up=0, decay="poly")
