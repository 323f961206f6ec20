import numpy as np
import pytest
import torch

from maskdistill import segmenter
from maskdistill.segmenter.train import as_input
from maskdistill.training import Plan, augment, fit

SIZES = [(40, 70), (61, 45)]
COLOURS = np.array([(40, 90, 60), (230, 40, 40), (40, 60, 240)], np.uint8)


def scene(position):
    """Two squares on a ground, coloured by their ids."""
    rng = np.random.default_rng([5, position])
    height, width = SIZES[position % 2]
    label_map = np.zeros((height, width), np.uint8)
    for label in (1, 2):
        row, col = rng.integers(2, height - 20), rng.integers(2, width - 20)
        label_map[row : row + 18, col : col + 18] = label
    return COLOURS[label_map], label_map


def batches(**changed):
    own = {
        "n_pictures": 5,
        "batch": 3,
        "seed": 4,
        "side": 32,
        "ranges": augment.Ranges(colour=0.15),
    }
    return segmenter.batches(**{"sample": scene, **own, **changed})


def equal(first, second):
    return all(
        torch.equal(one, other)
        for sample, again in zip(first, second, strict=True)
        for one, other in zip(sample, again, strict=True)
    )


def test_a_batch_is_a_function_of_seed_and_step_alone():
    forwards = [batches()(step) for step in range(4)]
    backwards = [batches()(step) for step in reversed(range(4))][::-1]
    assert all(equal(*pair) for pair in zip(forwards, backwards, strict=True))
    assert not equal(forwards[0], batches(seed=5)(0))
    alone = batches(n_pictures=1, batch=1)
    assert not equal(alone(0), alone(1))  # the same picture is turned otherwise the next time


def test_samples_are_squares_whose_labels_lie_on_their_colours():
    for picture, label_map in batches(side=48)(0):
        assert picture.shape == (3, 48, 48)
        assert label_map.shape == (48, 48)
        assert (picture.dtype, label_map.dtype) == (torch.float32, torch.uint8)
        assert set(label_map.unique().tolist()) <= {0, 1, 2}
        for label, channel in ((1, 0), (2, 2)):
            assert (picture[:, label_map == label].mean(dim=1).argmax()) == channel


def test_an_unturned_picture_is_what_the_trained_network_will_see():
    """Of a size that shrinks, where an affine transform alone would see grain that prediction filters out."""
    rgb = np.random.default_rng(3).integers(0, 256, (96, 128, 3)).astype(np.uint8)
    still = augment.Ranges(flip=False, degrees=0.0, scale=(1.0, 1.0))
    given = {"sample": lambda position: (rgb, rgb[..., 0]), "n_pictures": 1, "batch": 1}
    ((picture, _),) = batches(**given, ranges=still)(0)
    seen = []
    model = segmenter.build(size="small", n_classes=2)
    model.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    segmenter.predict(model, rgb, side=32)
    torch.testing.assert_close(
        picture, seen[0][0], rtol=0, atol=1.01 / 255 / 0.224
    )  # one grey level
    assert not torch.allclose(batches(**given)(0)[0][0], picture, atol=0.1)


def test_an_ignored_id_is_carried_along():
    rgb, label_map = scene(0)
    label_map[label_map == 2] = 255
    seen = {
        int(id_)
        for _, found in batches(sample=lambda position: (rgb, label_map))(0)
        for id_ in found.unique()
    }
    assert seen == {0, 1, 255}


def test_pictures_are_normalised_with_imagenets_mean_and_deviation():
    rgb = np.zeros((2, 3, 3), np.uint8)
    rgb[1, 2] = (255, 51, 102)
    found = as_input(rgb)
    assert found.shape == (3, 2, 3)
    wanted = [(1 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, (0.4 - 0.406) / 0.225]
    assert found[:, 1, 2].tolist() == pytest.approx(wanted, abs=1e-6)
    assert found[:, 0, 0].tolist() == pytest.approx(
        [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], abs=1e-6
    )


def test_the_input_of_a_picture_is_that_of_the_release(reference):
    stored = np.load(reference / "golden" / "deeplab" / "augment.npz")
    found = as_input(stored["val_resized_image"])
    np.testing.assert_allclose(found[:, ::4, ::4], stored["val_tensor_every4"], atol=1e-5)


def test_one_training_step_lowers_the_loss_of_its_batch():
    model, batch = segmenter.build(size="small", n_classes=3, seed=1), batches()(0)
    loss_of = segmenter.losses(share=0.5)
    with torch.no_grad():
        before = float(loss_of(model, batch, 0)["cross_entropy"])
    fit(
        model,
        Plan(steps=1, learning_rate=0.01, weight_decay=0.0),
        batch_of=lambda step: batch,
        loss_of=loss_of,
    )
    with torch.no_grad():
        assert float(loss_of(model, batch, 0)["cross_entropy"]) < before - 0.01


def test_a_few_steps_teach_the_colours():
    model = segmenter.build(size="small", n_classes=3, seed=1)
    fit(
        model,
        Plan(
            steps=25, optimiser="adamw", learning_rate=3e-3, decay="cosine", clip_norm=1.0, seed=3
        ),
        batch_of=batches(),
        loss_of=segmenter.losses(share=1.0),
    )
    rgb, label_map = scene(9)
    assert np.mean(segmenter.predict(model, rgb, side=32) == label_map) > 0.85


def test_a_batch_without_a_valid_pixel_changes_nothing_but_does_not_stop():
    model = segmenter.build(size="small", n_classes=3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    nothing = [(picture, torch.full_like(label_map, 255)) for picture, label_map in batches()(0)]
    seen = []
    fit(
        model,
        Plan(steps=1, learning_rate=0.1, weight_decay=0.0),
        batch_of=lambda step: nothing,
        loss_of=segmenter.losses(share=0.2),
        on_step=lambda step, losses, state_of: seen.append(losses),
    )
    assert seen == [{"cross_entropy": 0.0, "loss": 0.0}]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
