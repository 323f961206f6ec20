"""How often a backbone sees a picture in a whole run: once a view, and crops are passes of their own."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from maskdistill import api
from maskdistill.features.network import Network
from maskdistill.features.vit import ViT
from maskdistill.workflows import demo_pictures, run
from tests.made import lines_of, states

N, VIEWS, SIZE = 4, 2, (48, 64)
SETTINGS: dict[str, Any] = {
    "threads": 1,
    "device": "cpu",
    "weights": ["propose=none"],
    "features": {"keep": "all", "short_side": 64},
    "propose": {
        "backbone": "timm/test_vit",
        "method": "lost",
        "pixels": "nearest",
        "min_score": 0.0,
        "stop_score": 0.0,
    },
    "cluster": {"k": 2, "again_min_score": 0.0, "min_side": 32},
    "detect": {
        "min_score": 0.0,
        "max_detections": 3,
        "train": {"steps": 3, "batch": 2, "warm_up": 1},
    },
    "label": {"min_score": 0.0, "overlap": "below"},
    "segment": {"pixels": "plain", "train": {"steps": 3}, "patch_head": {"batch": 16}},
    "report": {"tiles": 2, "tile_px": 96},
}


@pytest.fixture
def forwards(monkeypatch) -> Counter[str]:
    """Pictures that enter a backbone, by verb, and by whether they are whole or crops of masks."""
    counted: Counter[str] = Counter()
    embedded, tokens_of, perform = Network.embedded, ViT.tokens_of, run.perform
    now = ["", "pictures"]

    def counting(network, batch, grid):
        counted[" ".join(now)] += len(batch)
        return embedded(network, batch, grid)

    def of_crops(network, pictures, **given):
        now[1] = "crops"
        try:
            return tokens_of(network, pictures, **given)
        finally:
            now[1] = "pictures"

    def performing(stage, *given, **more):
        now[0] = stage.name
        return perform(stage, *given, **more)

    monkeypatch.setattr(Network, "embedded", counting)
    monkeypatch.setattr(ViT, "tokens_of", of_crops)
    monkeypatch.setattr(run, "perform", performing)
    return counted


def masks_in(file: Path) -> int:
    return sum(len(row.get("masks", [])) for row in lines_of(file))


@pytest.mark.parametrize("compared", [0, N])
def test_a_whole_run_sees_each_view_of_a_picture_once_and_each_crop_once(
    tmp_path, forwards, compared
):
    pictures, out = tmp_path / "pictures", tmp_path / "run"
    demo_pictures.write(pictures, tmp_path / "truth.json", n_pictures=N, seed=2, size=SIZE)
    settings = {**SETTINGS, "evaluate": {"agreement_pictures": compared}}
    api.run(pictures=pictures, out=out, settings=settings, quiet=True)
    proposals = masks_in(out / "propose" / "proposals.jsonl")
    detections = masks_in(out / "detect" / "detections.jsonl")
    assert proposals
    assert detections
    assert states(out)["report"] == "done"
    # Mirrored pictures, too, are seen in the pass that proposes; what the detector finds in them is
    # named by crops of its own, to compare label maps.
    assert bool(forwards.pop("label crops", 0)) == bool(compared)
    crops = {"cluster crops": proposals, "recluster crops": detections}
    assert forwards == {"propose pictures": VIEWS * N, **crops}


@pytest.mark.parametrize("scales", [[1, 1.5], [1.5]])
@pytest.mark.parametrize("compared", [0, N])
def test_a_pool_of_many_blocks_and_facets_sees_each_view_once_a_scale(
    tmp_path, forwards, scales, compared
):
    pictures, out = tmp_path / "pictures", tmp_path / "run"
    demo_pictures.write(pictures, tmp_path / "truth.json", n_pictures=N, seed=2, size=SIZE)
    pool = {"blocks": [-1, -2], "facets": ["keys", "tokens"], "scales": scales}
    settings = {
        **SETTINGS,
        "propose": {**SETTINGS["propose"], "pool": pool},
        "evaluate": {"agreement_pictures": compared},
    }
    api.run(pictures=pictures, out=out, settings=settings, until="propose", quiet=True)
    assert masks_in(out / "propose" / "pool.jsonl")
    # The kept tokens are those of scale 1, of both views; other scales are seen mirrored where the
    # masks of both views are compared.
    others = [scale for scale in scales if scale != 1]
    assert forwards == {"propose pictures": VIEWS * N + len(others) * (N + compared)}
