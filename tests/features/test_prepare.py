import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import functional as torchvision_functional

from maskdistill.features import Prepared, normalised, padded, prepare, wanted_size

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def drawn(rng: np.random.Generator, *size: int) -> np.ndarray:
    return rng.integers(0, 256, (*size, 3), dtype=np.uint8)


def as_bytes(ready: Prepared) -> np.ndarray:
    """The content of a picture that was made ready with PLAIN, as (rows, cols, 3) uint8 again."""
    rows, cols = ready.content
    return (ready.tensor[:, :rows, :cols] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def test_normalising_equals_dividing_value_by_value(rng):
    rgb = drawn(rng, 3, 5)
    expected = np.zeros((3, 3, 5))
    for channel in range(3):
        for row in range(3):
            for col in range(5):
                expected[channel, row, col] = (
                    int(rgb[row, col, channel]) / 255 - MEAN[channel]
                ) / STD[channel]
    found = normalised(rgb, mean=MEAN, std=STD)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-6)


def test_a_picture_of_its_own_size_is_only_normalised_and_padded(rng):
    rgb = drawn(rng, 19, 37)
    ready = prepare(rgb, patch=8, mean=MEAN, std=STD, short_side=None)
    assert ready.content == (19, 37)
    assert ready.tensor.shape == (3, 24, 40)
    assert ready.tensor.dtype == torch.float32
    assert torch.equal(ready.tensor[:, :19, :37], normalised(rgb, mean=MEAN, std=STD))
    # After the normalisation: a black border would be about -2 there, not 0.
    assert not ready.tensor[:, 19:].any()
    assert not ready.tensor[:, :, 37:].any()


def test_a_picture_whose_shorter_side_fits_already_is_not_resampled(rng):
    rgb = drawn(rng, 48, 31)
    np.testing.assert_array_equal(as_bytes(prepare(rgb, patch=16, short_side=31, **PLAIN)), rgb)


# Of 22 x 44 to 480 a factor that is rounded before it is used makes 959.
@pytest.mark.parametrize(
    "size, short_side, content",
    [
        ((48, 80), 32, (32, 53)),
        ((80, 48), 32, (53, 32)),
        ((30, 30), 45, (45, 45)),
        ((20, 41), 33, (33, 67)),
        ((22, 44), 480, (480, 960)),
        ((44, 22), 480, (960, 480)),
        ((5, 300), 7, (7, 420)),
    ],
)
def test_the_shorter_side_becomes_what_was_asked_and_the_longer_is_cut_in_proportion(
    rng, size, short_side, content
):
    ready = prepare(drawn(rng, *size), patch=16, short_side=short_side, **PLAIN)
    assert ready.content == content
    assert ready.tensor.shape == (3, *(-(-side // 16) * 16 for side in content))


@given(
    short=st.integers(1, 40),
    longer=st.integers(0, 40),
    short_side=st.integers(1, 60),
    upright=st.booleans(),
)
def test_the_size_is_the_one_of_torchvisions_resize(short, longer, short_side, upright):
    size = (short + longer, short) if upright else (short, short + longer)
    rgb = np.zeros((*size, 3), np.uint8)
    resized = torchvision_functional.resize(Image.fromarray(rgb), short_side)
    assert prepare(rgb, patch=4, short_side=short_side, **PLAIN).content == (
        resized.height,
        resized.width,
    )


@pytest.mark.parametrize("size, short_side", [((61, 83), 24), ((83, 61), 24), ((21, 33), 50)])
def test_the_content_is_the_one_of_torchvisions_resize_of_a_pil_image(rng, size, short_side):
    rgb = drawn(rng, *size)
    expected = torchvision_functional.resize(Image.fromarray(rgb), short_side)
    found = as_bytes(prepare(rgb, patch=8, short_side=short_side, **PLAIN))
    np.testing.assert_array_equal(found, np.asarray(expected))


def test_shrinking_averages_all_pixels_so_that_a_fine_pattern_becomes_grey():
    checkers = np.indices((64, 96)).sum(0) % 2 * 255
    rgb = np.repeat(checkers[..., None].astype(np.uint8), 3, axis=2)
    found = as_bytes(prepare(rgb, patch=8, short_side=8, **PLAIN)).astype(int)
    assert np.abs(found - 127.5).max() < 8


def test_rows_columns_and_colours_stay_where_they_were():
    rgb = np.zeros((40, 64, 3), np.uint8)
    rgb[:20, 32:, 0] = 255  # red in the upper right
    rgb[20:, :32, 2] = 255  # blue in the lower left
    tensor = prepare(rgb, patch=4, short_side=20, **PLAIN).tensor
    assert tensor[:, 2, 28].tolist() == [1, 0, 0]
    assert tensor[:, 17, 3].tolist() == [0, 0, 1]
    assert tensor[:, 2, 3].tolist() == tensor[:, 17, 28].tolist() == [0, 0, 0]


@pytest.mark.parametrize("short_side", [None, 9])
def test_a_view_or_a_read_only_array_is_taken_and_never_written(rng, short_side):
    whole = drawn(rng, 34, 46)
    mirrored = whole[::2, ::-1]
    mirrored.setflags(write=False)
    before = whole.copy()
    ready = prepare(mirrored, patch=8, short_side=short_side, **PLAIN)
    same = prepare(np.ascontiguousarray(mirrored), patch=8, short_side=short_side, **PLAIN)
    assert torch.equal(ready.tensor, same.tensor)
    ready.tensor.zero_()
    np.testing.assert_array_equal(whole, before)


@pytest.mark.parametrize(
    "size, patch, whole",
    [((3, 5), 4, (4, 8)), ((4, 8), 4, (4, 8)), ((1, 1), 14, (14, 14)), ((17, 16), 16, (32, 16))],
)
def test_zeros_are_added_right_and_below_up_to_whole_patches(size, patch, whole):
    found = padded(torch.ones(2, 3, *size), patch)
    assert found.shape == (2, 3, *whole)
    assert found[..., : size[0], : size[1]].all()
    assert found.sum() == 2 * 3 * size[0] * size[1]


@pytest.mark.parametrize(
    "rgb",
    [
        np.zeros((8, 9), np.uint8),
        np.zeros((8, 9, 1), np.uint8),
        np.zeros((8, 9, 4), np.uint8),
        np.zeros((3, 8, 9), np.uint8),
        np.zeros((1, 8, 9, 3), np.uint8),
        np.zeros((8, 9, 3), np.float32),
        np.zeros((8, 9, 3), np.uint16),
        np.zeros((0, 9, 3), np.uint8),
        np.zeros((8, 0, 3), np.uint8),
    ],
    ids=lambda rgb: f"{rgb.shape} {rgb.dtype}",
)
@pytest.mark.parametrize("short_side", [None, 16])
def test_what_is_no_picture_in_rgb_bytes_is_refused_with_its_shape_and_type(rgb, short_side):
    with pytest.raises(ValueError, match="rgb: wanted") as refusal:
        prepare(rgb, patch=8, short_side=short_side, **PLAIN)
    assert str(rgb.shape) in str(refusal.value)
    assert str(rgb.dtype) in str(refusal.value)


@pytest.mark.parametrize(
    "size", [(480, 640), (5500, 7300), (3, 90_000), (1, 1), (17, 17), (33, 2000)]
)
@pytest.mark.parametrize("patch", [8, 14, 16])
@pytest.mark.parametrize("most", [1, 50, 2400])
@pytest.mark.parametrize("short_side", [None, 480])
def test_a_grid_has_at_most_so_many_patches_and_nearly_as_many_where_the_picture_is_large(
    size, patch, most, short_side
):
    rows, columns = wanted_size(size, patch, short_side=short_side, max_patches=most)
    plain = wanted_size(size, patch, short_side=short_side)
    patches = -(-rows // patch) * -(-columns // patch)
    assert min(rows, columns) >= 1
    assert patches <= most
    if -(-plain[0] // patch) * -(-plain[1] // patch) <= most:
        assert (rows, columns) == plain
    elif max(size) < 3 * min(size) and most >= 50:
        assert patches >= 0.75 * most
        assert rows / columns == pytest.approx(size[0] / size[1], rel=0.05)


def test_a_picture_with_too_many_patches_is_resized_in_proportion(rng):
    rgb = drawn(rng, 120, 160)
    ready = prepare(rgb, patch=8, short_side=None, max_patches=75, **PLAIN)
    rows, columns = ready.content
    resized = np.asarray(Image.fromarray(rgb).resize((columns, rows), Image.Resampling.BILINEAR))
    assert (rows, columns) == wanted_size((120, 160), 8, short_side=None, max_patches=75)
    np.testing.assert_array_equal(as_bytes(ready), resized)


@pytest.mark.parametrize("name", ["short_side", "square", "max_patches"])
def test_sizes_below_1_are_refused(name):
    for value in (0, -1):
        with pytest.raises(ValueError, match=f"{name} must be at least 1 or None, got {value}"):
            wanted_size((30, 40), 8, **{name: value})
