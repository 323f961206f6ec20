"""Commands: one table, each with its function, its words, its settings, its line of help.

In:       the words behind `maskdistill`
Out:      results on standard output, progress on standard error, an exit status; what is wrong is
          said in one message without a traceback
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from maskdistill import __version__, api
from maskdistill.cli import data_flags, flags
from maskdistill.cli.advice import in_flags
from maskdistill.cli.given import Chosen, Layer, parse
from maskdistill.cli.lines import counted, print_lines, state, table, until_nobody_reads
from maskdistill.errors import MaskDistillError, SettingsError
from maskdistill.settings import RunSettings, load, nearest, over


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words of the command; None: those that the process was started with.
    Returns:
        The exit status: 0; 2 for what a user can mend; 130 where it was stopped by Ctrl-C.
    """
    # Threads of libgomp spin while they wait; beside another busy process that makes two slower
    # than one. It reads this when torch is loaded. docs/log/training.md has the numbers.
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        print_lines([_overview()])
        return 0
    if words[0] == "--version":
        print_lines([__version__])
        return 0
    name, rest = words[0], words[1:]
    try:
        _check_name(name, COMMANDS, f"there is no command {name!r}. Commands")
        command = COMMANDS[name]
        print_lines(command.does(*_given(name, command, rest)))
    except MaskDistillError as error:
        chosen = COMMANDS[name].settings if name in COMMANDS else None
        print(f"maskdistill {name}: {in_flags(str(error), chosen)}", file=sys.stderr)
        return 2
    except OSError as error:  # of the system, wherever nobody has said more of it
        where = f"{error.filename}: " if error.filename else ""
        what = f"{where}{error.strerror or error}. {_advice(error)}"
        print(f"maskdistill {name}: {what}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        more = "; the same command goes on where it was" if COMMANDS[name].goes_on else ""
        print(f"\nstopped{more}", file=sys.stderr)
        return 130
    return 0


@dataclass(frozen=True, kw_only=True)
class Command:
    """Describe one command.

    Attributes:
        help: its line in the list of commands.
        does: takes what the words say, and the layer of settings where some are chosen; returns
            the lines of its result.
        words: the class that tyro reads, or a union of them: sub-commands.
        settings: those that are flags too.
        about: the head of its help; None: the docstring of `words`.
        parts: the names of its sub-commands.
        in_short: the settings that `--help` shows; `--help-all` shows all. None: all at once.
        goes_on: it keeps what was half done when it is stopped.
    """

    help: str
    does: Callable[..., list[str]]
    words: Any
    settings: Chosen | None = None
    about: str | None = None
    parts: tuple[str, ...] = ()
    in_short: Chosen | None = None
    goes_on: bool = True


def _given(name: str, command: Command, rest: list[str]) -> tuple[Any, ...]:
    """Return what a command is told; where tyro prints help or refuses, the process ends."""
    if command.parts:
        rest = rest or ["--help"]
        if not rest[0].startswith("-"):
            _check_name(rest[0], command.parts, f"there is no {rest[0]!r}. There are")
    settings, about = command.settings, command.about
    if command.in_short and {"-h", "--help"} & set(rest):
        rest, settings, about = ["--help"], command.in_short, None
    if "--help-all" in rest:
        rest = ["--help"]
    with until_nobody_reads():
        return parse(command.words, settings, rest, prog=f"maskdistill {name}", about=about)
    raise SystemExit(0)  # of help that nobody read to its end


def _check_name(name: str, known: Iterable[str], what: str) -> None:
    if name not in known:
        raise SettingsError(f"{what}: {', '.join(known)}.{nearest(name, known)}")


def _advice(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "Free some space, then give the same command again"
    return "See that it is there and may be read and written, then give the same command again"


def _overview() -> str:
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {command.help}" for name, command in COMMANDS.items())
    return (
        f"maskdistill {__version__}: unsupervised semantic segmentation of any folder of pictures\n"
        f"\nusage: maskdistill COMMAND ...\n\n{rows}\n\n"
        "  maskdistill run photos/ --out runs/photos\n"
        "  maskdistill masks photos/ --out masks/\n"
        "  maskdistill COMMAND --help     (run: --help-all for every setting)"
    )


def _settings(layer: Layer, *, run: Path | None) -> RunSettings:
    """Return defaults < preset < file < flags; of a run its config.yaml in place of a preset."""
    preset, config = layer.get("preset"), layer.get("config")
    if run is not None:
        backbone = layer.get("propose", {}).get("backbone")
        before = api.settings_for(run, preset=preset, config=config, backbone=backbone)
        return over(before, layer)
    return over(load(preset_name=preset, config=config), layer)


def _run(words: flags.Run, layer: Layer) -> list[str]:
    made = api.run(
        pictures=words.pictures,
        out=words.out,
        settings=_settings(layer, run=words.out if words.pictures is None else None),
        until=words.until,
        start=words.start,
        reuse=_sources(words.reuse),
        quiet=words.quiet,
    )
    return [str(made)]


def _sources(entries: tuple[str, ...]) -> dict[str, str]:
    """Return STAGE=RUN1 as {stage: run}; the last one of a stage counts."""
    for entry in entries:
        if not all(entry.partition("=")):
            raise SettingsError(
                f"reuse: {entry!r} is not STAGE=RUN1. For example: --reuse propose=runs/a"
            )
    return {entry.partition("=")[0]: entry.partition("=")[2] for entry in entries}


def _scan(words: flags.Scan, layer: Layer) -> list[str]:
    settings = _settings(layer, run=words.out if api.is_run(words.out) else None)
    return [str(api.scan(settings=settings, **_arguments(words)))]


def _propose(words: flags.Propose, layer: Layer) -> list[str]:
    over_run = _over_run(words, layer)
    if not words.sweep:
        return [str(api.propose(redo=words.redo, **over_run))]
    rows = api.sweep(
        methods=words.sweep_methods,
        blocks=words.sweep_blocks,
        facets=words.sweep_facets,
        scales=words.sweep_scales,
        n_pictures=words.sweep_pictures,
        **over_run,
    )
    return table(rows)


def _cluster(words: flags.Cluster, layer: Layer) -> list[str]:
    over_run = _over_run(words, layer)
    if words.name_with:
        return table(api.name_clusters(labelled=words.name_with, **over_run))
    return [str(api.cluster(redo=words.redo, **over_run))]


def _detect(words: flags.Stage, layer: Layer) -> list[str]:
    return [str(api.detect(redo=words.redo, **_over_run(words, layer)))]


def _label(words: flags.Stage, layer: Layer) -> list[str]:
    return [str(api.label(redo=words.redo, **_over_run(words, layer)))]


def _segment(words: flags.Stage, layer: Layer) -> list[str]:
    return [str(api.segment(redo=words.redo, **_over_run(words, layer)))]


def _evaluate(words: flags.Evaluate, layer: Layer) -> list[str]:
    over_run = _over_run(words, layer)
    return [str(api.evaluate(against=words.against, show_all=words.all, **over_run))]


def _report(words: flags.OverRun, layer: Layer) -> list[str]:
    return [str(api.report(**_over_run(words, layer)))]


def _over_run(words: flags.OverRun, layer: Layer) -> dict[str, Any]:
    """Return the arguments that every verb over a run takes."""
    settings = _settings(layer, run=words.run)
    return {"out": words.run, "settings": settings, "quiet": words.quiet}


def _status(words: flags.Status) -> list[str]:
    return [state(row) for row in api.status(out=words.run)]


def _predict(words: flags.Predict) -> list[str]:
    return [counted(api.predict(**_arguments(words))), str(words.out)]


def _export(words: flags.Export) -> list[str]:
    made = api.export(run=words.run, of=words.of, out=words.out, polygons=words.polygons)
    return [str(made)]


def _masks(words: flags.Masks, layer: Layer) -> list[str]:
    if words.weights is not None:  # as the verbs of a run have it, with the stage, too
        layer = {**layer, "weights": (f"propose={words.weights.removeprefix('propose=')}",)}
    counts = api.masks(
        pictures=words.pictures,
        out=words.out,
        separate=words.separate,
        settings=over(replace(load(), weights=()), layer),
        quiet=words.quiet,
    )
    return [counted(counts), str(words.out)]


def _data(words: Any) -> list[str]:
    given = _arguments(words)
    if isinstance(words, data_flags.VocInstances):
        return [counted(api.voc_instances(**given)), str(words.out)]
    name = next(name for name, cls in data_flags.DATA.items() if type(words) is cls)
    return api.fetch(dataset=name, mirrors=given.pop("mirror"), **given)


def _score(words: Any) -> list[str]:
    is_semantic = isinstance(words, data_flags.ScoreSemantic)
    score = api.score_semantic if is_semantic else api.score_instances
    made = score(**_arguments(words))
    return [made.table()] + ([str(words.out)] if words.out else [])


def _demo(words: flags.Demo) -> list[str]:
    return [f"report: {api.demo(**_arguments(words))}"]


def _arguments(words: Any) -> dict[str, Any]:
    return {each.name: getattr(words, each.name) for each in fields(words)}


def _stage(
    verb: str, does: Callable[..., list[str]], words: Any, *, goes_on: bool = True
) -> Command:
    """Return the command of a stage over a run; its line of help is that of the tuple of stages."""
    line = api.HELP[verb]
    return Command(
        help=line,
        does=does,
        words=words,
        settings=flags.of_stage(verb),
        about=f"{line}.\n\nExample: maskdistill {verb} runs/photos",
        goes_on=goes_on,
    )


COMMANDS = {
    "run": Command(
        help="everything below, in order, from a folder of pictures to the report",
        does=_run,
        words=flags.Run,
        settings=flags.OF_RUN,
        in_short=flags.OF_RUN_IN_SHORT,
    ),
    "scan": Command(help=api.HELP["scan"], does=_scan, words=flags.Scan, settings=flags.OF_SCAN),
    "propose": _stage("propose", _propose, flags.Propose),
    "cluster": _stage("cluster", _cluster, flags.Cluster),
    "detect": _stage("detect", _detect, flags.Stage),
    "label": _stage("label", _label, flags.Stage),
    "segment": _stage("segment", _segment, flags.Stage),
    "evaluate": _stage("evaluate", _evaluate, flags.Evaluate, goes_on=False),
    "report": _stage("report", _report, flags.OverRun, goes_on=False),
    "status": Command(
        help="what is done, unfinished, stale", does=_status, words=flags.Status, goes_on=False
    ),
    "predict": Command(help="a trained run on new pictures", does=_predict, words=flags.Predict),
    "export": Command(
        help="masks as a COCO dataset", does=_export, words=flags.Export, goes_on=False
    ),
    "masks": Command(
        help="pictures -> their masks as PNG and JSON, without a run",
        does=_masks,
        words=flags.Masks,
        settings=flags.OF_MASKS,
    ),
    "data": Command(
        help="data sets from mirrors, ground truth as COCO instances",
        does=_data,
        words=data_flags.sub_commands(data_flags.DATA),
        about=data_flags.DATA_HELP,
        parts=tuple(data_flags.DATA),
    ),
    "score": Command(
        help="anybody's predictions against ground truth, without a run",
        does=_score,
        words=data_flags.sub_commands(data_flags.SCORE),
        about=data_flags.SCORE_HELP,
        parts=tuple(data_flags.SCORE),
        goes_on=False,
    ),
    "demo": Command(help="the whole job on pictures it draws itself", does=_demo, words=flags.Demo),
}


if __name__ == "__main__":
    sys.exit(main())
