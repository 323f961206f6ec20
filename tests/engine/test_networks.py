"""Which weights a stage loads, and what it says of those that do not fit."""

from pathlib import Path

import pytest
import timm
from safetensors.torch import save_file

from maskdistill.errors import WeightsError
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
