"""decision: the table of what happens to a stage, row by row, and that it has no other rows."""

import itertools

import pytest

from maskdistill.engine.decision import Action, Facts, Match, decide

NOTHING, SAME, OTHER = Match
ROWS = [
    # complete, damaged, begun, kept, redo, redo_same -> action; None: whatever it is
    ((SAME, False, None, None, False, None), Action.SKIP),
    ((SAME, False, None, None, True, False), Action.SKIP),
    ((SAME, False, None, None, True, True), Action.REDO),
    ((SAME, True, None, None, False, None), Action.REFUSE),
    ((SAME, True, None, None, True, None), Action.REDO),
    ((OTHER, None, None, None, False, None), Action.REFUSE),
    ((OTHER, None, None, None, True, None), Action.REDO),
    ((NOTHING, None, NOTHING, SAME, None, None), Action.BRING_BACK),
    ((NOTHING, None, OTHER, SAME, True, None), Action.BRING_BACK),
    ((NOTHING, None, OTHER, None, False, None), Action.REFUSE),
    ((NOTHING, None, OTHER, NOTHING, True, None), Action.REDO),
    ((NOTHING, None, OTHER, OTHER, True, None), Action.REDO),
    ((NOTHING, None, SAME, None, None, None), Action.GO_ON),
    ((NOTHING, None, NOTHING, NOTHING, None, None), Action.START),
    ((NOTHING, None, NOTHING, OTHER, None, None), Action.START),
]
EVERY = list(itertools.product(Match, (False, True), Match, Match, (False, True), (False, True)))
NAMES = ("complete", "damaged", "begun", "kept", "redo", "redo_same")


def fits(row, facts):
    return all(wanted is None or wanted == found for wanted, found in zip(row, facts, strict=True))


@pytest.mark.parametrize("values", EVERY, ids=str)
def test_every_state_of_a_stage_has_one_row_of_the_table(values):
    (action,) = {action for row, action in ROWS if fits(row, values)}
    assert sum(fits(row, values) for row, _ in ROWS) == 1
    assert decide(Facts(**dict(zip(NAMES, values, strict=True)))) is action


@pytest.mark.parametrize("values", EVERY[::17], ids=str)
def test_what_is_done_each_time_starts_whatever_is_there(values):
    assert decide(Facts(**dict(zip(NAMES, values, strict=True)), always=True)) is Action.START


def test_the_docstring_has_the_rows_that_the_test_has():
    lines = [line for line in decide.__doc__.splitlines() if line.strip().startswith("| ")][2:]
    told = [line.split("|")[-2].strip() for line in lines]
    assert set(told) == {action.value for _, action in ROWS}
