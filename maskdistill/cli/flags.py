"""What each command is told: its words and its flags, made from the settings, so that each is written down once.

tyro makes help and parser of these classes; cli.py reads them and calls api.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from maskdistill.settings import CommonSettings, RunSettings
from maskdistill.settings.propose import ProposeSettings
from maskdistill.settings.run import Repeated, Verb


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the pictures are and where the run goes."""

    # folder of pictures, searched recursively; may be left out where RUN exists
    pictures: tyro.conf.Positional[Path | None] = None
    # RUN: the folder of the run; the same command goes on where it was stopped
    out: Path = tyro.MISSING
    until: Verb | None = None  # last stage to do
    # do stages again from here on, where their settings changed
    start: Annotated[Verb | None, tyro.conf.arg(name="from")] = None
    # STAGE=RUN1, repeatable: take a finished stage of another run that agrees in pictures, settings
    # and weights
    reuse: Repeated = ()
    quiet: bool = False  # no progress


@dataclass(frozen=True, kw_only=True)
class Run(RunSettings, Place):
    """From a folder of pictures to trained segmenters: all stages, resumable.

    Example: maskdistill run photos/ --out runs/photos
    """


@dataclass(frozen=True, kw_only=True)
class RunInShort(CommonSettings, Place):
    """From a folder of pictures to trained segmenters: all stages, resumable. All flags: --help-all.

    Example: maskdistill run photos/ --out runs/photos
    """


@dataclass(frozen=True, kw_only=True)
class Status:
    """What is done, unfinished, stale or missing in a run, with counts and times.

    Example: maskdistill status runs/photos
    """

    run: tyro.conf.Positional[Path]  # the run's folder


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Label maps (palette PNG) and instances (JSON) for new pictures, at their relative paths.

    Example: maskdistill predict runs/photos new-photos/ --out predictions/
    """

    run: tyro.conf.Positional[Path]  # the run's folder
    pictures: tyro.conf.Positional[Path]  # folder of pictures
    out: Path  # folder for label maps and instances
    device: str = "auto"  # auto | cpu | cuda | cuda:N
    # draw label maps to the edges of the picture by a dense CRF, as the paper does
    crf: bool = False
    quiet: bool = False  # no progress


@dataclass(frozen=True, kw_only=True)
class Export:
    """Masks of a run as a dataset that other tools read.

    Example: maskdistill export runs/photos --as coco
    """

    run: tyro.conf.Positional[Path]  # the run's folder
    # format: COCO instances with scores, category 1 + cluster
    form: Annotated[Literal["coco"], tyro.conf.arg(name="as")] = "coco"
    of: Literal["detections", "proposals"] = "detections"  # which masks
    # outlines (within 2 px, holes filled), as in the paper's files, in place of run lengths
    polygons: bool = False
    out: Path | None = None  # file to write; RUN/export/coco-<of>.json if left out


@dataclass(frozen=True, kw_only=True)
class ScoreSemantic:
    """Label maps (PNG) against label maps: mIoU, pixel accuracy, IoU of each class.

    Example: maskdistill score semantic --predictions maps/ --ground-truth SegmentationClass/ --classes voc
    """

    # folder of label maps; joined by relative path, else file name, with or without extension
    predictions: Path
    ground_truth: Path  # folder of label maps, 255 ignored
    classes: str  # voc, or a file with a name a line, background first
    # none: ids are classes; else clusters are matched: one to one by iou or pixels, or majority
    # (several may share one)
    matching: Literal["none", "iou", "pixels", "majority"] = "none"
    # mIoU over classes in the truth; paper: absent ones are 0
    protocol: Literal["occurring", "paper"] = "occurring"
    missing: Literal["refuse", "background"] = "refuse"  # a truth without prediction
    # a list of names, one a line, plain or gzipped: these pictures alone (a split of VOC, COCO20k)
    only: Path | None = None
    bootstrap: int = 200  # samples of the pictures for the intervals; 0: no intervals
    seed: int = 0  # of the samples
    # of the network that predicted, and their licence, in words: told in the table; "": unknown
    weights: str = ""
    out: Path | None = None  # FILE.json, FILE.csv or FILE.md: the table goes there too


@dataclass(frozen=True, kw_only=True)
class ScoreInstances:
    """COCO results against COCO instances: AP and AR by mask and box, class-aware and agnostic, all and single.

    Example: maskdistill score instances --predictions results.json --ground-truth instances.json
    """

    predictions: Path  # [{image_id, category_id, score, segmentation or bbox}, ...]
    ground_truth: Path  # a COCO instances JSON
    # none: category ids are those of the truth; else they are clusters, named by votes (Hungarian):
    # a mask votes for the object that it meets with IoU >= 0.5 (overlap), or for that of highest
    # box IoU, none met too (release)
    matching: Literal["none", "overlap", "release"] = "none"
    # a list of names, one a line, plain or gzipped: these pictures alone (a split of VOC, COCO20k)
    only: Path | None = None
    bootstrap: int = 200  # samples of the pictures for the intervals; 0: no intervals
    seed: int = 0  # of the samples
    # of the network that predicted, and their licence, in words: told in the table; "": unknown
    weights: str = ""
    out: Path | None = None  # FILE.json, FILE.csv or FILE.md: the table goes there too


SCORES: Any = (
    Annotated[ScoreSemantic, tyro.conf.subcommand("semantic", prefix_name=False)]
    | Annotated[ScoreInstances, tyro.conf.subcommand("instances", prefix_name=False)]
)
SCORE_HELP = (
    "Files of predictions, anybody's, against ground truth: a table with intervals; no run.\n\n"
    "Example: maskdistill score semantic --predictions maps/ --ground-truth truth/ --classes voc"
)


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


VERBS: dict[str, str] = {
    "run": "everything below, in order, from a folder of pictures to the report",
    "scan": "a folder of pictures -> rows with ids, sizes, content hashes",
    "propose": "pictures -> proposals: masks of a self-supervised backbone",
    "cluster": "masks -> clusters: embeddings and k-means",
    "detect": "noisy masks -> a Mask R-CNN, and its detections",
    "label": "confident detections -> label maps",
    "segment": "label maps -> a DeepLabv3, and its predictions",
    "evaluate": "all of it against ground truth, where there is some",
    "report": "one page that shows it all",
    "status": "what is done, unfinished, stale",
    "predict": "a trained run on new pictures",
    "export": "masks as a COCO dataset",
    "masks": "pictures -> their masks as PNG and JSON, without a run",
    "data": "data sets from mirrors, ground truth as COCO instances",
    "score": "anybody's predictions against ground truth, without a run",
    "demo": "the whole job on pictures it draws itself",
}

OF_SCAN = ("validation", "only", "limit", "seed", "max_megapixels", "orientation")
OF_MASKS = ("device", "threads", "limit", "precision", "workers", "max_megapixels", "orientation")
OF_STAGE = ("weights", "ground_truth", "device", "threads", "seed")
# What makes nothing of the run has no use for weights, and must not be told another seed than it was made with.
OF_EVALUATE = ("ground_truth", "device", "threads", "seed", "seeds", "seeds_of")
OF_REPORT = ("device", "threads")


def common(verb: str) -> tuple[str, ...]:
    """The settings of no stage that a stage's own verb has flags for."""
    return {"evaluate": OF_EVALUATE, "report": OF_REPORT}.get(verb, OF_STAGE)


def scan(below: RunSettings | None) -> Any:
    """The class of `scan`, whose defaults are those of the run that is there already."""
    cls = make_dataclass(
        "Scan",
        [
            (
                "pictures",
                Annotated[
                    Path,
                    tyro.conf.Positional,
                    tyro.conf.arg(help="folder of pictures, searched recursively"),
                ],
            ),
            ("out", Annotated[Path, tyro.conf.arg(help="RUN: the folder of the run")]),
            *_common_flags(*OF_SCAN, below=below),
            (
                "redo",
                Annotated[bool, tyro.conf.arg(help="scan again if pictures or settings changed")],
                False,
            ),
        ],
        frozen=True,
    )
    cls.__doc__ = "A folder of pictures to images.jsonl.\n\nExample: maskdistill scan photos/ --out runs/photos"
    return cls


def stage(verb: str, below: RunSettings) -> Any:
    """The class of a stage's own verb: its settings without prefix, over those of the run."""
    flags: list[Any] = [
        ("run", Annotated[Path, tyro.conf.Positional, tyro.conf.arg(help="the run's folder")])
    ]
    own = getattr(below, verb)
    flags += [(verb, Annotated[type(own), tyro.conf.arg(name="")], own)]
    flags += _common_flags(*common(verb), below=below)
    if verb == "propose":
        flags += _sweep_flags()
    if verb == "evaluate":
        text = "another run: each number of both, with a paired test, and how far the two agree"
        flags += [("against", Annotated[Path | None, tyro.conf.arg(help=text)], None)]
    if verb == "cluster":
        text = "cluster nothing: name the clusters that are there by a few labelled pictures, COCO JSON or label maps"
        flags += [("name_with", Annotated[Repeated, tyro.conf.arg(help=text)], ())]
    if verb not in ("evaluate", "report"):
        flags += [
            (
                "redo",
                Annotated[bool, tyro.conf.arg(help="do it again where its settings changed")],
                False,
            )
        ]
    cls = make_dataclass(verb.title(), flags, frozen=True)
    cls.__doc__ = f"{VERBS[verb]}.\n\nExample: maskdistill {verb} runs/photos"
    return cls


@dataclass(frozen=True, kw_only=True)
class ProposeAlone(ProposeSettings):
    """What `masks` can be told of `propose`: nothing is imported there, and pictures are seen one by one."""

    import_file: tyro.conf.Suppress[str] = ""
    import_images: tyro.conf.Suppress[str] = ""
    import_top: tyro.conf.Suppress[int] = 0
    gpu_batch: tyro.conf.Suppress[int] = 1


def masks(below: RunSettings) -> Any:
    """The class of `masks`: the settings of `propose` without prefix."""
    named: list[tuple[str, Any, str]] = [
        ("pictures", tyro.conf.Positional[Path], "folder of pictures, searched recursively"),
        ("out", Path, "folder for the masks; the same command goes on where it was stopped"),
    ]
    own = ProposeAlone(**vars(below.propose))
    cls = make_dataclass(
        "Masks",
        [
            *((name, Annotated[kind, tyro.conf.arg(help=text)]) for name, kind, text in named),
            ("propose", Annotated[type(own), tyro.conf.arg(name="")], own),
            (
                "weights",
                Annotated[str | None, tyro.conf.arg(help="of the backbone: a name, a file, none")],
                None,
            ),
            *_common_flags(*OF_MASKS, below=below),
            (
                "separate",
                Annotated[
                    bool, tyro.conf.arg(help="a black and white PNG a mask too: NAME.masks/1.png")
                ],
                False,
            ),
            ("quiet", Annotated[bool, tyro.conf.arg(help="no progress")], False),
        ],
        frozen=True,
    )
    cls.__doc__ = (
        "Masks of pictures as PNG and JSON, at the pictures' relative paths; no run, nothing trained.\n\n"
        "NAME.png: 0 background, 1 .. n the masks by falling score, where they overlap the better one. "
        "NAME.json: score, area, box and whole mask of each.\n\n"
        "Example: maskdistill masks photos/ --out masks/ --method tokencut --max-masks 3"
    )
    return cls


def _sweep_flags() -> list[Any]:
    """Flags of `propose --sweep`, which are no settings: they change nothing of a run."""
    methods, facets = (
        ("maskdistill", "lost", "tokencut", "maskcut"),
        ("keys", "queries", "values", "tokens"),
    )
    named: list[tuple[str, Any, Any, str]] = [
        (
            "sweep",
            bool,
            False,
            "make no proposals: try method x block x facet x centring on a few pictures",
        ),
        (
            "sweep_pictures",
            int,
            12,
            "how many, spread over the folder; with ground truth those with objects",
        ),
        ("sweep_blocks", tuple[int, ...], (-1, -2, -3, -4), "to try, negative from the last"),
        ("sweep_methods", tuple[str, ...], methods, "to try"),
        ("sweep_facets", tuple[str, ...], facets, "to try"),
    ]
    return [
        (name, Annotated[kind, tyro.conf.arg(help=text)], start)
        for name, kind, start, text in named
    ]


def _common_flags(*names: str, below: RunSettings | None = None) -> list[Any]:
    """Flags of settings that no stage owns, with the help that stands beside each."""
    hints = typing.get_type_hints(RunSettings, include_extras=True)
    helps = {
        "weights": "STAGE=WHAT, repeatable; WHAT: a name, a file, none, for segment also detect",
        "ground_truth": "COCO JSON or folder of label maps, repeatable, in place of the run's; '': none",
        "device": "auto | cpu | cuda | cuda:N",
        "threads": "of the CPU's arithmetic; 0: all cores",
        "seed": "of every random draw",
        "seeds": "that many seeds, from the run's own on, of those made by `run --seeds`: mean and deviation; 1: none",
        "seeds_of": "what is repeated: chain: all after the proposals; clusters: k-means alone, a smaller spread",
        "validation": "pictures never trained on: a folder, a fraction, or a file with a list of paths",
        "only": "a list of names, one a line: of PICTURES these alone, and those of a list given to --validation",
        "limit": "first N pictures by path; 0: all",
        "max_megapixels": "of a picture; larger ones are left out",
        "precision": "of the backbone; bfloat16 moves a few masks",
        "workers": "threads that decode pictures ahead of the device; results do not depend on it",
        "orientation": "exif: turned as the EXIF tag says; stored: as they are stored",
    }
    start = below or RunSettings()
    return [
        (name, Annotated[hints[name], tyro.conf.arg(help=helps[name])], getattr(start, name))
        for name in names
    ]
