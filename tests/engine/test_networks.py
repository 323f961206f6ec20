"""Which weights a stage loads, and what it says of those that do not fit."""

from pathlib import Path

import pytest
import timm
from safetensors.torch import save_file

from maskdistill.engine import networks
from maskdistill.errors import SettingsError, WeightsError
from tests.stages.test_cluster import NETWORK, clustered


def test_weights_of_another_network_are_refused_by_the_stage_that_they_were_given_to(
    drawn, tmp_path: Path
) -> None:
    save_file(
        timm.create_model("test_vit", pretrained=False).state_dict(), tmp_path / "other.safetensors"
    )
    weights = ["propose=handcrafted", f"cluster={tmp_path / 'other.safetensors'}"]
    with pytest.raises(
        WeightsError, match=r"^cluster\.backbone: .*not the weights of timm/vit_tiny"
    ) as refusal:
        clustered(drawn[1], tmp_path / "run", weights=weights, limit=2, **NETWORK)
    assert "propose.backbone" not in str(refusal.value)


@pytest.mark.parametrize(
    "n_gpus, wanted, found",
    [(0, "auto", "cpu"), (1, "auto", "cuda"), (2, "cpu", "cpu"), (2, "cuda:1", "cuda:1")],
)
def test_auto_is_the_first_gpu_where_there_is_one(monkeypatch, n_gpus, wanted, found) -> None:
    monkeypatch.setattr(networks, "n_gpus", lambda: n_gpus)
    assert str(networks.chosen(wanted)) == found


@pytest.mark.parametrize(
    "n_gpus, wanted, words",
    [
        (0, "cuda", "this machine has no usable GPU. Use auto or cpu"),
        (2, "cuda:2", "this machine has only cuda:0, cuda:1. Use auto or cuda:0, cuda:1"),
    ],
)
def test_a_gpu_that_is_not_there_is_refused_before_the_run_begins(
    monkeypatch, n_gpus, wanted, words
) -> None:
    monkeypatch.setattr(networks, "n_gpus", lambda: n_gpus)
    with pytest.raises(SettingsError, match=f"^device: {wanted} was asked for, but {words}$"):
        networks.chosen(wanted)
