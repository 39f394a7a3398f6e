"""HTTP connections to the daemon: over its Unix socket, under ``requests``."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import requests
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from socketd_client.descriptors import RECEIVED, PassingSocket
from socketd_client.own_traffic import OwnTraffic

if TYPE_CHECKING:
    from requests.adapters import HTTPAdapter
    from urllib3.response import HTTPResponse

    from socketd_client.endpoint import Endpoint

# Kept connections; more threads than that still work, their connections are closed after use.
POOL_SIZE: Final = 128
_FIRST_PAUSE_S: Final = 0.001
_LONGEST_PAUSE_S: Final = 0.05


def connect_unix(path: str, timeout_s: float | None) -> PassingSocket:
    """Connect to a Unix socket; the caller owns what is returned.

    A full backlog answers EAGAIN at once to a socket with a timeout (unix(7)), so it is asked again until
    ``timeout_s`` is over.

    Raises:
        OSError: The kernel's; EAGAIN if the backlog stayed full.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    pause_s = _FIRST_PAUSE_S
    sock = PassingSocket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        while True:
            try:
                sock.connect(path)
            except BlockingIOError:
                if deadline is not None and time.monotonic() + pause_s > deadline:
                    raise
                time.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            else:
                return sock
    except BaseException:
        sock.close()
        raise


class UnixConnection(HTTPConnection):
    """An HTTP connection over a Unix socket; descriptors travel over its ``sock``."""

    def __init__(self, host: str, *args: Any, socket_path: str, **options: Any) -> None:
        super().__init__(host, *args, **options)
        self._socket_path = socket_path

    def request(self, method: str, url: str, body: Any = None, headers: Any = None, **options: Any) -> None:
        """Send a request; say so where descriptors are awaited with its answer."""
        received = RECEIVED.get()
        if received is not None:
            if self.sock is None:
                self.connect()
            received.begin(cast("PassingSocket", self.sock))
            headers = {**headers, "Accept-Descriptors": "yes"}
        super().request(method, url, body, headers, **options)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # urllib3's is its own class too
        """Read the head of the answer, and the descriptors that come before it."""
        received = RECEIVED.get()
        if received is None:
            return super().getresponse()
        try:
            return super().getresponse()
        finally:
            received.end()

    def _new_conn(self) -> PassingSocket:
        timeout_s = self.timeout
        try:
            return connect_unix(self._socket_path, timeout_s if isinstance(timeout_s, (int, float)) else None)
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"{self._socket_path}: {error}") from error
        except OSError as error:
            raise NewConnectionError(self, f"{self._socket_path}: {error}") from error


class UnixConnectionPool(HTTPConnectionPool):
    """The kept connections to one Unix socket."""

    ConnectionCls = UnixConnection


class UnixAdapter(OwnTraffic):
    """Sends requests over a Unix socket.

    Only where the connection comes from is replaced: psf/requests#6707 made
    ``get_connection_with_tls_context`` the place for that, and adapters that override more broke then.
    """

    def __init__(self, socket_path: str) -> None:
        super().__init__(max_retries=0)
        self._pool = UnixConnectionPool("localhost", maxsize=POOL_SIZE, socket_path=socket_path)

    def get_connection_with_tls_context(self, *_args: Any, **_options: Any) -> UnixConnectionPool:
        """Return the pool: there is one place to go, whatever the request says."""
        return self._pool

    def close(self) -> None:
        """Close the kept connections."""
        self._pool.close()
        super().close()


@dataclass(frozen=True, slots=True)
class Way:
    """How requests reach a daemon.

    Attributes:
        pool: Where the session keeps its connections; ``None``: they are a proxy's.
    """

    session: requests.Session
    pool: HTTPConnectionPool | None


def open_way(endpoint: Endpoint) -> Way:
    """Make the way to a daemon; the caller closes its session."""
    session = open_session(endpoint)
    if session.proxies:
        return Way(session, None)
    request = requests.Request("GET", endpoint.base).prepare()
    # Any but ours is an HTTPAdapter too: open_session mounts nothing else.
    adapter = cast("HTTPAdapter", session.get_adapter(endpoint.base))
    pool = adapter.get_connection_with_tls_context(request, session.verify, None, session.cert)
    return Way(session, cast("HTTPConnectionPool", pool))


def open_session(endpoint: Endpoint) -> requests.Session:
    """Make the session for a daemon; the caller closes it.

    The environment is read once, here: doing it per request costs 160 microseconds. A Unix socket wants none
    of it, and no proxy can reach our loopback.
    """
    session = requests.Session()
    if endpoint.socket_path is None:
        found = session.merge_environment_settings(endpoint.base, {}, None, None, None)
        trust = endpoint.trust
        session.verify = trust.ca or found["verify"]
        session.cert = found["cert"] if trust.cert is None else (trust.cert, trust.key or trust.cert)
        session.proxies = {} if endpoint.is_loopback else dict(found["proxies"])
        adapter = OwnTraffic(pool_maxsize=POOL_SIZE, max_retries=0)
        session.mount("https://", adapter)
    else:
        adapter = UnixAdapter(endpoint.socket_path)
    session.mount("http://", adapter)
    session.trust_env = False
    return session
