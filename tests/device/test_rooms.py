"""Every room that places tensors, on a labelled GPU: nothing is mixed, all is as on the CPU.

The device is cuda:1, not the first: where the package wrote a bare "cuda", the two would be mixed.
"""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from maskdistill import crf, detector, segmenter
from maskdistill.clusters import crops, streamed
from maskdistill.features import handcrafted, normalised, padded, vit, weights
from maskdistill.proposals import lost, maskcut, maskdistill, tokencut
from maskdistill.segmenter import hardest_cross_entropy
from maskdistill.training import Plan, augment, checkpoint, fit
from maskdistill.types import FACETS, Features, Found
from tests.reference.labelled_device import Labelled

GPU, CPU = torch.device("cuda:1"), torch.device("cpu")


@pytest.fixture(autouse=True)
def labelled():
    with Labelled() as mode:
        yield mode


def numbers(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


BACKBONES = {
    "dino_vits16": {},  # positions as DINO resamples them
    "timm/test_vit": {"dtype": torch.bfloat16},
    "timm/test_vit3": {},  # registers, and no class token
    "timm/eva02_tiny_patch14_224": {"rotated": True},
    "timm/vit_small_patch16_rope_mixed_224": {"rotated": True},  # rotations that differ by block
}


@pytest.mark.parametrize("name", BACKBONES)
def test_features_lie_beside_the_weights(name):
    here, there = (
        vit.load(name, weights="none", device=device, **BACKBONES[name]) for device in (CPU, GPU)
    )
    batch = numbers(2, 3, 2 * here.patch, 3 * here.patch)
    for block, fields in ((-1, ("queries", "keys", "tokens")), (0, ("values",))):
        pairs = zip(
            there.features(batch, block=block, want=fields),
            here.features(batch.to(GPU), block=block, want=fields),
            strict=True,
        )
        for (found, wanted), field in itertools.product(pairs, fields):
            assert getattr(found, field).device == GPU
            assert getattr(found.centred(), field).device == GPU
            torch.testing.assert_close(getattr(found, field).cpu(), getattr(wanted, field))


def test_weights_on_a_gpu_are_known_by_the_same_content_and_loaded_from_there():
    state = vit.load("timm/test_vit", weights="none").model.state_dict()
    there = {key: value.to(GPU) for key, value in state.items()}
    assert weights.fingerprint(there) == weights.fingerprint(state)
    loaded = vit.load("timm/test_vit", weights=there).model.state_dict()
    assert {each.device for each in loaded.values()} == {CPU}
    assert all(torch.equal(loaded[key], state[key]) for key in state)


@pytest.mark.parametrize("name", ["timm/test_vit", "timm/test_vit3", "timm/eva02_tiny_patch14_224"])
@pytest.mark.parametrize("pack", [0, 20])
def test_embeddings_of_crops_come_to_the_cpu(rng, name, pack):
    network = vit.load(name, weights="none", device=GPU)
    rgb = rng.integers(0, 256, (40, 50, 3)).astype(np.uint8)
    boxes, masks = np.array([[2, 3, 30, 33], [10, 0, 50, 20]]), np.ones((2, 40, 50), bool)

    def prepare(pixels):
        return padded(normalised(pixels, mean=network.mean, std=network.std), network.patch)

    views = crops.crops(rgb, boxes, masks, flips=True)
    for read in ("class_token", "patch_mean"):
        found = crops.embed(views, backbone=network, prepare=prepare, read=read, pack=pack)
        assert found.shape == (2, network.width)
        assert np.isfinite(found).all()


def test_descriptors_made_by_hand_lie_beside_the_picture():
    backbone, picture = handcrafted.load(), torch.rand(1, 3, 40, 48)
    picture[..., 37:, :] = 0  # padding
    (found,) = backbone.features(picture.to(GPU), want=("queries", "keys", "tokens"))
    (wanted,) = backbone.features(picture, want=("queries", "keys", "tokens"))
    for field in ("queries", "keys", "tokens"):
        assert getattr(found, field).device == GPU
        assert torch.equal(getattr(found, field).cpu(), getattr(wanted, field))


def centred(features: Features, **constants) -> Found:
    return maskdistill.discover(features.centred(), **constants)


METHODS = {
    "maskdistill": (maskdistill.discover, {}),
    "maskdistill, centred": (centred, {}),
    "maskdistill, of positive mass": (maskdistill.discover, {"mass_rule": "positive"}),
    "lost": (lost.discover, {}),
    "lost, sound": (lost.discover, {"rule": "sound"}),
    "tokencut": (tokencut.discover, {"min_area": 1}),
    "tokencut, sound": (tokencut.discover, {"rule": "sound", "min_area": 1}),
    "tokencut, gaussian": (tokencut.discover, {"affinity": "gaussian", "min_area": 1}),
    "maskcut": (maskcut.discover, {}),
    "maskcut, sound": (maskcut.discover, {"rule": "sound"}),
}


@pytest.mark.parametrize("facet", FACETS)
@pytest.mark.parametrize("name", METHODS)
def test_each_method_proposes_the_same_masks_from_features_on_a_gpu(name, facet):
    discover, constants = METHODS[name]
    grid, heads, dim = (9, 11), 3, 8
    kinds = torch.zeros(grid)
    kinds[2:6, 3:8] = 1  # an object on a ground
    kinds[7:, 9:] = 2  # and another
    values = 0.1 * numbers(4, heads, 1 + 99, dim)
    values += functional.one_hot(torch.cat([torch.ones(1), kinds.flatten()]).long(), dim)
    tokens = values[3].permute(1, 0, 2).flatten(1)
    fields = {**dict(zip(("queries", "keys", "values"), values, strict=False)), "tokens": tokens}
    here = Features(grid=grid, patch=8, **fields)
    there = Features(grid=grid, patch=8, **{key: each.to(GPU) for key, each in fields.items()})
    found, wanted = (
        discover(each, max_masks=3, facet=facet, **constants) for each in (there, here)
    )
    assert wanted.masks
    assert len(found.masks) == len(wanted.masks)
    for own, other in zip(found.masks, wanted.masks, strict=True):
        assert own.mask.device == CPU  # as types.GridMask says
        assert torch.equal(own.mask, other.mask)
        assert own.seed_patch == other.seed_patch


@pytest.mark.parametrize("accuracy", ["lattice", "close"])
@pytest.mark.parametrize("kind", ["array", "cpu", "gpu"])
def test_the_crf_stays_beside_the_probabilities_wherever_the_picture_is(rng, accuracy, kind):
    rgb = rng.integers(0, 256, (13, 17, 3)).astype(np.uint8)
    given = numbers(3, 13, 17).softmax(dim=0)
    picture = {"array": rgb, "cpu": torch.from_numpy(rgb), "gpu": torch.from_numpy(rgb).to(GPU)}[
        kind
    ]
    setting = {**crf.MASKDISTILL, "iterations": 3, "accuracy": accuracy}
    found = crf.dense_crf(picture, given.to(GPU), **setting)
    assert found.device == GPU
    # The compiled loops keep some numbers in float16.
    torch.testing.assert_close(
        found.cpu(), crf.dense_crf(picture, given, **setting), rtol=0, atol=0.02
    )
    (again,) = crf.dense_crf_many([picture], [given.to(GPU)], **setting)
    assert torch.equal(again, found)
    array = crf.dense_crf(picture, given.numpy(), **setting)
    assert isinstance(array, np.ndarray)


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("algorithm", ["full", "spherical"])
def test_k_means_on_a_gpu_gives_the_clusters_of_the_cpu(
    rng, monkeypatch, labelled, algorithm, held
):
    monkeypatch.setattr(streamed, "_fits", lambda *_: held)  # or a GPU is asked what is free
    monkeypatch.setitem(streamed.NUMBERS, "cuda", 2**8)  # several chunks
    rows = rng.standard_normal((150, 6)).astype(np.float32)
    rows[:40] = rows[0]  # unlike rows are fewer than rows, so that clusters run empty
    found, wanted = (
        streamed.fit(rows, k=20, algorithm=algorithm, restarts=3, device=device)
        for device in (GPU, CPU)
    )
    np.testing.assert_array_equal(found.ids, wanted.ids)
    assert labelled.done["addmm", str(GPU)] >= labelled.done["addmm", "cpu"] > 0
    np.testing.assert_allclose(found.centroids, wanted.centroids, atol=1e-5)


def test_an_empty_cluster_is_filled_on_the_gpu(rng, monkeypatch):
    monkeypatch.setattr(streamed, "_fits", lambda *_: True)
    rows = rng.standard_normal((30, 4)).astype(np.float32)
    starts = np.concatenate([rows[:3], np.full((2, 4), 99, np.float32)])[None]
    found, wanted = (streamed.lloyd(rows, starts, device=device) for device in (GPU, CPU))
    assert np.abs(found.centroids).max() < 99
    np.testing.assert_allclose(found.centroids, wanted.centroids, atol=1e-6)
    np.testing.assert_array_equal(found.rounds, wanted.rounds)


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_a_training_goes_on_from_a_checkpoint_beside_its_model(tmp_path, optimiser):
    plan = Plan(steps=4, optimiser=optimiser, learning_rate=0.05, average=0.8, clip_norm=1.0)

    def trained(device, state=None, at=0):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = nn.Sequential(
                nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Dropout(0.3), nn.Linear(7, 3)
            )
        model.to(device)

        def on_step(step, losses, state_of):
            for each in tensors_of(state_of()):
                # The number of steps stays on the CPU where an optimiser reads it itself.
                assert each.device == device or not each.dim()
            if step == at:
                checkpoint.write(
                    tmp_path,
                    step,
                    state_of(),
                    write_bytes=lambda path, made: path.write_bytes(made),
                )

        fit(
            model,
            plan,
            batch_of=lambda step: list(numbers(6, 8, seed=step)),
            loss_of=lambda own, batch, step: {
                "squares": (own(torch.stack(batch)[:, :5].to(device)) ** 2).mean()
            },
            state=state,
            on_step=on_step,
        )
        assert {each.device for each in tensors_of(model.state_dict())} == {device}
        return model

    whole = checkpoint.weights_bytes(trained(GPU, at=2).state_dict())
    state = checkpoint.read_latest(tmp_path)
    assert {each.device for each in tensors_of(state)} == {CPU}
    assert checkpoint.weights_bytes(trained(GPU, state=state).state_dict()) == whole
    assert checkpoint.weights_bytes(trained(CPU).state_dict()) == whole


def tensors_of(found):
    if isinstance(found, torch.Tensor):
        return [found]
    if isinstance(found, dict):
        return [each for value in found.values() for each in tensors_of(value)]
    return []


def squares(position):
    """A picture of a ground and two squares, their masks."""
    rng = np.random.default_rng([5, position])
    rgb, masks = np.full((40, 56, 3), (40, 90, 60), np.uint8), np.zeros((2, 40, 56), bool)
    for row, mask in enumerate(masks):
        top, left = rng.integers(2, 20, 2)
        mask[top : top + 16, left : left + 16] = True
        rgb[mask] = ((230, 40, 40), (40, 60, 240))[row]
    return rgb, masks


def detector_of(size):
    sides = {"short_side": 48, "max_side": 80}
    return detector.build(size=size, n_clusters=2, min_score=0.0, max_detections=5, **sides)


def detector_steps():
    batch_of = detector.batches(
        lambda position: (*squares(position), np.array([0, 1])),
        n_pictures=4,
        batch=2,
        seed=1,
        short_side=48,
        max_side=80,
        ranges=augment.Ranges(),
    )
    return {"batch_of": batch_of, "loss_of": detector.losses(seed=1)}


def segmenter_of(size):
    return segmenter.build(size=size, n_classes=3)


def segmenter_steps():
    def sample(position):
        rgb, masks = squares(position)
        return rgb, (masks * np.array([1, 2])[:, None, None]).max(axis=0).astype(np.uint8)

    batch_of = segmenter.batches(
        sample, n_pictures=4, batch=2, seed=1, side=48, ranges=augment.Ranges()
    )
    return {"batch_of": batch_of, "loss_of": segmenter.losses(share=0.2)}


SIZES = ["small", pytest.param("resnet50", marks=pytest.mark.slow)]


@pytest.mark.parametrize("size", SIZES)
def test_the_detector_trains_a_step_and_predicts(size):
    model = detector_of(size).to(GPU)
    losses = []
    fit(
        model,
        Plan(steps=1),
        **detector_steps(),
        on_step=lambda step, found, state_of: losses.append(found),
    )
    assert len(losses[0]) == 6
    assert {each.device for each in model.parameters()} == {GPU}
    for each in detector.unpasted_many(model, [squares(0)[0], squares(1)[0]]):
        heads = (each.boxes_xyxy, each.masks, each.scores, each.labels)
        assert {part.device for part in heads} == {CPU}
    given = {"mask_score": True, "mask_nms": 0.9, "refine": lambda rgb, mask: mask}
    found = detector.predict(model, squares(0)[0], **given)
    wanted = detector.predict(model.to(CPU), squares(0)[0], **given)
    assert len(found)
    assert found.rles == wanted.rles
    np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_the_segmenter_trains_a_step_and_predicts(size):
    model = segmenter_of(size).to(GPU)
    losses = []
    fit(
        model,
        Plan(steps=1, average=0.9),
        **segmenter_steps(),
        on_step=lambda step, found, state_of: losses.append(found),
    )
    assert losses[0]["loss"] > 0
    assert {each.device for each in model.parameters()} == {GPU}
    rgb = squares(0)[0]
    logits = segmenter.logits_many(model, [rgb, squares(1)[0]], side=48)
    assert [each.device for each in logits] == [GPU, GPU]
    ways = [{}, {"crf": crf.dense_crf}, {"refine": lambda rgb, mask: mask}]
    found = [segmenter.predict(model, rgb, side=48, **way) for way in ways]
    model.to(CPU)
    for way, label_map in zip(ways, found, strict=True):
        wanted = segmenter.predict(model, rgb, side=48, **way)
        np.testing.assert_array_equal(label_map, wanted)


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_the_loss_of_the_hardest_pixels_lies_beside_the_logits(share):
    logits, labels = numbers(2, 3, 5, 7), torch.arange(70).reshape(2, 5, 7) % 3
    labels[0, :2] = 255
    found = hardest_cross_entropy(logits.to(GPU), labels.to(GPU), share=share)
    assert found.device == GPU
    torch.testing.assert_close(found.cpu(), hardest_cross_entropy(logits, labels, share=share))


def test_a_batch_that_nobody_moved_is_caught():
    model = segmenter_of("small").to(GPU)
    steps = segmenter_steps()
    steps["loss_of"] = lambda own, batch, step: {"mean": own(batch[0][0][None]).mean()}
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        fit(model, Plan(steps=1), **steps)
