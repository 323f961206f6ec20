"""How far a sweep without ground truth can be trusted: rank correlation with CorLoc, and regret.

    python benchmarks/bench_sweep.py --out runs/sweep                          # all: half an hour of one thread
    python benchmarks/bench_sweep.py --out runs/sweep --sets voc --families keys
    python benchmarks/bench_sweep.py --out runs/sweep --pictures 12            # of each set, for a look

Prints a table of Markdown: of each development set of the reference data ($MASKDISTILL_REFERENCE) and each family of
settings the Spearman correlation of the ranking with CorLoc (interval: 200 draws of the pictures), the best CorLoc of
the sweep, that of the chosen setting, the regret (the difference), and the mean regret of 40 sweeps on 24 of the
pictures. Beside the product's ranking stand what it is made of and the one before it (agreement times coverage).
Families: tokens and keys of DeiT-Tiny with SUPERVISED weights, so that nothing is said of self-supervised ones, and
handcrafted. What was found is kept in OUT and read again.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from maskdistill.datasets import truth as truths
from maskdistill.datasets import voc
from maskdistill.features import handcrafted, vit
from maskdistill.masks import rle
from maskdistill.measuring import sweep_views
from maskdistill.measuring.sweep_trials import Grid, Trial, recipe, trials_of
from maskdistill.pictures import read
from maskdistill.proposals import judging
from maskdistill.settings import load, resolve
from maskdistill.types import Rle

REFERENCE = Path(os.environ.get("MASKDISTILL_REFERENCE", "../shared"))
NETWORK = "timm/deit_tiny_patch16_224"
WEIGHTS = REFERENCE / "data" / "weights" / "vit_tiny_patch16_224_supervised_in1k.npz"
OF_VIT: dict[str, Any] = {"blocks": (-1, -2, -3), "scales": (320, 480)}
GRIDS = {
    "tokens": Grid(facets=("tokens",), **OF_VIT),
    "keys": Grid(facets=("keys",), **OF_VIT),
    # The graph of the Gaussian cut is dense: larger scales take minutes a picture.
    "handcrafted": Grid(scales=(160, 208)),
}
DRAWS, SWEEPS, N_SWEEP = 200, 40, 24


def coco() -> Iterator[tuple[np.ndarray, list[Rle]]]:
    """Pictures of coco-dev that have an object which is no crowd, and their objects."""
    folder = REFERENCE / "data" / "coco-dev"
    for key, of in sorted(truths.read(folder / "instances.json").objects.items()):
        if objects := [row["rle"] for row in of.masked if not row["crowd"]]:
            yield read(folder / "images" / key), objects


def voc_dev() -> Iterator[tuple[np.ndarray, list[Rle]]]:
    """Pictures of voc-dev, and the boxes of their objects as masks: there are no others."""
    found = voc.find(REFERENCE / "data" / "voc-dev" / "VOC2012")
    for path in sorted((found.root / "JPEGImages").iterdir()):
        rgb = read(path)
        boxes = [each.box for each in voc.boxes(found, path.stem) if not each.difficult]
        masks = np.zeros((len(boxes), *rgb.shape[:2]), bool)
        for mask, (left, top, right, bottom) in zip(
            masks, np.round(boxes).astype(int), strict=True
        ):
            mask[top:bottom, left:right] = True
        if len(boxes):
            yield rgb, rle.encode(masks)


SETS: dict[str, Callable[[], Iterator[tuple[np.ndarray, list[Rle]]]]] = {
    "coco": coco,
    "voc": voc_dev,
}


def records_of(
    name: str, family: str, trials: list[Trial], out: Path, limit: int
) -> list[dict[str, Any]]:
    """What the trials find in each picture, and their hits: kept in OUT."""
    kept = out / f"{name}-{family}-{limit or 'all'}.jsonl"
    if not kept.exists():
        network = (
            handcrafted.load() if family == "handcrafted" else vit.load(NETWORK, weights=WEIGHTS)
        )
        own = _settings(family)
        few = [recipe(own, trial, most_masks=sweep_views.MOST_MASKS) for trial in trials]
        whole = [recipe(own, trial) for trial in trials]
        started, lines = time.perf_counter(), []
        for number, (rgb, objects) in enumerate(SETS[name]()):
            if limit and number >= limit:
                break
            record = sweep_views.without_truth(network, rgb, few)
            hits = sweep_views.with_truth(network, rgb, whole, objects)["trials"]
            record["hits"] = [float(each["hit"] or 0) for each in hits]
            lines.append(json.dumps(record))
        print(
            f"{name} {family}: {len(lines)} pictures, {time.perf_counter() - started:.0f} s",
            flush=True,
        )
        kept.write_text("\n".join(lines), encoding="utf-8")
    return [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]


def _settings(family: str) -> Any:
    return resolve(
        load({"propose": {"backbone": "handcrafted" if family == "handcrafted" else NETWORK}})
    ).propose


class Sweep:
    """The masks of all trials, and their hits."""

    def __init__(self, records: list[dict[str, Any]], n_trials: int) -> None:
        self.views = [sweep_views.masks_of(records, number) for number in range(n_trials)]
        self.tokens = sweep_views.tokens_of(records)
        self.own = np.stack([each["own"] for each in self.views])
        self.hits = np.array([record["hits"] for record in records]).T  # (trials, pictures)
        self.judged = self.judged_on(np.arange(len(records)))

    def judged_on(self, pictures: np.ndarray) -> list[judging.Judged]:
        return [
            judging.judged(
                {view: masks[pictures] for view, masks in each.items()}, self.tokens[pictures]
            )
            for each in self.views
        ]


def rankings(judged: list[judging.Judged], own: np.ndarray) -> dict[str, np.ndarray]:
    """Each ranking's number of each trial: votes, what they are made of, and the one before."""
    covered = own.any(axis=(2, 3)).mean(1)
    agree = np.array([(_known(each.flips) + _known(each.crops)) / 2 for each in judged])
    above = np.array(
        [((_zero(each.flips) + _zero(each.crops)) / 2 - each.chance).mean() for each in judged]
    )
    trust = np.array([each.trust for each in judged])
    return {
        "votes": judging.votes(own, trust) + 1e-6 * trust,
        "trust": trust,
        "agreement above chance": above,
        "foretold": np.array([_zero(each.foretold).mean() for each in judged]),
        "agreement x coverage": agree * covered,
    }


def _known(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


def _zero(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values)


def _drawn(each: judging.Judged, pictures: np.ndarray) -> judging.Judged:
    return judging.Judged(**{name: values[pictures] for name, values in vars(each).items()})


def table(found: Sweep, rng: np.random.Generator) -> Iterator[str]:
    """Yield a row a ranking."""
    corloc, n_pictures = found.hits.mean(1), found.hits.shape[1]
    whole = rankings(found.judged, found.own)
    correlations: dict[str, list[float]] = {name: [] for name in whole}
    for _ in range(DRAWS):
        drawn = rng.integers(0, n_pictures, n_pictures)
        again = rankings([_drawn(each, drawn) for each in found.judged], found.own[:, drawn])
        truth = found.hits[:, drawn].mean(1)
        for name, values in again.items():
            correlations[name].append(spearmanr(values, truth)[0])
    regrets: dict[str, list[float]] = {name: [] for name in whole}
    for _ in range(SWEEPS if n_pictures > N_SWEEP else 0):
        some = np.sort(rng.permutation(n_pictures)[:N_SWEEP])
        for name, values in rankings(found.judged_on(some), found.own[:, some]).items():
            regrets[name].append(corloc.max() - corloc[values.argmax()])
    for name, values in whole.items():
        low, high = np.nanpercentile(correlations[name], [2.5, 97.5])
        chosen = corloc[values.argmax()]
        of_some = f"{np.mean(regrets[name]):.3f}" if regrets[name] else "-"
        yield (
            f"{name} | {spearmanr(values, corloc)[0]:.2f} [{low:.2f}, {high:.2f}] | {corloc.max():.3f} | "
            f"{chosen:.3f} | {corloc.max() - chosen:.3f} | {of_some}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=[*SETS])
    parser.add_argument("--families", nargs="+", choices=GRIDS, default=[*GRIDS])
    parser.add_argument("--pictures", type=int, default=0, help="of each set; 0: all")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    rng, lines = np.random.default_rng(0), []
    for family in given.families:
        trials = trials_of(_settings(family), GRIDS[family])
        for name in given.sets:
            records = records_of(name, family, trials, given.out, given.pictures)
            found = Sweep(records, len(trials))
            best = trials[rankings(found.judged, found.own)["votes"].argmax()]
            print(f"{family} {name}: {len(trials)} settings, chosen {best}", flush=True)
            lines += [f"| {family} | {name} | {row} |" for row in table(found, rng)]
    print("\n| family | set | ranking | correlation | best | chosen | regret | of 24 pictures |")
    print("| --- " * 8 + "|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
