import json

import numpy as np
import pytest
import torch
from torch.nn import functional

from maskdistill.segmenter import hardest_cross_entropy
from tests.reference import losses as reference


def drawn(rng, *, ignored=0.3, shape=(2, 4, 3, 5)):
    logits = torch.from_numpy(3 * rng.standard_normal(shape).astype(np.float32)).requires_grad_()
    labels = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    labels[rng.random(labels.shape) < ignored] = 255
    return logits, torch.from_numpy(labels)


@pytest.mark.parametrize("share", [0.04, 0.2, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("ignored", [0.0, 0.3, 0.9])
def test_the_loss_equals_that_of_a_sorted_list(rng, share, ignored):
    logits, labels = drawn(rng, ignored=ignored)
    wanted = reference.hardest_cross_entropy(logits.detach().numpy(), labels.numpy(), share)
    assert float(hardest_cross_entropy(logits, labels, share=share).detach()) == pytest.approx(
        wanted, rel=1e-5
    )


def test_the_share_is_of_all_pixels_ignored_ones_included():
    logits = torch.zeros(1, 2, 2, 5)
    logits[0, 0, 0] = torch.tensor([4.0, 3.0, 2.0, 1.0, 0.0])
    labels = torch.full((1, 2, 5), 255)
    labels[0, 0] = 1  # five valid pixels of ten: a share of 0.2 is two of them
    wanted = np.log1p(np.exp([4.0, 3.0])).mean()
    assert float(hardest_cross_entropy(logits, labels, share=0.2)) == pytest.approx(
        wanted, rel=1e-6
    )


def test_all_of_the_pixels_is_the_plain_mean_over_valid_ones(rng):
    logits, labels = drawn(rng)
    wanted = functional.cross_entropy(logits, labels, ignore_index=255)
    torch.testing.assert_close(hardest_cross_entropy(logits, labels, share=1.0), wanted)


def test_only_the_hardest_pixels_have_a_gradient(rng):
    logits, labels = drawn(rng)
    hardest_cross_entropy(logits, labels, share=0.2).backward()
    touched = logits.grad.abs().sum(dim=1) > 0
    assert int(touched.sum()) == 6  # of 30
    each = functional.cross_entropy(logits.detach(), labels, ignore_index=255, reduction="none")
    assert each[touched].min() > each[~touched].max()
    assert (labels[touched] != 255).all()


@pytest.mark.parametrize(
    "share, ignored", [(0.2, 1.0), (0.01, 0.0)], ids=["nothing valid", "a share of no pixel"]
)
def test_without_pixels_loss_and_gradient_are_0(rng, share, ignored):
    logits, labels = drawn(rng, ignored=ignored)
    loss = hardest_cross_entropy(logits, labels, share=share)
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad.shape == logits.shape
    assert not logits.grad.any()


def test_another_value_may_be_the_ignored_one(rng):
    logits, labels = drawn(rng)
    marked = torch.where(labels == 255, -1, labels)
    assert torch.equal(
        hardest_cross_entropy(logits, labels), hardest_cross_entropy(logits, marked, ignore=-1)
    )


@pytest.mark.parametrize("case", range(8))
def test_losses_and_gradients_are_those_of_the_release(reference, case):
    folder = reference / "golden" / "deeplab"
    stored = np.load(folder / "ohem.npz")
    facts = json.loads((folder / "training_facts.json").read_text(encoding="utf-8"))["ohem_cases"][
        case
    ]
    assert facts["case"] == case
    logits = torch.from_numpy(stored[f"logits_{case}"]).requires_grad_()
    labels = torch.from_numpy(stored[f"labels_{case}"])
    loss = hardest_cross_entropy(logits, labels, share=facts["fraction"])
    loss.backward()
    if facts["is_nan"]:  # nothing is kept: nan in the release, here a step that teaches nothing
        assert facts["n_kept"] == 0
        assert float(loss.detach()) == 0
        assert not logits.grad.any()
    else:
        assert float(loss.detach()) == pytest.approx(facts["loss"], rel=1e-5)
        np.testing.assert_allclose(logits.grad, stored[f"grad_{case}"], atol=1e-5)
