import json
import zlib

import numpy as np
import pytest
import torch

from maskdistill import segmenter
from tests.reference import segmenting


@pytest.fixture(scope="module")
def large():
    """The release's network: 20 clusters and background, its frozen layers."""
    return segmenter.build(size="resnet50", n_classes=21, frozen_layers=2)


@pytest.fixture(scope="module")
def small():
    return segmenter.build(size="small", n_classes=4)


@torch.no_grad()
def test_logits_have_the_pictures_size(small, large):
    assert small(torch.rand(2, 3, 64, 96)).shape == (2, 4, 64, 96)
    assert small(torch.rand(1, 3, 33, 49)).shape == (1, 4, 33, 49)
    assert large(torch.rand(1, 3, 33, 49)).shape == (1, 21, 33, 49)


def test_weights_are_drawn_from_the_seed_alone(monkeypatch):
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    monkeypatch.setattr(
        torch.cuda, "manual_seed_all", lambda seed: pytest.fail("a GPU's generator was seeded")
    )
    first, again, other = (
        segmenter.build(size="small", n_classes=3, seed=seed).state_dict() for seed in (1, 1, 2)
    )
    assert torch.equal(torch.rand(1), wanted)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first["classifier.classify.weight"], other["classifier.classify.weight"])


@torch.no_grad()
def test_in_bfloat16_logits_are_enlarged_in_float32_so_that_pixels_do_not_tie(small, rng):
    picture = torch.from_numpy(rng.standard_normal((1, 3, 96, 96)).astype(np.float32))
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
        found = small(picture)
    assert found.dtype == torch.float32
    best = found.topk(2, dim=1).values
    assert (best[:, 0] == best[:, 1]).float().mean() < 1e-3


def test_dropout_works_in_training_alone(small):
    assert not small.training
    picture = torch.rand(1, 3, 32, 64)
    assert torch.equal(small(picture), small(picture))
    small.train()
    try:
        assert not torch.equal(small(picture), small(picture))
    finally:
        small.eval()


@pytest.fixture
def rgb(rng):
    return rng.integers(0, 256, (23, 41, 3)).astype(np.uint8)


def test_probabilities_are_those_of_each_pixel_at_the_pictures_own_size(small, rgb):
    found = segmenting.probabilities(small, rgb, side=32)
    assert found.shape == (4, 23, 41)
    assert found.dtype == np.float32
    assert found.min() > 0
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)


def test_a_label_map_holds_the_likeliest_id_of_each_pixel(small, rgb):
    label_map = segmenter.predict(small, rgb, side=32)
    assert label_map.dtype == np.uint8
    np.testing.assert_array_equal(
        label_map, segmenting.probabilities(small, rgb, side=32).argmax(axis=0)
    )
    assert len(np.unique(label_map)) > 1


SIZES = [(23, 41), (64, 50), (7, 90), (41, 23)]


@pytest.mark.parametrize("side", [32, 45])
def test_pictures_in_one_forward_give_what_each_gives_alone(small, rng, side):
    """Logits, of sizes of about 1, to 1e-5: a convolution may add up in another order."""
    pictures = [rng.integers(0, 256, (*size, 3)).astype(np.uint8) for size in SIZES]
    together = segmenter.logits_many(small, pictures, side=side)
    for found, rgb in zip(together, pictures, strict=True):
        (alone,) = segmenter.logits_many(small, [rgb], side=side)
        assert found.shape == alone.shape == (1, 4, side, side)
        torch.testing.assert_close(found, alone, rtol=0, atol=1e-5)
        label_map = segmenter.label_map(found, rgb)
        assert label_map.shape == rgb.shape[:2]
        assert (label_map == segmenter.predict(small, rgb, side=side)).mean() > 0.99
    assert not torch.allclose(together[0], together[1], atol=1e-3)
    assert segmenter.logits_many(small, [], side=side) == []


def test_a_lit_corner_changes_what_is_near_it_the_most(small, rng):
    rgb = np.full((20, 60, 3), 90, np.uint8)
    lit = rgb.copy()
    lit[:6, 45:] = rng.integers(0, 256, (6, 15, 3))
    changed = np.abs(
        segmenting.probabilities(small, lit, side=64)
        - segmenting.probabilities(small, rgb, side=64)
    )
    row, col = np.unravel_index(changed.sum(axis=0).argmax(), (20, 60))
    assert row < 12
    assert col > 35


def by_rule(model):
    """Weights as the reference data's README draws them, by MaskDistill's names."""
    filled = {}
    for name, value in model.state_dict().items():
        shape = tuple(value.shape)
        theirs = name.replace("classifier.", "head.", 1) if name.startswith("classifier.") else name
        drawn = np.random.RandomState(zlib.crc32(theirs.encode())).randn(*shape)
        if name.endswith("num_batches_tracked"):
            drawn = np.zeros(shape)
        elif name.endswith("running_var"):
            drawn = 1 + 0.1 * np.abs(drawn)
        elif name.endswith(("running_mean", "bias")):
            drawn = 0.1 * drawn
        elif len(shape) == 4:
            drawn = drawn * np.sqrt(2 / (shape[1] * shape[2] * shape[3]))
        else:
            drawn = 1 + 0.1 * drawn
        filled[name] = torch.from_numpy(np.asarray(drawn)).to(value.dtype)
    return filled


def drawn_input(seed, shape):
    return torch.from_numpy(np.random.RandomState(seed).randn(*shape).astype(np.float32))


def test_frozen_layers_are_those_of_the_release(reference, large):
    facts = json.loads(
        (reference / "golden" / "deeplab" / "training_facts.json").read_text(encoding="utf-8")
    )
    wanted = facts["freeze_layers_2"]
    frozen = {
        name: parameter
        for name, parameter in large.named_parameters()
        if not parameter.requires_grad
    }
    assert sorted(frozen) == sorted(wanted["parameters_requires_grad_false"])
    assert sum(parameter.numel() for parameter in frozen.values()) == wanted["n_frozen"]
    trained = [parameter.numel() for parameter in large.parameters() if parameter.requires_grad]
    assert sum(trained) == wanted["n_trainable"]


def test_logits_and_one_training_step_are_those_of_the_release(reference, large):
    folder = reference / "golden" / "deeplab"
    own = {name: value.clone() for name, value in large.state_dict().items()}
    assert len(own) == 362
    try:
        large.load_state_dict(by_rule(large))
        check_logits(large, np.load(folder / "forward.npz"))
        check_step(large, np.load(folder / "train_step.npz"))
    finally:
        large.load_state_dict(own)
        large.eval()


@torch.no_grad()
def check_logits(large, stored):
    found = large(drawn_input(13, (2, 3, 65, 65))).numpy()
    largest = np.abs(stored["logits_c"]).max()
    np.testing.assert_allclose(
        found[:, :, ::4, ::4] / largest, stored["logits_c"] / largest, atol=1e-5
    )
    assert np.mean(found.argmax(axis=1) == stored["argmax_c"]) > 0.999


def check_step(large, stored):
    """With nothing frozen and no dropout, as the stored one."""
    large.train()
    for part in large.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
        if isinstance(part, torch.nn.BatchNorm2d):
            part.train()
    logits = large(drawn_input(21, (2, 3, 64, 96)))
    loss = segmenter.hardest_cross_entropy(
        logits, torch.from_numpy(stored["train_labels"]), share=0.2
    )
    assert float(loss.detach()) == pytest.approx(float(stored["train_loss_64"]), rel=1e-5)
    np.testing.assert_allclose(logits.detach()[:, :, ::4, ::4], stored["train_logits"], atol=2e-3)
    last = large.classifier[4]
    weight, bias = torch.autograd.grad(loss, [last.weight, last.bias])
    assert float(weight.norm()) == pytest.approx(float(stored["train_grad_norm_64"][2]), rel=1e-4)
    # In float32 a pixel or two at the border of the hardest fifth are others.
    np.testing.assert_allclose(weight, stored["train_head4_weight_grad"], atol=2e-3)
    np.testing.assert_allclose(bias, stored["train_head4_bias_grad"], atol=2e-3)
    np.testing.assert_allclose(
        large.backbone.bn1.running_mean, stored["train_bn1_running_mean_after"], atol=1e-5
    )
    np.testing.assert_allclose(
        large.backbone.bn1.running_var, stored["train_bn1_running_var_after"], rtol=1e-4
    )


def test_a_crf_is_given_the_probabilities_at_the_pictures_size_and_decides_the_label_map(
    small, rgb
):
    seen = []

    def crf(picture, given):
        seen.append((picture, given))
        return given[::-1].copy()

    found = segmenter.predict(small, rgb, side=32, crf=crf)
    ((picture, given),) = seen
    np.testing.assert_array_equal(picture, rgb)
    np.testing.assert_allclose(given, segmenting.probabilities(small, rgb, side=32), atol=1e-6)
    np.testing.assert_array_equal(found, given[::-1].argmax(axis=0))


def test_classes_that_win_nowhere_take_no_part_in_the_crf(rgb):
    logits = torch.full((1, 5, 6, 8), -9.0)
    logits[:, 1, :3], logits[:, 4, 3:] = 3.0, 3.0
    given = []

    def crf(picture, probabilities):
        given.append(probabilities)
        return probabilities

    found = segmenter.label_map(logits, rgb, crf=crf, crf_least=0.05)
    assert given[0].shape == (2, *rgb.shape[:2])
    np.testing.assert_allclose(given[0].sum(axis=0), 1, atol=1e-6)
    assert set(np.unique(found)) == {1, 4}
    assert np.array_equal(found, segmenter.label_map(logits, rgb, crf=crf))
    assert given[1].shape == (5, *rgb.shape[:2])  # as the paper has it


def test_a_crf_is_not_asked_where_one_class_alone_takes_part(rgb):
    logits = torch.full((1, 3, 6, 8), -9.0)
    logits[:, 2] = 9.0

    def crf(picture, probabilities):
        raise AssertionError("nothing is to be decided")

    assert (segmenter.label_map(logits, rgb, crf=crf, crf_least=0.05) == 2).all()


def test_a_class_that_wins_by_little_takes_part_in_the_crf(rgb):
    logits = torch.zeros((1, 40, 6, 8))  # each has 0.025
    logits[:, 7] = 1e-3
    found = segmenter.label_map(logits, rgb, crf=lambda _, given: given, crf_least=0.05)
    assert (found == 7).all()


def test_a_large_picture_is_reduced_for_the_crf_alone(small, rgb):
    def crf(picture, given):
        assert picture.shape == (11, 20, 3)
        assert given.shape == (4, 11, 20)
        return given

    (logits,) = segmenter.logits_many(small, [rgb], side=32)
    found = segmenter.label_map(logits, rgb, crf=crf, crf_side=20)
    assert found.shape == rgb.shape[:2]
    assert (found == segmenter.predict(small, rgb, side=32)).mean() > 0.9
