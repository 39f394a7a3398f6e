"""One call and its answer: timeouts, what may be sent again, and which error a failure is."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import requests
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError

from socketd_client.errors import (
    ApiError,
    BadAnswerError,
    ConnectError,
    ConnectionLostError,
    SocketdError,
    TransportError,
    TransportTimeoutError,
    api_error,
    connect_error,
)
from socketd_client.interruption import causes, raised_by_handler
from socketd_client.problem import read_problem
from socketd_client.records import ServiceInfo
from socketd_client.transport import open_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from socketd_client.endpoint import Endpoint

JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"
TEXT: Final = "text/plain"

# How long a refused connection is tried again: a daemon that restarts binds before it listens.
_REFUSED_FOR_S: Final = 0.25
_REFUSED_PAUSE_S: Final = 0.02
_FIRST_BAD_STATUS: Final = 300
_NO_SUCH_SOCKET: Final = 404
_REPLAYS: Final = "idempotency"


@dataclass(frozen=True, slots=True)
class Call:
    """A request to the daemon.

    Attributes:
        query: Parameters; those that are ``None`` are left out.
        body: JSON for a dict, the bytes themselves for anything with a buffer.
        accept: The media type wanted.
        if_match: The cookie of the socket that is meant.
        wait_s: How long the daemon was asked to wait; the HTTP timeout is that much longer.
    """

    method: str
    path: str
    query: Mapping[str, Any] | None = None
    body: Mapping[str, Any] | memoryview | None = None
    accept: str = JSON
    if_match: int | None = None
    wait_s: float = 0.0

    def target(self) -> str:
        """Write path and query as they go on the wire."""
        given = {name: _text(value) for name, value in (self.query or {}).items() if value is not None}
        return f"{self.path}?{urlencode(given)}" if given else self.path


@dataclass(frozen=True, slots=True)
class Answer:
    """What the daemon answered, when it did what was asked."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Parse the body.

        Raises:
            BadAnswerError: It is no JSON object.
        """
        try:
            data = json.loads(self.body)
        except ValueError as error:
            raise BadAnswerError("the answer is no JSON; is this URL really socketd's?") from error
        if not isinstance(data, dict):
            raise BadAnswerError(f"the answer is a JSON {type(data).__name__}, not an object")
        return data


class Exchange:
    """Sends calls over one session; used by several threads at once.

    Args:
        endpoint: The daemon.
        token: Bearer token, for TCP.
        timeout_s: How long connecting may take, and an answer beyond the wait its call asked for.
    """

    def __init__(self, endpoint: Endpoint, *, token: str | None, timeout_s: float) -> None:
        self.endpoint = endpoint
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._session: requests.Session | None = open_session(endpoint)
        self._pid = os.getpid()
        self._service: ServiceInfo | None = None
        self._blank = requests.Request("GET", endpoint.base).prepare()
        self._blank.headers.update({"User-Agent": "socketd-client", "Accept-Encoding": "identity"})
        if token is not None:
            self._blank.headers["Authorization"] = f"Bearer {token}"

    @property
    def timeout_s(self) -> float:
        """How long connecting may take, and one step of an answer."""
        return self._timeout_s

    def send(self, call: Call) -> Answer:
        """Send a call and wait for its answer.

        A refused connection is tried again for a moment. A request whose connection broke is sent once more
        if the second time cannot do harm.

        Raises:
            ApiError: The daemon refuses.
            TransportError: There was no answer.
        """
        request = self._prepare(call)
        started = time.monotonic()
        try:
            return self._send_connected(request, call)
        except ConnectionLostError:
            if not self._may_resend(call, started):
                raise
        try:
            return self._send_connected(request, call)
        except ApiError as error:
            # The first time did it; and If-Match says that it was the socket that was meant.
            if call.method == "DELETE" and error.status == _NO_SUCH_SOCKET:
                return Answer(204, {}, b"")
            raise

    def json(self, call: Call) -> Any:
        """Send a call and parse the answer's body."""
        return self.send(call).json()

    def service(self, *, fresh: bool = False) -> ServiceInfo:
        """Read the service document; an earlier answer will do unless ``fresh``."""
        known = self._service
        if known is None or fresh:
            known = self._service = ServiceInfo.from_json(self.json(Call("GET", "/v1/")))
        return known

    def close(self) -> None:
        """Close the connections; later calls raise ``ValueError``."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.close()

    def _prepare(self, call: Call) -> requests.PreparedRequest:
        request = self._blank.copy()
        request.method, request.url = call.method, self.endpoint.base + call.target()
        headers = request.headers
        headers["Accept"] = call.accept
        if call.if_match is not None:
            headers["If-Match"] = f'"{call.if_match}"'
        if call.method == "POST":
            headers["Idempotency-Key"] = os.urandom(16).hex()
        if isinstance(call.body, memoryview):
            request.body = call.body  # type: ignore[assignment]  # urllib3 sends any buffer as it is
            headers["Content-Type"], headers["Content-Length"] = BYTES, str(call.body.nbytes)
        elif call.body is not None:
            request.body = json.dumps(call.body, separators=(",", ":")).encode()
            headers["Content-Type"], headers["Content-Length"] = JSON, str(len(request.body))
        return request

    def _send_connected(self, request: requests.PreparedRequest, call: Call) -> Answer:
        give_up = time.monotonic() + _REFUSED_FOR_S
        while True:
            try:
                return self._send_once(request, call)
            except ConnectError as error:
                if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > give_up:
                    raise
                time.sleep(_REFUSED_PAUSE_S)

    def _send_once(self, request: requests.PreparedRequest, call: Call) -> Answer:
        session = self._own_session()
        timeout = (self._timeout_s, self._timeout_s + call.wait_s)
        try:
            response = session.send(
                request, stream=True, timeout=timeout, allow_redirects=False, proxies=session.proxies
            )
            with response:
                # Not .content: it joins pieces of 10 KiB, twice the time for a recv of 1 MiB.
                body = response.raw.read()
        except (requests.RequestException, HTTPError, OSError) as error:
            raised = raised_by_handler(error)
            if raised is not None:
                raise raised from raised.__cause__
            raise self._transport_error(error) from error
        if response.status_code >= _FIRST_BAD_STATUS:
            raise api_error(read_problem(response.status_code, response.headers, body))
        return Answer(response.status_code, response.headers, body)

    def _own_session(self) -> requests.Session:
        if self._pid != os.getpid():
            # A forked child must not speak on connections its parent speaks on: answers would be mixed up.
            with self._lock:
                if self._pid != os.getpid():
                    self._session, self._pid = open_session(self.endpoint), os.getpid()
        session = self._session
        if session is None:
            raise ValueError("the client is closed")
        return session

    def _may_resend(self, call: Call, started: float) -> bool:
        if call.method != "POST":
            return True
        # The daemon replays the answer if it has the extension, and is the one that may have seen the first.
        try:
            service = self.service(fresh=True)
        except SocketdError:
            return False
        return _REPLAYS in service.extensions and service.uptime_s > time.monotonic() - started

    def _transport_error(self, error: Exception) -> TransportError:
        place, reason = self.endpoint.url, _first_os_error(error)
        for cause in causes(error):
            if isinstance(cause, (NewConnectionError, ConnectTimeoutError)):
                return connect_error(place, reason or OSError(str(cause)))
            if isinstance(cause, ReadTimeoutError):
                return TransportTimeoutError(f"socketd at {place} did not answer in time", reason=reason)
        said = reason or error
        return ConnectionLostError(
            f"the connection to {place} broke before the answer: {said}", reason=reason
        )


def _first_os_error(error: BaseException) -> OSError | None:
    """Find the system call's own error; requests' are ``OSError`` too, so the innermost counts."""
    found = [cause for cause in causes(error) if isinstance(cause, OSError)]
    return found[-1] if found and not isinstance(found[-1], requests.RequestException) else None


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
