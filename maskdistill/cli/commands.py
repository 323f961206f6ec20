"""The verbs as commands: the first word chooses one, tyro reads the rest by what commands.py says of it.

Results go to standard output, progress to standard error, and what is wrong is said in one message without a
traceback.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import tyro

from maskdistill import __version__, api
from maskdistill.cli import data_flags, flags
from maskdistill.cli.flags import VERBS
from maskdistill.errors import MaskDistillError, SettingsError
from maskdistill.settings import RunSettings, load, merge, nearest

AT_ONCE = (
    "evaluate",
    "report",
    "status",
    "export",
    "score",
)  # verbs that keep nothing of what was half done


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
            raise SettingsError(
                f"there is no command {verb!r}. Commands: {', '.join(VERBS)}.{nearest(verb, VERBS)}"
            )
        print_lines(_command(verb)(rest))
    except MaskDistillError as error:
        print(f"maskdistill {verb}: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # of the system, wherever nobody has said more of it
        where = f"{error.filename}: " if error.filename else ""
        print(
            f"maskdistill {verb}: {where}{error.strerror or error}. {_advice(error)}",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print(
            "\nstopped" + ("" if verb in AT_ONCE else "; the same command goes on where it was"),
            file=sys.stderr,
        )
        return 130
    return 0


def print_lines(lines: list[str]) -> None:
    """A command's result on standard output."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except (
        BrokenPipeError
    ):  # `| head`: nobody reads on; the interpreter's own flush at the end must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _advice(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "Free some space, then give the same command again"
    return "See that it is there and may be read and written, then give the same command again"


def _overview() -> str:
    width = max(map(len, VERBS))
    rows = "\n".join(f"  {verb:<{width}}  {what}" for verb, what in VERBS.items())
    return (
        f"maskdistill {__version__}: unsupervised semantic segmentation of any folder of pictures\n\n"
        f"usage: maskdistill COMMAND ...\n\n{rows}\n\n"
        "  maskdistill run photos/ --out runs/photos\n"
        "  maskdistill masks photos/ --out masks/\n"
        "  maskdistill COMMAND --help     (run: --help-all for every setting)"
    )


def _command(verb: str) -> Callable[[list[str]], list[str]]:
    own = {
        "run": _run,
        "scan": _scan,
        "status": _status,
        "predict": _predict,
        "export": _export,
        "masks": _masks,
        "score": _score,
        "data": _data,
        "demo": _demo,
    }
    return own.get(verb, lambda rest: _stage(verb, rest))


def _parse(cls: Any, verb: str, rest: list[str], default: Any = None, **more: Any) -> Any:
    chosen = more if default is None else {"default": default, **more}
    try:
        return tyro.cli(cls, prog=f"maskdistill {verb}", args=rest, **chosen)
    except (
        ValueError
    ) as error:  # of a range, where tyro has no name for the settings that it belongs to
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
        _parse(flags.RunInShort, "run", ["--help"])
    if "--help-all" in rest:
        _parse(flags.Run, "run", ["--help"])
    out = _value_of(rest, "--out")
    below = _layers(rest, run=None)
    names = {each.name for each in fields(RunSettings)}
    given = _parse(
        flags.Run,
        "run",
        rest,
        flags.Run(**{name: getattr(below, name) for name in names}, out=tyro.MISSING),
    )
    if given.pictures is None and out is not None:
        # Without PICTURES the run's own config.yaml stands in place of defaults and preset.
        below = _layers(rest, run=Path(out))
        given = _parse(
            flags.Run,
            "run",
            rest,
            flags.Run(**{name: getattr(below, name) for name in names}, out=tyro.MISSING),
        )
    values = {name: getattr(given, name) for name in names} | {
        "ground_truth": _truths(given, below)
    }
    of_backbones = {"propose": "--propose.backbone", "cluster": "--cluster.backbone"}
    settings = RunSettings(**{**values, "weights": _weights(rest, given, below, of_backbones)})
    made = api.run(
        pictures=given.pictures,
        out=given.out,
        settings=settings,
        until=given.until,
        start=given.start,
        reuse=_sources(given.reuse),
        quiet=given.quiet,
    )
    return [str(made)]


def _truths(given: Any, below: RunSettings) -> tuple[str, ...]:
    """The ground truth of the flags in place of the run's: a wrong one would stay for ever. Flags come behind it."""
    return given.ground_truth[len(below.ground_truth) :] or below.ground_truth


def _weights(
    rest: list[str], given: Any, below: RunSettings, flags: dict[str, str]
) -> tuple[str, ...]:
    """The weights of the run and of the flags; a flag with another backbone stands above those that name the run's."""
    backbones = {stage: {"backbone": _value_of(rest, flag)} for stage, flag in flags.items()}
    above = {"weights": list(given.weights[len(below.weights) :]), **backbones}
    return tuple(merge({"weights": list(below.weights)}, above)["weights"])


def _sources(entries: tuple[str, ...]) -> dict[str, str]:
    """STAGE=RUN1 as {stage: run}; the last one of a stage counts."""
    for entry in entries:
        if not all(entry.partition("=")):
            raise SettingsError(
                f"reuse: {entry!r} is not STAGE=RUN1. For example: --reuse propose=runs/a"
            )
    return {entry.partition("=")[0]: entry.partition("=")[2] for entry in entries}


def _scan(rest: list[str]) -> list[str]:
    out = _value_of(rest, "--out")
    below = _layers([], run=Path(out)) if out is not None and api.is_run(out) else None
    given = _parse(flags.scan(below), "scan", rest)
    values = {name: getattr(given, name) for name in flags.OF_SCAN}
    return [str(api.scan(pictures=given.pictures, out=given.out, settings=values, redo=given.redo))]


def _stage(verb: str, rest: list[str]) -> list[str]:
    """A stage's own verb: its settings without prefix, over those in the run's config.yaml."""
    # RUN may stand behind flags and their values: which of the words it is, tyro alone knows.
    asks_help = any(word in ("-h", "--help", "--help-all") for word in rest)
    run = _parse(flags.stage(verb, load()), verb, ["--help"] if asks_help else rest).run
    below = _layers([], run=run)
    given = _parse(flags.stage(verb, below), verb, rest)
    values = {name: getattr(below, name) for name in (each.name for each in fields(RunSettings))}
    names = flags.common(verb)
    values |= {name: getattr(given, name) for name in (*names, verb)}
    if "ground_truth" in names:
        values["ground_truth"] = _truths(given, below)
    if "weights" in names:
        values["weights"] = _weights(
            rest, given, below, {verb: "--backbone"} if verb in ("propose", "cluster") else {}
        )
    settings = _checked(values)
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
    if verb == "cluster" and given.name_with:
        return _table(api.name_clusters(out=given.run, labelled=given.name_with, settings=settings))
    if verb == "evaluate":
        made = api.evaluate(out=given.run, settings=settings, against=given.against)
    elif verb == "report":
        made = api.report(out=given.run, settings=settings)
    else:
        made = getattr(api, verb)(out=given.run, settings=settings, redo=given.redo)
    return [str(made)]


def _table(rows: list[dict[str, Any]]) -> list[str]:
    """Rows of equal keys as lines of text, in columns."""
    shown = [
        list(rows[0]),
        *(
            [f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()]
            for row in rows
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return [
        "  ".join(f"{word:<{width}}" for word, width in zip(line, widths, strict=True)).rstrip()
        for line in shown
    ]


def _status(rest: list[str]) -> list[str]:
    given = _parse(flags.Status, "status", rest)
    return [_row(row) for row in api.status(out=given.run)]


def _row(row: dict[str, Any]) -> str:
    counts = _counted(row["counts"])
    seconds = f"{row['seconds']:8.1f} s" if row["seconds"] is not None else " " * 10
    return f"{row['stage']:<14} {row['state']:<10} {seconds}  {counts}" + "".join(
        f"\n    {why}" for why in row["why"]
    )


def _predict(rest: list[str]) -> list[str]:
    given = _parse(flags.Predict, "predict", rest)
    counts = api.predict(
        run=given.run,
        pictures=given.pictures,
        out=given.out,
        device=given.device,
        crf=given.crf,
        quiet=given.quiet,
    )
    return [_counted(counts), str(given.out)]


def _masks(rest: list[str]) -> list[str]:
    below = load()
    given = _parse(flags.masks(below), "masks", rest)
    values = {each.name: getattr(below, each.name) for each in fields(RunSettings)}
    values |= {name: getattr(given, name) for name in flags.OF_MASKS} | {"propose": given.propose}
    # As the verbs of a run have it, with the stage, too: here there is only one.
    what = given.weights.removeprefix("propose=") if given.weights is not None else None
    values["weights"] = () if what is None else (f"propose={what}",)
    merge(
        {"weights": list(values["weights"]), "propose": {"backbone": _value_of(rest, "--backbone")}}
    )  # do they agree?
    counts = api.masks(
        pictures=given.pictures,
        out=given.out,
        separate=given.separate,
        settings=_checked(values),
        quiet=given.quiet,
    )
    return [_counted(counts), str(given.out)]


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {value}" for name, value in counts.items())


def _checked(values: dict[str, Any]) -> RunSettings:
    try:
        return RunSettings(**values)
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _export(rest: list[str]) -> list[str]:
    given = _parse(flags.Export, "export", rest)
    return [str(api.export(run=given.run, of=given.of, out=given.out, polygons=given.polygons))]


def _data(rest: list[str]) -> list[str]:
    if rest and not rest[0].startswith("-") and rest[0] not in data_flags.DATA:
        near = nearest(rest[0], data_flags.DATA)
        raise SettingsError(
            f"there is no {rest[0]!r}. There are: {', '.join(data_flags.DATA)}.{near}"
        )
    given = _parse(data_flags.DATAS, "data", rest or ["--help"], description=data_flags.DATA_HELP)
    if isinstance(given, data_flags.VocInstances):
        words = {each.name: getattr(given, each.name) for each in fields(given)}
        return [_counted(api.voc_instances(**words)), str(given.out)]
    words = {
        each.name: getattr(given, each.name) for each in fields(given) if each.name != "mirror"
    }
    name = next(name for name, cls in data_flags.FETCHES.items() if type(given) is cls)
    return api.fetch(dataset=name, mirrors=given.mirror, **words)


def _score(rest: list[str]) -> list[str]:
    given = _parse(flags.SCORES, "score", rest, description=flags.SCORE_HELP)
    words = {each.name: getattr(given, each.name) for each in fields(given)}
    score = api.score_semantic if isinstance(given, flags.ScoreSemantic) else api.score_instances
    made = score(**words)
    return [made.table()] + ([str(given.out)] if given.out else [])


def _demo(rest: list[str]) -> list[str]:
    given = _parse(flags.Demo, "demo", rest)
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
