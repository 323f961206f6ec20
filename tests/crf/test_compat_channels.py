import numpy as np
import pytest

from maskdistill.crf import compat
from maskdistill.crf.compiled import lattice
from maskdistill.crf.compiled.filters import Kernel
from maskdistill.crf.compiled.messages import Messages
from tests.crf.test_compat import drawn, exact_kernels
from tests.reference import crf as exact


def picture_of_two_colours():
    """A network's edge is 4 px left of the picture's, which colours alone can tell."""
    image = np.zeros((21, 30, 3), np.uint8)
    image[:, :15, 0], image[:, 15:, 2] = 200, 200
    one = np.where(np.arange(30) >= 11, np.float32(0.7), np.float32(0.3))
    probabilities = np.stack([1 - one, one])[:, None].repeat(21, axis=1)
    return image, probabilities, (np.arange(30) >= 15)[None].repeat(21, axis=0)


@pytest.mark.parametrize(
    "picture",
    [
        lambda image: image,
        lambda image: image.astype(np.float64),
        lambda image: image[..., 0],
        lambda image: image[..., :1],
        lambda image: image[..., [0, 2]],
        lambda image: image[..., [0, 2, 1, 0, 2]],
        lambda image: image[..., [0, 2, 1] * 4 + [0]],
        lambda image: image[:, :, ::-1],
    ],
    ids=[
        "rgb",
        "floats to 255",
        "grey",
        "1 channel",
        "2 channels",
        "5 channels",
        "13 channels",
        "bgr view",
    ],
)
def test_colours_count_whatever_their_number(picture):
    image, probabilities, truth = picture_of_two_colours()
    d = compat.DenseCRF2D(30, 21, 2)
    d.setUnaryEnergy(compat.unary_from_softmax(probabilities))
    d.addPairwiseBilateral(sxy=40, srgb=13, rgbim=picture(image), compat=10)
    np.testing.assert_array_equal(d.map(10).reshape(truth.shape), truth)


def test_colours_in_0_to_1_are_refused_with_what_to_hand_in():
    image = picture_of_two_colours()[0]
    d = compat.DenseCRF2D(30, 21, 2)
    for given in (image / 255, (image / 255).astype(np.float32), np.zeros((21, 30))):
        with pytest.raises(ValueError, match="pydensecrf takes uint8, 0 to 255") as refused:
            d.addPairwiseBilateral(sxy=40, srgb=13, rgbim=given, compat=10)
    rgbim = image / 255
    as_told = eval(str(refused.value).split("Give ")[1], {"rgbim": rgbim})
    np.testing.assert_array_equal(as_told, image)


@pytest.mark.parametrize("channels", (1, 2, 3, 4, 7, 8, 13))
def test_kernels_of_any_number_of_channels_are_near_the_exact_sums(rng, channels):
    # Two regions: on noise of more than seven channels the published lattice itself is far off
    # (docs/log/crf.md, "many channels").
    left, right = rng.integers(40, 200, (2, channels))
    noise = rng.integers(0, 9, (7, 11, channels))
    image = (np.where(np.arange(11)[:, None] >= 6, left, right) + noise).astype(np.uint8)
    probabilities = drawn(rng, 3, 7, 11)[1]
    unary = compat.unary_from_softmax(probabilities)
    features = compat.create_pairwise_bilateral((6, 6), 13, image, chdim=2)
    wanted = exact.mean_field(unary.astype(float), [exact_kernels(image, 6, 13)], [4.0], 3)
    of_picture, of_features = compat.DenseCRF2D(11, 7, 3), compat.DenseCRF(77, 3)
    of_picture.setUnaryEnergy(unary)
    of_features.setUnaryEnergy(unary)
    of_picture.addPairwiseBilateral(6, 13, image, 4)
    of_features.addPairwiseEnergy(features, 4)
    for found in (of_picture.inference(3), of_features.inference(3)):
        assert np.abs(found - wanted).mean() < 0.05
        assert np.abs(found - wanted).mean() < np.abs(exact.softmax(-unary) - wanted).mean() / 2


def test_forty_channels_leave_no_range_of_numbers(rng):
    # Rows of float16 overflow here.
    image = rng.integers(0, 40, (7, 11, 40)).astype(np.uint8)
    unary = compat.unary_from_softmax(drawn(rng, 3, 7, 11)[1])
    d = compat.DenseCRF2D(11, 7, 3)
    d.setUnaryEnergy(unary)
    d.addPairwiseBilateral(6, 25, image, 4)
    np.testing.assert_allclose(d.inference(3).sum(axis=0), 1, atol=1e-5)


def test_drawn_keys_of_the_lattice_give_what_counted_ones_give(rng, monkeypatch):
    features = rng.standard_normal((7, 150)).astype(np.float32)
    found = rng.random((2, 150)).astype(np.float32)
    terms, order = [Kernel(features, 1.0)], np.arange(150)
    counted = Messages(terms, order, 1).of(found)[0]
    monkeypatch.setattr(lattice, "_KEYS", 2**40)
    np.testing.assert_allclose(Messages(terms, order, 1).of(found)[0], counted, rtol=1e-5)
    monkeypatch.undo()
    assert (
        lattice.packing(np.zeros(9), np.full(9, 30.0)).strides[0] != 1
    )  # drawn without the patch too


def test_deviations_too_small_for_the_lattice_are_refused_with_many_channels_too():
    image = np.full((2, 3, 9), 200, np.uint8)
    image[0] = 0
    for channels in (3, 9):
        d = compat.DenseCRF2D(3, 2, 2)
        d.setUnaryEnergy(np.zeros((2, 6)))
        d.addPairwiseBilateral(1, 1e-6, image[..., :channels], 3)
        with pytest.raises(ValueError, match="deviations are too small"):
            d.inference(1)
