"""The server of `inspect --serve`: one page and its news, for this machine alone.

Who asks must name this machine as the host: a page from elsewhere, whose name was made to lead here, is refused.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gromo_graph.cli.messages import failure
from gromo_graph.errors import GromoGraphError, RunError
from gromo_graph.records.journal import Journal, journal_file, read_journal
from gromo_graph.render.pages.inspection import Inspection, news, seen, shown_results
from gromo_graph.render.pages.inspector import page_of, policy

HOST = "127.0.0.1"
_TOLD = re.compile(r"(\d{1,9}-\d{1,9}-[0-9a-f]{16})?")  # see `seen` of the inspection; at first nothing
Results = Callable[[Path], Mapping[str, Any] | None]


class Following:
    """A run that is read again and again; its known part is not worked out twice.

    Args:
        run: the folder, or the journal. results: what came of it, once it is over.
    """

    def __init__(self, run: Path, results: Results) -> None:
        self.run, self.results = run, results
        self._file = journal_file(run)
        self._inspection = Inspection()
        self._journal: Journal | None = None
        self._signature: tuple[int, int, int] | None = None
        self._seen = ""
        self._lock = threading.Lock()  # several pages may ask at once

    def page(self) -> str:
        """The page as the run now stands.

        Raises:
            GromoGraphError: the journal cannot be read now.
        """
        with self._lock:
            return page_of(self._inspection.data(self._read(), self.results(self.run)), live=True)

    def news(self, told: str) -> dict[str, Any]:
        """The news since a page was told `told`; or the reason to wait, or the damage."""
        with self._lock:
            try:
                journal, results = self._read(), self.results(self.run)
                if told == self._seen:  # nothing new, as most of the time: nothing is worked out
                    return {"results": shown_results(results)}
                return news(self._inspection, journal, told, results)
            except GromoGraphError as error:
                return {"damaged" if self._is_there() else "waiting": str(error)}

    def _is_there(self) -> bool:
        """True if there is a journal with something in it: a run that begins anew has none for a moment."""
        try:
            return self._file.stat().st_size > 0
        except OSError:
            return False

    def _read(self) -> Journal:
        """The journal, read again if the file is not as it was."""
        try:
            state = self._file.stat()
        except OSError:
            return read_journal(self._file)  # says why it cannot
        signature = (state.st_mtime_ns, state.st_size, state.st_ino)
        if self._journal is None or signature != self._signature:
            self._journal = read_journal(self._file)
            self._signature, self._seen = signature, seen(self._journal)
        return self._journal


class Server(ThreadingHTTPServer):
    """The server; it listens as soon as it is made.

    Args:
        run: whose page. port: 0 for any that is free. results: as of `Following`.

    Attributes:
        address: of the page.

    Raises:
        RunError: the journal cannot be read, or the port is taken.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 512  # requests that may wait while others are taken

    def __init__(self, run: Path, port: int, results: Results) -> None:
        self.following = Following(run, results)
        self.following.page()  # what is wrong with the run is told at once, not to the browser
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            reason = error.strerror or str(error)
            raise RunError(
                f"{HOST}:{port} cannot be listened at: {reason}: choose another with --port, or --port 0 for any"
            ) from error
        self.address = f"http://{HOST}:{self.server_port}/"

    @property
    def hosts(self) -> frozenset[str]:
        """The address for a browser on this machine."""
        return frozenset(f"{name}:{self.server_port}" for name in (HOST, "localhost"))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report an error in a line, but not a browser that leaves in the middle of an answer."""
        error = sys.exc_info()[1]
        if not isinstance(error, (ConnectionError, TimeoutError)):
            failure(f"a request could not be answered: {error!r}")


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        if self.headers.get("Host") not in self.server.hosts:
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", "this server answers its own machine alone\n")
            return
        try:
            path, told = _asked(self.path)
        except ValueError as error:
            self._answer(HTTPStatus.BAD_REQUEST, "text/plain", f"this is no address of a page: {error}\n")
            return
        if path == "/":
            self._page()
        elif path == "/news":
            self._answer(HTTPStatus.OK, "application/json", json.dumps(self.server.following.news(told)))
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", "there is no such page\n")

    def _page(self) -> None:
        try:
            page = self.server.following.page()
        except GromoGraphError as error:
            words = f"{error}\nLoad this page again when the run is there.\n"
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", words)
        else:
            self._answer(HTTPStatus.OK, "text/html", page)

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        headers = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Content-Security-Policy": policy(live=True) + "; frame-ancestors 'none'",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        return "gromo-graph"

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: a page that asks every second would fill the terminal."""


def _asked(address: str) -> tuple[str, str]:
    """The path of an address, and the state that the asking page has been told.

    Raises:
        ValueError: the address or its query is malformed.

    >>> _asked("/news?seen=3-1-0123456789abcdef")
    ('/news', '3-1-0123456789abcdef')
    """
    parts = urlsplit(address)
    query = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query), errors="strict")
    told = query.pop("seen", [""])
    if query or len(told) > 1 or not _TOLD.fullmatch(told[0]):
        raise ValueError("the query is malformed")
    return parts.path, told[0]
