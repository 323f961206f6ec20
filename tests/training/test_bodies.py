import copy

import pytest
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from maskdistill.errors import WeightsError
from maskdistill.training import bodies

CHANNELS = {"small": (32, 64, 112, 160), "resnet50": (256, 512, 1024, 2048)}
STRIDES = {32: (4, 8, 16, 32), 16: (4, 8, 16, 16), 8: (4, 8, 8, 8)}


def small(seed=0, **kwargs):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return bodies.build("small", **kwargs)


@pytest.fixture(scope="module")
def frozen():
    """ResNet-50 with two frozen layers, for tests that leave it as it was."""
    return bodies.build("resnet50", frozen_layers=2)


@pytest.mark.parametrize(
    ("size", "output_stride"), [("small", 32), ("resnet50", 32), ("resnet50", 16), ("resnet50", 8)]
)
@torch.no_grad()
def test_maps_have_their_strides_and_channels(size, output_stride):
    body = bodies.build(size, output_stride=output_stride).eval()
    maps = body(torch.rand(1, 3, 65, 33))
    assert body.channels == CHANNELS[size]
    assert list(maps) == ["0", "1", "2", "3"]
    for found, channels, stride in zip(
        maps.values(), CHANNELS[size], STRIDES[output_stride], strict=True
    ):
        assert found.shape == (
            1,
            channels,
            -(-65 // stride),
            -(-33 // stride),
        )  # an odd rest is a row of its own


@torch.no_grad()
def test_a_pyramid_gives_five_maps_of_one_width():
    pyramid = bodies.Pyramid(small(), 48, norm=bodies.grouped).eval()
    maps = pyramid(torch.rand(1, 3, 64, 96))
    assert {name: tuple(found.shape[1:]) for name, found in maps.items()} == {
        "0": (48, 16, 24), "1": (48, 8, 12), "2": (48, 4, 6), "3": (48, 2, 3), "pool": (48, 1, 2)
    }  # fmt: skip
    assert pyramid.out_channels == 48


@torch.no_grad()
def test_a_dilated_body_takes_the_weights_of_a_strided_one():
    strided = bodies.build("resnet50").eval()
    dilated = bodies.build("resnet50", output_stride=8).eval()
    bodies.fill(dilated, strided.state_dict())
    picture = torch.rand(1, 3, 64, 96)
    wanted, found = strided(picture), dilated(picture)
    assert torch.equal(wanted["1"], found["1"])
    assert found["3"].shape[2:] == (8, 12)
    assert not torch.allclose(
        wanted["3"], found["3"][:, :, ::4, ::4]
    )  # neighbours at full resolution


def test_the_small_body_is_small_and_sees_each_picture_alone():
    body = small().train()
    assert 1.4e6 < sum(parameter.numel() for parameter in body.parameters()) < 1.5e6
    pictures = torch.rand(3, 3, 32, 64)
    for whole, alone in zip(body(pictures).values(), body(pictures[1:2]).values(), strict=True):
        torch.testing.assert_close(whole[1:2], alone, rtol=1e-3, atol=1e-4)


def test_weights_are_drawn_from_torchs_generator():
    first, again, other = (small(seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first["stem.0.weight"], other["stem.0.weight"])


def test_frozen_layers_stay_as_they_are_and_in_eval_mode(frozen):
    body = copy.deepcopy(frozen).train()
    before = copy.deepcopy(body.state_dict())
    optimiser = torch.optim.SGD(body.parameters(), lr=0.1, weight_decay=0.1)
    body(torch.rand(2, 3, 33, 65))["3"].square().mean().backward()
    optimiser.step()
    changed = {
        name.split(".")[0]
        for name, value in body.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == {"layer3", "layer4"}
    for name, part in body.named_modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.training == name.startswith(("layer3", "layer4")), name
    assert body.layer3[0].bn1.num_batches_tracked == 1
    assert body.bn1.num_batches_tracked == 0


def test_what_is_frozen_is_frozen_again_after_each_change_of_mode(frozen):
    for mode in (True, False, True):
        frozen.train(mode)
        assert not frozen.layer2[1].bn2.training
        assert frozen.layer3[1].bn2.training == mode
    frozen.eval()


def test_a_detectors_norms_are_fixed_maps():
    body = bodies.build("resnet50", frozen_norm=True, frozen_layers=1)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in body.modules())
    assert sum(isinstance(part, FrozenBatchNorm2d) for part in body.modules()) == 53
    grads = {
        name.split(".")[0]: parameter.requires_grad for name, parameter in body.named_parameters()
    }
    assert grads == {
        "conv1": False,
        "layer1": False,
        "layer2": True,
        "layer3": True,
        "layer4": True,
    }


def test_filling_passes_over_a_classifier_and_counters_of_batches(frozen):
    given = {name: torch.full_like(value, 3) for name, value in frozen.state_dict().items()}
    given = {
        name: value for name, value in given.items() if not name.endswith("num_batches_tracked")
    }
    body = copy.deepcopy(frozen)
    bodies.fill(body, given | {"fc.weight": torch.ones(10, 2048), "fc.bias": torch.ones(10)})
    for name, value in body.state_dict().items():
        assert (value == (0 if name.endswith("num_batches_tracked") else 3)).all(), name


def test_a_body_of_fixed_norms_takes_weights_with_counters(frozen):
    body = bodies.build("resnet50", frozen_norm=True)
    bodies.fill(body, frozen.state_dict())
    assert torch.equal(body.layer4[2].conv3.weight, frozen.layer4[2].conv3.weight)


def test_foreign_weights_are_refused_with_their_counts_and_nothing_is_loaded():
    body = small()
    before = copy.deepcopy(body.state_dict())
    given = {name: value + 1 for name, value in before.items()}
    del given["stem.0.weight"]
    given["layer1.0.conv1.weight"] = torch.zeros(1, 2, 3, 3)
    given["head.weight"] = torch.zeros(3)
    with pytest.raises(
        WeightsError,
        match=r"SmallBody: 1 tensors missing \(stem\.0\.weight\), 1 unknown \(head\.weight\), "
        r"1 of another shape \(layer1\.0\.conv1\.weight\)",
    ):
        bodies.fill(body, given)
    assert all(torch.equal(value, before[name]) for name, value in body.state_dict().items())


@pytest.mark.parametrize("kind", ["missing", "unknown", "of another shape"])
def test_one_foreign_tensor_is_enough_to_refuse(kind):
    given = dict(small().state_dict())
    if kind == "missing":
        del given["stem.0.weight"]
    else:
        given["stem.0.weight" if kind == "of another shape" else "head.weight"] = torch.zeros(2)
    with pytest.raises(WeightsError, match=f"1( tensors)? {kind}"):
        bodies.fill(small(), given)


def test_weights_of_the_other_size_are_refused(frozen):
    with pytest.raises(WeightsError, match=r"not those of a SmallBody: .*`segment\.size`"):
        bodies.fill(small(), frozen.state_dict())


def test_other_sizes_and_strides_are_refused():
    with pytest.raises(ValueError, match="small or resnet50, got 'resnet18'"):
        bodies.build("resnet18")
    for size, stride in (("resnet50", 4), ("small", 8)):
        with pytest.raises(ValueError, match=f"output_stride: .*, got {stride}"):
            bodies.build(size, output_stride=stride)
