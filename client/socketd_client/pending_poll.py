"""A poll that the daemon has not answered yet, on a connection whose descriptor can be waited for."""

from __future__ import annotations

import contextlib
import os
import time
from http.client import HTTPException
from typing import TYPE_CHECKING, Final, cast

from urllib3.exceptions import HTTPError

from socketd_client.calls import Answer, Call
from socketd_client.errors import ConnectionLostError, api_error
from socketd_client.failing import transport_error
from socketd_client.idle import give_back, take_idle
from socketd_client.interruption import raised_by_handler
from socketd_client.polling import poll_call, ready_in
from socketd_client.problem import read_problem
from socketd_client.repeating import Attempt

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.connection import HTTPConnection
    from urllib3.connectionpool import HTTPConnectionPool

    from socketd_client.exchange import Exchange

# Another thread may be quicker with the connection that was just made.
_TRIES: Final = 8
_FIRST_BAD_STATUS: Final = 300
_HEALTH: Final = Call("GET", "/healthz")


class PendingPoll:
    """A poll under way; its descriptor becomes readable when the answer is there, or will never come.

    A poll takes nothing from a socket, so one that is closed before it was answered has lost nothing: the
    daemon sees the connection end, and stops waiting.

    Args:
        exchange: Whose daemon is asked, on a connection of its session that nothing else uses meanwhile.
        held: Descriptor numbers of the daemon, and what to wait for.
        timeout_s: When the daemon shall answer that there is nothing.

    Raises:
        SocketdError: It could not be sent.
    """

    def __init__(self, exchange: Exchange, held: Mapping[int, int], timeout_s: float) -> None:
        self.held = dict(held)
        self._exchange = exchange
        self._pid = os.getpid()
        self._overdue = time.monotonic() + timeout_s + exchange.timeout_s
        request, session = exchange.prepared(Attempt(poll_call(held.items(), timeout_s)))
        # Any but ours is an HTTPAdapter too: open_session mounts nothing else.
        adapter = cast("HTTPAdapter", session.get_adapter(request.url or ""))
        pool = adapter.get_connection_with_tls_context(request, session.verify, session.proxies, session.cert)
        self._pool = cast("HTTPConnectionPool", pool)
        self._connection = self._connected()
        try:
            self._connection.timeout = exchange.timeout_s
            self._send(request, adapter.request_url(request, session.proxies))
        except BaseException:
            self.close()
            raise

    @property
    def is_ours(self) -> bool:
        """Tell whether this process sent it: a forked child must not read its parent's answers."""
        return self._pid == os.getpid()

    def overdue_s(self) -> float:
        """Return in how many seconds an answer can no longer be expected; 0 if it is late."""
        return max(self._overdue - time.monotonic(), 0.0)

    def fileno(self) -> int:
        """Return the connection's descriptor."""
        return self._connection.sock.fileno()

    def answer(self) -> dict[int, int]:
        """Read the answer, and give the connection back; blocks until it is there.

        Returns:
            What is ready; ``{}`` when the daemon's wait ran out.

        Raises:
            SocketdError: The daemon refuses, or the connection broke.
        """
        try:
            with self._worded():
                response = self._connection.getresponse()
                body = response.data
        except BaseException:
            self.close()
            raise
        give_back(self._pool, self._connection)
        if response.status >= _FIRST_BAD_STATUS:
            raise api_error(read_problem(response.status, response.headers, body))
        return dict(ready_in(Answer(response.status, response.headers, body).json()))

    def close(self) -> None:
        """Hang up, and so end the daemon's wait; in a forked child, only its copy of the connection.

        It takes no lock: the collector may call it in the middle of anything.
        """
        self._connection.close()

    def _connected(self) -> HTTPConnection:
        """Take a connection out of the session's pool, one that was answered before and still stands."""
        for _ in range(_TRIES):
            connection = take_idle(self._pool)
            if connection is not None:
                return connection
            self._exchange.send(_HEALTH)  # leaves its connection on top: last in, first out
        raise ConnectionLostError("the daemon keeps no connection")

    def _send(self, request: requests.PreparedRequest, target: str) -> None:
        with self._worded():
            body = cast("bytes", request.body)
            self._connection.request("POST", target, body=body, headers=dict(request.headers))

    @contextlib.contextmanager
    def _worded(self) -> Iterator[None]:
        """Say in our own exceptions what went wrong; what a signal handler raised passes as it is."""
        try:
            yield
        except (HTTPException, HTTPError, OSError) as error:
            raised = raised_by_handler(error)
            if raised is not None:
                raise raised from raised.__cause__
            raise transport_error(self._exchange.endpoint.url, error) from error
