"""Download: one file from the first mirror that has it, resumed where it was cut, checked, whole.

In:       URLs (http, https), the file's place, what is known of it (size, digests)
Out:      Received: from where, size, SHA-256; or DatasetError with what each mirror said. While it
          is fetched NAME.part lies beside it, and NAME.part.json (from which URL, its validator)
Library:  none goes on with another mirror's bytes: pooch and torchvision take one URL, from its
          start; huggingface_hub goes on, at its own hub. The requests are the standard library's
"""

from __future__ import annotations

import contextlib
import email.message
import hashlib
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from maskdistill import __version__
from maskdistill.errors import DatasetError

PIECE = 2**18  # bytes read at once: some progress is kept even on a slow line
_WAIT_AND_TRY = {408, 425, 429, 500, 502, 503, 504}  # codes of HTTP that may pass


@dataclass(frozen=True)
class Received:
    """Hold a file that is there: where from (None: it was there already), bytes, SHA-256 (hex)."""

    url: str | None
    bytes: int
    sha256: str


class _Refused(Exception):
    """A mirror that will not give the file, whatever is tried."""


def download(
    urls: Sequence[str],
    target: Path,
    *,
    size: int | None = None,
    digests: Mapping[str, str] | None = None,
    advice: str = "",
    timeout_seconds: float = 30.0,
    tries: int = 4,
    pause: Callable[[float], object] = time.sleep,
    seen: Callable[[int], object] = lambda n_bytes: None,
    told: Callable[[str], object] = lambda line: None,
) -> Received:
    """Fetch a file; one that is there already is checked and used.

    Args:
        urls: tried in order; each up to `tries` times in a row without a byte more (cut, timed out,
            busy: again where it was, after 1, 2, 4, ... 60 s; missing or forbidden: the next one at
            once).
        size, digests: bytes and {"sha256": hex, "md5": hex} of the whole file, as far as they are
            known. Where a digest is known, another mirror goes on with what one has given; else
            each begins anew.
        advice: the end of the error: what else can be done.
        timeout_seconds: without a byte, or for a connection.
        pause: waits for so many seconds.
        seen: called with the number of bytes that are there; it falls where a mirror begins anew.
        told: called with each mirror that did not give it, and why.
    Raises:
        DatasetError: no mirror had it; a file that was there is another one; the disk cannot be
            written.
    """
    known = dict(digests or {})
    if target.exists():
        received, wrong = check(target, size=size, digests=known)
        if wrong:
            raise DatasetError(f"{target}: {wrong}. Move it away, or put the right file there")
        return received
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(target)
    said: list[str] = []
    for url in urls:
        try:
            received = _fetch(url, part, size, known, timeout_seconds, tries, pause, seen)
        except _Refused as error:
            said.append(f"{url}: {error}")
            told(said[-1])
            continue
        part.path.replace(target)
        part.state.unlink(missing_ok=True)
        return received
    tried = "".join(f"\n  {line}" for line in said) or "\n  no mirror is known"
    raise DatasetError(f"{target.name}: no mirror gave it. Tried:{tried}\n{advice}".rstrip())


def check(path: Path, *, size: int | None, digests: Mapping[str, str]) -> tuple[Received, str]:
    """Compare a file with what is known of it.

    Args:
        size: bytes; None: not known. digests: {name: hex}, of the names that hashlib has.
    Returns:
        Its bytes and SHA-256 (empty where the size is wrong), and the fault in words: empty where
        all that is known agrees.
    """
    n_bytes = path.stat().st_size
    if size is not None and n_bytes != size:
        return Received(None, n_bytes, ""), f"has {n_bytes} bytes, wanted {size}"
    names = list(dict.fromkeys(["sha256", *digests]))
    found = dict(zip(names, _digests(path, names), strict=True))
    wrong = [
        f"{name} {found[name]}, wanted {value}"
        for name, value in digests.items()
        if found[name] != value.lower()
    ]
    return Received(
        None, n_bytes, found["sha256"]
    ), f"has another checksum ({'; '.join(wrong)})" if wrong else ""


def _digests(path: Path, names: Sequence[str]) -> list[str]:
    hashes = [hashlib.new(name, usedforsecurity=False) for name in names]
    with path.open("rb") as file:
        while data := file.read(2**22):
            for each in hashes:
                each.update(data)
    return [each.hexdigest() for each in hashes]


class _Part:
    """Hold what there is of the file so far, and whose it is."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(target.name + ".part")
        self.state = target.with_name(target.name + ".part.json")

    @property
    def n_bytes(self) -> int:
        """Return how many bytes are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    def origin(self) -> dict[str, Any]:
        """Return the url and validator that the bytes came with; empty where nothing says so."""
        try:
            found = json.loads(self.state.read_text(encoding="utf-8"))
            return found if isinstance(found, dict) else {}
        except (OSError, ValueError):
            return {}

    def begin(self, url: str, headers: email.message.Message) -> None:
        """Begin another file: drop what is there, write down where it comes from."""
        self.drop()
        etag = headers.get("ETag", "")
        # A weak tag says that pages mean the same, not that their bytes do.
        validator = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")
        with self._on_disk():
            self.state.write_text(
                json.dumps({"url": url, "validator": validator}), encoding="utf-8"
            )

    @contextlib.contextmanager
    def appending(self) -> Iterator[Callable[[bytes], object]]:
        """Open the file; give a function that writes behind the bytes that are there."""

        def write(data: bytes) -> None:
            left = memoryview(data)
            with self._on_disk():
                while left:  # a disk that is nearly full takes a part
                    left = left[file.write(left) :]

        with self._on_disk():
            file = self.path.open("ab", buffering=0)
        with file:
            yield write

    def drop(self) -> None:
        """Remove what is there."""
        with self._on_disk():
            for path in (self.path, self.state):
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _on_disk(self) -> Iterator[None]:
        """Raise DatasetError where the disk refuses: no fault of the line, and not tried again."""
        try:
            yield
        except OSError as error:
            raise DatasetError(
                f"{self.path}: cannot be written: {error.strerror or error}. Free some space, or "
                "give another --out; the same command goes on where it was"
            ) from error


def _fetch(
    url: str,
    part: _Part,
    size: int | None,
    digests: Mapping[str, str],
    timeout: float,
    tries: int,
    pause: Callable[[float], object],
    seen: Callable[[int], object],
) -> Received:
    """Fetch the whole file into the part, checked and on disk; _Refused if the mirror fails."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise _Refused("is neither http nor https")
    if part.n_bytes and part.origin().get("url") != url and not digests:
        part.drop()
    pieced = part.n_bytes > 0  # of an earlier command, or of another mirror
    failed = 0
    while True:
        before = part.n_bytes
        try:
            _receive(url, part, size, timeout, seen, is_checked=bool(digests))
        except (http.client.InvalidURL, ValueError) as error:
            raise _Refused(str(error)) from error
        except (OSError, http.client.HTTPException) as error:
            failed = 1 if part.n_bytes > before else failed + 1
            if failed >= tries:
                raise _Refused(
                    f"{_words(error)} ({tries} times, {part.n_bytes} bytes so far)"
                ) from error
            pause(min(2.0 ** (failed - 1), 60.0))
            continue
        with part.path.open("rb") as file:
            os.fsync(file.fileno())
        received, wrong = check(part.path, size=size, digests=digests)
        if not wrong:
            return Received(url, received.bytes, received.sha256)
        part.drop()
        if not pieced:
            raise _Refused(f"what it gave {wrong}")
        # Pieces were put together, and one of them was wrong: this mirror alone is another try.
        pieced = False


def _receive(
    url: str,
    part: _Part,
    size: int | None,
    timeout: float,
    seen: Callable[[int], object],
    *,
    is_checked: bool,
) -> None:
    """Go on with the part, or begin it, to the end that the server names.

    Args:
        is_checked: a checksum will tell whether the pieces are of one file; else only the server
            can, and where it does not (no ETag, no date), the part is begun again.
    Raises:
        _Refused: the server has not the file. OSError, HTTPException: it may have it later.
    """
    start, origin = part.n_bytes, part.origin()
    if start and size is not None and start >= size:
        if start == size:
            return  # killed between its last byte and its renaming
        part.drop()
        start = 0
    if start and not is_checked and not (origin.get("url") == url and origin.get("validator")):
        part.drop()
        start = 0
    headers = {"User-Agent": f"maskdistill/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if origin.get("url") == url and origin.get("validator"):
            headers["If-Range"] = origin["validator"]
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=timeout
        ) as response:
            total = _total(response, start, size)
            if response.status != 206:
                start = 0
                part.begin(url, response.headers)
            n_bytes = start
            seen(start)
            with part.appending() as write:
                while data := response.read(PIECE):
                    write(data)
                    n_bytes += len(data)
                    seen(n_bytes)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and start:
                if error.headers.get("Content-Range", "").strip() == f"bytes */{start}":
                    return  # it is all there
                part.drop()
                raise ConnectionError("has fewer bytes than are here; begun anew") from error
            if error.code in _WAIT_AND_TRY:
                raise ConnectionError(f"HTTP {error.code} {error.reason}") from error
            raise _Refused(f"HTTP {error.code} {error.reason}") from error
    if total is not None and n_bytes < total:
        raise ConnectionError(f"cut after {n_bytes} of {total} bytes")
    if total is not None and n_bytes > total:
        part.drop()
        raise _Refused(f"gave {n_bytes} bytes where it said {total}")


def _total(response: http.client.HTTPResponse, start: int, size: int | None) -> int | None:
    """Return the whole file's bytes by the answer's head, None where it does not say.

    Raises:
        _Refused: it is plainly another file, before a byte is kept.
    """
    headers = response.headers
    if headers.get_content_type() == "text/html" and headers.get("Content-Type"):
        raise _Refused(
            "answered with a web page in place of the file (a block, a login, or it moved)"
        )
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _Refused(f"sends it packed ({headers['Content-Encoding']}), unasked")
    if response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", "").strip())
        if match is None or int(match[1]) != start:
            raise _Refused(f"sent another range than {start}- ({headers.get('Content-Range')})")
        total = int(match[2]) if match[2] != "*" else None
    elif response.status == 200:
        length = headers.get("Content-Length", "")
        total = int(length) if length.isdigit() else None
    else:
        raise _Refused(f"HTTP {response.status} {response.reason}")
    if size is not None and total is not None and total != size:
        raise _Refused(f"has a file of {total} bytes, wanted {size}")
    return total


def _words(error: Exception) -> str:
    """Return a network's error in a few words."""
    reason = getattr(error, "reason", None)
    if isinstance(error, TimeoutError) or isinstance(reason, TimeoutError):
        return "timed out"
    with contextlib.suppress(AttributeError):
        if reason is not None and not isinstance(error, urllib.error.HTTPError):
            return str(getattr(reason, "strerror", None) or reason)
    return str(error) or type(error).__name__
