import zipfile

import numpy as np
import pytest
import torch

from maskdistill.training import checkpoint


def state(value=1.0):
    return {
        "model": {"weight": torch.full((3, 5), value), "count": torch.tensor(7)},
        "optimiser": {
            "state": {0: {"step": torch.tensor(2.0)}},
            "param_groups": [{"lr": 0.1, "params": [0]}],
        },
        "averaged": None,
    }


def write_bytes(path, content):
    path.write_bytes(content)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_same_state_gives_the_same_bytes_whatever_the_folder_is_called(tmp_path):
    paths = []
    for name in ("a", "a much longer name"):
        (tmp_path / name).mkdir()
        paths.append(checkpoint.write(tmp_path / name, 12, state(), write_bytes=write_bytes))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    # Under another name in the same folder, too: torch.save to a path would put that name into the archive.
    other = {}
    checkpoint.write(
        tmp_path, 12, state(), write_bytes=lambda path, content: other.update(content=content)
    )
    assert other["content"] == paths[0].read_bytes()
    assert b"step-" not in other["content"]


def test_a_state_comes_back_as_it_was_with_its_step(tmp_path):
    checkpoint.write(tmp_path, 40, state(0.3), write_bytes=write_bytes)
    found = checkpoint.read_latest(tmp_path)
    assert found["step"] == 40
    assert found["averaged"] is None
    assert torch.equal(found["model"]["weight"], torch.full((3, 5), 0.3))
    assert found["optimiser"]["param_groups"] == [{"lr": 0.1, "params": [0]}]


def test_the_last_two_are_kept(tmp_path):
    for step in (5, 90, 100, 1000):
        checkpoint.write(tmp_path, step, state(step), write_bytes=write_bytes)
    assert names(tmp_path) == ["step-00000100.pt", "step-00001000.pt"]
    assert checkpoint.read_latest(tmp_path)["step"] == 1000


def test_nothing_is_removed_before_the_new_one_is_there(tmp_path):
    for step in (1, 2):
        checkpoint.write(tmp_path, step, state(), write_bytes=write_bytes)

    def full(path, content):
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        checkpoint.write(tmp_path, 3, state(), write_bytes=full)
    assert names(tmp_path) == ["step-00000001.pt", "step-00000002.pt"]


# Torch's own unpickler raises IndexError, KeyError, TypeError and struct.error on the last four.
@pytest.mark.parametrize(
    "damage", [b"", b"noise", b"\x80\x02", b".", b"h\x05.", b"}}}s.", b"r\x00"]
)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_damaged_newest_one_is_passed_over(tmp_path, damage, zipped):
    checkpoint.write(tmp_path, 8, state(0.25), write_bytes=write_bytes)
    newest = checkpoint.write(tmp_path, 9, state(0.5), write_bytes=write_bytes)
    newest.write_bytes(damage)
    if zipped:
        with zipfile.ZipFile(newest, "w") as archive:
            archive.writestr("archive/data.pkl", damage)
            archive.writestr("archive/version", b"3\n")
    found = checkpoint.read_latest(tmp_path)
    assert found["step"] == 8
    assert found["model"]["weight"][0, 0] == 0.25


def test_one_that_was_cut_short_is_passed_over(tmp_path, rng):
    checkpoint.write(tmp_path, 8, state(0.25), write_bytes=write_bytes)
    newest = checkpoint.write(tmp_path, 9, state(0.5), write_bytes=write_bytes)
    whole = newest.read_bytes()
    for length in rng.integers(0, len(whole), 30):
        newest.write_bytes(whole[:length])
        assert checkpoint.read_latest(tmp_path)["step"] == 8


def test_a_flipped_bit_is_harmless_or_seen(tmp_path, rng):
    checkpoint.write(tmp_path, 8, state(0.25), write_bytes=write_bytes)
    newest = checkpoint.write(tmp_path, 9, state(0.5), write_bytes=write_bytes)
    whole = newest.read_bytes()
    steps = []
    for place in range(0, len(whole), 23):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << rng.integers(0, 8)
        newest.write_bytes(flipped)
        found = checkpoint.read_latest(tmp_path)
        steps.append(found["step"])
        assert torch.equal(
            found["model"]["weight"], torch.full((3, 5), 0.25 if found["step"] == 8 else 0.5)
        )
    assert set(steps) == {8, 9}  # a zip is padded with bytes that do not count


def test_without_a_readable_one_there_is_none(tmp_path):
    assert checkpoint.read_latest(tmp_path) is None
    (tmp_path / "step-00000003.pt").write_bytes(b"noise")
    assert checkpoint.read_latest(tmp_path) is None


def test_weights_have_the_same_bytes_in_any_order_and_layout(tmp_path, rng):
    kernel = torch.from_numpy(rng.standard_normal((4, 3, 5, 2)).astype(np.float32))
    weights = {"b.weight": kernel, "a.bias": torch.arange(5.0), "n": torch.tensor(3)}
    first = checkpoint.weights_bytes(weights)
    turned = {"n": weights["n"], "a.bias": weights["a.bias"]}
    turned["b.weight"] = kernel.contiguous(memory_format=torch.channels_last).requires_grad_()
    assert checkpoint.weights_bytes(turned) == first
    (tmp_path / "weights.safetensors").write_bytes(first)
    found = checkpoint.read_weights(tmp_path / "weights.safetensors")
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)
