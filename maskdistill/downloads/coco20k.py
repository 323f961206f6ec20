"""COCO20k: the 19 817 pictures of train2014 that earlier work learns from, and their objects.

In:       the list of names (a file, or a URL with a checksum); annotations of 2014; pictures one by
          one, or from an archive or a folder that is there
Out:      DIR/coco20k/train2014/, DIR/maskdistill/coco20k/instances.json,
          DIR/annotations/instances_train2014.json
"""

from __future__ import annotations

import os
import shutil
import urllib.parse
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path, PurePosixPath

from PIL import Image

from maskdistill.datasets.coco import part
from maskdistill.datasets.names import read_list
from maskdistill.datasets.streamed import records
from maskdistill.downloads import download, fetch, fetched, run_command, sources, unpack
from maskdistill.downloads.fetch import Fetch
from maskdistill.downloads.sources import Archive, Dataset
from maskdistill.errors import DatasetError, SettingsError, listed
from maskdistill.runs import atomic
from maskdistill.runs.lock import RunLock

AT_ONCE = 8  # connections: a picture is small, and most of its time is waiting
MOST_FAILURES = 20  # pictures that no mirror gives; more of them, and something else is wrong
FOLDER = "coco20k"


def work(
    how: Fetch,
    *,
    names: str | None = None,
    names_sha256: str | None = None,
    pictures: Path | None = None,
    whole_archive: bool = False,
    annotations: Dataset = sources.COCO20K,
    archive: Archive = sources.TRAIN2014,
    pictures_url: str = sources.COCO_PICTURES,
    known_list: Archive = sources.COCO20K_LIST,
) -> Path:
    """Fetch what is not there; return the folder of the pictures.

    Fetched one by one they are 3.2 GB, the archive is 13.5: so the archive is used where it is
    there or asked for.

    Args:
        names: a file or a URL with the list; None: the one of LOST.
        names_sha256: of the list.
        pictures: a folder with pictures of train2014: they are linked, not fetched.
        whole_archive: fetch train2014.zip, and unpack the pictures of the list alone.
        annotations, archive, pictures_url, known_list: where things are fetched from.
    Raises:
        DatasetError: what no mirror gives, a disk that is too small, another list than before.
        GroundTruthError: names that the annotations do not know. SettingsError: no folder
            `pictures`.
    """
    fetch.begin(how)
    with RunLock(how.out / ".lock"):
        record = fetched.Record(how.out)
        wanted = _names(how, record, names, names_sha256, known_list)
        folder = how.out / FOLDER / "train2014"
        missing = _missing(folder, wanted)
        names_file = how.out / run_command.OURS / FOLDER / "names.txt"
        if names_file.exists() and read_list(names_file) != wanted:
            raise DatasetError(
                f"{names_file}: is another list than the one given now. Give another --out, or "
                f"delete {folder}, {names_file} and what lies beside it"
            )
        fetch.dataset(annotations, how, record)
        truth = names_file.with_name("instances.json")
        everything = how.out / annotations.places[0]
        if not names_file.exists() or not truth.exists():
            how.progress.say(f"the objects of the list: {truth}")
            truth.parent.mkdir(parents=True, exist_ok=True)
            with atomic.writing(truth, "w") as file:
                file.writelines(part.pieces(everything, wanted))
            # Last: a list that the annotations do not know is none yet.
            run_command.write_list(names_file, wanted)
        if not missing:
            how.progress.say(f"{FOLDER}: its {len(wanted)} pictures are there already")
            return folder
        folder.mkdir(parents=True, exist_ok=True)
        pictures = pictures or next(
            (each for each in (how.out / "train2014",) if each.is_dir()), None
        )
        if pictures is not None:
            missing = _link(pictures, folder, missing)
        share = archive.bytes / 82_783  # pictures in it
        if missing and (whole_archive or (how.archives / archive.name).exists()):
            fetch.check_disk(FOLDER, how, fetch.left([archive], how), int(share * len(missing)))
            source = fetch.archive_of(archive, how, record, n_archives=2)
            _unpack(source, how, [f"train2014/{_name(name)}" for name in missing])
            fetch.drop(archive, how, record)
        elif missing:
            fetch.check_disk(FOLDER, how, int(share * len(missing)), 0)
            sizes = {
                _name(row["file_name"]): (row["width"], row["height"])
                for _, row in records(truth, ("images",))
            }
            _one_by_one(how, folder, missing, pictures_url, sizes)
        if still := _missing(folder, wanted):
            raise DatasetError(
                f"{folder}: {len(still)} of {len(wanted)} pictures are missing: {listed(still)}"
            )
        return folder


def _names(
    how: Fetch, record: fetched.Record, names: str | None, sha256: str | None, known: Archive
) -> list[str]:
    """Read the names of the list, each once; check a list by URL, and keep it in DIR."""
    if names is None or urllib.parse.urlsplit(names).scheme in ("http", "https"):
        if names is not None:
            name = urllib.parse.urlsplit(names).path.rpartition("/")[2] or "list.txt"
            known = replace(known, name=name, urls=(names,), sha256=sha256, md5=None, bytes=0)
        elif sha256 is not None:
            known = replace(known, sha256=sha256)
        source = fetch.list_of(known, how, record, how.out / run_command.OURS / FOLDER / known.name)
    else:
        source = Path(names)
        if sha256 is not None:
            _, wrong = (
                download.check(source, size=None, digests={"sha256": sha256})
                if source.is_file()
                else (None, "")
            )
            if wrong:
                raise DatasetError(f"{source}: {wrong}. Give the list that the checksum is of")
    found = read_list(source)
    if len({_name(name) for name in found}) < len(found):
        raise DatasetError(
            f"{source}: {len(found) - len({_name(name) for name in found})} names stand twice"
        )
    return found


def _name(name: str) -> str:
    """Return the file's own name, of a path in the list."""
    return PurePosixPath(name).name


def _missing(folder: Path, wanted: Sequence[str]) -> list[str]:
    there = {path.name for path in folder.glob("*")} if folder.is_dir() else set()
    return [name for name in wanted if _name(name) not in there]


def _link(source: Path, folder: Path, missing: Sequence[str]) -> list[str]:
    """Link what is in a folder (or its train2014), or copy where links fail; return the rest."""
    if not source.is_dir():
        raise SettingsError(
            f"pictures: {source}: no such folder. Wanted: the pictures of train2014"
        )
    left = []
    for name in missing:
        places = [source / _name(name), source / "train2014" / _name(name)]
        found = next((path for path in places if path.is_file()), None)
        if found is None:
            left.append(name)
            continue
        target = folder / _name(name)
        try:
            # Not a link itself, which may point elsewhere from there.
            os.link(found.resolve(), target)
        except OSError:
            partial = target.with_name(target.name + unpack.SUFFIX)
            shutil.copyfile(found, partial)
            partial.replace(target)
    return left


def _unpack(source: Path, how: Fetch, wanted: Sequence[str]) -> None:
    total = max(1, (unpack.unpacked_bytes(source, wanted=wanted) or 1) // fetch.MB)
    with how.progress.bar(f"unpack {source.name}", total=total, unit="MB") as bar:
        unpack.unpack(
            source,
            how.out / FOLDER,
            wanted=wanted,
            seen=lambda n: bar.at(min(n // fetch.MB, total)),
        )


def _check_size(path: Path, size: tuple[int, int]) -> None:
    """Raise DatasetError where a file is no picture of the (width, height) in the annotations.

    Nobody publishes checksums of single pictures.
    """
    try:
        with Image.open(path) as picture:
            found = picture.size
            picture.load()  # the head alone would let a file through that was cut
    except (OSError, SyntaxError) as error:
        path.unlink()
        raise DatasetError(
            f"{path.stem}: what the server gave is no whole picture ({error})"
        ) from error
    if found != size:
        path.unlink()
        raise DatasetError(
            f"{path.stem}: what the server gave is {found[0]} x {found[1]} px, "
            f"wanted {size[0]} x {size[1]}"
        )


def _one_by_one(
    how: Fetch, folder: Path, missing: Sequence[str], url: str, sizes: Mapping[str, tuple[int, int]]
) -> None:
    """Fetch every picture by itself, several at once; name at the end what no mirror gives."""
    roots = [mirror for mirror in how.mirrors if mirror.endswith("/")] + [url]
    failed: list[str] = []

    def one(name: str) -> None:
        quoted = urllib.parse.quote(f"train2014/{_name(name)}")
        target = folder / _name(name)
        # Under its name only once it is looked at: a kill in between must not leave it there as if
        # it were whole.
        unseen = target.with_name(target.name + ".unseen")
        urls = [root + quoted for root in roots]
        download.download(urls, unseen, **how.options)  # type: ignore[arg-type]
        _check_size(unseen, sizes[_name(name)])
        unseen.replace(target)

    with (
        how.progress.bar("fetch pictures", total=len(missing), unit="pictures") as bar,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        tasks = {pool.submit(one, name): name for name in missing}
        try:
            for task in as_completed(tasks):
                try:
                    task.result()
                    bar.advance()
                except DatasetError as error:
                    failed.append(str(error))
                    if len(failed) >= MOST_FAILURES:
                        break
        finally:
            for task in tasks:
                task.cancel()
    if failed:
        raise DatasetError(
            f"{folder}: {len(failed)} pictures could not be fetched, the first: {failed[0]}\n"
            "The same command goes on with what is missing. Or put train2014.zip at "
            f"{how.archives / 'train2014.zip'}, or give --pictures FOLDER"
        )
