"""Whatever a picture's features are, it gets its masks or none, and the reason stands in the notes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maskdistill import api
from maskdistill.discovery.find import discover
from maskdistill.discovery.recipe import METHODS, recipe_of
from maskdistill.features import handcrafted
from maskdistill.settings import load, resolve
from maskdistill.types import Features, Note
from maskdistill.workflows import demo_pictures
from tests.tiny_runs import QUICK

KINDS = (
    "one colour",
    "all negative",
    "zero",
    "not finite",
    "one not finite",
    "infinite class token",
    "noise",
)


class Given:
    """A backbone whose features are given by a rule of the grid alone."""

    patch, mean, std, name, has_class = 8, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "given", True

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def features(self, batch: torch.Tensor, *, block: int, want: tuple[str, ...]) -> list[Features]:
        grid = batch.shape[2] // 8, batch.shape[3] // 8
        n = grid[0] * grid[1]
        values = torch.randn(2, 1 + n, max(n, 4), generator=torch.Generator().manual_seed(n))
        if self.kind == "one colour":
            values[:, 1:] = 0.5
        elif self.kind == "zero":
            values[:] = 0
        elif self.kind == "all negative":
            values[:, 1:] = 0
            values[:, 1:, :n] = torch.eye(n) - 1 / n
        elif self.kind == "not finite":
            values[:] = torch.nan
        elif self.kind == "one not finite":
            values[0, n, 0] = torch.inf
        elif self.kind == "infinite class token":
            values[:, 0] = torch.inf
        fields: dict[str, Any] = {
            "queries": values,
            "keys": values,
            "tokens": values.transpose(0, 1).flatten(1),
        }
        return [Features(grid=grid, patch=8, **{field: fields[field] for field in want})]


@pytest.mark.parametrize(
    "size", [(8, 8), (8, 72), (24, 8), (40, 48)], ids=["one patch", "one row", "one column", "grid"]
)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rule", ["paper", "sound"])
def test_no_features_break_a_method(
    method: str, rule: str, kind: str, size: tuple[int, int]
) -> None:
    own: dict[str, Any] = (
        {"mass_rule": "signed" if rule == "paper" else "positive"}
        if method == "maskdistill"
        else {"rule": rule}
    )
    own |= {"square": 0} if method == "maskcut" else {"short_side": 0}
    settings = resolve(
        load({"propose": {"backbone": "dino_vits16", "method": method, method: own}})
    ).propose
    for facet in ("keys", "tokens"):
        for centre in ("no", "yes"):
            tried = replace(settings, facet=facet, centre_keys=centre, pixels="nearest")
            tried = replace(tried, max_masks=3, stop_score=0.0, min_score=0.0)
            found = discover(
                lambda: np.zeros((*size, 3), np.uint8),
                size=size,
                backbone=Given(kind),
                recipe=recipe_of(tried),
            )
            masks = found.masks
            assert masks.shape == (len(found.scores), *size)
            assert np.isfinite(found.scores).all()
            words = dict(found.notes)
            assert (Note.NOT_FINITE in words) == ("finite" in kind)
            if "finite" in kind:
                assert len(masks) == 0
            if not len(masks):
                assert words.keys() & {Note.NOT_FINITE, Note.STOPPED}


def test_a_picture_whose_features_are_not_finite_stays_in_the_run_as_one_without_masks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo_pictures.write(
        tmp_path / "pictures", tmp_path / "truth.json", n_pictures=3, seed=5, size=(96, 120)
    )
    own = handcrafted.Handcrafted._features
    seen: list[Features] = []

    def features(self: Any, *given: Any) -> Features:
        found = own(self, *given)
        seen.append(found)
        if len(seen) == 2:
            assert found.keys is not None
            found.keys[0, 5] = torch.nan
        return found

    monkeypatch.setattr(handcrafted.Handcrafted, "_features", features)
    out = tmp_path / "run"
    # No mirrored pictures: the second that is seen is the second picture.
    settings = {**QUICK, "evaluate": {**QUICK.get("evaluate", {}), "agreement_pictures": 0}}
    api.run(pictures=tmp_path / "pictures", out=out, settings=settings, until="cluster", quiet=True)
    lines = [
        json.loads(line) for line in (out / "propose" / "proposals.jsonl").read_text().splitlines()
    ]
    assert [len(line["masks"]) > 0 for line in lines] == [True, False, True]
    assert ["not finite", "keys"] in lines[1]["notes"]
    events = [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]
    noted = [
        event for event in events if event["event"] == "note" and event.get("what") == "not finite"
    ]
    assert [(event["picture"], event["value"]) for event in noted] == [("0002.png", "keys")]
    record = json.loads((out / "propose" / "stage.json").read_text())
    assert record["counts"]["without_masks"] == 1
    clustered = [
        json.loads(line) for line in (out / "cluster" / "clusters.jsonl").read_text().splitlines()
    ]
    assert len(clustered) == 3
