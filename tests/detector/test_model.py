from types import SimpleNamespace

import pytest
import torch
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import FrozenBatchNorm2d

from maskdistill import detector
from maskdistill.detector import model
from maskdistill.training import bodies


@pytest.fixture(scope="module")
def small():
    return detector.build(size="small", n_clusters=3, short_side=64, max_side=96)


def test_one_box_serves_all_categories():
    head = model.SharedBoxes(6, 4)
    scores, boxes = head(torch.rand(5, 6, 1, 1))
    assert scores.shape == (5, 4)
    by_category = boxes.reshape(5, 4, 4)  # as torchvision reads them: (box, category, side)
    assert torch.equal(by_category, by_category[:, :1].expand(-1, 4, -1))
    assert len(set(by_category[0, 0].tolist())) == 4
    assert head.bbox_pred.out_features == 4


def test_one_mask_serves_all_categories():
    head = model.SharedMask(6, 8, 4)
    masks = head(torch.rand(5, 6, 14, 14))
    assert masks.shape == (5, 4, 28, 28)
    assert torch.equal(masks, masks[:, :1].expand(-1, 4, -1, -1))
    assert masks[0, 0].std() > 0


def test_what_one_category_teaches_moves_the_mask_of_all(small):
    head = small.roi_heads.mask_predictor
    before = head(torch.ones(1, 64, 14, 14))
    (gradient,) = torch.autograd.grad(before[0, 2].sum(), [head.mask_fcn_logits.weight])
    assert head.mask_fcn_logits.weight.shape[0] == 1
    assert gradient.any()
    assert small.roi_heads.box_predictor.bbox_pred.weight.shape[0] == 4
    assert (
        small.roi_heads.box_predictor.cls_score.weight.shape[0] == 4
    )  # background and three clusters


def test_weights_are_drawn_from_the_seed_alone(monkeypatch):
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    monkeypatch.setattr(
        torch.cuda, "manual_seed_all", lambda seed: pytest.fail("a GPU's generator was seeded")
    )
    first, again, other = (
        detector.build(size="small", n_clusters=2, seed=seed).state_dict() for seed in (1, 1, 2)
    )
    assert torch.equal(torch.rand(1), wanted)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    name = "backbone.body.stem.0.weight"
    assert not torch.equal(first[name], other[name])


def test_the_papers_size_has_fixed_norms_a_frozen_stem_and_a_box_for_each_category():
    large = detector.build(size="resnet50", n_clusters=2)
    assert not large.training
    assert isinstance(large.backbone.body.bn1, FrozenBatchNorm2d)
    assert not large.backbone.body.layer1[0].conv1.weight.requires_grad
    assert large.backbone.body.layer2[0].conv1.weight.requires_grad
    assert large.roi_heads.box_predictor.bbox_pred.out_features == 4 * 3
    for pooling in (large.roi_heads.box_roi_pool, large.roi_heads.mask_roi_pool):
        assert pooling.scales == [
            1 / 4,
            1 / 8,
            1 / 16,
            1 / 32,
        ]  # not guessed from the first picture


def test_the_bodys_state_fills_a_body(small):
    body = bodies.build("small")
    bodies.fill(body, detector.body_state(small.state_dict()))
    assert torch.equal(body.layer4[1].conv2.weight, small.backbone.body.layer4[1].conv2.weight)


def drawn(sampler, labels, seed=0):
    sampler.generator = torch.Generator().manual_seed(seed)
    return [[picture.nonzero().flatten().tolist() for picture in kind] for kind in sampler(labels)]


def test_positives_and_negatives_are_counted_a_picture():
    sampler = model.Sampler(8, 0.25)
    many = torch.tensor([0, 1, 2, -1, 0, 3, 0, 0, 0, 1, -1, 0, 0, 0, 0])
    few = torch.tensor([-1, 0, 5, 0, 0, 0, 0, 0, 0, 0])
    none = torch.tensor([0, 0, 0, -1, 0])
    positives, negatives = drawn(sampler, [many, few, none])
    assert [len(each) for each in positives] == [2, 1, 0]  # 8 * 0.25 at most
    assert [len(each) for each in negatives] == [6, 7, 4]  # filled up, as far as there are any
    for labels, positive, negative in zip([many, few, none], positives, negatives, strict=True):
        assert (labels[positive] >= 1).all()
        assert (labels[negative] == 0).all()


def test_pictures_without_anything_to_draw_give_nothing():
    sampler = model.Sampler(4, 0.5)
    labels = [torch.zeros(0), torch.tensor([-1.0, -1.0]), torch.tensor([1.0, 1.0])]
    assert drawn(sampler, labels) == [[[], [], [0, 1]], [[], [], []]]
    masks = sampler(labels)[0]
    assert [mask.dtype for mask in masks] == [torch.uint8] * 3
    assert [len(mask) for mask in masks] == [0, 2, 2]


def test_the_same_seed_draws_the_same_whatever_the_global_generator_does():
    sampler, labels = model.Sampler(10, 0.5), [torch.tensor([1, 0] * 30)]
    first = drawn(sampler, labels, 7)
    torch.rand(3)
    assert drawn(sampler, labels, 7) == first
    assert drawn(sampler, labels, 8) != first
    twice = sampler(labels), sampler(labels)
    assert not torch.equal(twice[0][0][0], twice[1][0][0])  # the generator goes on


def test_without_a_generator_the_first_in_order_are_taken():
    labels = [torch.tensor([0, 0, 1, 1, 0, 1, 1, 0])]
    positives, negatives = model.Sampler(4, 0.5)(labels)
    assert positives[0].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert negatives[0].tolist() == [1, 1, 0, 0, 0, 0, 0, 0]


def test_both_samplers_are_seeded_for_a_step(small):
    model.seed_samplers(small, 11)
    states = [
        owner.fg_bg_sampler.generator.initial_seed() for owner in (small.rpn, small.roi_heads)
    ]
    assert states == [11, 11]
    assert (small.rpn.fg_bg_sampler.per_picture, small.roi_heads.fg_bg_sampler.per_picture) == (
        64,
        32,
    )
    assert (
        small.rpn.fg_bg_sampler.positive_share,
        small.roi_heads.fg_bg_sampler.positive_share,
    ) == (0.5, 0.25)


def best(probabilities, proposals, shapes, *, regression=None, min_score=0.05, nms=0.5, most=100):
    """`_best_cluster_of_each_box` on probabilities by picture (n, 1 + clusters) and proposals (n, 4)."""
    heads = SimpleNamespace(
        box_coder=BoxCoder((10.0, 10.0, 5.0, 5.0)),
        score_thresh=min_score,
        nms_thresh=nms,
        detections_per_img=most,
    )
    logits = torch.cat([torch.tensor(each) for each in probabilities]).log()
    if regression is None:
        regression = torch.zeros(len(logits), 4 * logits.shape[1])
    return model._best_cluster_of_each_box(
        heads, logits, regression, [torch.tensor(each).reshape(-1, 4) for each in proposals], shapes
    )


def test_an_object_whose_probability_two_clusters_share_is_one_detection_of_all_of_it():
    boxes, scores, labels = best(
        [[[0.1, 0.46, 0.44, 0.0], [0.2, 0.3, 0.5, 0.0]]],
        [[[10.0, 10.0, 50.0, 40.0], [11.0, 10.0, 50.0, 41.0]]],
        [(60, 80)],
    )
    assert labels[0].tolist() == [1]
    assert scores[0].tolist() == pytest.approx([0.9])
    assert boxes[0].tolist() == [pytest.approx([10, 10, 50, 40], abs=1e-4)]


def test_each_box_speaks_for_its_best_cluster_with_the_box_of_that_cluster():
    regression = torch.zeros(2, 3, 4)
    regression[0, 2, 0] = 5.0  # dx of category 2: half a width, at the weight of 10
    regression[1, 1, 1] = -5.0  # dy of category 1
    boxes, _, labels = best(
        [[[0.1, 0.2, 0.7], [0.3, 0.6, 0.1]]],
        [[[0.0, 0.0, 10.0, 6.0], [20.0, 20.0, 30.0, 26.0]]],
        [(60, 80)],
        regression=regression.flatten(start_dim=1),
    )
    assert labels[0].tolist() == [2, 1]
    torch.testing.assert_close(boxes[0], torch.tensor([[5.0, 0, 15, 6], [20, 17, 30, 23]]))


def test_weak_flat_and_surplus_boxes_go_and_what_is_left_lies_in_the_picture():
    boxes, scores, labels = best(
        [
            [[0.4, 0.6], [0.96, 0.04], [0.1, 0.9], [0.2, 0.8], [0.3, 0.7]],
            [[0.5, 0.5]],
            [],
        ],
        [
            [[0.0, 0, 9, 9], [20, 0, 29, 9], [60, 5, 60.005, 9], [70, 50, 99, 99], [40, 0, 49, 9]],
            [[3.0, 4, 5, 6]],
            [],
        ],
        [(60, 80), (10, 10), (10, 10)],
        most=2,
    )  # fmt: skip
    assert [len(each) for each in boxes] == [2, 1, 0]
    torch.testing.assert_close(boxes[0], torch.tensor([[70.0, 50, 80, 60], [40, 0, 49, 9]]))
    torch.testing.assert_close(scores[0], torch.tensor([0.8, 0.7]))
    torch.testing.assert_close(boxes[1], torch.tensor([[3.0, 4, 5, 6]]))
    assert labels[1].tolist() == [1]


def test_one_suppression_holds_over_all_clusters_at_the_iou_asked_for():
    probabilities = [[[0.1, 0.9, 0.0], [0.2, 0.0, 0.8]]]
    proposals = [[[0.0, 0, 10, 10], [4, 0, 14, 10]]]  # IoU 6 / 14
    assert best(probabilities, proposals, [(60, 80)], nms=0.5)[2][0].tolist() == [1, 2]
    assert best(probabilities, proposals, [(60, 80)], nms=0.4)[2][0].tolist() == [1]


def test_the_built_model_uses_it_and_its_own_scores(small):
    assert small.roi_heads.postprocess_detections.__func__ is model._best_cluster_of_each_box
    with torch.no_grad():
        found = small([torch.rand(3, 64, 96)])[0]
    assert found["labels"].min() >= 1
    assert found["scores"].tolist() == sorted(found["scores"].tolist(), reverse=True)


def test_a_detector_of_no_clusters_is_refused():
    with pytest.raises(ValueError, match="n_clusters must be at least 1, got 0"):
        detector.build(size="small", n_clusters=0)
