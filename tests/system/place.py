"""Where a daemon is: how its API is asked, and in which network the peers of its sockets are made."""

from __future__ import annotations

import errno
import http.client
import json
import select
import socket
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.daemon_process import Answer, UnixConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

PATIENCE_S = 60.0  # bounds of what takes tenths of a second, on a machine that does much else
BETWEEN_S = 0.01


@dataclass(frozen=True, slots=True)
class Place:
    """One daemon and its surroundings.

    Attributes:
        api: The API's Unix socket, as this process sees it.
        folder: Where held Unix sockets go, as this process sees it.
        folder_inside: The same folder as the daemon sees it.
        network: Has the calling thread make its sockets in the daemon's network.
    """

    api: str
    folder: Path
    folder_inside: str
    network: Callable[[], AbstractContextManager[None]] = nullcontext

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Make one request on a connection of its own; a body that is not bytes goes as JSON.

        Raises:
            OSError, http.client.HTTPException: The daemon died before it answered.
        """
        sent = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection = UnixConnection(self.api, PATIENCE_S)
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        status: int = 200,
    ) -> Any:
        """Make a request that must be answered with that status; return the decoded body, if there is one."""
        answer = self.request(method, path, body, headers)
        assert answer.status == status, (method, path, answer.status, answer.body)
        return answer.json() if answer.body else None

    def look(self, path: str) -> Any:
        """Return what a GET answers, or ``None`` while nobody answers it."""
        try:
            answer = self.request("GET", path)
        except (OSError, http.client.HTTPException):
            return None
        return answer.json() if answer.status == http.HTTPStatus.OK else None

    def socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """Make a socket of our own in the daemon's network; it stays there."""
        with self.network():
            made = socket.socket(family, kind)
        made.settimeout(PATIENCE_S)
        return made

    def connect(self, address: tuple[str, int] | str) -> socket.socket:
        """Connect a socket of our own to a held one: a TCP address, or the name of a file in ``folder``."""
        is_path = isinstance(address, str)
        made = self.socket(socket.AF_UNIX if is_path else socket.AF_INET)
        try:
            made.connect(str(self.folder / address) if isinstance(address, str) else address)
        except BaseException:
            made.close()
            raise
        return made

    def is_free(self, address: tuple[str, int]) -> bool:
        """Say whether nobody listens on a port; what lingers in TIME_WAIT does not count."""
        with self.socket() as ours:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                ours.bind(address)
                ours.listen()
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return False
                raise
        return True


def await_true(
    condition: Callable[[], bool], failure: Callable[[], str], timeout_s: float = PATIENCE_S
) -> None:
    """Look again and again until ``condition`` holds; fail with what ``failure`` says then."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, failure()
        select.select([], [], [], BETWEEN_S)  # other processes' states cannot be polled
