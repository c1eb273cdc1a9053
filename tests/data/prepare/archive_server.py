"""A server of one file on this machine, which can cut the connection off and go on where it was."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from lookright.data.prepare.download import Archive


@dataclass
class Served:
    archive: Archive
    cut_at: int | None = None
    """stop after so many bytes of the file"""
    ranges: bool = True
    """whether it can go on"""
    asked: list[str | None] = field(default_factory=list)
    """the Range of each request"""


@contextmanager
def serving(content: bytes, name: str = "data.zip") -> Iterator[Served]:
    """Serve a file for as long as a test lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            served.asked.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and served.ranges else 0
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start : served.cut_at])

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}/{name}"
        served = Served(Archive(url, len(content), hashlib.md5(content).hexdigest()))
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
