import pytest
import torch
from torchvision.models.detection.roi_heads import fastrcnn_loss

from maskdistill.detector.drop_loss import box_losses, overlapping

PROPOSALS = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5], [9, 9, 19, 19], [30, 30, 40, 40]])
BOXES = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]])


def drawn(n=6, categories=3):
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(n, categories, generator=generator, requires_grad=True)
    moves = torch.randn(n, 4 * categories, generator=generator, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 0, 2, 0])[:n]
    return logits, moves, labels, torch.randn(n, 4, generator=generator)


def test_proposals_count_from_the_iou_on_with_any_box():
    # IoU 1, 0.5, 1 / 199 and 0
    assert overlapping(PROPOSALS, BOXES, at_least=0.01).tolist() == [True, True, False, False]
    assert overlapping(PROPOSALS, BOXES, at_least=0.5).tolist() == [True, True, False, False]
    assert overlapping(PROPOSALS, BOXES, at_least=0.005).tolist() == [True, True, True, False]
    assert overlapping(PROPOSALS, BOXES, at_least=0.0).tolist() == [True] * 4


def test_in_a_picture_without_training_masks_none_counts_unless_nothing_is_dropped():
    none = torch.zeros(0, 4)
    assert overlapping(PROPOSALS, none, at_least=0.01).tolist() == [False] * 4
    assert overlapping(PROPOSALS, none, at_least=0.0).tolist() == [True] * 4


def test_where_all_count_the_losses_are_torchvisions():
    logits, moves, labels, wanted = drawn()
    found = box_losses(logits, moves, labels, wanted, counts=torch.ones(6, dtype=torch.bool))
    others = fastrcnn_loss(logits, moves, [labels], [wanted])
    torch.testing.assert_close(torch.stack(found), torch.stack(others))


def test_a_dropped_proposal_has_no_loss_and_no_gradient_and_the_others_keep_theirs():
    logits, moves, labels, wanted = drawn()
    counts = torch.tensor([True, True, False, False, True, True])
    found = box_losses(logits, moves, labels, wanted, counts=counts)
    kept = fastrcnn_loss(
        logits[counts], moves[counts], [labels[counts]], [wanted[counts]]
    )  # a mean over four of six
    torch.testing.assert_close(torch.stack(found), torch.stack(kept) * 4 / 6)
    sum(found).backward()
    assert logits.grad[~counts].abs().max() == moves.grad[~counts].abs().max() == 0
    assert logits.grad[counts].abs().sum(dim=1).min() > 0


@pytest.mark.parametrize("n", [0, 6])
def test_without_any_that_counts_the_losses_are_zero(n):
    logits, moves, labels, wanted = drawn(n)
    counts = torch.zeros(n, dtype=torch.bool)
    found = box_losses(logits, moves, labels, wanted, counts=counts)
    assert [float(each.detach()) for each in found] == [0, 0]
