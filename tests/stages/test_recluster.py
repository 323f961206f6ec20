"""The second clustering, of detections: fitted on them alone, or on the proposals too."""

import json

import numpy as np

from maskdistill import api
from maskdistill.clusters import whitening
from maskdistill.runs import record
from tests.made import lines_of


def test_it_is_fitted_on_the_proposals_too_where_asked_for(copied) -> None:
    folder = copied / "recluster"
    before = json.loads((folder / "clusters.json").read_text())
    assert before["supported_by"] == 0
    own = {"cluster": {"again_with": "proposals"}}
    api.run(out=copied, settings=own, until="label", start="cluster", quiet=True)
    found = json.loads((folder / "clusters.json").read_text())
    split = {row["id"]: row["split"] for row in lines_of(copied / "images.jsonl")}
    rows = lines_of(copied / "cluster" / "clusters.jsonl")
    train = [row.get("left_out") != "not finite" and split[row["id"]] == "train" for row in rows]
    assert found["supported_by"] == sum(train) > 0
    again = lines_of(folder / "clusters.jsonl")
    learnt = np.concatenate(
        [
            np.load(folder / "embeddings.npy")[[split[row["id"]] == "train" for row in again]],
            np.load(copied / "cluster" / "embeddings.npy")[train],
        ]
    )
    wanted = whitening.scale_of(learnt, whiten=True)
    np.testing.assert_allclose(found["scale"], wanted, rtol=1e-5)
    assert not np.allclose(before["scale"], wanted, rtol=1e-5)
    entry = record.read(folder / "stage.json")
    assert entry is not None
    assert entry.parts["settings"]["again_with"] == "proposals"
    assert "cluster" in str(entry.parts)
