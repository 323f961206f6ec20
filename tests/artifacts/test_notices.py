"""Which notices stand at the head of the page."""

from pathlib import Path
from typing import Any

import pytest

from maskdistill.artifacts import notices
from maskdistill.settings import load, resolve


class Outputs:
    """A run of which nothing is stale and nothing was chosen by truth."""

    def stale(self) -> str:
        return ""

    def chosen_by_truth(self) -> bool:
        return False


@pytest.mark.parametrize(
    "backbone, weights, is_random",
    [("handcrafted", "none", False), ("handcrafted", "", False), ("dino_vits16", "none", True)],
)
def test_weights_are_random_where_a_network_has_none(
    backbone: str, weights: str, is_random: bool, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"propose": {"backbone": backbone}}
    if weights:
        given["weights"] = [f"propose={weights}"]
    settings = resolve(load(given))
    told = notices.of(settings, Outputs())  # type: ignore[arg-type]
    assert any("random" in sentence for sentence in told) == is_random
    assert any("hand-crafted" in sentence for sentence in told) == (backbone == "handcrafted")
