import numpy as np
import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign

from maskdistill.detector import roi_align
from tests.reference import roi_align as reference

SIZE = (244, 476)  # of a picture; maps of 61 x 119, 31 x 60, 16 x 30, 8 x 15
INSIDE = [
    [10, 20, 90, 70],
    [3.5, 7.25, 470.5, 240],
    [100, 4, 330, 200],
    [33, 50, 34, 51],
    [0, 0, 476, 244],
]
BEYOND = [
    [-30, -20, 25, 15],
    [440, 230, 520, 300],
    [-200, -100, 700, 500],
    [600, 400, 700, 500],
    [-90, 20, -50, 60],
]
FLAT = [[50, 60, 50, 60], [476, 244, 476, 244], [20, 30, 20, 90], [0, 0, 300, 0], [0, 0, 0, 0]]


def maps(rng, n_pictures, size=SIZE, channels=3):
    found = {}
    for number in range(4):
        rows, cols = (-(-side // 2 ** (number + 2)) for side in size)
        cells = rng.standard_normal((n_pictures, channels, rows, cols)).astype(np.float32)
        found[str(number)] = torch.from_numpy(cells).requires_grad_()
    return found


def boxes(*pictures):
    return [torch.tensor(own, dtype=torch.float32).reshape(-1, 4) for own in pictures]


def check_equal(rng, own_boxes, *, side=7, size=SIZE):
    """Values and gradients of ours are torchvision's."""
    features = maps(rng, len(own_boxes), size)
    shapes = [size] * len(own_boxes)
    wanted = MultiScaleRoIAlign(["0", "1", "2", "3"], side, 2)(features, own_boxes, shapes)
    found = roi_align.SeparableRoIAlign(side)(features, own_boxes, shapes)
    assert found.shape == wanted.shape == (sum(map(len, own_boxes)), 3, side, side)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    cotangent = torch.from_numpy(rng.standard_normal(wanted.shape).astype(np.float32))
    of_wanted, of_found = (
        torch.autograd.grad(
            pooled, list(features.values()), cotangent, allow_unused=True, materialize_grads=True
        )
        for pooled in (wanted, found)
    )
    for one, other in zip(of_wanted, of_found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-4)
    return found


@pytest.mark.parametrize("side", [7, 14, 3])
@pytest.mark.parametrize(
    "own", [INSIDE, BEYOND, FLAT], ids=["inside", "beyond the edges", "of size zero"]
)
def test_values_and_gradients_equal_torchvisions(rng, own, side):
    found = check_equal(rng, boxes(own), side=side)
    assert found.abs().max() > 0


def test_boxes_keep_their_order_over_pictures_and_levels(rng):
    mixed = [box for three in zip(INSIDE, BEYOND, FLAT, strict=True) for box in three]
    check_equal(rng, boxes(mixed, mixed[::-1], mixed[3:8]))


def test_pictures_without_boxes_among_others(rng):
    check_equal(rng, boxes([], INSIDE, [], FLAT[:2]))


def test_no_boxes_at_all_give_no_rows(rng):
    found = roi_align.SeparableRoIAlign(7)(maps(rng, 2), boxes([], []), [SIZE, SIZE])
    assert found.shape == (0, 3, 7, 7)
    assert found.dtype == torch.float32


def test_maps_of_a_cell_or_two(rng):
    check_equal(rng, boxes([[0, 0, 50, 30], [5, 6, 21, 9], [40, 20, 58, 45]]), size=(30, 50))


def test_every_level_is_read(rng):
    features = maps(rng, 1)
    own = boxes([[0, 0, 40, 40], [0, 0, 150, 150], [0, 0, 240, 240], [-100, -100, 600, 600]])
    pooled = roi_align.SeparableRoIAlign(5)(features, own, [SIZE])
    for row, name in enumerate(features):
        gradients = torch.autograd.grad(
            pooled[row].sum(), list(features.values()), retain_graph=True, allow_unused=True
        )
        assert [gradient is not None and bool(gradient.any()) for gradient in gradients] == [
            other == name for other in features
        ]


def test_pooling_equals_the_definition_sample_by_sample(rng):
    cells = torch.from_numpy(rng.standard_normal((2, 3, 5)).astype(np.float32))
    own = torch.tensor(
        [
            [0.5, 0.25, 4.5, 2.75],
            [-2.5, -1.5, 1.5, 1],
            [3, 1, 9, 7],
            [2, 1, 2, 1],
            [-8, -8, -6, -6],
            [4.5, 0, 4.7, 3],
        ]
    )
    found = roi_align.pool(cells, own, side=3, samples=2)
    for row, box in enumerate(own):
        for channel in range(2):
            wanted = reference.pooled(cells[channel], box, side=3, samples=2)
            np.testing.assert_allclose(found[row, channel], wanted, rtol=1e-5, atol=1e-6)
    assert not found[4].any()


@pytest.mark.parametrize("size", [(37, 476), (66, 244), (16, 100)])
def test_a_thin_picture_is_read_alike_with_gradients_and_without_and_spoils_no_later_one(rng, size):
    """Torchvision guesses the strides from the first picture's height, of which the padding is a large part here."""
    pooling = roi_align.SeparableRoIAlign(7)
    padded = tuple(-(-side // 32) * 32 for side in size)
    features, own = maps(rng, 1, padded), boxes([[2, 3, 30, 14], [5, 1, 90, 12]])
    with torch.no_grad():
        read = pooling(features, own, [size])
    torch.testing.assert_close(read, pooling(features, own, [size]).detach(), rtol=1e-4, atol=1e-5)
    later, own = maps(rng, 1), boxes(INSIDE)
    with torch.no_grad():
        torch.testing.assert_close(
            pooling(later, own, [SIZE]),
            MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)(later, own, [SIZE]),
        )
