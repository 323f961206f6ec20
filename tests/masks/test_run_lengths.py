"""Run lengths of others: read where they are whole, refused with what was found where not."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as judge

from maskdistill.masks import rle, run_lengths
from tests.reference import masks as reference

shapes = st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 9))


def compressed(runs: list[int]) -> str:
    side = max(sum(runs), 1)
    return judge.frPyObjects({"counts": runs, "size": [side, 1]}, side, 1)["counts"].decode()


@given(arrays.arrays(bool, shapes))
def test_whole_run_lengths_keep_their_string_in_either_form(masks):
    for mask, own in zip(masks, rle.encode(masks), strict=True):
        assert run_lengths.checked(own["counts"], own["size"]) == own
        assert run_lengths.checked(reference.run_lengths(mask), own["size"]) == own
        assert run_lengths.decoded(own["counts"]).tolist() == reference.run_lengths(mask)


@given(st.lists(st.integers(0, 70_000), min_size=1, max_size=9), st.integers(0, 9))
def test_what_a_string_holds_equals_reading_it_sign_by_sign(drawn, end):
    counts = compressed(drawn)
    assert run_lengths.decoded(counts).tolist() == drawn
    assert reference.covered(counts) == sum(drawn)
    cut = counts[:end]
    if cut and (ord(cut[-1]) - 48) & 32:
        with pytest.raises(ValueError, match="cut short within a number"):
            run_lengths.decoded(cut)
    elif reference.covered(cut) < 0:
        with pytest.raises(ValueError, match="a negative run"):
            run_lengths.decoded(cut)
    else:
        assert run_lengths.decoded(cut).sum() == reference.covered(cut)


runs_with_zeros = st.lists(st.integers(0, 3), min_size=2, max_size=9).filter(lambda runs: sum(runs))


@given(runs_with_zeros, runs_with_zeros, st.booleans())
@example([0, 0, 3, 3], [0, 0, 3, 2, 1], True)
def test_runs_of_length_0_do_not_move_an_overlap(one, other, as_text):
    both = []
    for runs in (one, other):
        whole = [*runs, *([0] if len(runs) % 2 else []), 30 - sum(runs)]
        both.append(run_lengths.checked(compressed(whole) if as_text else whole, [5, 6]))
        np.testing.assert_array_equal(
            rle.decode(both[-1:])[0].ravel(order="F"),
            np.repeat(np.arange(len(whole)) % 2 == 1, whole),
        )
    first, second = rle.decode(both)
    assert rle.iou(both[:1], both[1:])[0, 0] == pytest.approx(reference.iou(first, second))


@pytest.mark.parametrize(
    "counts, said",
    [
        ([10, 5, 15], "run lengths sum to 30, a picture of 8 x 5 has 40 pixels"),
        ([10, 5], r"sum to 15, .* \(is the last run left out\?\)"),
        (compressed([10, 5, 85])[:2], "sum to 15, a picture of 8 x 5 has 40 pixels"),
        ([10, 5, 85], "sum to 100, a picture of 8 x 5 has 40 pixels"),
        ([], "sum to 0, a picture of 8 x 5 has 40 pixels"),
        ("", "sum to 0, a picture of 8 x 5 has 40 pixels"),
        ([3, 2, 8, 2, 13, 2], "they read as start-length pairs"),
        (compressed([3, 2, 8, 2, 13, 2]), "they read as start-length pairs"),
        ("3 2 8 2 13 2", r"text of 6 numbers \(read as start-length pairs\)"),
        ("10, 5, 25", r"text of 3 numbers \(a list as text\)"),
        ([10.0, 5.0, 25.0], "not whole numbers: 10.0 stands at place 0"),
        ([10, 4.5, 25.5], "not whole numbers: 4.5 stands at place 1"),
        ([10, float("nan"), 30], "not whole numbers: nan"),
        ([10, "5", 25], "not whole numbers: '5' stands at place 1"),
        ([10, None, 30], "not whole numbers: None"),
        ([39, True], "not whole numbers: True"),
        ([[10, 5, 25]], "not whole numbers: "),
        ([-10, 25, 25], "a negative run: -10 stands at place 0"),
        ([10, 40, -10], "a negative run: -10 stands at place 2"),
        ("O", "a negative run: number 0"),
        ("oo22~~~", "holds '~' at place 4"),
        ([10**300], "sum to 1000"),
        ([2**32 - 1, 41], "sum to 4294967336"),
        ("2\u00e42", r"holds '\\xe4' at place 1"),
        ("2\ud8002", r"holds '\\ud800' at place 1"),
        ("2\x002", r"holds '\\x00' at place 1"),
        ("oooooooooooooooo0", "a number of more than 7 signs"),
        (":5o", "cut short within a number"),
        (None, "counts are None; wanted run lengths"),
        (40, "counts are 40; wanted run lengths"),
        ({"0": 40}, "counts are "),
    ],
)
def test_what_is_no_mask_of_its_picture_is_refused_with_what_was_found(counts, said):
    with pytest.raises(ValueError, match=said):
        run_lengths.checked(counts, [5, 8])


@pytest.mark.parametrize(
    "size",
    [None, [], [5], [5, 8, 1], ["5", "8"], [5.0, 8.0], [0, 8], [-5, -8], 40, "58", [True, 40],
     [10**6, 10**6], [10**400, 1]],
)  # fmt: skip
def test_a_size_of_no_picture_is_refused(size):
    with pytest.raises(ValueError, match="size is "):
        run_lengths.checked([40], size)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)
signs = st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=40)
sides = st.integers(-1, 70) | st.just(2**40)
anything = st.one_of(
    signs, signs.map(lambda text: text[:-1] + "o"), st.text(max_size=20),
    st.lists(st.integers(-3, 60), max_size=8), st.lists(junk, max_size=4), junk,
)  # fmt: skip


@given(anything, st.lists(sides, min_size=2, max_size=2) | junk)
@example("222", [2, 3])
def test_whatever_stands_in_a_file_is_a_mask_that_can_be_counted_or_a_value_error(counts, size):
    try:
        mask = run_lengths.checked(counts, size)
    except ValueError:
        return
    height, width = mask["size"]
    assert rle.decode([mask]).shape == (1, height, width)
    area = rle.areas([mask])[0]
    assert rle.iou([mask], [mask])[0, 0] == (area > 0)


@given(arrays.arrays(bool, (7, 12)))
def test_a_mask_beside_its_own_box_is_never_taken_for_row_by_row(mask):
    own = rle.encode(mask[None])[0]
    x1, y1, x2, y2 = rle.boxes([own])[0].tolist()
    for moved in (0, 0.4):
        box = [x1 + moved, y1 + moved, x2 - x1, y2 - y1]
        assert run_lengths.checked(own["counts"], own["size"], box) == own


@given(
    st.integers(0, 20), st.integers(0, 10), st.integers(3, 12), st.integers(3, 10), st.booleans()
)
def test_run_lengths_that_go_row_by_row_are_told_by_the_box(x, y, width, height, square):
    mask = np.zeros((40, 40) if square else (31, 53), bool)
    mask[y : y + height, x : x + width] = True
    rows = reference.run_lengths(mask.T)  # column by column of the transposed: row by row
    size, box = list(mask.shape), [x, y, width, height]
    theirs = run_lengths.checked(rows, size)
    seen = rle.boxes([theirs])[0] - np.array([x, y, x + width, y + height])
    if np.abs(seen).max() > 1:
        for counts in (rows, theirs["counts"]):
            with pytest.raises(ValueError, match="only if read row by row"):
                run_lengths.checked(counts, size, box)
    else:
        assert run_lengths.checked(rows, size, box) == theirs
    for other in (None, [], "box", [x, y, width], [x, y, None, height], [x + 5, y, width, height]):
        assert run_lengths.checked(rows, size, other) == theirs
