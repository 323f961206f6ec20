"""Clusterings that look at other runs: a support set that helps to fit, ids in line with those of another."""

import json
from pathlib import Path

import numpy as np
import pytest

from maskdistill import api
from maskdistill.clusters import whitening
from maskdistill.errors import SettingsError
from tests.made import lines_of
from tests.stages.clusterings import DRAWN, NETWORK, clustered


def test_a_support_set_helps_to_fit_and_is_assigned_nothing(drawn, tmp_path: Path) -> None:
    alone, rows, _ = clustered(drawn[1], tmp_path / "alone")
    _, others, _ = clustered(drawn[0], tmp_path / "support")
    found, helped, _ = clustered(drawn[1], tmp_path / "run", support=str(tmp_path / "support"))
    assert (found["supported_by"], alone["supported_by"]) == (len(others), 0)
    assert len(helped) == len(rows) == sum(found["sizes"])
    assert found["inertia"] > alone["inertia"]  # of more rows
    assert found["scale"] != alone["scale"]
    # Both sets as one: the same fit, but for which masks are whose.
    both = np.concatenate(
        [np.load(tmp_path / name / "cluster" / "embeddings.npy") for name in ("alone", "support")]
    )
    np.testing.assert_allclose(found["scale"], whitening.scale_of(both), rtol=1e-4)
    api.cluster(
        out=tmp_path / "support", settings={"seed": 1}, redo=True
    )  # the same embeddings: nothing is stale
    clustered(drawn[1], tmp_path / "run", support=str(tmp_path / "support"))


def test_a_support_set_of_another_embedding_or_that_is_not_there_is_refused(
    drawn, tmp_path: Path
) -> None:
    clustered(drawn[0], tmp_path / "support", limit=3)
    with pytest.raises(
        SettingsError,
        match=r"another space \(.*backbone: None there, timm/vit_tiny.*weights: others",
    ):
        clustered(
            drawn[1], tmp_path / "run", support=str(tmp_path / "support"), weights=DRAWN, **NETWORK
        )
    with pytest.raises(SettingsError, match=r"support: .*nowhere.*not complete.*--until cluster"):
        clustered(drawn[1], tmp_path / "other", support=str(tmp_path / "nowhere"))
    clustered(drawn[1], tmp_path / "other")  # the mended command is not refused as another one


def test_clusters_take_the_ids_of_another_run_that_they_overlap(drawn, tmp_path: Path) -> None:
    _, rows, _ = clustered(drawn[0], tmp_path / "first")
    path = tmp_path / "first" / "cluster" / "clusters.jsonl"
    names = {0: 2, 1: 0, 2: 3, 3: 1}
    path.write_text(
        "".join(json.dumps({**row, "cluster": names[row["cluster"]]}) + "\n" for row in rows)
    )
    found, renamed, events = clustered(drawn[0], tmp_path / "run", align_to=str(tmp_path / "first"))
    assert [row["cluster"] for row in renamed] == [names[row["cluster"]] for row in rows]
    assert found["sizes"] == np.bincount([row["cluster"] for row in renamed]).tolist()
    assert found["sizes"] != sorted(found["sizes"], reverse=True)
    assert any(event.get("what") == "ids aligned" for event in events)
    with pytest.raises(SettingsError, match="a run over other pictures"):
        clustered(drawn[1], tmp_path / "other", align_to=str(tmp_path / "first"))


def test_ids_are_not_aligned_with_a_run_in_which_the_pictures_were_turned(
    drawn, tmp_path: Path
) -> None:
    clustered(drawn[0], tmp_path / "first")
    rows = lines_of(tmp_path / "first" / "images.jsonl")
    turned = [row | {"width": row["height"], "height": row["width"]} for row in rows]
    (tmp_path / "first" / "images.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in turned)
    )
    with pytest.raises(
        SettingsError,
        match=r"align_to: p0001.png is 96 x 120 px in .*, 120 x 96 here.*`orientation`",
    ):
        clustered(drawn[0], tmp_path / "run", align_to=str(tmp_path / "first"))
