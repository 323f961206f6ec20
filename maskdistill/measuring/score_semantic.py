"""score semantic: a folder of label maps against another, anybody's.

In:   predictions and truth as folders of label maps (datasets/label_maps), joined by relative
      path, else file name
Out:  Score; what does not fit is refused by name, what is odd stands beside the numbers; protocol:
      docs/reproduce.md, `semantic`
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from maskdistill.datasets import voc
from maskdistill.datasets.label_maps.map_files import Reading
from maskdistill.datasets.label_maps.map_folder import LabelMaps
from maskdistill.datasets.label_maps.map_palettes import Palettes
from maskdistill.datasets.names import join, read_list
from maskdistill.errors import GroundTruthError, PredictionError, SettingsError, listed
from maskdistill.evaluation import bootstrap, label_map_counts, matching
from maskdistill.evaluation.rows import built
from maskdistill.evaluation.semantic import NO_CLASS, confusion
from maskdistill.measuring.score_files import Score
from maskdistill.types import LabelValues


def score(
    predictions: Path,
    ground_truth: Path,
    *,
    classes: str,
    rule: Literal["none", "iou", "pixels", "majority"],
    protocol: Literal["occurring", "paper"],
    missing: Literal["refuse", "background"],
    only: Path | None,
    label_values: LabelValues,
    void: int,
    resamples: int,
    seed: int,
) -> Score:
    """Score label maps (PNG) against label maps, joined by relative path, else file name.

    Args:
        classes: voc, or a file with a name a line, background first.
        only: a list of names of truths: these alone are scored.
        label_values: how the values of both folders become class numbers (map_files.Reading).
        void: the number in truths whose pixels are not counted, beside 255.
        rule: none: ids are classes; else of matching.match_label_maps.
        missing: what a truth without a prediction does: refuse, or count as background.
        resamples, seed: of the samples of pictures for the intervals; 0 resamples: no intervals.
    Raises:
        GroundTruthError, PredictionError: what does not fit, how many and which.
    """
    names = class_names(classes)
    truth_maps, found = _opened(predictions, ground_truth, classes, rule, label_values, void)
    truths = truth_maps.files
    if only is not None:
        truths = _kept(truths, ground_truth, only)
    pairs, notes = _paired(predictions, found.files, ground_truth, truths, missing)
    by_picture, seen, other_sizes = [], np.zeros(256, np.int64), []
    for key, path in truths.items():
        truth = truth_maps.read(key)
        prediction = found.read(pairs[key]) if key in pairs else np.zeros_like(truth)
        if prediction.shape != truth.shape:
            other_sizes.append(f"{pairs[key]} is {_size(prediction)}, {key} {_size(truth)}")
            continue
        try:
            # The last column, any other value, is 255 alone: what an id of no class costs is told
            # apart from it below.
            by_picture.append(confusion(prediction, truth, len(names), columns=NO_CLASS))
        except ValueError as error:
            raise GroundTruthError(
                f"{path}: {error}. Give the classes that it was made with: --classes"
            ) from error
        seen += np.bincount(prediction[truth != NO_CLASS], minlength=256)
    odd = truth_maps.check() + found.check(truth=False)
    if other_sizes:
        raise PredictionError(
            f"{predictions}: {len(other_sizes)} of {len(truths)} predictions have another size "
            f"than their truth (first: {'; '.join(other_sizes[:3])}). Resize them first, by nearest"
        )
    used = max((int(value) for value in np.flatnonzero(seen[:NO_CLASS])), default=0)
    columns = len(names) if rule == "none" else used + 1
    by_picture = [_folded(each, columns) for each in by_picture]
    of = label_map_counts.LabelMaps(by_picture, rule=None if rule == "none" else rule)
    notes += _on_ids(seen, of, names, rule) + odd
    text = "ids are classes" if rule == "none" else f"{matching.RULES[rule]}, background fixed"
    text = f"{len(truths)} label maps; {text}; {truth_maps.reading.ignored} ignored"
    background = label_map_counts.LabelMaps(
        [_folded(each.sum(axis=1, keepdims=True), len(names)) for each in by_picture], rule=None
    )
    measures = [
        *label_map_counts.whole("baseline:background", background, text=text, protocol=protocol),
        *label_map_counts.whole("score", of, text=text, protocol=protocol),
        *label_map_counts.by_class("score", of, names, text=text),
    ]
    samples = bootstrap.draws(len(truths), resamples=resamples, seed=seed)
    return Score(built(measures, samples, split="all"), notes)


def class_names(classes: str) -> list[str]:
    """Return the names of `voc`, or of a file with a name a line, background first.

    Raises:
        SettingsError: a name twice, or as many as no label map holds.
    """
    if classes == "voc":
        return list(voc.CLASSES)
    names = read_list(Path(classes))
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise SettingsError(f"classes: {classes} names {twice[0]} more than once")
    if not 2 <= len(names) <= NO_CLASS:
        raise SettingsError(
            f"classes: {classes} has {len(names)} names, wanted 2 to {NO_CLASS}, background first"
        )
    return names


def _opened(
    predictions: Path, ground_truth: Path, classes: str, rule: str, values: LabelValues, void: int
) -> tuple[LabelMaps, LabelMaps]:
    """Return the label maps of the truth and of the predictions, none of them read yet.

    Raises:
        SettingsError: a void that no label map holds.
        GroundTruthError, PredictionError: no folder, no label maps.
    """
    if not 0 <= void <= NO_CLASS:
        raise SettingsError(f"void must be in 0 .. {NO_CLASS}, got {void}")
    is_voc = classes == "voc"
    # Each is read once, so nothing is kept. Palettes of clusters are anybody's.
    truths = LabelMaps(
        ground_truth,
        Reading(values=values, void=void, of_run=False),
        palettes=Palettes(voc=is_voc),
        keep=False,
    )
    found = LabelMaps(
        predictions,
        Reading(values=values, of_run=False, own_palettes=True),
        error=PredictionError,
        palettes=Palettes(voc=True, renumbered_alone=True) if is_voc and rule == "none" else None,
        keep=False,
    )
    return truths, found


def _kept(truths: Mapping[str, Path], ground_truth: Path, only: Path) -> dict[str, Path]:
    """Return the truths of a list of names, all of which must be there."""
    wanted = [line.split()[0] for line in read_list(only)]
    found = join(list(truths), wanted)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise GroundTruthError(
            f"{ground_truth}: has no label map of {len(missing)} of {len(wanted)} names of {only}: "
            f"{listed(missing)}"
        )
    return {key: truths[key] for key in sorted(found.values())}


def _paired(
    predictions: Path,
    found: Mapping[str, Path],
    ground_truth: Path,
    truths: Mapping[str, Path],
    missing: str,
) -> tuple[dict[str, str], list[str]]:
    """Return truth -> prediction, by name, and what to say of those without a partner."""
    pairs = join(list(found), list(truths))
    without = [key for key in truths if key not in pairs]
    stems: dict[str, list[str]] = {}
    for key in found:
        stems.setdefault(PurePosixPath(key).stem, []).append(key)
    several = {
        key: stems[PurePosixPath(key).stem] for key in without if PurePosixPath(key).stem in stems
    }
    if several:
        first, candidates = next(iter(several.items()))
        raise PredictionError(
            f"{predictions}: {len(several)} truths cannot be told which prediction is theirs: "
            f"{first} may be {' or '.join(candidates)}, or another truth has its name. "
            "Give predictions at the truths' relative paths"
        )
    notes = []
    if without and missing == "refuse":
        raise PredictionError(
            f"{predictions}: {len(without)} of {len(truths)} label maps of {ground_truth} have no "
            f"prediction ({listed(without)}). "
            "Predict them, or count them as background: --missing background"
        )
    if without:
        notes.append(
            f"{len(without)} of {len(truths)} truths have no prediction, counted as background: "
            f"{listed(without)}"
        )
    extra = sorted(set(found) - set(pairs.values()))
    if extra:
        notes.append(
            f"{len(extra)} predictions have no ground truth and are not counted: {listed(extra)}"
        )
    return pairs, notes


def _on_ids(
    seen: np.ndarray, of: label_map_counts.LabelMaps, names: Sequence[str], rule: str
) -> list[str]:
    """Return sentences on ids of predictions that the truth does not have, and the reverse."""
    notes = []
    if seen[NO_CLASS]:
        notes.append(
            f"{seen[NO_CLASS]} valid pixels are predicted {NO_CLASS}, no class: counted as misses"
        )
    if rule == "none":
        strange = [int(value) for value in np.flatnonzero(seen[:NO_CLASS]) if value >= len(names)]
        if strange:
            notes.append(
                f"{seen[strange].sum()} valid pixels are predicted ids that are no class "
                f"(0 to {len(names) - 1}): {listed(strange)}; counted as misses"
            )
    else:
        n_clusters = int((seen[1:NO_CLASS] > 0).sum())
        notes.append(
            f"{n_clusters} clusters were predicted, "
            f"{len(of.mapping)} of {len(names) - 1} classes have one"
        )
    held, predicted = of.total.sum(axis=1) > 0, of.total[:, : len(names)].sum(axis=0) > 0
    for which, what in (
        (held & ~predicted, "classes of the truth are never predicted"),
        (predicted & ~held, "classes are predicted that the truth never holds"),
        (~held & ~predicted, "classes occur in neither truth nor prediction"),
    ):
        if which.any():
            # 25: more than VOC's classes, so that all of these are named, and not all of COCO's.
            found = listed([names[n] for n in np.flatnonzero(which).tolist()], 25)
            notes.append(f"{which.sum()} {what}: {found}")
    return notes


def _folded(counts: np.ndarray, columns: int) -> np.ndarray:
    """Return a confusion with only so many columns and a last one for all others."""
    folded = np.zeros((len(counts), columns + 1), np.int64)
    kept = min(columns, counts.shape[1])
    folded[:, :kept] = counts[:, :kept]
    folded[:, columns] = counts[:, kept:].sum(axis=1)
    return folded


def _size(label_map: np.ndarray) -> str:
    return f"{label_map.shape[1]} x {label_map.shape[0]} px"
