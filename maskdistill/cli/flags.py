"""Words and flags of each command over a run: classes that tyro reads, and the settings chosen.

In:       the settings and the tuple of stages, whose comments and texts are the help
Out:      a dataclass a command of what is no setting; Chosen: which settings are its flags too
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from maskdistill import api
from maskdistill.cli.given import Chosen
from maskdistill.settings import FACETS, METHODS, CommonSettings, RunSettings
from maskdistill.settings.run import Repeated

if TYPE_CHECKING:
    Verb = str
else:
    Verb = Literal[api.VERBS]
# tyro takes none too: that there must be one is said by what takes them.
Paths = Annotated[
    tyro.conf.Positional[tuple[Path, ...]],
    tyro.conf.arg(metavar="PATH [PATH ...]", help_behavior_hint="(required)"),
]


@dataclass(frozen=True, kw_only=True)
class Run:
    """From a folder of pictures to trained segmenters: all stages, resumable.

    All flags: --help-all.

    Example: maskdistill run photos/ --out runs/photos
    """

    # folder of pictures, searched recursively; may be left out where RUN exists
    pictures: tyro.conf.Positional[Path | None] = None
    out: Path  # RUN: the folder of the run; the same command goes on where it was stopped
    until: Verb | None = None  # last stage to do
    # do stages again from here on, where their settings changed
    start: Annotated[Verb | None, tyro.conf.arg(name="from")] = None
    # STAGE=RUN1, repeatable: take a finished stage of another run that agrees in pictures, settings
    # and weights
    reuse: Repeated = ()
    quiet: bool = False  # no progress


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A folder of pictures to images.jsonl.

    Example: maskdistill scan photos/ --out runs/photos
    """

    pictures: tyro.conf.Positional[Path]  # folder of pictures, searched recursively
    out: Path  # RUN: the folder of the run
    redo: bool = False  # scan again if pictures or settings changed
    quiet: bool = False  # no progress


@dataclass(frozen=True, kw_only=True)
class OverRun:
    """Words of a verb over a run that is done again each time."""

    run: tyro.conf.Positional[Path]  # the run's folder
    quiet: bool = False  # no progress


@dataclass(frozen=True, kw_only=True)
class Stage(OverRun):
    """Words of a stage's own verb."""

    redo: bool = False  # do it again where its settings changed


@dataclass(frozen=True, kw_only=True)
class Propose(Stage):
    """Words of `propose` and its sweep, whose flags are no settings: a run stays as it is."""

    # make no proposals: try method x block x facet x centring x scale on a few pictures
    sweep: bool = False
    # how many, spread over the folder; with ground truth those with objects
    sweep_pictures: int = 24
    sweep_blocks: tuple[int, ...] = (-1, -2, -3, -4)  # to try, negative from the last
    sweep_methods: tuple[str, ...] = METHODS  # to try
    sweep_facets: tuple[str, ...] = FACETS  # to try
    # to try: px of the shorter side (maskcut: of both), 0: own size; none: as the settings have it
    sweep_scales: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Cluster(Stage):
    """Words of `cluster` and of names for clusters."""

    # cluster nothing: name the clusters that are there by a few labelled pictures, COCO JSON or
    # label maps
    name_with: Repeated = ()


@dataclass(frozen=True, kw_only=True)
class Evaluate(OverRun):
    """Words of `evaluate` and of a comparison with another run."""

    # another run: each number of both, with a paired test, and how far the two agree
    against: Path | None = None
    all: bool = False  # print every number, not one a stage


@dataclass(frozen=True, kw_only=True)
class Status:
    """State of each stage of a run: done, unfinished, stale or missing, with counts and times.

    Example: maskdistill status runs/photos
    """

    run: tyro.conf.Positional[Path]  # the run's folder


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Label maps (palette PNG) and instances (JSON) for new pictures, at their relative paths.

    Example: maskdistill predict runs/photos new-photos/ --out predictions/
    """

    run: tyro.conf.Positional[Path]  # the run's folder
    # a folder, searched recursively, files, or patterns ('new/*.jpg'); one at least
    pictures: Paths
    out: Path  # folder for label maps and instances
    device: str = "auto"  # auto | cpu | cuda | cuda:N
    # draw label maps to the edges of the picture by a dense CRF, as the paper does
    crf: bool = False
    # of stacks, animations and MPO files: the first page, or each one; the run's own if left out
    pages: Literal["first", "all"] | None = None
    quiet: bool = False  # no progress


@dataclass(frozen=True, kw_only=True)
class Export:
    """Masks of a run as a dataset that other tools read.

    Example: maskdistill export runs/photos --as coco
    """

    run: tyro.conf.Positional[Path]  # the run's folder
    # format: COCO instances with scores, category 1 + cluster
    form: Annotated[Literal["coco"], tyro.conf.arg(name="as")] = "coco"
    of: Literal["detections", "proposals", "pool"] = "detections"  # which masks
    # outlines (within 2 px, holes filled), as in the paper's files, in place of run lengths
    polygons: bool = False
    out: Path | None = None  # file to write; RUN/export/coco-<of>.json if left out


@dataclass(frozen=True, kw_only=True)
class Demo:
    """The whole job on pictures it draws itself: no download, a few minutes on two cores.

    Example: maskdistill demo --out runs/demo
    """

    out: Path = Path("runs/demo")  # folder for the drawn pictures and the run
    seed: int = 0  # of every random draw of the run; the pictures stay the same
    n_pictures: int = 96  # drawn to learn from
    n_validation: int = 64  # drawn to be held out
    n_kinds: int = 5  # of objects, 2 to 8
    quiet: bool = False  # no progress


@dataclass(frozen=True, kw_only=True)
class Masks:
    """Masks of pictures as PNG and JSON, at the pictures' relative paths; no run, nothing trained.

    NAME.png: 0 background, 1 .. n the masks by falling score, where they overlap the better one.
    NAME.json: score, area, box and whole mask of each.

    Example: maskdistill masks photos/ --out masks/ --method tokencut --max-masks 3
    """

    # a folder, searched recursively, files, or patterns ('photos/*.jpg'); one at least
    pictures: Paths
    out: Path  # folder for the masks; the same command goes on where it was stopped
    weights: str | None = None  # of the backbone: a name, a file, none
    separate: bool = False  # a black and white PNG a mask too: NAME.masks/1.png
    quiet: bool = False  # no progress


def names_of(cls: Any) -> tuple[str, ...]:
    """Return the names of the fields of a dataclass, in order."""
    return tuple(each.name for each in fields(cls))


OF_RUN = Chosen(names=names_of(RunSettings), shown=RunSettings)
OF_RUN_IN_SHORT = Chosen(names=names_of(CommonSettings), shown=RunSettings)
OF_SCAN = Chosen(
    names=(
        *("validation", "only", "limit", "seed"),
        *("max_megapixels", "orientation", "levels", "bands", "pages"),
    ),
    shown=RunSettings,
)
# Nothing is imported by `masks`, and pictures are seen one by one.
OF_MASKS = Chosen(
    names=(
        *("propose", "device", "threads", "limit"),
        *("precision", "workers", "max_megapixels", "orientation", "levels", "bands", "pages"),
    ),
    bare="propose",
    without=("import_file", "import_images", "import_top", "gpu_batch"),
)
_COMMON = {
    "propose": ("features", "weights", "ground_truth", "device", "threads", "seed"),
    # What makes nothing of the run has no use for weights, and must not be told another seed than
    # it was made with.
    "evaluate": ("ground_truth", "device", "threads", "seed", "seeds", "seeds_of"),
    "report": ("device", "threads"),
}


def of_stage(verb: str) -> Chosen:
    """Return the flags of a stage's own verb: its settings without prefix, and some of the run."""
    common = _COMMON.get(verb, ("weights", "ground_truth", "device", "threads", "seed"))
    return Chosen(names=(verb, *common), bare=verb)
