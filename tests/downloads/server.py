"""A small HTTP server on loopback that misbehaves as asked: cuts, ignores ranges, is busy."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Manner:
    """Describe how a path is served."""

    body: bytes = b""
    ranges: bool = True  # Range is understood
    validator: str | None = '"one"'  # ETag
    # The next answers end after so many bytes of their own.
    cuts: list[int] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)  # the next answers are these codes
    code: int = 200  # and all others
    content_type: str = "application/octet-stream"
    says_length: bool = True
    hangs: bool = False  # answers nothing until it is closed


@dataclass
class Served:
    """Hold where the server is, what it serves, what was asked: (path, Range, If-Range)."""

    root: str
    paths: dict[str, Manner]
    asked: list[tuple[str, str | None, str | None]]

    def url(self, path: str) -> str:
        return self.root + path


@contextlib.contextmanager
def serving(**paths: Manner) -> Iterator[Served]:
    """Serve {name: manner} at /name (for names that are no word: Served.paths)."""
    closing = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            range_, if_range = self.headers.get("Range"), self.headers.get("If-Range")
            served.asked.append((self.path, range_, if_range))
            manner = served.paths.get(self.path.lstrip("/"))
            self.close_connection = True
            if manner is None:
                self.send_error(404)
                return
            if manner.hangs:
                closing.wait(20)
                return
            code = manner.codes.pop(0) if manner.codes else manner.code
            if code != 200:
                self.send_error(code)
                return
            start, total = 0, len(manner.body)
            if range_ and manner.ranges and (if_range is None or if_range == manner.validator):
                start = int(range_.removeprefix("bytes=").rstrip("-"))
                if start >= total:
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{total}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
            body = manner.body[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            if manner.says_length:
                self.send_header("Content-Length", str(len(body)))
            if manner.validator:
                self.send_header("ETag", manner.validator)
            self.send_header("Content-Type", manner.content_type)
            self.send_header("Connection", "close")
            self.end_headers()
            cut = manner.cuts.pop(0) if manner.cuts else len(body)
            with contextlib.suppress(OSError):
                self.wfile.write(body[:cut])
                self.wfile.flush()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served = Served(f"http://127.0.0.1:{server.server_address[1]}/", dict(paths), [])
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    try:
        yield served
    finally:
        closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
