"""The dense CRF against pydensecrf's outputs and against exact sums, by the reference data's rules and tolerances."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maskdistill import crf
from maskdistill.crf import torch_lattice
from tests.reference import crf as exact

TINY = (
    *(
        f"tiny_coffee_24x32_{case}"
        for case in ("md_soft2", "mc_mask2", "md_soft3", "mc_soft3", "md_soft21")
    ),
    *("tiny_coffee_24x32_mc_soft21", "tiny_coffee_24x32_md_peaked21"),
    *(f"tiny_chelsea_40x30_{case}" for case in ("md_soft2", "mc_mask2", "md_soft3", "mc_soft3")),
    *(f"tiny_chelsea_40x30_{case}" for case in ("md_soft21", "mc_soft21")),
)
MEDIUM = (
    *(
        "medium_astronaut_60x80_md_soft21",
        "medium_coffee_60x80_md_soft3",
        "medium_astronaut_60x80_mc_mask2",
    ),
    *("medium_coffee_60x80_md_peaked21", "medium_coffee_60x80_mc_soft2"),
)
HALF = ("half_coffee_md_soft21", "half_astronaut_mc_mask2")
FULL = (
    *(
        "full_coffee_md_soft21",
        "full_astronaut_md_peaked21",
        "full_chelsea_md_soft21",
        "full_astronaut_mc_mask2",
    ),
    *("full_coffee_mc_soft2", "full_coffee_mc_peaked2", "full_coffee_md_soft2"),
)
STORED = 1 / 65535


class Case:
    """A case of the reference data: its inputs made by the README's rule, its settings, its arrays."""

    def __init__(self, reference: Path, name: str) -> None:
        folder = reference / "golden" / "crf"
        described = json.loads((folder / "cases.json").read_text())
        case = described["cases"][name]
        setting = described["settings"][case["setting"]]
        self.setting = {
            "gaussian": (setting["g_sxy"], setting["g_compat"]),
            "bilateral": (setting["b_sxy"], setting["b_srgb"], setting["b_compat"]),
        }
        picture = case["picture"]
        halved = not (folder / f"{picture}.png").is_file()
        stored = f"{picture.split('_')[0]}_375x500" if halved else picture
        image = np.array(Image.open(folder / f"{stored}.png"))
        self.image = image[::2, ::2] if halved else image
        self.probabilities = drawn(folder, case, self.image.shape[:2])
        squares = (self.probabilities.astype(np.float64) ** 2).sum()
        assert squares == pytest.approx(case["p_sum_of_squares"], rel=1e-6)
        np.testing.assert_allclose(
            self.probabilities[:2, :2, :2].ravel(), case["p_first"], rtol=1e-5
        )
        with np.load(folder / f"{name}.npz") as arrays:
            self.arrays = {key: arrays[key] for key in arrays.files}

    def mean_difference(self, found: np.ndarray, *, wanted: str) -> float:
        """Mean absolute difference after 10 iterations to `q` (pydensecrf) or `exact`, where it is stored."""
        if f"{wanted}10_u16" in self.arrays:
            return float(np.abs(found - self.arrays[f"{wanted}10_u16"] * STORED).mean())
        step = next(step for step in (4, 8) if f"{wanted}10_grid{step}" in self.arrays)
        return float(
            np.abs(found[:, ::step, ::step] - self.arrays[f"{wanted}10_grid{step}"]).mean()
        )


def drawn(folder: Path, case: dict, size: tuple[int, int]) -> np.ndarray:
    """Probabilities by the rule of a case."""
    rule: dict = {"np": np}
    exec(re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)[1], rule)
    n_classes, seed, cell = case["classes"], case["seed"], case["cell"]
    if case["rule"] == "mask":
        mask = (rule["field"](seed, 1, *size, cell)[0] > 0.3).astype(np.float64)
        return exact.softmax(np.stack([1 - mask, mask])).astype(np.float32)
    field = rule["field"](seed, n_classes, *size, cell)
    if case["rule"] == "soft":
        return exact.softmax(2 * field).astype(np.float32)
    labels, draw = field.argmax(axis=0), np.random.RandomState(seed + 1)
    moved, to = draw.rand(*size) < 0.1, draw.randint(0, n_classes, size=size)
    labels = np.where(moved, to, labels)
    raised = 4.5 * (labels == np.arange(n_classes)[:, None, None])
    return exact.softmax(raised + draw.randn(n_classes, *size)).astype(np.float32)


def assert_labels(found: np.ndarray, wanted: np.ndarray) -> None:
    differ = int((found.argmax(axis=0) != wanted).sum())
    assert differ <= max(1, 0.0005 * wanted.size)


def test_every_case_of_the_reference_data_is_compared(reference: Path) -> None:
    assert {path.stem for path in (reference / "golden" / "crf").glob("*.npz")} == {
        *TINY,
        *MEDIUM,
        *HALF,
        *FULL,
    }


@pytest.mark.parametrize("name", (*TINY, *MEDIUM, *HALF, *FULL))
def test_the_lattice_gives_what_pydensecrf_gives(reference: Path, name: str) -> None:
    case = Case(reference, name)
    found = crf.dense_crf(case.image, case.probabilities, **case.setting)
    assert case.mean_difference(found, wanted="q") <= 1e-3
    assert_labels(found, case.arrays["label10"])


@pytest.mark.parametrize("name", (*TINY, *MEDIUM))
@pytest.mark.parametrize("iterations", (1, 5))
def test_the_lattice_gives_what_pydensecrf_gives_on_the_way(
    reference: Path, name: str, iterations: int
) -> None:
    case = Case(reference, name)
    if (
        f"q{iterations}_u16" not in case.arrays
    ):  # the medium cases of 21 classes have no fifth iteration
        assert iterations == 5
        assert "21" in name
        return
    found = crf.dense_crf(case.image, case.probabilities, iterations=iterations, **case.setting)
    assert np.abs(found - case.arrays[f"q{iterations}_u16"] * STORED).mean() <= 1e-3


@pytest.mark.parametrize("name", (*TINY, *MEDIUM, *HALF))
def test_torch_gives_what_pydensecrf_gives(reference: Path, name: str) -> None:
    case = Case(reference, name)
    found = torch_lattice.dense_crf(
        torch.from_numpy(case.image.copy()),
        torch.from_numpy(case.probabilities),
        floor=1e-5,
        iterations=10,
        close=False,
        sharper=1.0,
        **case.setting,
    ).numpy()
    assert case.mean_difference(found, wanted="q") <= 1e-3
    assert_labels(found, case.arrays["label10"])


@pytest.mark.parametrize("name", ("full_coffee_md_soft21", "full_coffee_mc_soft2"))
def test_the_lattice_gives_what_pydensecrf_gives_for_bgr(reference: Path, name: str) -> None:
    case = Case(reference, name)
    found = crf.dense_crf(case.image[:, :, ::-1], case.probabilities, **case.setting)
    assert_labels(found, case.arrays["label10_bgr"])


@pytest.mark.parametrize(
    "name", (*TINY, *(pytest.param(name, marks=pytest.mark.slow) for name in MEDIUM))
)
def test_the_twin_gives_the_exact_sums(reference: Path, name: str) -> None:
    case = Case(reference, name)
    found = exact.dense_crf(case.image, case.probabilities, **case.setting)
    assert np.abs(found - case.arrays["exact10_u16"] * STORED).max() <= 1e-5 + STORED
    assert (found.argmax(axis=0) == case.arrays["exact_label10"]).all()


def test_the_close_answer_is_twice_as_near_to_the_exact_sums_as_pydensecrf(reference: Path) -> None:
    theirs, ours = [], []
    for name in (*TINY, *MEDIUM, *HALF):
        case = Case(reference, name)
        found = crf.dense_crf(case.image, case.probabilities, accuracy="close", **case.setting)
        ours.append(case.mean_difference(found, wanted="exact"))
        if "q10_u16" in case.arrays:
            theirs.append(case.mean_difference(case.arrays["q10_u16"] * STORED, wanted="exact"))
        else:
            theirs.append(
                float(np.abs(case.arrays["q10_grid4"] - case.arrays["exact10_grid4"]).mean())
            )
        assert ours[-1] <= theirs[-1] + 1e-6
    assert np.mean(ours) <= np.mean(theirs) / 2
