"""The verbs as commands; flags are made from the settings, so that each is written down once.

The first word chooses the verb, tyro reads the rest. Results go to standard output, progress to standard error,
and what is wrong is said in one message without a traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from maskdistill import __version__, api
from maskdistill.errors import MaskDistillError, SettingsError
from maskdistill.settings import CommonSettings, RunSettings, load, nearest

Verb = Literal["scan", "propose", "cluster", "detect", "label", "segment", "evaluate", "report"]


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where the pictures are and where the run goes."""

    # folder of pictures, searched recursively; may be left out where RUN exists
    pictures: tyro.conf.Positional[Path | None] = None
    out: Path = field(default=tyro.MISSING)  # RUN: the folder of the run; the same command goes on where it was stopped
    until: Verb | None = None  # last stage to do
    # do stages again from here on, where their settings changed
    start: Annotated[Verb | None, tyro.conf.arg(name="from")] = None
    quiet: bool = False  # no progress


@dataclass(frozen=True, kw_only=True)
class _Run(RunSettings, _Place):
    """From a folder of pictures to trained segmenters: all stages, resumable.

    Example: maskdistill run photos/ --out runs/photos
    """


@dataclass(frozen=True, kw_only=True)
class _RunInShort(CommonSettings, _Place):
    """From a folder of pictures to trained segmenters: all stages, resumable. All flags: --help-all.

    Example: maskdistill run photos/ --out runs/photos
    """


@dataclass(frozen=True, kw_only=True)
class _Status:
    """What is done, unfinished, stale or missing in a run, with counts and times.

    Example: maskdistill status runs/photos
    """

    run: tyro.conf.Positional[Path]  # the run's folder


@dataclass(frozen=True, kw_only=True)
class _Predict:
    """Label maps (palette PNG) and instances (JSON) for new pictures, at their relative paths.

    Example: maskdistill predict runs/photos new-photos/ --out predictions/
    """

    run: tyro.conf.Positional[Path]  # the run's folder
    pictures: tyro.conf.Positional[Path]  # folder of pictures
    out: Path  # folder for label maps and instances
    device: str = "auto"  # auto | cpu | cuda | cuda:N
    quiet: bool = False  # no progress


@dataclass(frozen=True, kw_only=True)
class _Export:
    """Masks of a run as a dataset that other tools read.

    Example: maskdistill export runs/photos --as coco
    """

    run: tyro.conf.Positional[Path]  # the run's folder
    # format: COCO instances with scores, category 1 + cluster
    form: Annotated[Literal["coco"], tyro.conf.arg(name="as")] = "coco"
    of: Literal["detections", "proposals"] = "detections"  # which masks
    out: Path | None = None  # file to write; RUN/export/coco-<of>.json if left out


@dataclass(frozen=True, kw_only=True)
class _Demo:
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
    "demo": "the whole job on pictures it draws itself",
}

OF_SCAN = ("validation", "limit", "seed", "max_megapixels", "orientation")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status is 0, or 2 for what a user can mend."""
    # Threads of libgomp spin while they wait; beside another busy process that makes two slower than one. It reads
    # this when torch is loaded. docs/log/training.md has the numbers.
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if words[0] == "--version":
        print(__version__)
        return 0
    verb, rest = words[0], words[1:]
    try:
        if verb not in VERBS:
            raise SettingsError(f"there is no command {verb!r}. Commands: {', '.join(VERBS)}.{nearest(verb, VERBS)}")
        print_lines(_command(verb)(rest))
    except MaskDistillError as error:
        print(f"maskdistill {verb}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on where it was", file=sys.stderr)
        return 130
    return 0


def print_lines(lines: list[str]) -> None:
    """A command's result on standard output."""
    for line in lines:
        print(line)


def _overview() -> str:
    width = max(map(len, VERBS))
    rows = "\n".join(f"  {verb:<{width}}  {what}" for verb, what in VERBS.items())
    return (
        f"maskdistill {__version__}: unsupervised semantic segmentation of any folder of pictures\n\n"
        f"usage: maskdistill COMMAND ...\n\n{rows}\n\n"
        "  maskdistill run photos/ --out runs/photos\n"
        "  maskdistill COMMAND --help     (run: --help-all for every setting)"
    )


def _command(verb: str) -> Callable[[list[str]], list[str]]:
    return {"run": _run, "status": _status, "predict": _predict, "export": _export, "demo": _demo, "scan": _scan}.get(
        verb, lambda rest: _stage(verb, rest)
    )


def _parse(cls: Any, verb: str, rest: list[str], default: Any = None) -> Any:
    chosen = {} if default is None else {"default": default}
    try:
        return tyro.cli(cls, prog=f"maskdistill {verb}", args=rest, **chosen)
    except ValueError as error:  # of a range, where tyro has no name for the settings that it belongs to
        raise SettingsError(str(error)) from error


def _layers(rest: list[str], *, run: Path | None) -> RunSettings:
    """Settings below the flags: preset and YAML file, or the config.yaml of a run that is there."""
    preset, config = _value_of(rest, "--preset"), _value_of(rest, "--config")
    if run is not None:
        return api.settings_for(run, None, preset, config, None)
    return load(preset_name=preset, config=Path(config) if config else None)


def _value_of(rest: list[str], flag: str) -> str | None:
    """`--preset` and `--config` are needed before tyro reads the flags that stand above them; the last one counts."""
    value = None
    for position, word in enumerate(rest):
        if word == flag and position + 1 < len(rest):
            value = rest[position + 1]
        if word.startswith(f"{flag}="):
            value = word.partition("=")[2]
    return value


def _run(rest: list[str]) -> list[str]:
    if "--help" in rest or "-h" in rest:
        _parse(_RunInShort, "run", ["--help"])
    if "--help-all" in rest:
        _parse(_Run, "run", ["--help"])
    out = _value_of(rest, "--out")
    below = _layers(rest, run=None)
    names = {each.name for each in fields(RunSettings)}
    given = _parse(_Run, "run", rest, _Run(**{name: getattr(below, name) for name in names}, out=tyro.MISSING))
    if given.pictures is None and out is not None:
        # Without PICTURES the run's own config.yaml stands in place of defaults and preset.
        below = _layers(rest, run=Path(out))
        given = _parse(_Run, "run", rest, _Run(**{name: getattr(below, name) for name in names}, out=tyro.MISSING))
    settings = RunSettings(**{name: getattr(given, name) for name in names})
    made = api.run(
        pictures=given.pictures,
        out=given.out,
        settings=settings,
        until=given.until,
        start=given.start,
        quiet=given.quiet,
    )
    return [str(made)]


def _scan(rest: list[str]) -> list[str]:
    out = _value_of(rest, "--out")
    below = _layers([], run=Path(out)) if out is not None and (Path(out) / "config.yaml").is_file() else None
    cls = make_dataclass(
        "Scan",
        [
            (
                "pictures",
                Annotated[Path, tyro.conf.Positional, tyro.conf.arg(help="folder of pictures, searched recursively")],
            ),
            ("out", Annotated[Path, tyro.conf.arg(help="RUN: the folder of the run")]),
            *_common_flags(*OF_SCAN, below=below),
            ("redo", Annotated[bool, tyro.conf.arg(help="scan again if pictures or settings changed")], False),
        ],
        frozen=True,
    )
    cls.__doc__ = "A folder of pictures to images.jsonl.\n\nExample: maskdistill scan photos/ --out runs/photos"
    given = _parse(cls, "scan", rest)
    values = {name: getattr(given, name) for name in OF_SCAN}
    return [str(api.scan(pictures=given.pictures, out=given.out, settings=values, redo=given.redo))]


def _stage(verb: str, rest: list[str]) -> list[str]:
    """A stage's own verb: its settings without prefix, over those in the run's config.yaml."""
    # RUN may stand behind flags and their values: it is the word that is a run, or else the first one.
    words = [Path(word) for word in rest if not word.startswith("-")]
    run = next((word for word in words if (word / "config.yaml").is_file()), words[0] if words else None)
    asks_help = any(word in ("-h", "--help", "--help-all") for word in rest)
    below = load() if asks_help or run is None else _layers([], run=run)
    common = ["weights", "ground_truth", "device", "threads", "seed"]
    flags: list[Any] = [("run", Annotated[Path, tyro.conf.Positional, tyro.conf.arg(help="the run's folder")])]
    own = getattr(below, verb)
    flags += [(verb, Annotated[type(own), tyro.conf.arg(name="")], own)]
    flags += _common_flags(*common, below=below)
    if verb == "propose":
        flags += _sweep_flags()
    if verb not in ("evaluate", "report"):
        flags += [("redo", Annotated[bool, tyro.conf.arg(help="do it again where its settings changed")], False)]
    cls = make_dataclass(verb.title(), flags, frozen=True)
    cls.__doc__ = f"{VERBS[verb]}.\n\nExample: maskdistill {verb} runs/photos"
    given = _parse(cls, verb, ["--help"] if asks_help else rest)
    values = {name: getattr(below, name) for name in (each.name for each in fields(RunSettings))}
    values |= {name: getattr(given, name) for name in common} | {verb: getattr(given, verb)}
    try:
        settings = RunSettings(**values)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    if verb == "propose" and given.sweep:
        rows = api.sweep(
            out=given.run,
            settings=settings,
            methods=given.sweep_methods,
            blocks=given.sweep_blocks,
            facets=given.sweep_facets,
            n_pictures=given.sweep_pictures,
        )
        return _table(rows)
    if verb in ("evaluate", "report"):
        made = getattr(api, verb)(out=given.run, settings=settings)
    else:
        made = getattr(api, verb)(out=given.run, settings=settings, redo=given.redo)
    return [str(made)]


def _sweep_flags() -> list[Any]:
    """Flags of `propose --sweep`, which are no settings: they change nothing of a run."""
    methods, facets = ("maskdistill", "lost", "tokencut", "maskcut"), ("keys", "queries", "values", "tokens")
    named: list[tuple[str, Any, Any, str]] = [
        ("sweep", bool, False, "make no proposals: try method x block x facet x centring on a few pictures"),
        ("sweep_pictures", int, 12, "how many, spread over the folder; with ground truth those with objects"),
        ("sweep_blocks", tuple[int, ...], (-1, -2, -3, -4), "to try, negative from the last"),
        ("sweep_methods", tuple[str, ...], methods, "to try"),
        ("sweep_facets", tuple[str, ...], facets, "to try"),
    ]
    return [(name, Annotated[kind, tyro.conf.arg(help=text)], start) for name, kind, start, text in named]


def _table(rows: list[dict[str, Any]]) -> list[str]:
    """Rows of equal keys as lines of text, in columns."""
    shown = [
        list(rows[0]),
        *([f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows),
    ]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return ["  ".join(f"{word:<{width}}" for word, width in zip(line, widths, strict=True)).rstrip() for line in shown]


def _common_flags(*names: str, below: RunSettings | None = None) -> list[Any]:
    """Flags of settings that no stage owns, with the help that stands beside each."""
    import typing

    hints = typing.get_type_hints(RunSettings, include_extras=True)
    helps = {
        "weights": "STAGE=WHAT, repeatable; WHAT: a name, a file, none, for segment also detect",
        "ground_truth": "COCO JSON or folder of label maps, repeatable; only evaluated with",
        "device": "auto | cpu | cuda | cuda:N",
        "threads": "of the CPU's arithmetic; 0: all cores",
        "seed": "of every random draw",
        "validation": "pictures never trained on: a folder, a fraction, or a file with a list of paths",
        "limit": "first N pictures by path; 0: all",
        "max_megapixels": "of a picture; larger ones are left out",
        "orientation": "exif: turned as the EXIF tag says; stored: as they are stored",
    }
    start = below or RunSettings()
    return [(name, Annotated[hints[name], tyro.conf.arg(help=helps[name])], getattr(start, name)) for name in names]


def _status(rest: list[str]) -> list[str]:
    given = _parse(_Status, "status", rest)
    return [_row(row) for row in api.status(out=given.run)]


def _row(row: dict[str, Any]) -> str:
    counts = ", ".join(f"{name} {value}" for name, value in row["counts"].items())
    seconds = f"{row['seconds']:8.1f} s" if row["seconds"] is not None else " " * 10
    return f"{row['stage']:<14} {row['state']:<10} {seconds}  {counts}" + "".join(f"\n    {why}" for why in row["why"])


def _predict(rest: list[str]) -> list[str]:
    given = _parse(_Predict, "predict", rest)
    counts = api.predict(run=given.run, pictures=given.pictures, out=given.out, device=given.device, quiet=given.quiet)
    return [", ".join(f"{name} {value}" for name, value in counts.items()), str(given.out)]


def _export(rest: list[str]) -> list[str]:
    given = _parse(_Export, "export", rest)
    return [str(api.export(run=given.run, of=given.of, out=given.out))]


def _demo(rest: list[str]) -> list[str]:
    given = _parse(_Demo, "demo", rest)
    made = api.demo(
        out=given.out,
        seed=given.seed,
        n_pictures=given.n_pictures,
        n_validation=given.n_validation,
        n_kinds=given.n_kinds,
        quiet=given.quiet,
    )
    return [f"report: {made}"]


if __name__ == "__main__":
    sys.exit(main())
