import copy

import numpy as np
import pytest
import torch

from maskdistill import detector
from maskdistill.detector.pyramid import padded
from maskdistill.detector.roi_align import SeparableRoIAlign
from maskdistill.detector.token_rcnn import InsideRoIAlign
from maskdistill.detector.train_on_tokens import token_batches, token_losses
from maskdistill.masks import rle
from maskdistill.training import Plan, checkpoint, fit
from tests.detector.token_scenes import CHANNELS, PX, scene

LOSSES = {"loss_classifier", "loss_box_reg", "loss_mask", "loss_objectness", "loss_rpn_box_reg"}
PLAN = {"optimiser": "adamw", "learning_rate": 1e-3, "decay": "cosine", "clip_norm": 5.0}


def build(**changed):
    return detector.build_on_tokens(**{"channels": 2 * CHANNELS, "seed": 2, **changed})


@pytest.fixture(scope="module")
def drawn_weights():
    return build()


@pytest.fixture
def model(drawn_weights):
    return copy.deepcopy(drawn_weights)


def batch_of(step=0, **changed):
    given = {"n_pictures": 6, "batch": 3, "seed": 4, **changed}
    return token_batches(scene, **given)(step)


def size_of(view):
    return PX * view.grid[0], PX * view.grid[1]


def found_of(model, views, sizes=None):
    return detector.unpasted_of_views(model, views, sizes or [size_of(each) for each in views])


@pytest.fixture(scope="module")
def trained():
    """A detector that has seen the pictures with objects for some steps."""
    made = build(min_score=0.1)
    learnt = [0, 1, 3, 4, 6, 7]
    fit(
        made,
        Plan(steps=20, warm_up=5, average=0.8, **{**PLAN, "learning_rate": 2e-3}),
        batch_of=token_batches(
            lambda position, mirrored: scene(learnt[position], mirrored),
            n_pictures=len(learnt),
            batch=2,
            seed=1,
        ),
        loss_of=token_losses(seed=1),
    )
    return made


@pytest.mark.parametrize("mirrored", [False, True])
def test_it_learns_a_pattern_of_the_tokens_and_finds_it_in_a_picture_it_has_not_seen(
    trained, mirrored
):
    view, masks, _ = scene(10, mirrored)
    (found,) = found_of(trained, [view])
    shown = masks[:, :, :: -1 if mirrored else 1]
    detections = detector.pasted(found, np.zeros((*size_of(view), 3), np.uint8), mask_nms=0.5)
    assert detections.size == shown.shape[1:]
    iou = rle.iou(rle.encode(np.ascontiguousarray(shown)), detections.rles[:4])
    assert iou.max(axis=1).min() > 0.7


def test_a_picture_alone_and_in_a_padded_batch_has_the_same_detections(trained):
    views = [scene(position)[0] for position in (0, 1, 2, 9)]
    together = found_of(trained, views)
    for view, beside in zip(views, together, strict=True):
        (alone,) = found_of(trained, [view])
        assert len(alone.scores) == len(beside.scores) > 0
        torch.testing.assert_close(beside.scores, alone.scores, rtol=0, atol=1e-4)
        torch.testing.assert_close(beside.boxes_xyxy, alone.boxes_xyxy, rtol=0, atol=1e-2)
        torch.testing.assert_close(beside.masks, alone.masks, rtol=0, atol=1e-3)


def test_boxes_are_in_px_of_the_picture_inside_of_it(trained):
    view = scene(0)[0]
    (height, width), (small,) = size_of(view), found_of(trained, [view])
    (large,) = found_of(trained, [view], [(2 * height, 3 * width)])
    times = torch.tensor([3.0, 2.0, 3.0, 2.0])
    torch.testing.assert_close(large.boxes_xyxy, small.boxes_xyxy * times, rtol=1e-4, atol=1e-3)
    edges = torch.tensor([width, height, width, height])
    assert (small.boxes_xyxy >= 0).all()
    assert (small.boxes_xyxy <= edges + 1e-3).all()


def test_without_pictures_there_is_nothing(model):
    assert found_of(model, []) == []


@pytest.mark.parametrize("drop", [0.0, 0.01])
def test_all_five_losses_are_there_and_reach_every_weight_and_no_token(drop):
    model, batch = build(drop=drop).train(), batch_of()
    losses = token_losses(seed=0)(model, batch, 0)
    assert set(losses) == LOSSES
    assert all(0 < float(value.detach()) < 20 for value in losses.values())
    sum(losses.values()).backward()
    assert [name for name, each in model.named_parameters() if each.grad is None] == []
    assert not any(view.tokens.requires_grad for view, _ in batch)


def test_dropping_takes_the_loss_of_proposals_that_meet_nothing():
    found = []
    for drop in (0.0, 0.01, 1.0):
        losses = token_losses(seed=0)(build(drop=drop).train(), batch_of(), 0)
        found.append({name: float(value.detach()) for name, value in losses.items()})
    none, some, most = found
    assert none["loss_classifier"] > some["loss_classifier"] > most["loss_classifier"]
    for name in LOSSES - {"loss_classifier", "loss_box_reg"}:
        assert none[name] == some[name] == most[name]


@pytest.mark.parametrize("drop", [0.0, 0.01])
def test_pictures_without_masks_can_be_learnt_from(drop):
    seen = []
    fit(
        build(drop=drop),
        Plan(steps=1, **PLAN),
        batch_of=lambda step: [sample_without_masks()] * 2,
        loss_of=token_losses(seed=0),
        on_step=lambda step, losses, state_of: seen.append(losses),
    )
    (losses,) = seen
    assert losses["loss_objectness"] > 0
    assert losses["loss_mask"] == losses["loss_box_reg"] == losses["loss_rpn_box_reg"] == 0
    assert (losses["loss_classifier"] == 0) == (drop > 0)


def sample_without_masks():
    view, masks, clusters = scene(2)
    return view, detector.targets_of(view, masks, clusters)


def test_no_anchor_in_the_padding_is_learnt_from(model):
    """The labels that the sampler is shown are those of the picture's own anchors."""
    shown = []
    model.train()
    sampler = model.rpn.fg_bg_sampler
    model.rpn.fg_bg_sampler = lambda labels: shown.append(labels) or sampler(labels)
    batch = batch_of(n_pictures=3)
    token_losses(seed=0)(model, batch, 0)
    for labels, (view, _) in zip(shown[0], batch, strict=True):
        rows, cols = view.grid
        per_map = [(2 * rows, 2 * cols), (rows, cols)] + [
            (-(-rows // by), -(-cols // by)) for by in (2, 4, 8)
        ]
        own = 3 * sum(height * width for height, width in per_map)
        assert own < len(labels)
        # Within the picture anchors between the thresholds are not learnt from either.
        assert (labels == -1).sum() >= len(labels) - own
        assert (labels >= 0).sum() > 0.8 * own


def test_what_is_learnt_from_a_picture_does_not_depend_on_its_padding(model):
    """The labels of a picture's own anchors, alone and beside a larger picture."""
    view, targets = batch_of(n_pictures=1, batch=1)[0]
    labels = []
    for grids in ([view.grid], [view.grid, (20, 40)]):
        tokens = [view.tokens, torch.zeros(2 * CHANNELS, 20, 40)][: len(grids)]
        maps = model.backbone(padded(tokens), grids)
        anchors, inside = model._anchors(maps, grids)
        found, boxes = model._matched(anchors, inside[0], targets)
        labels.append((anchors[inside[0]], found[inside[0]], boxes[inside[0]]))
    for alone, beside in zip(*labels, strict=True):
        assert torch.equal(alone, beside)


def test_boxes_at_an_edge_are_pooled_from_the_pictures_own_cells():
    strides = {"0": 4, "1": 8, "2": 16, "3": 32}
    x = {name: torch.rand(2, 4, 256 // stride, 256 // stride) for name, stride in strides.items()}
    shapes = [(100, 120), (256, 256)]
    boxes = [torch.tensor([[90.0, 70, 120, 100]]), torch.zeros(0, 4)]
    # 13 x 15 tokens, whose maps have 26 x 30, 13 x 15, 7 x 8 and 4 x 4 cells.
    held = [(26, 30), (13, 15), (7, 8), (4, 4)]
    cut = {
        name: each[:1, :, :rows, :cols]
        for (name, each), (rows, cols) in zip(x.items(), held, strict=True)
    }
    pooling = InsideRoIAlign(7)
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            found = pooling(x, boxes, shapes)
            wanted = SeparableRoIAlign(7)(cut, boxes[:1], shapes[:1])
        assert found.shape == (1, 4, 7, 7)
        torch.testing.assert_close(found, wanted)


def test_a_batch_is_a_function_of_seed_and_step_alone_and_half_of_it_is_mirrored():
    def of(step, **changed):
        return [(view.tokens, target["boxes"]) for view, target in batch_of(step, **changed)]

    def equal(first, second):
        return all(
            torch.equal(a, b)
            for one, two in zip(first, second, strict=True)
            for a, b in zip(one, two, strict=True)
        )

    forwards = [of(step) for step in range(4)]
    backwards = [of(step) for step in reversed(range(4))][::-1]
    assert all(equal(*pair) for pair in zip(forwards, backwards, strict=True))
    assert not equal(forwards[0], of(0, seed=5))
    asked = []
    token_batches(
        lambda position, mirrored: asked.append(mirrored) or scene(position, mirrored),
        n_pictures=2, batch=40, seed=0,
    )(0)  # fmt: skip
    assert 10 < sum(asked) < 30
    token_batches(
        lambda position, mirrored: asked.append(mirrored) or scene(position, mirrored),
        n_pictures=2, batch=40, seed=0, flip=False,
    )(0)  # fmt: skip
    assert not any(asked[40:])


def test_masks_are_of_one_cluster_unless_clusters_are_asked_for():
    labels = [target["labels"].unique().tolist() for _, target in batch_of(with_clusters=True)]
    assert [1, 2] in labels
    assert all(each in ([1], []) for each in (t["labels"].unique().tolist() for _, t in batch_of()))
    model = build(n_clusters=2).train()
    losses = token_losses(seed=0)(model, batch_of(with_clusters=True), 0)
    assert float(losses["loss_classifier"].detach()) > 0
    assert model.roi_heads.box_predictor.cls_score.out_features == 3


def test_going_on_from_a_checkpoint_gives_the_same_bytes(tmp_path):
    def train(steps, state=None, at=0):
        model = build(drop=0.01)

        def on_step(step, losses, state_of):
            if step == at:
                checkpoint.write(
                    tmp_path,
                    step,
                    state_of(),
                    write_bytes=lambda path, made: path.write_bytes(made),
                )

        fit(
            model,
            Plan(steps=steps, warm_up=2, average=0.9, seed=3, **PLAN),
            batch_of=batch_of,
            loss_of=token_losses(seed=3),
            state=state,
            on_step=on_step,
        )
        return checkpoint.weights_bytes(model.state_dict())

    whole = train(4, at=2)
    assert train(4, state=checkpoint.read_latest(tmp_path)) == whole


def test_weights_are_drawn_from_the_seed_alone(drawn_weights):
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    again, other = build().state_dict(), build(seed=3).state_dict()
    assert torch.equal(torch.rand(1), wanted)
    first = drawn_weights.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first["backbone.reduce.weight"], other["backbone.reduce.weight"])
    assert not drawn_weights.training


@pytest.mark.parametrize("changed", [{"n_clusters": 0}, {"channels": 0}])
def test_numbers_below_one_are_refused(changed):
    with pytest.raises(ValueError, match="must be at least 1"):
        build(**changed)
