"""Anybody's files: predictions against ground truth, ground truth from one form to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maskdistill.stages.score import Score


def voc_instances(
    *, root: str | Path, split: str, out: str | Path, of: str = "masks", class_agnostic: bool = False
) -> dict[str, int]:
    """A split of a VOC devkit as a COCO instances JSON: of its maps of objects (masks), or its XML files (boxes).

    Returns:
        Counts: images, objects.
    """
    from maskdistill.stages import voc

    return voc.instances(Path(root), split, Path(out), of=of, class_agnostic=class_agnostic)


def score_semantic(
    *,
    predictions: str | Path,
    ground_truth: str | Path,
    classes: str | Path,
    only: str | Path | None = None,
    matching: str = "none",
    protocol: str = "occurring",
    missing: str = "refuse",
    bootstrap: int = 200,
    seed: int = 0,
    weights: str = "",
    out: str | Path | None = None,
) -> Score:
    """Label maps (PNG) against label maps, anybody's, without a run.

    Args:
        predictions, ground_truth: folders, joined by relative path, else file name; 255 in the truth is ignored.
        classes: voc, or a file with a name a line, background first.
        only: a list of names, one a line: these pictures alone.
        matching: none: ids are classes; else clusters are matched with classes: iou, pixels, majority.
        protocol: occurring: mIoU over the classes in the truth; paper: absent ones are 0.
        missing: what a truth without prediction does: refuse, or it counts as background.
        bootstrap: samples for the intervals; 0: none. out: FILE.json, FILE.csv or FILE.md.
        weights: of the network that predicted, and their licence, in words, for the files; "": unknown.
    Returns:
        rows (as in metrics.json), notes (what stands beside the numbers), table() as Markdown.
    Raises:
        PredictionError, GroundTruthError: what does not fit, how many, and the first of them. SettingsError.
    """
    from maskdistill.stages import score, score_semantic

    options = {"classes": str(classes), "rule": matching, "protocol": protocol, "missing": missing}
    chosen = {**options, "only": only, "resamples": bootstrap, "seed": seed}
    return score.written(score_semantic.score, Path(predictions), Path(ground_truth), out, chosen, weights=weights)


def score_instances(
    *,
    predictions: str | Path,
    ground_truth: str | Path,
    only: str | Path | None = None,
    matching: str = "none",
    bootstrap: int = 200,
    seed: int = 0,
    weights: str = "",
    out: str | Path | None = None,
) -> Score:
    """A COCO results file against a COCO instances file, anybody's, without a run.

    Args:
        predictions: a list of records with image_id, category_id, score, and segmentation, bbox or both.
        matching: none: category ids are those of the truth; else they are clusters: overlap, release.
        All others, and what is returned and raised, as `score_semantic` has it.
    """
    from maskdistill.stages import score, score_instances

    chosen = {"rule": matching, "only": only, "resamples": bootstrap, "seed": seed}
    return score.written(score_instances.score, Path(predictions), Path(ground_truth), out, chosen, weights=weights)
