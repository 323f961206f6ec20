"""The verb `data` and its sub-commands: data sets from mirrors, and ground truth made ready. Texts are their help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from maskdistill.settings.run import Repeated


@dataclass(frozen=True, kw_only=True)
class VocInstances:
    """VOC's objects as COCO instances: of SegmentationObject and SegmentationClass, or the boxes of the XML files.

    Example: maskdistill data voc-instances VOCdevkit/VOC2012 --split segmentation/val --out voc-val.json
    """

    root: tyro.conf.Positional[Path]  # the devkit, VOC2007 or VOC2012, or the folder above one
    split: str  # segmentation/val, detection/trainval, ...
    out: Path  # JSON to write
    # what the objects are; boxes can be scored by `score instances` alone
    of: Literal["masks", "boxes"] = "masks"
    class_agnostic: bool = False  # one category, object


@dataclass(frozen=True, kw_only=True)
class Fetch:
    """Where a data set goes, and where it may come from."""

    out: Path  # DIR; an archive that lies in DIR/archives already is checked and used
    # URL, repeatable, tried first: a folder (ends in /), or a file by the archive's name
    mirror: Repeated = ()
    keep_archives: bool = False  # do not remove what was fetched once it is unpacked
    quiet: bool = False  # no progress


@dataclass(frozen=True, kw_only=True)
class FetchVoc2012(Fetch):
    """PASCAL VOC 2012, train and val: 2.0 GB to fetch, 2.0 GB unpacked. With SBD in the same DIR: trainaug.

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
    """The 19 817 pictures of COCO20k and their objects: 3.2 GB of single pictures, 0.25 GB of annotations.

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


FETCHES: dict[str, type[Fetch]] = {
    "voc2012": FetchVoc2012,
    "voc2007": FetchVoc2007,
    "sbd": FetchSbd,
    "coco20k": FetchCoco20k,
    "coco2017": FetchCoco2017,
}
DATA = ("voc-instances", *FETCHES)
DATA_HELP = (
    "Data sets from the first mirror that has them, and ground truth made ready to evaluate with.\n\n"
    "Example: maskdistill data voc2012 --out data/\n"
    "Example: maskdistill data voc-instances VOCdevkit/VOC2012 --split segmentation/val --out voc-val.json"
)
DATAS: Any = (
    Annotated[VocInstances, tyro.conf.subcommand("voc-instances", prefix_name=False)]
    | Annotated[FetchVoc2012, tyro.conf.subcommand("voc2012", prefix_name=False)]
    | Annotated[FetchVoc2007, tyro.conf.subcommand("voc2007", prefix_name=False)]
    | Annotated[FetchSbd, tyro.conf.subcommand("sbd", prefix_name=False)]
    | Annotated[FetchCoco20k, tyro.conf.subcommand("coco20k", prefix_name=False)]
    | Annotated[FetchCoco2017, tyro.conf.subcommand("coco2017", prefix_name=False)]
)
