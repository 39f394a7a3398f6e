"""One call and its answer: timeouts, attempts, and which error a failure is."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final, TypeVar

import requests
from urllib3.exceptions import HTTPError

from socketd_client import shortcut
from socketd_client.calls import Answer, Call
from socketd_client.descriptors import RECEIVED
from socketd_client.errors import ApiError, api_error
from socketd_client.failing import check_head, transport_error
from socketd_client.idle import give_back, take_idle
from socketd_client.insisting import Insistence
from socketd_client.interruption import raised_by_handler
from socketd_client.problem import read_problem
from socketd_client.records import ServiceInfo
from socketd_client.repeating import INSTANCE
from socketd_client.requesting import Writer
from socketd_client.shares import Shares
from socketd_client.transport import open_way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from socketd_client.calls import Request
    from socketd_client.endpoint import Endpoint
    from socketd_client.repeating import Attempt
    from socketd_client.transport import Way

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
        self._way: Way | None = open_way(endpoint)
        self._pid = os.getpid()
        self._service: ServiceInfo | None = None
        self._insistence = Insistence(self)
        self.shares = Shares(self)
        self._writer = Writer(endpoint.base, token)

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
        return self._insistence.insist(call, make)

    def json(self, call: Call) -> Any:
        """Send a call and parse the answer's body."""
        self.shares.flush()
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
            way, self._way = self._way, None
        if way is not None:
            way.session.close()

    def prepared(self, attempt: Attempt) -> tuple[requests.PreparedRequest, requests.Session]:
        """Give what an attempt sends, and the session that knows whom to trust, to who sends it itself."""
        return self._writer.prepare(self._writer.write(attempt)), self._own_way().session

    def describe(self) -> Answer:
        """Ask for the service document."""
        return self.send(_SERVICE)

    def note(self, instance: str | None) -> None:
        """Note that the daemon has answered, and as whom."""
        self._insistence.is_known = True
        if instance is not None:
            self._insistence.instance = instance

    def _send(self, attempt: Attempt) -> Answer:
        try:
            return self._send_on(self._own_way(), attempt)
        except ApiError as error:
            # The first time did it; and If-Match says that it was the socket that was meant.
            is_close = attempt.call.method == "DELETE" and attempt.call.if_match is not None
            if attempt.lost is not None and is_close and error.status == _NO_SUCH_SOCKET:
                return Answer(204, {}, b"")
            raise

    def _send_on(self, way: Way, attempt: Attempt) -> Answer:
        request = self._writer.write(attempt)
        with self._worded():
            answer = self._asked(way, request, attempt.call.wait_s)
        self.note(answer.headers.get(INSTANCE))
        if answer.status >= _FIRST_BAD_STATUS:
            raise self._refused(answer)
        return answer

    def _asked(self, way: Way, request: Request, wait_s: float) -> Answer:
        """Send a request and read its answer, the short way if there is one."""
        # Where descriptors are awaited, the connection itself receives them.
        pool = way.pool if RECEIVED.get() is None else None
        connection = None if pool is None else take_idle(pool)
        if pool is None or connection is None:
            with self._begin(way.session, request, wait_s) as response:
                return _whole(response)
        answer = shortcut.ask(connection, request, self._timeout_s, self._timeout_s + wait_s)
        give_back(pool, connection)
        return answer

    def _begin(self, session: requests.Session, request: Request, wait_s: float) -> requests.Response:
        """Send a request and read the head of its answer."""
        response = session.send(
            self._writer.prepare(request),
            stream=True,
            timeout=(self._timeout_s, self._timeout_s + wait_s),
            allow_redirects=False,
            proxies=session.proxies,
        )
        try:
            check_head(response.status_code, response.headers, response.raw.version)
        except BaseException:
            response.close()
            raise
        return response

    @staticmethod
    def _refused(answer: Answer) -> ApiError:
        return api_error(read_problem(answer.status, answer.headers, answer.body))

    def _open(self, attempt: Attempt) -> requests.Response:
        with self._worded():
            request = self._writer.write(attempt)
            response = self._begin(self._own_way().session, request, attempt.call.wait_s)
            self.note(response.headers.get(INSTANCE))
            if response.status_code < _FIRST_BAD_STATUS:
                return response
            with response:
                answer = _whole(response)
        raise self._refused(answer)

    def _pieces(self, response: requests.Response) -> Iterator[bytes]:
        with self._worded():
            yield from response.iter_content(None)

    @contextmanager
    def _worded(self) -> Iterator[None]:
        """Say what went wrong below HTTP in our own exceptions."""
        try:
            yield
        except (requests.RequestException, HTTPError, HTTPException, OSError) as error:
            raised = raised_by_handler(error)
            if raised is not None:
                raise raised from raised.__cause__
            raise transport_error(self.endpoint.url, error) from error

    def _own_way(self) -> Way:
        if self._pid != os.getpid():
            # A forked child must not speak on connections its parent speaks on: answers would be mixed up.
            with self._lock:
                if self._pid != os.getpid():
                    self._way, self._pid = open_way(self.endpoint), os.getpid()
        way = self._way
        if way is None:
            raise ValueError("the client is closed")
        return way


def _whole(response: requests.Response) -> Answer:
    # Not .content: it joins pieces of 10 KiB, twice the time for a recv of 1 MiB.
    return Answer(response.status_code, response.headers, response.raw.read())
