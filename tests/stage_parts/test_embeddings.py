"""Crops to vectors, as many masks at a time as fit into memory."""

import numpy as np
import pytest

from maskdistill.stage_parts.embeddings import within_memory

# Three pictures with three masks, none and two; each mask has views that are named here alone.
CUTS = [[["a"], ["b", "b'"], ["c"]], [], [["d"], ["e", "e'"]]]


def network(fits: int, never: str = ""):
    """Return an embedding by the views' names, and the numbers of masks that it is given."""
    given = []

    def embed(masks):
        given.append(len(masks))
        if len(masks) > fits or any(never in views for views in masks):
            raise MemoryError
        return np.array([[ord(views[0]), len(views)] for views in masks], np.float32)

    return embed, given


@pytest.mark.parametrize("fits", [1, 2, 5])
def test_each_picture_gets_the_vectors_of_its_masks_however_few_fit_at_a_time(fits) -> None:
    halved = []
    found = within_memory(CUTS, network(fits)[0], width=2, on_halved=halved.append)
    assert [rows.tolist() for rows in found] == [
        [[97, 1], [98, 2], [99, 1]],
        [],
        [[100, 1], [101, 2]],
    ]
    assert [rows.shape[1] for rows in found] == [2, 2, 2]
    assert bool(halved) == (fits < 5)


def test_a_mask_that_does_not_fit_alone_has_no_vector_and_the_others_have_theirs() -> None:
    halved = []
    found = within_memory(CUTS, network(9, never="d")[0], width=2, on_halved=halved.append)
    assert np.isnan(found[2][0]).all()
    assert [rows[~np.isnan(rows[:, 0])][:, 0].tolist() for rows in found] == [
        [97, 98, 99],
        [],
        [101],
    ]
    assert halved == [5, 3, 2, 1]


def test_pictures_without_masks_and_no_pictures_at_all_are_not_shown_to_the_network() -> None:
    embed, given = network(9)
    assert within_memory([], embed, width=2, on_halved=given.append) == []
    (found,) = within_memory([[]], embed, width=2, on_halved=given.append)
    assert found.shape == (0, 2)
    assert given == []
