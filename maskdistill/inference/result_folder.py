"""Result folder: results for a folder of pictures, each at its picture's relative path.

In:   pictures, and a function that writes the results of one (`predict` and `masks` have one each)
Out:  OUT/<path>.png and .json; OUT/.maskdistill/ holds what they were made with, the journal by
      which the next call goes on, and refused.json (pictures that could not be read, and why)
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypedDict

import numpy as np

from maskdistill.datasets.page_names import name_of
from maskdistill.errors import MaskDistillError, PictureError, RunError
from maskdistill.pictures import (
    Given,
    Pictures,
    few_told,
    gather,
    has_few_levels,
    header,
    limits_of_set,
    pages_told,
    prefetched,
    read,
    told,
)
from maskdistill.runs import atomic, fingerprints
from maskdistill.runs.journal import Journal
from maskdistill.runs.lock import RunLock
from maskdistill.runs.progress import Progress
from maskdistill.settings import Reading, RunSettings

OWN = ".maskdistill"
SUFFIXES = (".png", ".json")

# A target (the place of a picture's results, without suffix), the picture's relative path, the
# picture (H, W, 3) uint8 RGB -> counts to be summed.
Write = Callable[[Path, str, np.ndarray], Mapping[str, int]]


def fill(
    out: Path,
    pictures: Pictures,
    write: Write,
    *,
    title: str,
    made_with: Mapping[str, Any],
    settings: RunSettings,
    progress: Progress,
    reading: Reading | None = None,
    all_pages: bool = False,
    exclude: Iterable[Path] = (),
    begin: Callable[[Mapping[str, str]], None] = lambda names: None,
    limit: int = 0,
) -> dict[str, int]:
    """Write the results of every picture that has none yet; the same call goes on where it stopped.

    A picture that was replaced, or whose results go elsewhere because of a new neighbour, is done
    again; one that was refused is tried again.

    Args:
        out: the folder of the results, made where it is not there.
        pictures: a folder of pictures, files, patterns, or several of these (`pictures.gather`).
        write: writes the results of one picture and returns what is to be counted.
        title: beside the bar of progress.
        made_with: what the results depend on: a folder that was made with other values is refused.
        reading: how pictures are read; None: as the settings say.
        all_pages: each page of a file is a picture of its own.
        exclude: folders whose pictures do not count.
        begin: is handed the targets by picture, and may refuse them, before anything is made.
        limit: do the first pictures by path alone; 0: all.
    Returns:
        Counts: new, done before, refused, and those of `write`.
    Raises:
        RunError: `out` is a file, holds other results or files that are none of ours, is worked at
            by another process or cannot be written; the folder of the pictures is gone.
        PictureError: `pictures` names no pictures.
    """
    found = gather(pictures, exclude=[out, *exclude])
    root = found.root
    reading = settings.reading if reading is None else reading
    place_of = _pages(found, reading, all_pages, limit)
    paths = list(place_of)
    names = targets(paths)
    begin(names)
    own = out / OWN
    if out.exists() and not out.is_dir():
        raise RunError(
            f"{out}: is a file, where a folder for the results is wanted. Give another --out"
        )
    atomic.make_folder(own)
    counts = Counter({"new": 0, "done before": 0, "refused": 0})
    refused: dict[str, str] = {}
    with RunLock(own / "lock"):
        _stamp(out, made_with, names)
        with Journal(own / "parts") as journal:
            # The journal knows a picture by path, size and time: pictures may come, go and be
            # replaced between calls.
            keys = {path: _key(path, root / place_of[path][0], names[path]) for path in paths}
            pending = [path for path in paths if keys[path] not in journal]
            if not found.is_folder:
                files = {names[path]: root / place_of[path][0] for path in pending}
                _check_held(out, journal, files)
            counts["done before"] = len(paths) - len(pending)

            pages: dict[str, int] = {}  # of each file that was read
            few: dict[str, bool] = {}  # whether it has few grey levels

            def load(path: str) -> np.ndarray:
                file, page = place_of[path]
                rgb = read(root / file, page=page, **reading)
                pages[path], is_deep = header(root / file, **_of_file(reading))
                if is_deep and reading["levels"] == "full":
                    few[path] = has_few_levels(root / file, page=page, **_of_file(reading))
                return rgb

            with progress.bar(
                title, total=len(paths), done=counts["done before"], unit="pictures"
            ) as bar:
                for path, rgb in prefetched(pending, load, workers=settings.workers):
                    if isinstance(rgb, PictureError):
                        if not root.is_dir():
                            raise RunError(
                                f"{root}: is not there any more. Bring it back and give the same command again"
                            )
                        refused[path] = str(rgb)
                    else:
                        target = out / names[path]
                        with atomic.telling(target):
                            target.parent.mkdir(parents=True, exist_ok=True)
                        try:
                            counts.update(write(target, path, rgb))
                        except PictureError as error:  # it does not fit into memory
                            refused[path] = str(error)
                        else:
                            journal.add(
                                keys[path], _held(path, root / place_of[path][0], names[path])
                            )
                            counts["new"] += 1
                    bar.advance()
        counts["refused"] = len(refused)
        _list(own / "refused.json", refused)
    progress.left_out(list(refused.values()), names=f"{own / 'refused.json'} names")
    said = [told(found.passed_over)] if found.passed_over else []
    if not all_pages:
        said += pages_told(list(pages.values()))
    names_of_few = [path for path in paths if few.get(path)]
    for what in [*said, *few_told(names_of_few, len(pages))]:
        progress.say(what)
    return dict(counts)


def of_set(out: Path, pictures: Pictures, settings: RunSettings, progress: Progress) -> Reading:
    """Return how pictures are read whose levels are those of all of them together.

    They are taken once, of the pictures that are there then, and kept beside the results: so
    pictures that come later are seen as the first ones are.

    Raises:
        RunError: what is kept is damaged.
        PictureError: `pictures` names no pictures.
    """
    reading = settings.reading
    kept = out / OWN / "levels.json"
    if kept.exists():
        limits = tuple((float(low), float(high)) for low, high in _read(kept)["limits"])
    else:
        found = gather(pictures, exclude=[out])
        places = _pages(found, reading, settings.pages == "all", settings.limit)
        with progress.bar("levels", total=len(places), unit="pictures") as bar:
            limits = limits_of_set(
                [(found.root / path, page) for path, page in places.values()],
                workers=settings.workers,
                max_megapixels=settings.max_megapixels,
                bands=reading["bands"],
                advance=bar.advance,
            )
        atomic.make_folder(out / OWN)
        atomic.write_json(kept, {"limits": limits})
    if limits:
        reading["levels"] = limits
    return reading


def targets(paths: list[str]) -> dict[str, str]:
    """Return picture -> the place of its results, without suffix: no two share one, in any case.

    It is the path without its extension; with it where two pictures differ by that alone, or where
    the rest is the name of another picture (a.jpg.png beside a.jpg).

    >>> targets(["cats/1.jpg", "2.jpg", "2.PNG"])
    {'cats/1.jpg': 'cats/1', '2.jpg': '2.jpg', '2.PNG': '2.PNG'}
    """
    short = {path: str(PurePosixPath(path).with_suffix("")) for path in paths}
    shared = Counter(stem.casefold() for stem in short.values())
    whole = {path.casefold() for path in paths}
    return {
        path: path if shared[stem.casefold()] > 1 or stem.casefold() in whole else stem
        for path, stem in short.items()
    }


def file_of(target: Path, suffix: str) -> Path:
    """Return the path of a target's file with this suffix; the target's own name may hold dots."""
    return target.with_name(target.name + suffix)


def _pages(
    found: Given, reading: Reading, all_pages: bool, limit: int
) -> dict[str, tuple[str, int]]:
    """Return name of each picture -> path and page, in their order.

    A file whose pages cannot be counted is one: what is wrong with it is told when it is read.
    """
    places: dict[str, tuple[str, int]] = {}
    for path in found.paths:
        n_pages = 1
        if all_pages:
            n_pages, _ = header(found.root / path, **_of_file(reading))
        places |= {name_of(path, page): (path, page) for page in range(1, n_pages + 1)}
        if limit and len(places) >= limit:
            break
    return dict(list(places.items())[: limit or None])


class _OfFile(TypedDict):
    max_megapixels: float
    bands: tuple[int, ...] | None


def _of_file(reading: Reading) -> _OfFile:
    """Return what of `reading` decides whether a file can be read, and not how it looks."""
    return {"max_megapixels": reading["max_megapixels"], "bands": reading["bands"]}


def _key(path: str, file: Path, target: str) -> int:
    """Return the key that the journal knows a picture by: of path, target, size and time."""
    try:
        found = file.stat()
        content: dict[str, int | None] = {"bytes": found.st_size, "time": found.st_mtime_ns}
    except OSError:  # gone since, or a link to nowhere: reading it will say so
        content = {"bytes": None, "time": None}
    return int(fingerprints.digest({"path": path, "target": target, **content})[:15], 16)


def _held(path: str, file: Path, target: str) -> dict[str, str]:
    """Return the journal's record of a picture that is done: its results, and what they are of."""
    return {"path": path, "target": target, "file": str(file.absolute())}


def _check_held(out: Path, journal: Journal, files: Mapping[str, Path]) -> None:
    """Check that results of other files, which were given one by one, are not overwritten.

    Those of a file that is gone are no loss: it was renamed, or its folder moved.

    Raises:
        RunError: the place of a picture's results holds those of another.
    """
    holders = {row["target"]: row["file"] for _, row in journal.records() if "file" in row}
    for target, file in files.items():
        mine, other = file.absolute(), holders.get(target)
        if other is not None and Path(other) != mine and Path(other).exists():
            raise RunError(
                f"{file_of(out / target, '.json')}: holds what was made of {other}, and {mine} "
                "would go there too. Give another --out, or both pictures in one command"
            )


def _stamp(out: Path, made_with: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Write down what the results of a folder are made with.

    Raises:
        RunError: the folder holds results made otherwise, or files that are none of ours.
    """
    stamp = out / OWN / "made-with.json"
    if stamp.exists():
        if found := fingerprints.differences(_read(stamp), made_with):
            raise RunError(
                f"{out}: holds results of other networks or settings ({'; '.join(found)}). Give another --out"
            )
        return
    for name in names.values():
        for suffix in SUFFIXES:
            if (there := file_of(out / name, suffix)).exists():
                raise RunError(
                    f"{there}: was not made by this command and would be overwritten. Give another --out"
                )
    atomic.write_json(stamp, dict(made_with))


def _read(stamp: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(stamp.read_text(encoding="utf-8")))
    except ValueError as error:
        raise MaskDistillError(
            f"{stamp}: damaged ({error}). Remove it, or give another --out"
        ) from error


def _list(path: Path, refused: Mapping[str, str]) -> None:
    """Write the pictures that were refused, each with its reason; no file where there are none."""
    if refused:
        atomic.write_json(
            path, [{"picture": picture, "reason": reason} for picture, reason in refused.items()]
        )
    else:
        path.unlink(missing_ok=True)
