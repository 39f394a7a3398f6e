"""One call and its answer: timeouts, attempts, and which error a failure is."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import contextmanager
from errno import ECONNREFUSED, ENOENT
from typing import TYPE_CHECKING, Any, Final, TypeVar

import requests
from urllib3.exceptions import HTTPError

from socketd_client.calls import BYTES, JSON, Answer, Call
from socketd_client.errors import (
    ApiError,
    ConnectError,
    ConnectionLostError,
    SocketdError,
    api_error,
)
from socketd_client.failing import transport_error
from socketd_client.interruption import raised_by_handler
from socketd_client.problem import read_problem
from socketd_client.records import ServiceInfo
from socketd_client.repeating import CONNECT, MOST_BROKEN, Attempt, Repeat, is_leaving, pause_s, repeat_of
from socketd_client.transport import open_session, pin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from socketd_client.endpoint import Endpoint

# How long a refused connection is tried again by a client that has never been answered.
_REFUSED_FOR_S: Final = 0.25
_REFUSED_PAUSE_S: Final = 0.02
_FIRST_BAD_STATUS: Final = 300
_NO_SUCH_SOCKET: Final = 404
_SERVICE: Final = Call("GET", "/v1/")

Result = TypeVar("Result")


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
        self._is_known = False
        self._blank = requests.Request("GET", endpoint.base).prepare()
        self._blank.headers.update({"User-Agent": "socketd-client", "Accept-Encoding": "identity"})
        if token is not None:
            self._blank.headers["Authorization"] = f"Bearer {token}"

    @property
    def timeout_s(self) -> float:
        """How long connecting may take, and one step of an answer."""
        return self._timeout_s

    def send(self, call: Call) -> Answer:
        """Send a call and wait for its answer, over the daemon's restart if that does no harm.

        Raises:
            ApiError: The daemon refuses.
            ConnectionLostError: The connection broke, and the call may have been done; see ``repeat_of``.
            TransportError: There was no answer.
        """
        return self.insist(call, self._send)

    def insist(self, call: Call, make: Callable[[Attempt], Result]) -> Result:
        """Make attempts at a call until one is answered, as ``repeating`` has it.

        Args:
            call: What is to be done.
            make: Makes one attempt; raises as ``send``.
        """
        attempt = Attempt(call)
        deadline = attempt.started + call.wait_s + self._timeout_s
        while True:
            try:
                return self._reach(make, attempt, deadline)
            except ConnectionLostError as error:
                if time.monotonic() > deadline or not self._may_repeat(attempt):
                    raise
                attempt = attempt.after(error)
            except ApiError as error:
                if not is_leaving(error) or call.path.endswith(CONNECT):
                    raise
                attempt = self._after_leaving(attempt, error, deadline)

    def json(self, call: Call) -> Any:
        """Send a call and parse the answer's body."""
        return self.send(call).json()

    @contextmanager
    def streaming(self, call: Call) -> Iterator[Iterator[bytes]]:
        """Send a call whose answer goes on, and give its body in the pieces in which it comes.

        Raises:
            SocketdError: As ``send``, when it is entered; the connection may also break between the pieces.
        """
        with self.insist(call, self._open) as response:
            yield self._pieces(response)

    def service(self, *, fresh: bool = False) -> ServiceInfo:
        """Read the service document; an earlier answer will do unless ``fresh``."""
        known = self._service
        if known is None or fresh:
            known = self._service = ServiceInfo.from_json(self.json(_SERVICE))
        return known

    def close(self) -> None:
        """Close the connections; later calls raise ``ValueError``."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.close()

    def _reach(self, make: Callable[[Attempt], Result], attempt: Attempt, deadline: float) -> Result:
        """Make an attempt, again while the daemon is not there."""
        began = time.monotonic()
        give_up = max(deadline if self._is_known else 0.0, began + _REFUSED_FOR_S)
        while True:
            try:
                return make(attempt)
            except ConnectError as error:
                number = None if error.reason is None else error.reason.errno
                # A daemon alone takes its socket file away at its end.
                is_away = number == ECONNREFUSED or (number == ENOENT and self._is_known)
                if not is_away or time.monotonic() > give_up:
                    # One that stays away is not waited for by each of a hundred calls.
                    self._is_known = False
                    raise
                time.sleep(_REFUSED_PAUSE_S)

    def _may_repeat(self, attempt: Attempt) -> bool:
        repeat = repeat_of(attempt.call)
        if repeat is Repeat.REPLAYED:
            return attempt.lost is None  # _send looks whether it is the same daemon
        if repeat is Repeat.NEVER or attempt.broken + 1 >= MOST_BROKEN:
            return False
        if repeat is Repeat.ALWAYS:
            return True
        try:
            return repeat.allows(self.service(fresh=True), time.monotonic() - attempt.started)
        except SocketdError:
            return False

    def _after_leaving(self, attempt: Attempt, error: ApiError, deadline: float) -> Attempt:
        """Wait until the daemon may be back; return the next attempt, or raise."""
        if attempt.lost is not None and repeat_of(attempt.call) is Repeat.REPLAYED:
            raise attempt.lost from error  # this try did nothing, but the first may have
        left_s = deadline - time.monotonic()
        if left_s < pause_s(error):
            raise error
        time.sleep(pause_s(error))
        if attempt.lost is not None:
            return attempt
        return Attempt(attempt.call.shortened(deadline - self._timeout_s - time.monotonic()))

    def _send(self, attempt: Attempt) -> Answer:
        call = attempt.call
        if attempt.lost is not None and repeat_of(call) is Repeat.REPLAYED:
            return self._send_to_the_same(attempt, attempt.lost)
        try:
            return self._send_on(self._own_session(), call, attempt.key)
        except ApiError as error:
            # The first time did it; and If-Match says that it was the socket that was meant.
            is_done = call.method == "DELETE" and error.status == _NO_SUCH_SOCKET
            if attempt.lost is not None and is_done:
                return Answer(204, {}, b"")
            raise

    def _send_to_the_same(self, attempt: Attempt, lost: ConnectionLostError) -> Answer:
        """Send it again to the daemon that may have done it, by a connection that never leads elsewhere.

        Between asking who it is and sending, it may die; on a new connection its successor would do it a
        second time. A TLS or HTTP proxy could lead the connection to both, so behind those it is not sent.
        """
        if self.endpoint.is_proxied:
            raise lost
        with open_session(self.endpoint) as session:
            if session.proxies:
                raise lost
            try:
                service = ServiceInfo.from_json(self._send_on(session, _SERVICE, attempt.key).json())
                if not Repeat.REPLAYED.allows(service, time.monotonic() - attempt.started):
                    raise lost
                pin(session, self._blank)
            except SocketdError as error:
                raise lost from error
            return self._send_on(session, attempt.call, attempt.key)

    def _prepare(self, call: Call, key: str) -> requests.PreparedRequest:
        request = self._blank.copy()
        request.method, request.url = call.method, self.endpoint.base + call.target()
        headers = request.headers
        headers["Accept"] = call.accept
        if call.if_match is not None:
            headers["If-Match"] = f'"{call.if_match}"'
        if call.method == "POST":
            headers["Idempotency-Key"] = key
        if isinstance(call.body, memoryview):
            request.body = call.body  # type: ignore[assignment]  # urllib3 sends any buffer as it is
            headers["Content-Type"], headers["Content-Length"] = BYTES, str(call.body.nbytes)
        elif call.body is not None:
            request.body = json.dumps(call.body, separators=(",", ":")).encode()
            headers["Content-Type"], headers["Content-Length"] = JSON, str(len(request.body))
        return request

    def _send_on(self, session: requests.Session, call: Call, key: str) -> Answer:
        with self._worded(), self._begin(session, call, key) as response:
            # Not .content: it joins pieces of 10 KiB, twice the time for a recv of 1 MiB.
            body = response.raw.read()
        self._is_known = True
        if response.status_code >= _FIRST_BAD_STATUS:
            raise self._refused(response, body)
        return Answer(response.status_code, response.headers, body)

    def _begin(self, session: requests.Session, call: Call, key: str) -> requests.Response:
        """Send a request and read the head of its answer."""
        timeout = (self._timeout_s, self._timeout_s + call.wait_s)
        request = self._prepare(call, key)
        return session.send(
            request, stream=True, timeout=timeout, allow_redirects=False, proxies=session.proxies
        )

    @staticmethod
    def _refused(response: requests.Response, body: bytes) -> ApiError:
        return api_error(read_problem(response.status_code, response.headers, body))

    def _open(self, attempt: Attempt) -> requests.Response:
        with self._worded():
            response = self._begin(self._own_session(), attempt.call, attempt.key)
            self._is_known = True
            if response.status_code < _FIRST_BAD_STATUS:
                return response
            with response:
                body = response.raw.read()
        raise self._refused(response, body)

    def _pieces(self, response: requests.Response) -> Iterator[bytes]:
        with self._worded():
            yield from response.iter_content(None)

    @contextmanager
    def _worded(self) -> Iterator[None]:
        """Say what went wrong below HTTP in our own exceptions."""
        try:
            yield
        except (requests.RequestException, HTTPError, OSError) as error:
            raised = raised_by_handler(error)
            if raised is not None:
                raise raised from raised.__cause__
            raise transport_error(self.endpoint.url, error) from error

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
