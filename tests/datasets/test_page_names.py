"""Pages in truths and results: `stack.tif#2`, `stack#2.png`, the first one by its path alone."""

import pytest

from maskdistill.datasets.names import join
from maskdistill.datasets.page_names import name_of, parted

PAGES = ["s/stack.tif", "s/stack.tif#2", "s/stack.tif#3", "z.png"]


@pytest.mark.parametrize(
    "keys",
    [
        ["s/stack.tif", "s/stack.tif#2", "s/stack.tif#3", "z.png"],
        ["s/stack.tif#1", "s/stack.tif#2", "s/stack.tif#3", "z.png"],
        ["stack.tif", "stack.tif#2", "stack.tif#3", "z.png"],
        ["stack.tif#1", "stack.tif#2", "stack.tif#3", "z.png"],
        ["maps/stack.png", "maps/stack#2.png", "maps/stack#3.png", "maps/z.png"],
        ["stack#1.png", "stack#2.png", "stack#3.png", "z.png"],
        ["stack.tif#1.png", "stack.tif#2.png", "stack.tif#3.png", "z.png"],
    ],
)
def test_each_page_gets_its_own_key(keys):
    assert join(keys, PAGES) == dict(zip(PAGES, keys, strict=True))


@pytest.mark.parametrize("keys", [["stack.png"], ["stack.tif"], ["stack.tif#1"], ["s/stack.tif"]])
def test_what_is_of_the_first_page_is_never_given_to_another(keys):
    assert join(keys, ["s/stack.tif#2"]) == {}
    assert join(keys, ["s/stack.tif"]) == {"s/stack.tif": keys[0]}


def test_what_is_of_another_page_is_never_given_to_the_first():
    for key in ("stack.tif#2", "stack#2.png", "s/stack.tif#2"):
        assert join([key], ["s/stack.tif"]) == {}


def test_numbers_behind_a_sharp_in_other_names_stay_what_they_are():
    assert parted("a#2.png") == ("a#2.png", 1)
    assert join(["a#2.png", "b#10.x.png"], ["a#2.jpg", "b#10.x.jpg"]) == {
        "a#2.jpg": "a#2.png",
        "b#10.x.jpg": "b#10.x.png",
    }


@pytest.mark.parametrize("path, page", [("a/b.tif", 1), ("a/b.tif", 12), ("a#3/b.tif", 2)])
def test_names_are_parted_as_they_were_made(path, page):
    assert parted(name_of(path, page)) == (path, page)
