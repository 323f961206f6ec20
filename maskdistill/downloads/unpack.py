"""Unpack: archives of others into a folder, nothing outside it, no links; a file there is whole.

In:       tar (plain or packed) or zip, and which of its folders and files are wanted
Out:      the files, each under its name once it is complete; what is there is passed over, so that
          a killed unpacking goes on. An archive cut short, or whose paths leave the folder, is
          refused
Library:  tarfile and zipfile read; shutil.unpack_archive and tarfile's filters do not go on after a
          kill, mend bad paths in place of refusing them, and take a tar cut between members for
          whole
"""

from __future__ import annotations

import gzip
import lzma
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from maskdistill.errors import DatasetError

_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    gzip.BadGzipFile,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a way of packing that zipfile does not know
)
SUFFIX = ".partial"  # of a file that is being written


@dataclass(frozen=True)
class _Member:
    """Describe one file of an archive.

    Attributes:
        path: as the archive has it. refused: why it may not be written; empty: it may.
        open: opens it for reading.
    """

    path: str
    n_bytes: int
    is_folder: bool
    refused: str
    open: Callable[[], IO[bytes]]


def unpack(
    archive: Path,
    folder: Path,
    *,
    wanted: Sequence[str],
    seen: Callable[[int], object] = lambda n_bytes: None,
) -> int:
    """Unpack what is wanted; return how many files of it there are then.

    Args:
        folder: made where it is missing. Half of an archive is in it while this works: give one of
            its own.
        wanted: paths of folders and files in the archive; all at and below them is unpacked, the
            rest passed over.
        seen: called with the bytes of wanted files that are there so far, after each file.
    Raises:
        DatasetError: no archive; cut short; nothing wanted in it; a path of it leaves the folder; a
            wanted file is a link or a device, or encrypted; the disk cannot be written.
    """
    n_files = n_bytes = 0
    chosen = frozenset(wanted)
    try:
        for member in _members(archive):
            path = _checked(archive, member.path)
            if not _is_wanted(path, chosen):
                continue
            if member.refused:
                raise DatasetError(
                    f"{archive}: {member.path} is {member.refused}. Nothing but files is unpacked"
                )
            # Files named ._* are added by some systems for themselves.
            if member.is_folder or path.rpartition("/")[2].startswith("._"):
                continue
            _write(member, folder.joinpath(*path.split("/")))
            n_files += 1
            n_bytes += member.n_bytes
            seen(n_bytes)
    except _DAMAGED as error:
        raise DatasetError(
            f"{archive}: cut short, or no archive that can be read ({error}). "
            "Delete it, and fetch it again"
        ) from error
    if not n_files:
        raise DatasetError(
            f"{archive}: holds nothing at {', '.join(wanted)}. "
            "It is another archive than its name says"
        )
    return n_files


def unpacked_bytes(archive: Path, *, wanted: Sequence[str]) -> int | None:
    """Return the bytes that a zip's wanted files need; None for a tar, which does not say."""
    try:
        with zipfile.ZipFile(archive) as file:
            chosen = frozenset(wanted)
            return sum(
                each.file_size for each in file.infolist() if _is_wanted(each.filename, chosen)
            )
    except (zipfile.BadZipFile, OSError):
        return None


def _is_wanted(path: str, wanted: frozenset[str]) -> bool:
    """Return whether the path or a folder above it is wanted; fast for thousands of them, too."""
    while path:
        if path in wanted:
            return True
        path = path.rpartition("/")[0]
    return False


def _checked(archive: Path, path: str) -> str:
    """Return a member's path in its plain form; DatasetError where it leads out of the folder."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    bad = (
        path.startswith("/")
        or ".." in parts
        or "\\" in path
        or "\0" in path
        or re.match(r"[A-Za-z]:", path)
    )
    if bad or any(ord(letter) < 32 for letter in path):
        raise DatasetError(
            f"{archive}: holds the path {path!r}, which leads out of its folder. It is not unpacked"
        )
    if path.endswith(SUFFIX):
        raise DatasetError(
            f"{archive}: holds {path!r}, a name that unpacking needs itself. It is not unpacked"
        )
    return "/".join(parts)


def _write(member: _Member, target: Path) -> None:
    """Write a file under its name once it is complete; pass over one of its size that is there."""
    if target.is_file() and target.stat().st_size == member.n_bytes:
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + SUFFIX)
        with member.open() as source, partial.open("wb") as file:
            # Both libraries raise where an archive gives fewer bytes.
            shutil.copyfileobj(source, file, 2**20)
        partial.replace(target)
    except OSError as error:
        if isinstance(error, gzip.BadGzipFile):
            raise
        raise DatasetError(
            f"{target}: cannot be written: {error.strerror or error}. Free some space, or give "
            "another --out; the same command goes on where it was"
        ) from error


def _members(archive: Path) -> Iterator[_Member]:
    if zipfile.is_zipfile(archive):
        yield from _of_zip(archive)
    else:
        yield from _of_tar(archive)


def _of_tar(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive, "r:*") as file:
        for each in file:
            refused = ""
            if each.issym() or each.islnk():
                refused = f"a link to {each.linkname!r}"
            elif not each.isreg() and not each.isdir():
                refused = "no file (a device or a pipe)"
            try:
                tarfile.data_filter(each, str(archive.parent))
            except tarfile.FilterError as error:
                refused = refused or f"not safe ({error})"

            def opened(each: tarfile.TarInfo = each) -> IO[bytes]:
                source = file.extractfile(each)
                assert source is not None  # a regular file
                return source

            yield _Member(each.name, each.size, each.isdir(), refused, opened)
        # tarfile takes an archive that ends between two members for a whole one: a whole one ends
        # with zeros.
        assert file.fileobj is not None
        file.fileobj.seek(file.offset)
        if len(file.fileobj.read(tarfile.BLOCKSIZE)) < tarfile.BLOCKSIZE:
            raise EOFError("its end is missing")
        while file.fileobj.read(2**20):
            pass  # to the end of a packed one, where its checksum is


def _of_zip(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as file:
        for each in file.infolist():
            kind = stat.S_IFMT(each.external_attr >> 16)
            refused = (
                ""
                if kind in (0, stat.S_IFREG, stat.S_IFDIR)
                else "a link, or another thing than a file"
            )
            if each.flag_bits & 1:
                refused = "encrypted"
            # orig_filename: the archive's own, before zipfile cuts it at a NUL or turns its
            # slashes.
            yield _Member(
                each.orig_filename,
                each.file_size,
                each.is_dir(),
                refused,
                lambda each=each: file.open(each),  # type: ignore[misc]
            )
