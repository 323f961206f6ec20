"""Proposals of four methods against outputs of the originals."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from maskdistill.proposals import lost, maskcut, maskdistill, tokencut
from maskdistill.proposals.spectral import affinity, normalized_cut
from maskdistill.types import Features

RULE_CASES = (
    *(
        "g14_a",
        "g14_tie",
        "g14_h12",
        "g20_small",
        "g20_edge",
        "g20_first",
        "g28_a",
        "g28_pos",
        "g28_mean",
    ),
    *(
        "g30_multi",
        "g30_frame",
        "g30_again",
        "g30x40",
        "g40x53_a",
        "g40x53_fill",
        "g60_a",
        "g60_frame",
        "row_1x30",
    ),
    *("flat_constant", "flat_zero", "flat_negative"),
)
CASES = (*RULE_CASES, *(f"real_{number}" for number in range(6)))


def read(reference: Path, name: str) -> tuple[Features, dict]:
    """Inputs of a case, made by the rule that the README of the reference data gives, and what came out."""
    folder = reference / "golden" / "proposals"
    with np.load(folder / f"{name}.npz") as stored:
        case = {key: stored[key] for key in stored.files}
    if name in RULE_CASES:
        rule: dict = {}
        exec(re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)[1], rule)
        arguments = json.loads((folder / "cases.json").read_text())["rule_cases"][name]
        queries, keys = rule["degenerate" if "kind" in arguments else "features"](**arguments)
        np.testing.assert_allclose(keys[0, -1, :8], case["k_probe"], rtol=1e-6)
        np.testing.assert_allclose(np.abs(queries.astype(float)).sum(), case["q_abs"], rtol=1e-9)
    else:
        queries, keys = case["q"].astype(np.float32), case["k"].astype(np.float32)
    grid = (int(case["grid"][0]), int(case["grid"][1]))
    return Features(
        grid=grid, patch=16, queries=torch.from_numpy(queries), keys=torch.from_numpy(keys)
    ), case


def test_every_case_of_the_reference_data_is_compared(reference: Path) -> None:
    assert {path.stem for path in (reference / "golden" / "proposals").glob("*.npz")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_maskdistill_proposes_what_the_original_does(reference: Path, name: str) -> None:
    features, case = read(reference, name)
    found = maskdistill.discover(features, heads=int(case["md_heads"])).masks
    assert len(found) == 1
    stable = case["md_stable"]
    np.testing.assert_array_equal(found[0].mask.numpy()[stable], case["md_mask"][stable])
    if case["md_source_stable"]:
        assert found[0].seed_patch == divmod(int(case["md_source"]), features.grid[1])


@pytest.mark.parametrize("name", CASES)
def test_tokencut_proposes_what_the_original_does(reference: Path, name: str) -> None:
    features, case = read(reference, name)
    found = tokencut.discover(features).masks
    assert len(found) == 1
    stable = case["tc_stable"]
    np.testing.assert_array_equal(found[0].mask.numpy()[stable], case["tc_mask"][stable])
    if case["tc_seed_stable"]:
        assert found[0].seed_patch == divmod(int(case["tc_seed"]), features.grid[1])


@pytest.mark.parametrize("name", CASES)
def test_the_vector_of_the_cut_is_the_originals(reference: Path, name: str) -> None:
    features, case = read(reference, name)
    keys = features.keys[:, 1:].permute(1, 0, 2).flatten(1).numpy()
    graph = affinity.two_valued(keys, threshold=0.2, floor=1e-5)
    cut = normalized_cut.second_eigenvector(graph)
    assert cut.value == pytest.approx(case["tc_eigval"][0], abs=1e-5)
    assert not cut.fallback
    stable = case["tc_bipartition_stable"].ravel()
    partition = cut.vector > cut.vector.mean()
    np.testing.assert_array_equal(partition[stable], case["tc_bipartition"].ravel()[stable])
    if case["tc_eigval"][1] - case["tc_eigval"][0] > 1e-6:  # else any vector of the two is right
        wanted = case["tc_eigvec"].ravel().astype(float)
        wanted *= np.sign(wanted @ cut.vector) / np.sqrt(graph.degrees @ wanted**2)
        assert np.abs(cut.vector - wanted).max() <= 2e-3 * np.abs(wanted).max()


@pytest.mark.parametrize("name", CASES)
def test_lost_proposes_what_the_original_does(reference: Path, name: str) -> None:
    features, case = read(reference, name)
    keys = affinity.joined(features)
    if "lost_degree" in case:  # of 60 x 60 patches a sign or two falls with the order of summation
        np.testing.assert_allclose(
            lost.degrees(keys), case["lost_degree"], rtol=0, atol=1 if len(keys) > 1000 else 0
        )
    found = lost.discover(features).masks
    if "lost_error" in case:
        assert not found
        return
    assert len(found) == 1
    if case["lost_seed_stable"]:
        assert found[0].seed_patch == divmod(int(case["lost_seed"]), features.grid[1])
    if found[0].seed_patch == divmod(int(case["lost_seed"]), features.grid[1]):
        stable = case["lost_stable"]
        np.testing.assert_array_equal(found[0].mask.numpy()[stable], case["lost_mask"][stable])
    else:
        assert np.ravel_multi_index(found[0].seed_patch, features.grid) in case["lost_seed_ties"]


@pytest.mark.parametrize("name", CASES)
def test_maskcut_proposes_what_the_original_does(reference: Path, name: str) -> None:
    features, case = read(reference, name)
    found = maskcut.discover(features)
    masks = [mask.mask.numpy() for mask in found.masks]
    known, stable = [case["mc_masks"], *case.get("mc_alt_masks", [])], case["mc_stable"]
    if features.grid[0] != features.grid[1]:  # the original fails at its second cut
        known = [masks_of_one_cut.reshape(1, *features.grid) for masks_of_one_cut in known]
        masks, stable = masks[:1], stable.reshape(1, *features.grid)
    if not stable.any():
        pytest.skip("the second and third eigenvalue coincide: any vector is right")

    def same(wanted: np.ndarray) -> bool:
        """Whether the masks are those of one outcome, on the patches that independent runs of the original agree on."""
        kept = [(mask, where) for mask, where in zip(wanted, stable, strict=True) if mask.any()]
        return len(kept) == len(masks) and all(
            np.array_equal(mine[where], mask[where])
            for mine, (mask, where) in zip(masks, kept, strict=True)
        )

    assert any(same(wanted) for wanted in known)
