"""The heads on tokens, on a labelled GPU: nothing is mixed, all is as on the CPU."""

import numpy as np
import pytest
import torch

from maskdistill import detector, segmenter
from maskdistill.training import Plan, fit
from tests.detector.token_scenes import CHANNELS, PX, scene
from tests.reference.labelled_device import Labelled

GPU, CPU = torch.device("cuda:1"), torch.device("cpu")


@pytest.fixture(autouse=True)
def labelled():
    with Labelled() as mode:
        yield mode


@pytest.mark.parametrize("drop", [0.0, 0.01])
def test_the_detector_on_tokens_trains_a_step_and_predicts(drop):
    model = detector.build_on_tokens(channels=2 * CHANNELS, n_clusters=2, drop=drop, min_score=0.0)
    model.to(GPU)
    losses = []
    fit(
        model,
        Plan(steps=1, average=0.9),
        batch_of=detector.token_batches(scene, n_pictures=3, batch=3, seed=1, with_clusters=True),
        loss_of=detector.token_losses(seed=1),
        on_step=lambda step, found, state_of: losses.append(found),
    )
    assert len(losses[0]) == 6
    assert {each.device for each in model.parameters()} == {GPU}
    views = [scene(position)[0] for position in (0, 1)]
    sizes = [(PX * view.grid[0], PX * view.grid[1]) for view in views]
    found = detector.unpasted_of_views(model, views, sizes)
    wanted = detector.unpasted_of_views(model.to(CPU), views, sizes)
    for own, other in zip(found, wanted, strict=True):
        for part in ("boxes_xyxy", "masks", "scores", "labels"):
            assert getattr(own, part).device == CPU
            torch.testing.assert_close(getattr(own, part), getattr(other, part))


@pytest.mark.parametrize("hidden", [0, 8])
def test_the_patch_head_trains_a_step_and_predicts(hidden):
    tokens = np.random.default_rng(1).standard_normal((2, 4, 6, CHANNELS)).astype(np.float16)
    class_token, labels = tokens[0, 0, 0], np.full((4, 6, 3), 1 / 3, np.float32)
    made = segmenter.patches.drawn([(tokens, class_token, labels)], [24])
    model = segmenter.build_on_patches(
        channels=2 * CHANNELS, width=CHANNELS, n_classes=3, hidden=hidden
    )
    losses = []
    fit(
        model.to(GPU),
        Plan(steps=2, optimiser="adamw"),
        batch_of=segmenter.patches.patch_batches(len(made), batch=16),
        loss_of=segmenter.patches.patch_losses(made),
        on_step=lambda step, found, state_of: losses.append(found["loss"]),
    )
    assert all(loss > 0 for loss in losses)
    assert {each.device for each in model.state_dict().values() if each.dim()} == {GPU}
    logits = segmenter.logits_of_view(model, tokens, class_token)
    assert logits.device == GPU
    rgb = np.zeros((30, 41, 3), np.uint8)
    found = segmenter.label_map(logits, rgb, covered=(3.9, 5.5))
    wanted = segmenter.logits_of_view(model.to(CPU), tokens, class_token)
    torch.testing.assert_close(logits.cpu(), wanted)
    np.testing.assert_array_equal(found, segmenter.label_map(wanted, rgb, covered=(3.9, 5.5)))
