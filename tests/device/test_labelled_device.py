"""Labelled devices themselves: what torch refuses on a GPU raises, what it allows does not."""

import copy

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional

from tests.reference.labelled_device import Labelled

GPU, CPU = torch.device("cuda:0"), torch.device("cpu")


@pytest.fixture(autouse=True)
def labelled():
    with Labelled() as mode:
        yield mode


def on_gpu(*shape, dtype=torch.float32):
    return torch.ones(shape, dtype=dtype, device="cuda")


MIXED = "Expected all tensors to be on the same device"
REFUSED = {
    "a sum": (MIXED, lambda: on_gpu(3) + torch.ones(3)),
    "a sum in place": (MIXED, lambda: torch.ones(3).add_(on_gpu(3))),
    "a number of the gpu beside more on the cpu": (MIXED, lambda: torch.ones(3) * on_gpu(3).sum()),
    "a number of the cpu that is changed": (MIXED, lambda: torch.tensor(1.0).add_(on_gpu(3).sum())),
    "a number of the cpu outside arithmetic": (
        MIXED,
        lambda: torch.stack([on_gpu(3).sum(), torch.tensor(1.0)]),
    ),
    "a concatenation": (MIXED, lambda: torch.cat([on_gpu(3), torch.ones(3)])),
    "a product": (MIXED, lambda: on_gpu(2, 3) @ torch.ones(3, 2)),
    "a product into an output": (
        MIXED,
        lambda: torch.mm(on_gpu(2, 3), on_gpu(3, 2), out=torch.ones(2, 2)),
    ),
    "a choice by a mask": (MIXED, lambda: torch.where(torch.ones(3) > 0, on_gpu(3), on_gpu(3))),
    "a layer": (MIXED, lambda: nn.Linear(3, 2)(on_gpu(1, 3))),
    "a layer on the gpu": (MIXED, lambda: nn.Linear(3, 2).cuda()(torch.ones(1, 3))),
    "a loss": (MIXED, lambda: functional.cross_entropy(on_gpu(2, 3), torch.tensor([0, 1]))),
    "a pooling by boxes": (
        MIXED,
        lambda: torchvision.ops.roi_align(on_gpu(1, 8, 16, 16), [torch.rand(3, 4)], 7),
    ),
    "an overload of an operator": (
        MIXED,
        lambda: torch.ops.aten.add.Tensor(on_gpu(3), torch.ones(3)),
    ),
    "an index of the gpu": ("indices should be either", lambda: torch.ones(3)[on_gpu(2).long()]),
    "a mask of the gpu": (
        "indices should be either",
        lambda: torch.ones(3)[:, None][on_gpu(3) > 0, 0],
    ),
    "setting at an index of the gpu": (
        "indices should be either",
        lambda: torch.ones(3).__setitem__(on_gpu(2).long(), 0.0),
    ),
    "setting of the cpu at an index": (MIXED, lambda: on_gpu(3).__setitem__([0, 1], torch.ones(2))),
    "setting of the cpu at a mask": (
        MIXED,
        lambda: on_gpu(3).__setitem__(on_gpu(3) > 0, torch.ones(3)),
    ),
    "an array": ("can't convert cuda:0 device type tensor to numpy", lambda: on_gpu(3).numpy()),
    "an array by numpy": ("can't convert cuda:0", lambda: np.asarray(on_gpu(3))),
    "an array of numbers": ("can't convert cuda:0", lambda: np.array([on_gpu(3).sum()])),
    "a numpy function": ("can't convert cuda:0", lambda: np.sqrt(on_gpu(3))),
    "a gradient": (
        "a different device",
        lambda: setattr(on_gpu(3).requires_grad_(), "grad", torch.ones(3)),
    ),
    "a generator": (
        "Expected a 'cuda' device type for generator but found 'cpu'",
        lambda: torch.randperm(3, generator=torch.Generator(), device="cuda"),
    ),
    "a generator of a draw in place": (
        "Expected a 'cuda' device type",
        lambda: on_gpu(3).normal_(generator=torch.Generator()),
    ),
    "a product of integers": (
        "not implemented for",
        lambda: on_gpu(2, 2).long() @ on_gpu(2, 2).long(),
    ),
    "two gpus": (MIXED, lambda: on_gpu(3) + torch.ones(3, device="cuda:1")),
}


@pytest.mark.parametrize("use", REFUSED)
def test_what_torch_refuses_on_a_gpu_raises(use):
    message, function = REFUSED[use]
    with pytest.raises((RuntimeError, TypeError), match=message):
        function()


ALLOWED = {
    "arithmetic": (GPU, lambda: (on_gpu(3) * 2 - 1) / on_gpu(3)),
    "a number of the cpu": (GPU, lambda: 1 - on_gpu(3) * torch.tensor(2.0)),
    "a choice of a number": (GPU, lambda: torch.where(on_gpu(3) > 0, on_gpu(3), torch.tensor(0.0))),
    "a mask": (GPU, lambda: on_gpu(3)[on_gpu(3) > 0]),
    "an index of the cpu": (GPU, lambda: on_gpu(3)[torch.tensor([0, 1])]),
    "a number of the gpu as an index": (CPU, lambda: torch.ones(3)[on_gpu(1).long()[0]]),
    "an index of numbers": (GPU, lambda: on_gpu(3, 4)[[0, 2], 1:]),
    "like another": (GPU, lambda: torch.zeros_like(on_gpu(3))),
    "like another, on the cpu": (CPU, lambda: torch.zeros_like(on_gpu(3), device="cpu")),
    "new of another": (GPU, lambda: on_gpu(3).new_tensor([1.0])),
    "a factory": (CPU, lambda: torch.arange(3)),
    "a factory with a number of the gpu": (CPU, lambda: torch.arange(on_gpu(3).sum())),
    "data": (GPU, lambda: torch.tensor([1.0, 2.0], device="cuda")),
    "data of numbers": (CPU, lambda: torch.tensor([on_gpu(3).sum(), 1.0])),
    "an array on the gpu": (GPU, lambda: torch.as_tensor(np.ones(3), device="cuda")),
    "a tensor taken as it is": (GPU, lambda: torch.as_tensor(on_gpu(3))),
    "a tensor taken over": (GPU, lambda: torch.as_tensor(torch.ones(3), device="cuda")),
    "a move": (GPU, lambda: torch.ones(3).to("cuda")),
    "a move by number": (GPU, lambda: torch.ones(3).to(0)),
    "a move and a type": (GPU, lambda: torch.ones(3).to(device="cuda", dtype=torch.float64)),
    "a move to another tensor": (GPU, lambda: torch.ones(3).to(on_gpu(1))),
    "a move to a device": (GPU, lambda: torch.ones(3).to(torch.device(GPU))),
    "a move by cuda": (GPU, lambda: torch.ones(3).cuda(non_blocking=True)),
    "a move back": (CPU, lambda: on_gpu(3).cpu()),
    "a type": (GPU, lambda: on_gpu(3).to(torch.float64)),
    "a type of another": (GPU, lambda: torch.ones(3).type_as(on_gpu(3))),
    "a part": (GPU, lambda: on_gpu(4, 3).split(2)[1].T.reshape(-1)),
    "a maximum with its place": (GPU, lambda: on_gpu(4, 3).max(dim=1).indices),
    "a copy into the cpu": (CPU, lambda: torch.ones(3).copy_(on_gpu(3))),
    "suppression": (GPU, lambda: torchvision.ops.nms(on_gpu(5, 4), on_gpu(5), 0.5)),
    "a parameter": (GPU, lambda: nn.Parameter(on_gpu(3))),
    "a copied layer": (GPU, lambda: copy.deepcopy(nn.Linear(3, 2).cuda()).weight),
    "a layer made there": (GPU, lambda: nn.Linear(3, 2, device="cuda").bias),
    "a module moved to a device": (GPU, lambda: nn.Linear(3, 2).to(GPU).weight),
    "a module moved by word": (GPU, lambda: nn.Linear(3, 2).to(device="cuda").weight),
    "a buffer": (GPU, lambda: nn.BatchNorm1d(3).to("cuda").running_mean),
    "a draw by a generator": (CPU, lambda: torch.randperm(3, generator=torch.Generator())),
}


@pytest.mark.parametrize("use", ALLOWED)
def test_what_torch_allows_is_labelled_by_its_device(use):
    device, function = ALLOWED[use]
    found = function()
    assert found.device == device
    assert (found.is_cuda, found.is_cpu) == (device.type == "cuda", device.type == "cpu")
    assert found.get_device() == (0 if found.is_cuda else -1)


def test_setting_copies_over_devices_where_torch_does():
    there, here = on_gpu(2, 3), torch.zeros(2, 3)
    there[0], here[1] = torch.zeros(3), there[1]  # by numbers and slices
    there[on_gpu(2) > 1] = 0.0
    there[[1]] = torch.tensor(5.0)
    assert (there.device, here.device) == (GPU, CPU)
    assert there.tolist() == [[0, 0, 0], [5, 5, 5]]
    assert here.tolist() == [[0, 0, 0], [1, 1, 1]]


def test_a_move_makes_a_new_tensor_and_staying_does_not():
    here = torch.zeros(3)
    there = here.to("cuda")
    there += 1
    assert here.tolist() == [0, 0, 0]
    assert there.to("cuda") is there
    assert here.cpu() is here
    there.cpu().zero_()
    assert there.tolist() == [1, 1, 1]


def test_gradients_lie_beside_their_parameters_and_a_step_of_training_is_the_cpus():
    def trained(device):
        with torch.random.fork_rng():
            torch.manual_seed(3)
            model = nn.Sequential(
                nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2)
            ).to(device)
            x, y = torch.randn(6, 4).to(device), torch.tensor([0, 1, 0, 1, 0, 1]).to(device)
        optimiser = torch.optim.AdamW(model.parameters(), lr=0.1)
        for _ in range(3):
            optimiser.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
        for parameter in model.parameters():
            assert parameter.device == parameter.grad.device == torch.device(device)
            assert optimiser.state[parameter]["exp_avg"].device == torch.device(device)
        return [parameter.tolist() for parameter in model.parameters()]

    np.testing.assert_allclose(
        np.concatenate([np.ravel(each) for each in trained("cuda:0")]),
        np.concatenate([np.ravel(each) for each in trained("cpu")]),
        rtol=1e-5,
    )


def with_positions_on_the_cpu(x):
    """Add its column to each value: the columns are made where nobody said."""
    return x + torch.arange(x.shape[1])


class WithForgottenMean(nn.Module):
    """Take a mean off that is no buffer, so that `.to` leaves it behind."""

    def __init__(self):
        super().__init__()
        self.layer, self.mean = nn.Linear(3, 3), torch.zeros(3)

    def forward(self, x):
        return self.layer(x - self.mean)


def resumed_beside_its_average(x):
    """Average with weights that were read from a file, and stay where they were read to."""
    averaged = torch.zeros(x.shape)
    return averaged.lerp_(x, 0.1)


@pytest.mark.parametrize(
    "broken",
    [
        with_positions_on_the_cpu,
        lambda x: WithForgottenMean().to(x.device)(x),
        resumed_beside_its_average,
        lambda x: torch.from_numpy(x.argmax(dim=1).numpy()),
    ],
)
def test_a_function_that_leaves_a_tensor_on_the_cpu_is_caught_on_the_gpu_alone(broken):
    broken(torch.ones(2, 3))
    with pytest.raises((RuntimeError, TypeError), match=r"same device|can't convert"):
        broken(on_gpu(2, 3))


def test_operations_are_counted_by_device(labelled):
    layer = nn.Linear(3, 2)
    layer(torch.ones(1, 3))
    layer.to(GPU)(on_gpu(4, 3)) + layer(on_gpu(4, 3))
    assert labelled.done["linear", "cpu"] == 1
    assert labelled.done["linear", "cuda:0"] == 2


def test_nothing_is_left_behind(labelled):
    there = on_gpu(3)
    labelled.__exit__(None, None, None)
    try:
        assert labelled.of(there) == GPU
        assert there.device == CPU  # where it is
        assert nn.Parameter(there).device == CPU
    finally:
        labelled.__enter__()
