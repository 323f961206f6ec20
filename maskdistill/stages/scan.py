"""scan: a folder of pictures -> images.jsonl, one row a picture, ids frozen.

In:   the picture folder, a list of those that count, and the validation folder, list or fraction
Out:  images.jsonl, scan/refused.jsonl (pictures left out, each with its reason), scan/levels.json
      (where all pictures are stretched alike)
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from maskdistill.datasets.names import join, read_list
from maskdistill.datasets.page_names import name_of
from maskdistill.engine.job import Job
from maskdistill.engine.stage import Done, Stage
from maskdistill.errors import GroundTruthError, PictureError, RunError, SettingsError
from maskdistill.pictures import Limits
from maskdistill.runs import atomic, fingerprints, lines, record
from maskdistill.runs.fingerprints import sha256_file
from maskdistill.runs.journal import Journal
from maskdistill.runs.layout import ScanFolder
from maskdistill.settings import RunSettings
from maskdistill.stage_parts import left_out, picture_rows


def parts(settings: RunSettings) -> dict[str, Any]:
    """Return the settings that change the rows.

    Raises:
        SettingsError: a validation fraction outside of 0 to 1.
    """
    # A setting of its own only where it is given: runs that were made before it are the same.
    only = {} if settings.only is None else {"only": _content_of(settings.only)}
    read = {
        name: getattr(settings, name)
        for name, usual in (("levels", "full"), ("bands", None), ("pages", "first"))
        if getattr(settings, name) != usual
    }
    return {
        **only,
        **read,
        "validation": _kind_of(settings.validation),
        "validation_seed": settings.seed if _fraction(settings.validation) is not None else None,
        "limit": settings.limit,
        "max_megapixels": settings.max_megapixels,
        "orientation": settings.orientation,
    }


def work(job: Job, folder: ScanFolder) -> Done:
    """Probe every picture once (size, orientation, content hash), then number those in order.

    A fault that a user has to mend first leaves nothing behind: the next scan may be another.

    Raises:
        PictureError: not one picture can be read.
        SettingsError: no picture is left to train on, or a list names others than are there.
    """
    try:
        return _scanned(job, folder)
    except (SettingsError, PictureError):
        shutil.rmtree(folder.parts.path, ignore_errors=True)
        raise


def _scanned(job: Job, folder: ScanFolder) -> Done:
    from maskdistill.pictures import prefetched

    settings = job.settings
    found, passed_over = listing(job)
    # Before the pictures are looked at, which may take hours.
    by_list = _held_out_by_list(settings, job)
    journal = Journal(folder.parts.path)
    if len(journal) > len(found) or any(
        row["path"] != path or row["root"] != root
        for (_, row), (root, path) in zip(journal.records(), found, strict=False)
    ):
        journal = journal.restarted()  # pictures came or went before any id was given out
    with journal:
        pending = [position for position in range(len(found)) if position + 1 not in journal]

        def describe(position: int) -> dict[str, Any]:
            root, path = found[position]
            return picture_rows.described(job.roots[root] / path, root, path, settings)

        with job.progress.bar(
            "scan", total=len(found), done=len(found) - len(pending), unit="pictures"
        ) as bar:
            for position, row in prefetched(pending, describe, workers=settings.workers):
                root, path = found[position]
                if isinstance(row, PictureError):
                    journal.add(position + 1, {"root": root, "path": path, "refused": str(row)})
                    job.ledger.write("refused", stage="scan", picture=path, reason=str(row))
                else:
                    journal.add(position + 1, row)
                bar.advance()
        journal.flush()
        # (row, what was seen) of each picture; None of one that is refused.
        rows = [each for _, row in journal.records() for each in picture_rows.expanded(row)]
    rows = _limited(settings, rows, by_list)
    accepted = [row for row, seen in rows if seen is not None]
    seen = [seen for _, seen in rows if seen is not None]
    refused = [row for row, seen in rows if seen is None]
    for row in refused:
        if "page" in row:
            name = name_of(row["path"], row["page"])
            job.ledger.write("refused", stage="scan", picture=name, reason=row["refused"])
    job.progress.left_out([row["refused"] for row in refused])
    if not accepted:
        raise PictureError(
            f"{job.roots['pictures']}: none of the {len(rows)} pictures can be read. The first: {refused[0]['refused']}"
        )
    held_out = _held_out(settings, job, accepted, by_list)
    n_validation = sum((row["root"], row["path"]) in held_out for row in accepted)
    if n_validation == len(accepted):
        raise SettingsError(
            f"validation {settings.validation}: holds all {n_validation} pictures; none is left to train on"
        )
    lines.write(
        job.folder.images,
        (
            {
                "id": number,
                **row,
                "split": "validation" if (row["root"], row["path"]) in held_out else "train",
            }
            for number, row in enumerate(accepted, 1)
        ),
    )
    lines.write(folder.refused, refused)
    outputs = [job.folder.images, folder.refused]
    if settings.levels == "stretch_all":
        deep = [row for row, about in zip(accepted, seen, strict=True) if about.is_deep]
        atomic.write_json(folder.levels, {"limits": _levels(job, deep)})
        outputs.append(folder.levels)
    counts = {
        "pictures": len(accepted),
        "train": len(accepted) - n_validation,
        "validation": n_validation,
        "refused": len(refused),
    }
    counts |= left_out.tell(job, passed_over, seen, n_held_out=n_validation)
    return Done(outputs=outputs, counts=counts)


def _limited(
    settings: RunSettings,
    rows: list[tuple[dict[str, Any], picture_rows.Seen | None]],
    by_list: set[str] | None,
) -> list[tuple[dict[str, Any], picture_rows.Seen | None]]:
    """Return the first `limit` pictures of what is trained on and of what is held out by name.

    The files were counted before; where each page is a picture, there are more of these.
    """
    if settings.pages == "first" or not settings.limit:
        return rows
    n_taken: Counter[tuple[str, bool]] = Counter()
    taken = []
    for row, seen in rows:
        part = row["root"], settings.only is not None and row["path"] in (by_list or ())
        n_taken[part] += 1
        if n_taken[part] <= settings.limit:
            taken.append((row, seen))
    return taken


def _levels(job: Job, rows: list[dict[str, Any]]) -> Limits:
    """Return the black and the white of all pictures together."""
    from maskdistill.pictures import limits_of_set

    files = [(job.roots[row["root"]] / row["path"], row.get("page", 1)) for row in rows]
    with job.progress.bar("scan: levels", total=len(files), unit="pictures") as bar:
        return limits_of_set(
            files,
            workers=job.settings.workers,
            max_megapixels=job.settings.max_megapixels,
            bands=job.settings.reading["bands"],
            advance=bar.advance,
        )


def listing(job: Job) -> tuple[list[tuple[str, str]], Counter[str]]:
    """Return the picture files, those of the validation folder last, and what was passed over.

    Returns:
        (root, relative path) of each picture; suffix -> the number of files that are no pictures.

    Raises:
        SettingsError: the validation folder holds all pictures, or a list names others.
    """
    from maskdistill.pictures import search

    limit = job.settings.limit or None
    roots = {name: root.resolve() for name, root in job.roots.items()}
    if len(set(roots.values())) < len(roots):
        raise SettingsError(
            f"validation: {job.roots['validation']} holds all the pictures; none is left to train on"
        )
    files: list[tuple[str, str]] = []
    passed_over: Counter[str] = Counter()
    for name, root in job.roots.items():
        # One folder may lie in the other: no picture is both trained on and held out.
        others = [other for other in roots if other != name]
        found = search(root, exclude=[job.folder.root, *(roots[other] for other in others)])
        passed_over.update(found.passed_over)
        chosen = (
            _chosen(job, found.paths)
            if name == "pictures" and job.settings.only is not None
            else found.paths[:limit]
        )
        files += [(name, path) for path in chosen]
    return files, passed_over


def _chosen(job: Job, found: list[str]) -> list[str]:
    """Return the pictures of the lists `only` and `validation`, in the order of all.

    There are at most `limit` of each.
    """
    settings, limit = job.settings, job.settings.limit or None
    assert settings.only is not None
    wanted = _listed(job, "only", Path(settings.only), found)
    held: set[str] = set()
    if settings.validation is not None and Path(settings.validation).is_file():
        held = _listed(job, "validation", Path(settings.validation), found)
    of_each = [[path for path in found if path in some][:limit] for some in (wanted - held, held)]
    chosen = set(of_each[0] + of_each[1])
    return [path for path in found if path in chosen]


def _listed(job: Job, setting: str, file: Path, paths: list[str]) -> set[str]:
    """Return the pictures that a list names: by path, else file name, else without extension.

    Raises:
        SettingsError: the list cannot be read, or names others.
    """
    try:
        names = list(dict.fromkeys(read_list(file)))
    except GroundTruthError as error:
        raise SettingsError(f"{setting}: {error}") from error
    found = join(names, paths)
    unknown = sorted(set(names) - set(found.values()))
    if unknown:
        raise SettingsError(
            f"{file}: {len(unknown)} of {len(names)} paths are not among the pictures, the first: {unknown[0]}. "
            f"Wanted are paths relative to {job.roots['pictures']}, or file names that are there once, one a line"
        )
    return set(found)


def check_unchanged(job: Job) -> None:
    """Check that no picture was added, removed or replaced since the scan.

    A picture counts as replaced where its size in bytes is another. Nothing is said of a scan that
    is not complete, nor of one with other settings: `perform` tells these.

    Raises:
        RunError: pictures changed; with +n and -m and the first names.
    """
    entry = record.read(job.folder.scan.record)
    if entry is None or fingerprints.differences(entry.parts["settings"], parts(job.settings)):
        return
    if not job.folder.images.exists() or not all(root.is_dir() for root in job.roots.values()):
        return
    refused = list(lines.read(job.folder.scan.refused))
    frozen: dict[tuple[str, str], int | None] = {
        (row["root"], row["path"]): None for row in refused
    }
    # Of a file of which one page is refused the others tell its size.
    frozen |= {(image.root, image.path): image.bytes for image in job.images}
    now, _ = listing(job)
    added = sorted(set(now) - set(frozen))
    gone = set(frozen) - set(now)
    removed = sorted(gone)
    replaced = [
        (root, path)
        for (root, path), n_bytes in frozen.items()
        if n_bytes is not None
        and (root, path) not in gone
        and (job.roots[root] / path).stat().st_size != n_bytes
    ]
    if added or removed or replaced:
        marks = [("+", added), ("-", removed), ("~", replaced)]
        names = ", ".join(f"{mark}{path}" for mark, some in marks for _, path in some[:3])
        counts = f"+{len(added)} and -{len(removed)}" + (
            f", {len(replaced)} replaced" if replaced else ""
        )
        raise RunError(
            f"{job.folder.root}: the pictures changed since the scan: {counts} ({names}"
            f"{', ...' if len(added) + len(removed) + len(replaced) > 9 else ''}). "
            "A run's pictures are frozen: put them back, scan again with --from scan, or give another --out"
        )


def _kind_of(validation: str | None) -> str | None:
    """Return how pictures are held out, without names of folders and files.

    A run may move, and its pictures too.
    """
    fraction = _fraction(validation)
    if validation is None or fraction is not None:
        return str(fraction) if fraction is not None else None  # 0.2 and 0.20 are one
    if Path(validation).is_dir():
        return "folder"
    return _content_of(validation)


def _content_of(file: str) -> str:
    return f"list {sha256_file(Path(file))}" if Path(file).is_file() else file


def _fraction(validation: str | None) -> float | None:
    try:
        value = float(validation) if validation is not None else None
    except ValueError:
        return None
    if value is not None and not 0 < value < 1:
        raise SettingsError(f"validation: a fraction lies between 0 and 1, got {validation}")
    return value


def _held_out_by_list(settings: RunSettings, job: Job) -> set[str] | None:
    """Return the pictures that a list for the validation names, None without a list.

    Raises:
        SettingsError: no such file, or names that are not among the pictures.
    """
    if (
        settings.validation is None
        or "validation" in job.roots
        or _fraction(settings.validation) is not None
    ):
        return None
    file = Path(settings.validation)
    if not file.is_file():
        raise SettingsError(
            f"validation: {file} is neither a folder, a fraction between 0 and 1, nor a file with a list of paths"
        )
    from maskdistill.pictures import find

    # Against all pictures: a name of one that was refused, or is over the limit, must not fall to
    # another of its name.
    return _listed(job, "validation", file, find(job.roots["pictures"], exclude=[job.folder.root]))


def _held_out(
    settings: RunSettings, job: Job, rows: list[dict[str, Any]], by_list: set[str] | None
) -> set[tuple[str, str]]:
    """Return (root, path) of the validation pictures."""
    # Of files: the pages of one are alike, and stay on one side.
    paths = list(dict.fromkeys(row["path"] for row in rows))
    if settings.validation is None:
        return set()
    if by_list is not None:
        return {("pictures", path) for path in by_list & set(paths)}
    if "validation" in job.roots:
        return {(row["root"], row["path"]) for row in rows if row["root"] == "validation"}
    fraction = _fraction(settings.validation)
    assert fraction is not None  # neither folder nor list
    # By a hash of each path, so that a picture keeps its side when others come and go.
    drawn = sorted(
        paths, key=lambda path: hashlib.sha256(f"{settings.seed}:{path}".encode()).digest()
    )
    chosen = drawn[: max(1, round(fraction * len(paths)))] if len(paths) > 1 else []
    return {("pictures", path) for path in chosen}


STAGE = Stage(name="scan", version=1, reads=(), parts=parts, work=work, looks_outside=True)
