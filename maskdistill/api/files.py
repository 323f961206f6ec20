"""Anybody's files: predictions against ground truth, ground truth in another form, data sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maskdistill.errors import SettingsError

if TYPE_CHECKING:
    from maskdistill.measuring.score_files import Score


def voc_instances(
    *,
    root: str | Path,
    split: str,
    out: str | Path,
    of: str = "masks",
    class_agnostic: bool = False,
) -> dict[str, int]:
    """Write a split of a VOC devkit as a COCO instances JSON.

    Args:
        root: the devkit, VOC2007 or VOC2012, or the folder above one.
        split: segmentation/val, detection/trainval, ...
        of: masks, from the maps of objects; boxes, from the XML files.
        class_agnostic: one category, object.
    Returns:
        Counts: images, objects.
    """
    from maskdistill.downloads import voc_instances

    return voc_instances.instances(
        Path(root), split, Path(out), of=of, class_agnostic=class_agnostic
    )


def fetch(
    *,
    dataset: str,
    out: str | Path,
    mirrors: Sequence[str] = (),
    keep_archives: bool = False,
    names: str | Path | None = None,
    names_sha256: str | None = None,
    pictures: str | Path | None = None,
    whole_archive: bool = False,
    quiet: bool = False,
) -> list[str]:
    """Fetch a data set from the first mirror that has it, resumed, checked, unpacked; none twice.

    Args:
        dataset: voc2012, voc2007, sbd, coco20k, coco2017.
        out: DIR. An archive that lies in DIR/archives already is checked and used. VOC 2012 and SBD
            in one folder give the list of trainaug.
        mirrors: URLs that are tried first: a folder (ends in /), or a file by the archive's name.
        keep_archives: do not remove what was fetched once it is unpacked.
        names: of coco20k alone: the list, a file or URL; None: the usual one.
        names_sha256: of coco20k alone: the checksum of the list.
        pictures: of coco20k alone: a folder with pictures of train2014, which are linked.
        whole_archive: of coco20k alone: all of train2014.zip in place of single pictures.
        quiet: no progress.
    Returns:
        Lines that say how to go on: the command of a run with the lists and the ground truth that
        were made.
    Raises:
        DatasetError: no mirror has it (each with its reason), too small a disk, a damaged archive,
            a set not whole.
        SettingsError: an argument that is of coco20k alone.
    """
    from maskdistill.downloads import coco20k, run_command
    from maskdistill.downloads import fetch as stage
    from maskdistill.runs.progress import Progress

    of_coco20k = {
        "names": names,
        "names_sha256": names_sha256,
        "pictures": pictures,
        "whole_archive": whole_archive,
    }
    wanted = stage.named(dataset)
    given = [name for name, value in of_coco20k.items() if value]
    if given and dataset != "coco20k":
        raise SettingsError(f"{given[0]}: is of coco20k alone, not of {dataset}")
    progress = Progress(quiet=quiet)
    how = stage.Fetch(
        Path(out), mirrors=tuple(mirrors), keep_archives=keep_archives, progress=progress
    )
    if dataset == "coco20k":
        coco20k.work(
            how,
            names=None if names is None else str(names),
            names_sha256=names_sha256,
            pictures=None if pictures is None else Path(pictures),
            whole_archive=whole_archive,
        )
    else:
        stage.work(wanted, how)
    return run_command.make(dataset, Path(out), progress)


def score_semantic(
    *,
    predictions: str | Path,
    ground_truth: str | Path,
    classes: str | Path,
    only: str | Path | None = None,
    matching: str = "none",
    protocol: str = "occurring",
    missing: str = "refuse",
    label_values: str = "indices",
    void: int = 255,
    bootstrap: int = 200,
    seed: int = 0,
    weights: str = "",
    out: str | Path | None = None,
) -> Score:
    """Score label maps (PNG) against label maps, anybody's, without a run.

    Args:
        predictions: folder; joined with the truth by relative path, else file name.
        ground_truth: folder; 255 is not counted.
        classes: voc, or a file with a name a line, background first.
        only: a list of names, one a line: these pictures alone.
        matching: none: ids are classes; else clusters are matched with classes: iou, pixels,
            majority.
        protocol: occurring: mIoU over the classes in the truth; paper: absent ones are 0.
        missing: a truth without prediction: refuse, or it counts as background.
        label_values: of both folders: indices: class numbers; two_valued: 0 and 255 (or 1), masks
            of one class; voc_colours: by colour, of palettes too.
        void: the number in truths that is not counted, beside 255.
        bootstrap: samples for the intervals; 0: none.
        seed: of the samples.
        weights: of the network that predicted, and their licence, in words, for the files;
            "": unknown.
        out: FILE.json, FILE.csv or FILE.md; None: no file.
    Returns:
        Score: rows (as in metrics.json), notes (what stands beside the numbers), table() as
        Markdown.
    Raises:
        PredictionError, GroundTruthError: what does not fit, how many, and the first of them.
        SettingsError: an argument that cannot be used.
    """
    from maskdistill.measuring import score_files, score_semantic

    options = {"classes": str(classes), "rule": matching, "protocol": protocol, "missing": missing}
    options |= {"label_values": label_values}
    chosen = {**options, "void": void, "only": only, "resamples": bootstrap, "seed": seed}
    return score_files.written(
        score_semantic.score, Path(predictions), Path(ground_truth), out, chosen, weights=weights
    )


def score_instances(
    *,
    predictions: str | Path,
    ground_truth: str | Path,
    only: str | Path | None = None,
    matching: str = "none",
    crowds: str = "ignored",
    bootstrap: int = 200,
    seed: int = 0,
    weights: str = "",
    out: str | Path | None = None,
) -> Score:
    """Score a COCO results file against a COCO instances file, anybody's, without a run.

    Args:
        predictions: a list of records with image_id, category_id, score, and segmentation, bbox or
            both.
        matching: none: category ids are those of the truth; else they are clusters: overlap,
            release.
        crowds: of the truth: ignored, as COCO has it; or objects.
        All other arguments, the result and the errors as `score_semantic` has them.
    """
    from maskdistill.measuring import score_files, score_instances

    chosen = {
        "rule": matching,
        "crowds": crowds,
        "only": only,
        "resamples": bootstrap,
        "seed": seed,
    }
    return score_files.written(
        score_instances.score, Path(predictions), Path(ground_truth), out, chosen, weights=weights
    )
