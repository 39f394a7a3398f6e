"""One call and its answer: timeouts, attempts, and which error a failure is."""

from __future__ import annotations

import json
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import requests
from urllib3.exceptions import HTTPError

from socketd_client.calls import BYTES, JSON, Answer, Call, Pieces
from socketd_client.errors import ApiError, api_error
from socketd_client.failing import check_head, transport_error
from socketd_client.insisting import Insistence
from socketd_client.interruption import raised_by_handler
from socketd_client.problem import read_problem
from socketd_client.records import ServiceInfo
from socketd_client.repeating import INSTANCE
from socketd_client.shares import Shares
from socketd_client.transport import open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from socketd_client.endpoint import Endpoint
    from socketd_client.repeating import Attempt

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
        self._insistence = Insistence(self)
        self.shares = Shares(self)
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
            session, self._session = self._session, None
        if session is not None:
            session.close()

    def prepared(self, attempt: Attempt) -> tuple[requests.PreparedRequest, requests.Session]:
        """Give what an attempt sends, and the session that knows whom to trust, to who sends it itself."""
        return self._prepare(attempt), self._own_session()

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
            return self._send_on(self._own_session(), attempt)
        except ApiError as error:
            # The first time did it; and If-Match says that it was the socket that was meant.
            is_close = attempt.call.method == "DELETE" and attempt.call.if_match is not None
            if attempt.lost is not None and is_close and error.status == _NO_SUCH_SOCKET:
                return Answer(204, {}, b"")
            raise

    def _prepare(self, attempt: Attempt) -> requests.PreparedRequest:
        call, request = attempt.call, self._blank.copy()
        request.method, request.url = call.method, self.endpoint.base + call.target()
        headers = request.headers
        headers["Accept"] = call.accept
        if call.if_match is not None:
            headers["If-Match"] = call.entity_tags()
        if call.method != "GET":
            headers["Idempotency-Key"] = attempt.key
        if attempt.instance is not None:
            headers[INSTANCE] = attempt.instance
        headers.update(call.headers)
        if isinstance(call.body, (memoryview, Pieces)):
            request.body = call.body  # type: ignore[assignment]  # urllib3 sends any buffer as it is
            headers["Content-Type"], headers["Content-Length"] = BYTES, str(call.body.nbytes)
        elif call.body is not None:
            request.body = json.dumps(call.body, separators=(",", ":")).encode()
            headers["Content-Type"], headers["Content-Length"] = JSON, str(len(request.body))
        return request

    def _send_on(self, session: requests.Session, attempt: Attempt) -> Answer:
        with self._worded(), self._begin(session, attempt) as response:
            # Not .content: it joins pieces of 10 KiB, twice the time for a recv of 1 MiB.
            body = response.raw.read()
        self.note(response.headers.get(INSTANCE))
        if response.status_code >= _FIRST_BAD_STATUS:
            raise self._refused(response, body)
        return Answer(response.status_code, response.headers, body)

    def _begin(self, session: requests.Session, attempt: Attempt) -> requests.Response:
        """Send a request and read the head of its answer."""
        timeout = (self._timeout_s, self._timeout_s + attempt.call.wait_s)
        request = self._prepare(attempt)
        response = session.send(
            request, stream=True, timeout=timeout, allow_redirects=False, proxies=session.proxies
        )
        try:
            check_head(response)
        except BaseException:
            response.close()
            raise
        return response

    @staticmethod
    def _refused(response: requests.Response, body: bytes) -> ApiError:
        return api_error(read_problem(response.status_code, response.headers, body))

    def _open(self, attempt: Attempt) -> requests.Response:
        with self._worded():
            response = self._begin(self._own_session(), attempt)
            self.note(response.headers.get(INSTANCE))
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
