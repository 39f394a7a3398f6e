"""A real browser, and a web server that is its page's own site and a way to the daemon at once."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.daemon_process import UnixConnection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAIT_S = 90.0  # of what takes seconds
PAGE = "/page"
REPORT = "/report"
DEAF = ("transfer-encoding", "connection", "date", "server")


class Passed(NamedTuple):
    """A request that came through to the daemon, and what the daemon answered."""

    method: str
    path: str
    host: str
    status: int
    headers: dict[str, str]


class Site(ThreadingHTTPServer):
    """Serves one page, takes what it reports, and passes everything else on to the daemon as it came.

    Such a way is what a user makes with a proxy or ``socat``: whoever comes by it has the user's rights.

    Args:
        socket_path: The daemon's.
        page: HTML.
    """

    daemon_threads = True

    def __init__(self, socket_path: str, page: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.socket_path = socket_path
        self.page = page
        self.reports: queue.Queue[Any] = queue.Queue()
        self.passed: list[Passed] = []

    def origin(self, host: str) -> str:
        """Write its origin by one of its names."""
        return f"http://{host}:{self.server_address[1]}"

    def await_report(self) -> Any:
        """Block until the page has reported."""
        return self.reports.get(timeout=WAIT_S)

    def await_passed(self, method: str, path: str, count: int = 1) -> Passed:
        """Block until so many such requests were passed on; return the last of them."""
        while True:
            found = [each for each in self.passed if (each.method, each.path) == (method, path)]
            if len(found) >= count:
                return found[-1]
            self.reports.get(timeout=WAIT_S)


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def handle_one_request(self) -> None:
        """Answer one; HTTP/1.0, so that no connection sees a second."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path.startswith(PAGE):
            self._answer(200, {"Content-Type": "text/html"}, self.server.page.encode())
        elif self.path == REPORT:
            self._answer(204, {}, b"")
            self.server.reports.put(json.loads(body))
        else:
            self._pass_on(body)

    def _pass_on(self, body: bytes) -> None:
        connection = UnixConnection(self.server.socket_path, WAIT_S)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "connection":
                    connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            headers = {name: value for name, value in response.getheaders() if name.lower() not in DEAF}
            data = response.read()
        finally:
            connection.close()
        host = self.headers.get("Host", "")
        self.server.passed.append(Passed(self.command, self.path, host, response.status, headers))
        self._answer(response.status, headers, data)
        self.server.reports.put(None)  # wakes await_passed

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(socket_path: str, page: str = "") -> Iterator[Site]:
    """Serve during the body."""
    with Site(socket_path, page) as site:
        thread = threading.Thread(target=site.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield site
        finally:
            site.shutdown()
            thread.join()


@contextmanager
def browser(folder: Path, url: str, *names: str) -> Iterator[None]:
    """Have chromium look at a page during the body; ``names`` lead to this host."""
    rules = ",".join(f"MAP {name} 127.0.0.1" for name in names)
    command = [
        "chromium",
        "--headless",
        "--no-first-run",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-proxy-server",
        f"--user-data-dir={folder}",
        f"--host-resolver-rules={rules}",
        "--remote-debugging-port=0",  # else it ends when the page is loaded
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
        url,
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # it has many children
        process.wait()
