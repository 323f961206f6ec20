import copy

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from maskdistill import detector
from maskdistill.detector.train import resized
from maskdistill.training import Plan, augment, fit

LOSSES = {"loss_classifier", "loss_box_reg", "loss_mask", "loss_objectness", "loss_rpn_box_reg"}
SIZES = [(40, 70), (61, 45), (33, 33)]


def scene(position):
    """A picture of a ground and two squares, their masks and clusters; every third holds none."""
    rng = np.random.default_rng([5, position])
    height, width = SIZES[position % 3]
    rgb = np.full((height, width, 3), (40, 90, 60), np.uint8)
    masks = np.zeros((2, height, width), bool)
    for cluster, mask in enumerate(masks):
        row, col = rng.integers(2, height - 18), rng.integers(2, width - 18)
        mask[row : row + 16, col : col + 16] = True
        rgb[mask] = ((230, 40, 40), (40, 60, 240))[cluster]
    masks[0] &= ~masks[1]
    return (
        (rgb, masks, np.array([0, 1]))
        if position % 3 != 2
        else (rgb, masks[:0], np.zeros(0, np.int64))
    )


RANGES = augment.Ranges(degrees=10.0, scale=(0.7, 1.3), shift=0.1, colour=0.2)
STILL = augment.Ranges(flip=False, degrees=0.0, scale=(1.0, 1.0))


def batch_of(step, *, sample=scene, seed=4, n_pictures=6, batch=4, ranges=RANGES):
    return detector.batches(
        sample, n_pictures=n_pictures, batch=batch, seed=seed, short_side=48, max_side=80, ranges=ranges
    )(step)  # fmt: skip


@pytest.fixture(scope="module")
def drawn_weights():
    return detector.build(size="small", n_clusters=2, short_side=48, max_side=80, seed=2)


@pytest.fixture
def small(drawn_weights):
    return copy.deepcopy(drawn_weights).train()


def equal(first, second):
    for (picture, target), (other, other_target) in zip(first, second, strict=True):
        if not torch.equal(picture, other) or target.keys() != other_target.keys():
            return False
        if not all(torch.equal(value, other_target[key]) for key, value in target.items()):
            return False
    return True


def test_pictures_and_masks_are_turned_by_the_ranges_given_and_by_nothing_else():
    rgb, masks, _ = scene(0)
    ((picture, target),) = batch_of(0, n_pictures=1, batch=1, ranges=STILL)
    wanted = Image.fromarray(rgb).resize(picture.shape[:0:-1], Image.Resampling.BILINEAR)
    np.testing.assert_allclose(255 * picture.permute(1, 2, 0), wanted, atol=1.01)
    np.testing.assert_allclose(
        target["masks"].float().mean(dim=(1, 2)), masks.mean(axis=(1, 2)), rtol=0.1
    )
    pairs = zip(batch_of(0), batch_of(0, ranges=STILL), strict=True)
    assert all(not torch.equal(moved, still) for (moved, _), (still, _) in pairs)


def test_a_batch_is_a_function_of_seed_and_step_alone():
    forwards = [batch_of(step) for step in range(4)]
    backwards = [batch_of(step) for step in reversed(range(4))][::-1]
    assert all(equal(*pair) for pair in zip(forwards, backwards, strict=True))
    assert not equal(forwards[0], batch_of(0, seed=5))
    # The same pictures again, in another epoch, are turned otherwise.
    assert not equal(batch_of(0, n_pictures=1, batch=1), batch_of(1, n_pictures=1, batch=1))


def test_samples_are_resized_pictures_in_the_unit_range_with_masks_of_their_size():
    shapes = set()
    for step in range(3):
        for picture, target in batch_of(step):
            shapes.add(tuple(picture.shape))
            assert picture.dtype == torch.float32
            assert 0 <= picture.min() < picture.max() <= 1
            assert target["masks"].shape == (len(target["boxes"]), *picture.shape[1:])
            assert len(target["labels"]) == len(target["boxes"])
            assert target["masks"].flatten(1).any(dim=1).all()
    assert shapes == {(3, 46, 80), (3, 65, 48), (3, 48, 48)}


def test_masks_lie_on_their_objects():
    for step in range(6):
        for picture, target in batch_of(step):
            for label, mask in zip(target["labels"], target["masks"].bool(), strict=True):
                red, _, blue = picture[:, mask].mean(dim=1)
                assert (red > blue) == (label == 1)
                assert abs(red - blue) > 0.3


def test_all_five_losses_are_there_and_reach_every_weight(small):
    losses = detector.losses(seed=0)(small, batch_of(0), 0)
    assert set(losses) == LOSSES
    assert all(0 < float(value.detach()) < 20 for value in losses.values())
    sum(losses.values()).backward()
    without = [name for name, parameter in small.named_parameters() if parameter.grad is None]
    assert without == []


def test_losses_depend_on_seed_and_step_but_not_on_the_global_generator(small):
    batch = batch_of(0)
    found = []
    for seed, step in [(1, 3), (1, 3), (1, 4), (2, 3)]:
        torch.rand(5)
        losses = detector.losses(seed=seed)(small, batch, step)
        found.append({name: float(value.detach()) for name, value in losses.items()})
    assert found[0] == found[1]
    assert found[0] != found[2]
    assert found[0] != found[3]


def without_objects(position):
    rgb, masks, _ = scene(position)
    return rgb, masks[:0], np.zeros(0, np.int64)


def with_a_line_of_a_pixel(position):
    rgb, masks, clusters = scene(3 * position)
    masks[0] = False
    masks[0, 20, 5:25] = True
    masks[1] = False
    masks[1, 15, 30] = True
    return rgb, masks, clusters


@pytest.mark.parametrize("sample", [without_objects, with_a_line_of_a_pixel, scene])
def test_a_step_goes_through_with_few_objects_or_none(small, sample):
    seen = []
    fit(
        small,
        Plan(steps=2, optimiser="adamw", learning_rate=1e-3, clip_norm=1.0),
        batch_of=lambda step: batch_of(step, sample=sample),
        loss_of=detector.losses(seed=0),
        on_step=lambda step, losses, state_of: seen.append(losses),
    )
    assert [set(losses) for losses in seen] == [LOSSES | {"loss"}] * 2
    assert all(np.isfinite(list(losses.values())).all() for losses in seen)
    if sample is without_objects:
        assert all(
            losses["loss_mask"] == losses["loss_box_reg"] == losses["loss_rpn_box_reg"] == 0
            for losses in seen
        )
        assert all(losses["loss_objectness"] > 0 for losses in seen)
    assert all(torch.isfinite(parameter).all() for parameter in small.parameters())


def test_training_lowers_the_loss_of_a_batch(small):
    batch, seen = batch_of(0), []
    fit(
        small,
        Plan(steps=9, optimiser="adamw", learning_rate=1e-3, decay="cosine", clip_norm=10.0),
        batch_of=lambda step: batch,
        loss_of=detector.losses(seed=0),
        on_step=lambda step, losses, state_of: seen.append(losses["loss"]),
    )
    assert np.mean(seen[-3:]) < 0.7 * np.mean(seen[:2])


def test_a_resized_picture_is_left_as_it_is_by_torchvision(rng):
    transform = GeneralizedRCNNTransform(12, 20, [0.0] * 3, [1.0] * 3)
    for height, width in rng.integers(1, 90, (150, 2)).tolist():
        size = resized((height, width), short_side=12, max_side=20)
        assert min(size) == 12 or max(size) == 20
        assert min(size) <= 12
        assert max(size) <= 20
        picture = torch.from_numpy(rng.random((3, *size)).astype(np.float32))
        found, _ = transform.resize(picture)
        assert torch.equal(found, picture)
