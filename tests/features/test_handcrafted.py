import pytest
import torch

from maskdistill.features import handcrafted


@pytest.fixture
def batch(rng) -> torch.Tensor:
    pictures = torch.from_numpy(rng.random((2, 3, 48, 64), dtype="float32")) * 0.2
    pictures[:, 0, 16:32, 24:48] += 0.6
    return pictures


def test_keys_are_centred_of_length_one_and_tell_the_object_by_their_sign(batch):
    one, other = handcrafted.load().features(batch)
    assert one.grid == (6, 8)
    assert one.keys.shape == one.queries.shape == (1, 49, handcrafted.load().width)
    patches = one.keys[0, 1:]
    assert patches.mean(0).abs().max() < 1e-6
    assert patches.square().sum(1).mean() == pytest.approx(1, abs=1e-5)
    assert patches[2 * 8 + 4] @ patches[3 * 8 + 4] > 0
    assert patches[2 * 8 + 4] @ patches[0] < 0
    assert not torch.equal(one.keys, other.keys)


def test_the_stand_in_for_the_class_token_prefers_what_the_border_does_not_hold(batch):
    features = handcrafted.load().features(batch)[0]
    attention = features.keys[0, 1:] @ features.queries[0, 0]
    assert divmod(int(attention.argmax()), 8) in {(row, col) for row in (2, 3) for col in (3, 4, 5)}
    assert not features.has_class


def test_a_picture_does_not_depend_on_its_neighbours_in_the_batch(batch):
    backbone = handcrafted.load()
    assert torch.equal(backbone.features(batch)[1].keys, backbone.features(batch[1:])[0].keys)


def test_padding_is_not_seen_as_an_edge(rng):
    picture = torch.from_numpy(rng.random((1, 3, 45, 61), dtype="float32")) * 0.1 + 0.4
    padded = torch.nn.functional.pad(picture, (0, 3, 0, 3))
    repeated = torch.nn.functional.pad(picture, (0, 3, 0, 3), mode="replicate")
    backbone = handcrafted.load()
    assert torch.equal(backbone.features(padded)[0].keys, backbone.features(repeated)[0].keys)


def test_only_what_is_wanted_is_given_and_the_rest_is_refused(batch):
    features = handcrafted.load().features(batch, want=("tokens",))[0]
    assert features.keys is None
    assert features.queries is None
    torch.testing.assert_close(features.tokens[0], features.tokens[1:].mean(0))
    with pytest.raises(ValueError, match="values"):
        handcrafted.load().features(batch, want=("values",))
    with pytest.raises(ValueError, match="block"):
        handcrafted.load().features(batch, block=3)
    with pytest.raises(ValueError, match="multiples"):
        handcrafted.load().features(batch[..., :-1])


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("size", [(8, 8), (8, 24), (24, 32)])
def test_a_flat_picture_has_keys_of_length_zero(level, size):
    features = handcrafted.load().features(torch.full((1, 3, *size), level))[0]
    assert not features.keys.any()
    assert torch.isfinite(features.queries).all()
