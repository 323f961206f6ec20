"""Fetch: a data set from the first mirror that has it, unpacked, verified, whole or not there.

In:       the table of sources, mirrors of the user's own, archives that lie in DIR/archives already
Out:      DIR/<places of the set>, DIR/.fetched.json; while it works DIR/archives/ and
          DIR/.unpacking-<set>/
"""

from __future__ import annotations

import shutil
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from maskdistill.downloads import download, fetched, sources, unpack
from maskdistill.downloads.sources import Archive, Dataset
from maskdistill.errors import DatasetError, SettingsError
from maskdistill.runs import atomic
from maskdistill.runs.lock import RunLock
from maskdistill.runs.progress import Progress

MB = 10**6
SLACK = 1.03  # files take whole blocks of a disk


@dataclass(frozen=True)
class Fetch:
    """Hold how a data set is fetched.

    Attributes:
        out: DIR. mirrors: URLs that are tried first. keep_archives: do not remove what was fetched.
        free_bytes: returns the bytes that are free in a folder.
        options: of `download.download`: timeout_seconds, tries, pause.
        unpacked: called with the bytes of an archive's wanted files that are there so far.
    """

    out: Path
    mirrors: Sequence[str] = ()
    keep_archives: bool = False
    progress: Progress = field(default_factory=Progress)
    free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free
    options: Mapping[str, object] = field(default_factory=dict)
    unpacked: Callable[[int], object] = lambda n_bytes: None

    @property
    def archives(self) -> Path:
        """Return the folder of archives."""
        return self.out / "archives"


def work(wanted: Dataset, how: Fetch) -> None:
    """Fetch what is not there; a data set that is whole is left as it is.

    Raises:
        DatasetError: no mirror has it, the disk is too small, an archive is damaged, or what is
            there is not whole. RunError: another process works in DIR.
    """
    begin(how)
    with RunLock(how.out / ".lock"):
        dataset(wanted, how, fetched.Record(how.out))


def begin(how: Fetch) -> None:
    """Make DIR; DatasetError where it cannot be."""
    try:
        how.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(
            f"{how.out}: cannot be made: {error.strerror or error}. Give another --out"
        ) from error


def dataset(wanted: Dataset, how: Fetch, record: fetched.Record) -> None:
    """Fetch what is not there, where the lock of DIR is held; raise DatasetError as `work` does."""
    name, state = wanted.name, record.state(wanted.name)
    unpacking = how.out / f".unpacking-{name}"
    there = [place for place in wanted.places if (how.out / place).exists()]
    if state != "moving" and there:
        if wrong := fetched.wrong(fetched.counts(wanted, how.out)):
            raise DatasetError(
                f"{how.out / there[0]}: is there, but {name} is not whole: {wrong}. Move it away "
                "(the same command then fetches it), or put there what is missing"
            )
        if state != "complete":
            record.is_now(name, "complete")
        how.progress.say(f"{name}: is there already, and whole")
        return
    if state != "moving":
        how.progress.say(f"{name}: {wanted.terms}")
        # What an earlier command left when it was stopped needs no room.
        unpacked = sum(path.stat().st_size for path in unpacking.rglob("*") if path.is_file())
        check_disk(name, how, left(wanted.archives, how), max(0, wanted.unpacked - unpacked))
        for archive in wanted.archives:
            archive_of(archive, how, record, n_archives=len(wanted.archives))
            _unpack(archive, how, unpacking)
        if wrong := fetched.wrong(fetched.counts(wanted, unpacking)):
            shutil.rmtree(unpacking)
            raise DatasetError(
                f"{name}: its archives were unpacked, but it is not whole: {wrong}. "
                f"Another version of it? Delete {how.archives}, and give another --mirror"
            )
        record.is_now(name, "moving")
    for place in wanted.places:
        if (unpacking / place).exists():
            (how.out / place).parent.mkdir(parents=True, exist_ok=True)
            (unpacking / place).replace(how.out / place)
            atomic.sync_folder((how.out / place).parent)
    shutil.rmtree(unpacking, ignore_errors=True)
    if wrong := fetched.wrong(fetched.counts(wanted, how.out)):
        record.is_now(name, "absent")
        raise DatasetError(
            f"{how.out}: {name} is not whole: {wrong}. "
            "Move it away, then give the same command again"
        )
    for archive in wanted.archives:
        drop(archive, how, record)
    record.is_now(name, "complete")


def check_disk(name: str, how: Fetch, to_fetch: int, unpacked: int) -> None:
    """Say how much disk is wanted; DatasetError where there is less.

    Args:
        to_fetch, unpacked: bytes that are still to come, packed and unpacked.
    """
    wanted, free = int((to_fetch + unpacked) * SLACK), how.free_bytes(how.out)
    told = (
        f"{name}: {_gigabytes(to_fetch)} to fetch, about {_gigabytes(unpacked)} unpacked: wants "
        f"{_gigabytes(wanted)} of disk in {how.out}, {_gigabytes(free)} are free"
    )
    if wanted > free:
        raise DatasetError(f"{told}. Free some space, or give another --out")
    how.progress.say(told)


def archive_of(archive: Archive, how: Fetch, record: fetched.Record, *, n_archives: int) -> Path:
    """Bring an archive to DIR/archives, if it was not put there by hand, and check it either way.

    Args:
        n_archives: of the data set; of a single one a mirror's URL may have any name.
    Returns:
        Its path.
    Raises:
        DatasetError: no mirror has it; the one that is there is another one. SettingsError: a
            mirror that is no URL.
    """
    urls = [*_own(archive, how.mirrors, n_archives), *archive.urls]
    return _fetched(archive, urls, how, record, how.archives / archive.name)


def list_of(archive: Archive, how: Fetch, record: fetched.Record, target: Path) -> Path:
    """Bring a small file to its place, if it is not there; check it as `archive_of` does."""
    own = [mirror for mirror in _own(archive, how.mirrors, 2) if not mirror.endswith("/")]
    return _fetched(archive, [*own, *archive.urls], how, record, target)


def _fetched(
    archive: Archive, urls: Sequence[str], how: Fetch, record: fetched.Record, target: Path
) -> Path:
    last, done = -1, (archive.bytes - left([archive], how)) // MB
    with how.progress.bar(
        f"fetch {archive.name}", total=max(1, archive.bytes // MB), done=done, unit="MB"
    ) as bar:

        def seen(n_bytes: int) -> None:
            nonlocal last
            if n_bytes // MB != last:
                last = n_bytes // MB
                bar.at(last)

        received = download.download(
            urls,
            target,
            size=archive.bytes or None,
            digests=record.digests(archive),
            advice=f"Fetch {archive.name} in another way and put it at {target}; or give --mirror "
            "URL. Then give the same command again",
            seen=seen,
            told=lambda line: how.progress.say(f"no luck: {line}"),
            **how.options,  # type: ignore[arg-type]
        )
    atomic.sync_folder(target.parent)
    record.received(archive.name, received)
    return target


def drop(archive: Archive, how: Fetch, record: fetched.Record) -> None:
    """Remove an archive that a mirror gave; one that was put there by hand stays."""
    if not how.keep_archives and record.was_fetched(archive.name):
        (how.archives / archive.name).unlink(missing_ok=True)
    if how.archives.is_dir() and not any(how.archives.iterdir()):
        how.archives.rmdir()


def _unpack(archive: Archive, how: Fetch, folder: Path) -> None:
    source, last = how.archives / archive.name, -1
    total = max(1, (unpack.unpacked_bytes(source, wanted=archive.wanted) or archive.bytes) // MB)
    with how.progress.bar(f"unpack {archive.name}", total=total, unit="MB") as bar:

        def seen(n_bytes: int) -> None:
            nonlocal last
            if n_bytes // MB != last:
                last = n_bytes // MB
                bar.at(min(last, total))
            how.unpacked(n_bytes)

        unpack.unpack(source, folder, wanted=archive.wanted, seen=seen)


def left(archives: Sequence[Archive], how: Fetch) -> int:
    """Return the bytes of archives that are still to come."""
    n_bytes = 0
    for archive in archives:
        target = how.archives / archive.name
        part = target.with_name(target.name + ".part")
        there = next((path.stat().st_size for path in (target, part) if path.exists()), 0)
        n_bytes += max(0, archive.bytes - there)
    return n_bytes


def _own(archive: Archive, mirrors: Sequence[str], n_archives: int) -> list[str]:
    """Return the user's mirrors of an archive: in a folder (ends in /), or the file by its name."""
    found = []
    for mirror in mirrors:
        split = urllib.parse.urlsplit(mirror)
        if split.scheme not in ("http", "https") or not split.netloc:
            raise SettingsError(
                f"mirror: {mirror!r} is no http or https URL. "
                "A file on disk: put it into DIR/archives instead"
            )
        if mirror.endswith("/"):
            found.append(mirror + urllib.parse.quote(archive.name))
        elif split.path.rpartition("/")[2] == archive.name or n_archives == 1:
            found.append(mirror)
    return found


def _gigabytes(n_bytes: int) -> str:
    """Return bytes as people read them: 2.0 GB, 815 MB."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


def named(name: str) -> Dataset:
    """Return a data set of the table; SettingsError for one that is not there."""
    if name not in sources.DATASETS:
        known = ", ".join(sources.DATASETS)
        raise SettingsError(f"there is no data set {name!r}. There are: {known}")
    return sources.DATASETS[name]
