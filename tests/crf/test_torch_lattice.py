import numpy as np
import pytest
import torch

from maskdistill import crf
from maskdistill.crf import mean_field, torch_lattice
from maskdistill.crf.compiled import inference
from tests.reference import crf as exact


def drawn(rng, n_classes, height, width):
    rows = np.arange(height)[:, None, None]
    image = (90 * (rows > height // 2) + rng.integers(0, 15, (height, width, 3))).astype(np.uint8)
    return image, exact.softmax(2 * rng.standard_normal((n_classes, height, width))).astype(
        np.float32
    )


def by_torch(image, probabilities, accuracy, **setting):
    """What a GPU is given, on the CPU."""
    return torch_lattice.dense_crf(
        torch.from_numpy(image),
        torch.from_numpy(probabilities),
        floor=1e-5,
        close=accuracy == "close",
        sharper=mean_field._SHARPER,
        **setting,
    )


@pytest.mark.parametrize("accuracy", ("lattice", "close"))
@pytest.mark.parametrize("n_classes", (1, 2, 3, 21))
@pytest.mark.parametrize("size", ((1, 1), (1, 17), (13, 22)))
def test_torch_gives_what_the_compiled_loops_give(rng, monkeypatch, accuracy, n_classes, size):
    monkeypatch.setattr(inference, "HALF", False)  # or float16's steps are all that one sees
    image, probabilities = drawn(rng, n_classes, *size)
    for setting in (crf.MASKDISTILL, crf.MASKCUT):
        setting = {**setting, "iterations": 3}
        found = by_torch(image, probabilities, accuracy, **setting)
        assert found.dtype == torch.float32
        wanted = crf.dense_crf(image, probabilities, accuracy=accuracy, **setting)
        np.testing.assert_allclose(found.numpy(), wanted, atol=5e-5)


def test_torch_without_weights_or_iterations_clips_alone(rng):
    image, probabilities = drawn(rng, 3, 5, 6)
    for setting in ({"iterations": 0}, {"gaussian": (1.0, 0.0), "bilateral": (67.0, 3.0, 0.0)}):
        found = by_torch(image, probabilities, "lattice", **{**crf.MASKDISTILL, **setting})
        np.testing.assert_allclose(found.numpy(), probabilities, atol=1e-4)


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64, torch.bfloat16))
def test_a_tensor_comes_back_as_a_tensor(rng, dtype):
    image, probabilities = drawn(rng, 2, 9, 14)
    given = torch.from_numpy(probabilities).requires_grad_()
    if dtype == torch.bfloat16:
        given = torch.full_like(given, 0.5)
    found = crf.dense_crf(torch.from_numpy(image), given.to(dtype), **crf.MASKCUT)
    assert isinstance(found, torch.Tensor)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    wanted = crf.dense_crf(image, given.detach().numpy(), **crf.MASKCUT)
    np.testing.assert_array_equal(found.numpy(), wanted)


@pytest.mark.parametrize(
    "kind", [{"dtype": torch.bfloat16}, {"dtype": torch.float32, "requires_grad": True}]
)
def test_a_picture_as_a_tensor_of_any_floats_is_read(rng, kind):
    image, probabilities = drawn(rng, 2, 9, 14)
    picture = torch.tensor(image // 2 * 2, **kind)  # even: bfloat16 holds all of them
    wanted = crf.dense_crf(image // 2 * 2, probabilities)
    np.testing.assert_array_equal(crf.dense_crf(picture, probabilities), wanted)
    np.testing.assert_array_equal(
        crf.dense_crf(picture, torch.from_numpy(probabilities)).numpy(), wanted
    )
    torch_lattice.check(picture, torch.from_numpy(probabilities))


def test_many_tensors_come_back_as_tensors(rng):
    image, probabilities = drawn(rng, 2, 9, 14)
    found = crf.dense_crf_many(
        [torch.from_numpy(image)] * 2, [torch.from_numpy(probabilities)] * 2, threads=2
    )
    assert all(isinstance(answer, torch.Tensor) for answer in found)
    assert found[0].equal(found[1])


@pytest.mark.parametrize(
    "changed, words",
    [
        ({"probabilities": torch.full((2, 3, 4), 0.7)}, "sum to 1"),
        ({"probabilities": torch.full((2, 3, 4), torch.nan)}, "nan"),
        ({"probabilities": torch.full((2, 4, 3), 0.5)}, "picture's size"),
        ({"probabilities": torch.zeros((0, 3, 4))}, "at least one class"),
        ({"probabilities": torch.ones((1, 3, 4), dtype=torch.int64)}, "floating"),
        ({"image": torch.full((3, 4, 3), 300.0)}, "image must be in"),
        ({"image": torch.linspace(0, 1, 36).reshape(3, 4, 3)}, r"floats in \[0, 1\]"),
    ],
)
def test_a_bad_tensor_is_named(changed, words):
    given = {
        "image": torch.zeros((3, 4, 3), dtype=torch.uint8),
        "probabilities": torch.full((2, 3, 4), 0.5),
        **changed,
    }
    with pytest.raises(ValueError, match=words):
        torch_lattice.check(**given)
    with pytest.raises(ValueError, match=words):
        crf.dense_crf(**given)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("accuracy", ("lattice", "close"))
def test_a_gpu_gives_what_the_compiled_loops_give(rng, accuracy):
    image, probabilities = drawn(rng, 21, 40, 30)
    found = crf.dense_crf(
        torch.from_numpy(image).cuda(), torch.from_numpy(probabilities).cuda(), accuracy=accuracy
    )
    assert found.is_cuda
    wanted = crf.dense_crf(image, probabilities, accuracy=accuracy)
    assert np.abs(found.cpu().numpy() - wanted).mean() <= 1e-3
