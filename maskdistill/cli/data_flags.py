"""Words and flags of `data` and `score`, whose sub-commands work on anybody's files, without a run.

In:       nothing; the docstrings and comments are the help
Out:      a dataclass a sub-command, and the unions that tyro reads
"""

import functools
import operator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from maskdistill.settings.run import Repeated


@dataclass(frozen=True, kw_only=True)
class VocInstances:
    """VOC's objects as COCO instances: of SegmentationObject and SegmentationClass, or the boxes of
    the XML files.

    Example: maskdistill data voc-instances VOC2012 --split segmentation/val --out val.json
    """

    root: tyro.conf.Positional[Path]  # the devkit, VOC2007 or VOC2012, or the folder above one
    split: str  # segmentation/val, detection/trainval, ...
    out: Path  # JSON to write
    # what the objects are; boxes can be scored by `score instances` alone
    of: Literal["masks", "boxes"] = "masks"
    class_agnostic: bool = False  # one category, object


@dataclass(frozen=True, kw_only=True)
class Fetch:
    """Words that all data sets share: their place, their mirrors."""

    out: Path  # DIR; an archive that lies in DIR/archives already is checked and used
    # URL, repeatable, tried first: a folder (ends in /), or a file by the archive's name
    mirror: Repeated = ()
    keep_archives: bool = False  # do not remove what was fetched once it is unpacked
    quiet: bool = False  # no progress


@dataclass(frozen=True, kw_only=True)
class FetchVoc2012(Fetch):
    """PASCAL VOC 2012, train and val: 2.0 GB to fetch, 2.0 GB unpacked. With SBD in the same DIR:
    trainaug.

    Example: maskdistill data voc2012 --out data/
    """


@dataclass(frozen=True, kw_only=True)
class FetchVoc2007(Fetch):
    """PASCAL VOC 2007, train, val and test: 0.9 GB to fetch, 0.9 GB unpacked.

    Example: maskdistill data voc2007 --out data/
    """


@dataclass(frozen=True, kw_only=True)
class FetchSbd(Fetch):
    """SBD, the objects' outlines of 11 355 pictures of VOC: 1.4 GB to fetch, about 1.6 GB unpacked.

    Example: maskdistill data sbd --out data/
    """


@dataclass(frozen=True, kw_only=True)
class FetchCoco2017(Fetch):
    """COCO 2017, train and val with instances: 20.4 GB to fetch, 20.7 GB unpacked.

    Example: maskdistill data coco2017 --out data/
    """


@dataclass(frozen=True, kw_only=True)
class FetchCoco20k(Fetch):
    """The 19 817 pictures of COCO20k and their objects: 3.2 GB of single pictures, 0.25 GB of
    annotations.

    Example: maskdistill data coco20k --out data/
    """

    # the list of names: a file, or a URL; without one that of LOST's repository, whose checksum is
    # known
    names: Annotated[str | None, tyro.conf.arg(name="list")] = None
    # SHA-256 of the list; without one that of a URL is recorded at the first fetch and compared
    # from then on
    names_sha256: Annotated[str | None, tyro.conf.arg(name="list-sha256")] = None
    # a folder with pictures of train2014: they are linked, not fetched
    pictures: Path | None = None
    whole_archive: bool = False  # fetch train2014.zip (13.5 GB) in place of single pictures


DATA: dict[str, type] = {
    "voc-instances": VocInstances,
    "voc2012": FetchVoc2012,
    "voc2007": FetchVoc2007,
    "sbd": FetchSbd,
    "coco20k": FetchCoco20k,
    "coco2017": FetchCoco2017,
}
DATA_HELP = (
    "Data sets from the first mirror that has them, and ground truth made ready to evaluate with."
    "\n\n"
    "Example: maskdistill data voc2012 --out data/\n"
    "Example: maskdistill data voc-instances VOC2012 --split segmentation/val --out val.json"
)


@dataclass(frozen=True, kw_only=True)
class ScoreSemantic:
    """Label maps (PNG) against label maps: mIoU, pixel accuracy, IoU of each class.

    Example: maskdistill score semantic --predictions maps/ --ground-truth truth/ --classes voc
    """

    # folder of label maps; joined by relative path, else file name, with or without extension
    predictions: Path
    ground_truth: Path  # folder of label maps, 255 not counted
    classes: str  # voc, or a file with a name a line, background first
    # none: ids are classes; else clusters are matched: one to one by iou or pixels, or majority
    # (several may share one)
    matching: Literal["none", "iou", "pixels", "majority"] = "none"
    # mIoU over classes in the truth; paper: absent ones are 0
    protocol: Literal["occurring", "paper"] = "occurring"
    missing: Literal["refuse", "background"] = "refuse"  # a truth without prediction
    # values of both folders: class numbers; two_valued: 0 and 255 (or 1), masks of one class;
    # voc_colours: by colour, of palettes too
    label_values: Literal["indices", "two_valued", "voc_colours"] = "indices"
    # the number in truths whose pixels are not counted, beside 255; 0: unlabelled
    void: int = 255
    # a list of names, one a line, plain or gzipped: these pictures alone (a split of VOC, COCO20k)
    only: Path | None = None
    bootstrap: int = 200  # samples of the pictures for the intervals; 0: no intervals
    seed: int = 0  # of the samples
    # of the network that predicted, and their licence, in words: told in the table; "": unknown
    weights: str = ""
    out: Path | None = None  # FILE.json, FILE.csv or FILE.md: the table goes there too


@dataclass(frozen=True, kw_only=True)
class ScoreInstances:
    """COCO results against COCO instances: AP and AR by mask and box, class-aware and agnostic, all
    and single.

    Example: maskdistill score instances --predictions results.json --ground-truth instances.json
    """

    predictions: Path  # [{image_id, category_id, score, segmentation or bbox}, ...]
    ground_truth: Path  # a COCO instances JSON
    # none: category ids are those of the truth; else they are clusters, named by votes (Hungarian):
    # a mask votes for the object that it meets with IoU >= 0.5 (overlap), or for that of highest
    # box IoU, none met too (release)
    matching: Literal["none", "overlap", "release"] = "none"
    # of the truth: a crowd (iscrowd) is ignored, as COCO has it; or it is an object
    crowds: Literal["ignored", "objects"] = "ignored"
    # a list of names, one a line, plain or gzipped: these pictures alone (a split of VOC, COCO20k)
    only: Path | None = None
    bootstrap: int = 200  # samples of the pictures for the intervals; 0: no intervals
    seed: int = 0  # of the samples
    # of the network that predicted, and their licence, in words: told in the table; "": unknown
    weights: str = ""
    out: Path | None = None  # FILE.json, FILE.csv or FILE.md: the table goes there too


SCORE: dict[str, type] = {"semantic": ScoreSemantic, "instances": ScoreInstances}
SCORE_HELP = (
    "Files of predictions, anybody's, against ground truth: a table with intervals; no run.\n\n"
    "Example: maskdistill score semantic --predictions maps/ --ground-truth truth/ --classes voc"
)


def sub_commands(known: dict[str, type]) -> Any:
    """Return what tyro reads as sub-commands: name -> the dataclass of its words."""
    named: list[Any] = [
        Annotated[cls, tyro.conf.subcommand(name, prefix_name=False)] for name, cls in known.items()
    ]
    return functools.reduce(operator.or_, named)
